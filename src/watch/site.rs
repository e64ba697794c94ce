//! Sites: where a thread waits, as `/proc/PID/task/TID/syscall` shows it.

use super::calls::Call;
use super::proc_files::Fd;

/// Activity of a thread at the moment of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// On a CPU or in a run queue.
    Runs,
    /// Off CPU, in a system call.
    Calls(SystemCall),
    /// Off CPU outside a system call: a page fault, or stopped there.
    Faults,
}

/// A system call with what a site needs of its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SystemCall {
    /// The call.
    pub call: Call,
    /// Its first two arguments.
    pub arguments: [u64; 2],
    /// The thread's stack pointer: tells apart the places in the program that make the same call.
    pub stack_pointer: u64,
}

impl Activity {
    /// Parses the file: `running`, `-1 SP PC`, or the call's number, six arguments, SP and PC.
    pub(super) fn parse(text: &str) -> Option<Self> {
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
        let arguments = [hexadecimal()?, hexadecimal()?];
        for _ in 2..6 {
            hexadecimal()?;
        }
        Some(Self::Calls(SystemCall {
            call: Call::from_number(number),
            arguments,
            stack_pointer: hexadecimal()?,
        }))
    }
}

impl SystemCall {
    /// Argument 0 as a descriptor.
    pub(super) fn fd(&self) -> Fd {
        // The kernel takes the lower 32 bits, too.
        self.arguments[0] as u32 as Fd
    }
}

/// A place where threads wait. Two waits at one site are for the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Site {
    /// An epoll set. Without the stack pointer: glibc calls `epoll_wait` with another one as soon as a
    /// process has a second thread.
    Epoll(Fd),
    /// `poll` or `select` on these descriptors.
    Descriptors(Vec<Fd>),
    /// A futex word and the stack pointer. A glibc condition variable alternates between two words
    /// in the same 8 bytes (`__g_signals`), hence the address is that of the 8 bytes.
    Futex {
        /// Address of the word, rounded down to 8 bytes.
        address: u64,
        /// Stack pointer of the caller.
        stack_pointer: u64,
    },
    /// A call on a descriptor.
    On {
        /// The call.
        call: Call,
        /// The descriptor.
        fd: Fd,
        /// Stack pointer of the caller.
        stack_pointer: u64,
    },
    /// Any other call, by the place in the program.
    At {
        /// The call.
        call: Call,
        /// Stack pointer of the caller.
        stack_pointer: u64,
    },
    /// Outside a system call.
    Fault,
    /// Stopped by a signal or a frozen control group.
    Stopped,
    /// A place that may not be read.
    Hidden,
}

/// Thing that a blocked thread waits for: the label `on` of `thread_blocked_seconds_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum On {
    /// A timer.
    Sleep,
    /// A lock, condition variable or semaphore (futex).
    Lock,
    /// A socket that is no client's connection: a database, another server.
    Socket,
    /// A client's connection: its request's body, or room for the response.
    Client,
    /// A file, device or file lock.
    File,
    /// The disk: uninterruptible input or output, `fsync`.
    Disk,
    /// A pipe.
    Pipe,
    /// A child process.
    Child,
    /// A page fault.
    Fault,
    /// A signal that continues it, or its control group's thaw.
    Stopped,
    /// Anything else.
    Other,
}

impl On {
    /// Every value.
    pub const ALL: [Self; 11] = [
        Self::Sleep,
        Self::Lock,
        Self::Socket,
        Self::Client,
        Self::File,
        Self::Disk,
        Self::Pipe,
        Self::Child,
        Self::Fault,
        Self::Stopped,
        Self::Other,
    ];

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
            Self::Lock => "lock",
            Self::Socket => "socket",
            Self::Client => "client",
            Self::File => "file",
            Self::Disk => "disk",
            Self::Pipe => "pipe",
            Self::Child => "child",
            Self::Fault => "fault",
            Self::Stopped => "stopped",
            Self::Other => "other",
        }
    }
}

/// A wait: where a thread waits, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The place.
    pub site: Site,
    /// The thing waited for.
    pub on: On,
    /// Several connections may be served from here: an event loop's call.
    pub multiplexes: bool,
    /// A listening socket is among the things waited for: the thread waits for work.
    pub listens: bool,
}

/// Kernel function in which a stopped thread waits, as `/proc/PID/task/TID/wchan` names it: a stop signal,
/// a tracer, the freezer of control groups version 2, and that of version 1.
pub(super) fn is_stopped(wchan: &str) -> bool {
    [
        "do_signal_stop",
        "ptrace_stop",
        "do_freezer_trap",
        "__refrigerator",
    ]
    .contains(&wchan)
}

/// Kernel function in which a thread waits for a disk.
pub(super) fn is_disk(wchan: &str) -> bool {
    [
        "io_schedule",
        "folio_wait",
        "bit_wait_io",
        "blk_",
        "jbd2_",
        "wait_on_page",
        "rq_qos_wait",
    ]
    .iter()
    .any(|prefix| wchan.starts_with(prefix))
}

/// The descriptors of an array of `pollfd`; negative ones are ignored by the kernel, too.
pub(super) fn poll_descriptors(memory: &[u8]) -> Vec<Fd> {
    let fds = memory
        .chunks_exact(8)
        .filter_map(|entry| entry.first_chunk());
    fds.map(|fd| Fd::from_ne_bytes(*fd))
        .filter(|fd| *fd >= 0)
        .collect()
}

/// The descriptors below `end` in the bit set of `select`.
pub(super) fn select_descriptors(memory: &[u8], end: u64) -> Vec<Fd> {
    let is_set = |fd: &usize| {
        memory
            .get(fd / 8)
            .is_some_and(|byte| byte >> (fd % 8) & 1 == 1)
    };
    let end = (memory.len() * 8).min(usize::try_from(end).unwrap_or(usize::MAX));
    (0..end).filter(is_set).map(|fd| fd as Fd).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_running_thread_and_a_fault_are_no_calls() {
        assert_eq!(Activity::parse("running\n"), Some(Activity::Runs));
        assert_eq!(
            Activity::parse("-1 0x7ffc0 0x5580\n"),
            Some(Activity::Faults)
        );
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_call_has_its_arguments_and_stack_pointer() {
        // Recorded: uvicorn in `epoll_wait`.
        let text = "232 0x5 0x7f1c2c000b70 0x400 0x1387 0x0 0x0 0x7ffd7d5a1c50 0x7f1c3a1e5a2e\n";
        let expected = SystemCall {
            call: Call::Epoll,
            arguments: [5, 0x7f1c_2c00_0b70],
            stack_pointer: 0x7ffd_7d5a_1c50,
        };
        assert_eq!(Activity::parse(text), Some(Activity::Calls(expected)));
        assert_eq!(expected.fd(), 5);
    }

    #[test]
    fn what_is_cut_off_is_no_activity() {
        for bad in ["", "232", "232 0x5", "232 5 6 7 8 9 10 11 12", "x 0x1 0x2"] {
            assert_eq!(Activity::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn sets_of_poll_and_select_are_read_from_memory() {
        let entry = |fd: i32| [fd.to_ne_bytes(), [1, 0, 0, 0]].concat();
        let memory = [entry(3), entry(-1), entry(9)].concat();
        assert_eq!(poll_descriptors(&memory), [3, 9]);
        assert_eq!(select_descriptors(&[0b0010_1000, 0b1], 9), [3, 5, 8]);
        // Bits above the end are not looked at by the kernel.
        assert_eq!(select_descriptors(&[0xff, 0xff], 2), [0, 1]);
    }

    proptest! {
        #[test]
        fn no_input_makes_a_parser_panic(
            text in ".*",
            words in proptest::collection::vec("-?(0x)?[0-9a-f]{1,20}", 0..10),
            memory in proptest::collection::vec(any::<u8>(), 0..64),
            end: u64,
        ) {
            let _ = (Activity::parse(&text), Activity::parse(&words.join(" ")));
            let _ = (poll_descriptors(&memory), select_descriptors(&memory, end));
        }
    }
}
