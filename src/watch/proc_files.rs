//! Files of `/proc`: paths, and parsers of their contents (`proc(5)`).

use std::fs;
use std::io;

use thread_states::Nanos;

/// A process number.
pub(super) type Pid = u32;
/// A thread number.
pub(super) type Tid = u32;
/// A descriptor's number in the process that holds it.
pub(super) type Fd = i32;
/// The number of a socket's inode.
pub(super) type Inode = u64;

/// A thread's scheduler statistics: `/proc/PID/task/TID/schedstat`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SchedStat {
    /// CPU time. Of a running thread it is up to one kernel tick old.
    pub cpu: Nanos,
    /// Time in a run queue. The kernel adds a wait when it ends, not while it lasts.
    pub delay: Nanos,
    /// Number of times the thread was given a CPU.
    pub arrivals: u64,
}

impl SchedStat {
    /// Parses the three numbers of the file.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        Some(Self {
            cpu: Nanos::from_nanos(next()?),
            delay: Nanos::from_nanos(next()?),
            arrivals: next()?,
        })
    }
}

/// Fields that this program uses of `/proc/PID/stat` and `/proc/PID/task/TID/stat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    /// The command's name, at most 15 bytes.
    pub comm: String,
    /// It has ended, and its parent has not been told yet.
    pub has_ended: bool,
    /// The number of the parent process.
    pub parent: Pid,
    /// When it started, in clock ticks since the system booted.
    pub start_ticks: u64,
    /// Bottom of the stack of the program that it runs: another one is another program (`execve`). 0 if it may not be
    /// read.
    pub start_stack: u64,
}

impl Stat {
    /// Parses the file. The name is in parentheses and may itself contain any byte.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (before, after) = text.rsplit_once(')')?;
        let (_, comm) = before.split_once('(')?;
        // The fields after the name start with the third one of proc(5).
        let mut fields = after.split_ascii_whitespace();
        let has_ended = matches!(fields.next()?, "Z" | "X");
        let parent = fields.next()?.parse().ok()?;
        let start_ticks = fields.nth(17)?.parse().ok()?;
        let start_stack = fields.nth(5).and_then(|field| field.parse().ok());
        Some(Self {
            comm: comm.to_owned(),
            has_ended,
            parent,
            start_ticks,
            start_stack: start_stack.unwrap_or(0),
        })
    }

    /// Reads the file of a process; `None` if it has ended.
    pub(super) fn of_process(pid: Pid) -> Option<Self> {
        Self::parse(&read_lossy(&format!("/proc/{pid}/stat"))?).filter(|stat| !stat.has_ended)
    }

    /// Reads the file of a thread.
    pub(super) fn of_thread(pid: Pid, tid: Tid) -> Option<Self> {
        Self::parse(&read_lossy(&format!("/proc/{pid}/task/{tid}/stat"))?)
    }
}

/// The name of a thread, which it may change at any time; `None` if it has ended.
pub(super) fn thread_name(pid: Pid, tid: Tid) -> Option<String> {
    let name = read_lossy(&format!("/proc/{pid}/task/{tid}/comm"))?;
    Some(name.trim_end_matches('\n').to_owned())
}

/// The descriptors of a process.
///
/// # Errors
///
/// When the process has ended, or its descriptors may not be listed.
pub(super) fn descriptors(pid: Pid) -> io::Result<Vec<Fd>> {
    numbers(&format!("/proc/{pid}/fd"))
}

/// The threads of a process.
///
/// # Errors
///
/// When the process has ended.
pub(super) fn threads(pid: Pid) -> io::Result<Vec<Tid>> {
    numbers(&format!("/proc/{pid}/task"))
}

/// All processes that `/proc` shows.
///
/// # Errors
///
/// When `/proc` is not mounted.
pub(super) fn processes() -> io::Result<Vec<Pid>> {
    numbers("/proc")
}

/// The processes that a thread has started and that still live, without their own children.
pub(super) fn children(pid: Pid, tid: Tid) -> Vec<Pid> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")).unwrap_or_default();
    let pids = text.split_ascii_whitespace();
    pids.filter_map(|pid| pid.parse().ok()).collect()
}

/// The names in a directory that are numbers.
fn numbers<N: std::str::FromStr>(directory: &str) -> io::Result<Vec<N>> {
    let entries = fs::read_dir(directory)?.filter_map(Result::ok);
    Ok(entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

fn read_lossy(path: &str) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn schedstat_has_three_numbers() {
        let expected = SchedStat {
            cpu: Nanos::from_nanos(7_000),
            delay: Nanos::from_nanos(42),
            arrivals: 3,
        };
        assert_eq!(SchedStat::parse("7000 42 3\n"), Some(expected));
        for bad in ["", "1 2", "1 2 x", "-1 2 3"] {
            assert_eq!(SchedStat::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_command_name_may_contain_spaces_and_parentheses() {
        let text = "4242 (a (b) c d) S 17 4242 4242 0 -1 4194304 100 0 0 0 5 6 0 0 20 0 1 0 \
                    987654 1000 10 18446744073709551615 1 2 140732";
        let expected = Stat {
            comm: "a (b) c d".to_owned(),
            has_ended: false,
            parent: 17,
            start_ticks: 987_654,
            start_stack: 140_732,
        };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("4242 (short) S 17"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        assert!(processes().unwrap().contains(&pid));
        assert!(threads(pid).unwrap().contains(&pid));
        let stat = Stat::of_process(pid).unwrap();
        assert_eq!(stat.parent, std::os::unix::process::parent_id());
        assert!(descriptors(pid).unwrap().contains(&0));
    }

    proptest! {
        #[test]
        fn no_input_makes_a_parser_panic(text in ".*") {
            let _ = (SchedStat::parse(&text), Stat::parse(&text));
        }
    }
}
