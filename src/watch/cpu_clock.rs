//! CPU time of a whole process, in one system call.

use std::fs;
use std::path::Path;

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd;
use thread_states::Nanos;

use super::proc_files::Pid;

/// The CPU clock of a process. It is the sum over its threads, also those that have ended, of the CPU time in `schedstat`
/// (`thread_group_cputime`), which the kernel reports of any process.
#[derive(Debug, Clone, Copy)]
pub(super) struct CpuClock(ClockId);

impl CpuClock {
    /// The clock of a process; `None` if there is none.
    pub(super) fn of(pid: Pid) -> Option<Self> {
        // The call takes a number of this process's namespace, `/proc` may be mounted for another one.
        let is_same_namespace =
            fs::read_link("/proc/self").ok()? == Path::new(&unistd::getpid().to_string());
        let pid = unistd::Pid::from_raw(pid.cast_signed());
        let clock = is_same_namespace.then(|| clock_getcpuclockid(pid).ok())?;
        clock.map(Self)
    }

    /// CPU time of the process so far; `None` if it has ended.
    pub(super) fn read(self) -> Option<Nanos> {
        let time = self.0.now().ok()?;
        let (seconds, nanos) = (time.tv_sec().unsigned_abs(), time.tv_nsec().unsigned_abs());
        Some(Nanos::from_secs(seconds) + Nanos::from_nanos(nanos))
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::super::proc_files::SchedStat;
    use super::*;

    #[test]
    fn the_clock_of_a_process_is_the_sum_of_its_threads() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let clock = CpuClock::of(child.id()).unwrap();
        let path = format!("/proc/{}/schedstat", child.id());
        // Its only thread: as soon as it waits, both stand still.
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let before = clock.read();
            let text = fs::read_to_string(&path).unwrap();
            let thread = SchedStat::parse(&text).unwrap().cpu;
            if before == clock.read() && before > Some(Nanos::ZERO) {
                assert_eq!(before, Some(thread));
                break;
            }
            assert!(Instant::now() < deadline, "{before:?} {text}");
        }
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(clock.read(), None);
    }
}
