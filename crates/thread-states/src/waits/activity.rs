//! Activity of a thread at one moment: the contents of `/proc/PID/task/TID/syscall` (`proc(5)`).

use super::call::Call;

/// Activity of a thread at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadActivity {
    /// On a CPU or in a run queue.
    Runs,
    /// Off CPU, in a system call.
    Calls(SystemCall),
    /// Off CPU outside a system call: a page fault, or stopped there.
    Faults,
}

/// A system call with what is needed of its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SystemCall {
    /// The call.
    pub call: Call,
    /// Its first five arguments.
    pub arguments: [u64; 5],
    /// The thread's stack pointer: tells apart the places in the program that make the same call.
    pub stack_pointer: u64,
}

impl ThreadActivity {
    /// Parses the file: `running`, `-1 SP PC`, or the call's number, six arguments, SP and PC.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let first = words.next()?;
        if first == "running" {
            return Some(Self::Runs);
        }
        let number: i64 = first.parse().ok()?;
        if number < 0 {
            return Some(Self::Faults);
        }
        let mut hexadecimal = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
        let mut arguments = [0; 5];
        for argument in &mut arguments {
            *argument = hexadecimal()?;
        }
        let _sixth = hexadecimal()?;
        Some(Self::Calls(SystemCall {
            call: Call::from_number(number),
            arguments,
            stack_pointer: hexadecimal()?,
        }))
    }
}

impl SystemCall {
    /// Argument 0 as a descriptor.
    #[must_use]
    pub fn fd(&self) -> i32 {
        // The kernel takes the lower 32 bits, too.
        self.arguments[0] as u32 as i32
    }

    /// Returns true for a wait in `epoll`, `poll` or `select` that ends by itself.
    #[must_use]
    pub fn has_timeout(&self) -> bool {
        let timeout = match self.call {
            Call::Epoll => self.arguments[3],
            Call::Poll => self.arguments[2],
            Call::Select => self.arguments[4],
            _ => return false,
        };
        // Milliseconds as an `int`, -1 for none; or a pointer to a time, which is above 32 bits, null for none.
        match u32::try_from(timeout) {
            Ok(milliseconds) => milliseconds as i32 > 0,
            Err(_) => timeout != u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_running_thread_and_a_fault_are_no_calls() {
        let parse = ThreadActivity::parse;
        assert_eq!(parse("running\n"), Some(ThreadActivity::Runs));
        assert_eq!(parse("-1 0x7ffc0 0x5580\n"), Some(ThreadActivity::Faults));
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_call_has_its_arguments_and_stack_pointer() {
        // Recorded: uvicorn in `epoll_wait`.
        let text = "232 0x5 0x7f1c2c000b70 0x400 0x1387 0x0 0x0 0x7ffd7d5a1c50 0x7f1c3a1e5a2e\n";
        let expected = SystemCall {
            call: Call::Epoll,
            arguments: [5, 0x7f1c_2c00_0b70, 0x400, 0x1387, 0],
            stack_pointer: 0x7ffd_7d5a_1c50,
        };
        assert_eq!(
            ThreadActivity::parse(text),
            Some(ThreadActivity::Calls(expected))
        );
        assert_eq!(expected.fd(), 5);
        assert!(expected.has_timeout());
    }

    #[test]
    fn a_timeout_is_a_number_of_milliseconds_or_a_pointer() {
        let waits = |call, timeout| {
            let mut arguments = [0; 5];
            arguments[match call {
                Call::Epoll => 3,
                Call::Poll => 2,
                _ => 4,
            }] = timeout;
            let call = SystemCall {
                call,
                arguments,
                stack_pointer: 0,
            };
            call.has_timeout()
        };
        for call in [Call::Epoll, Call::Poll, Call::Select] {
            for none in [0, u64::from(u32::MAX), u64::MAX] {
                assert!(!waits(call, none), "{call:?} {none:x}");
            }
            assert!(waits(call, 0x7f1c_ffff_ff00) && waits(call, 20_000));
        }
        assert!(!waits(Call::Futex, 20_000));
    }

    #[test]
    fn what_is_cut_off_is_no_activity() {
        for bad in ["", "232", "232 0x5", "232 5 6 7 8 9 10 11 12", "x 0x1 0x2"] {
            assert_eq!(ThreadActivity::parse(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(
            text in ".*",
            words in proptest::collection::vec("-?(0x)?[0-9a-f]{1,20}", 0..10),
        ) {
            let _ = (ThreadActivity::parse(&text), ThreadActivity::parse(&words.join(" ")));
        }
    }
}
