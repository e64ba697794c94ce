//! Sources of a thread's counters on Linux.
//!
//! | source | what it is | cost (2-vCPU guest, Linux 6.18) |
//! |---|---|---|
//! | `CLOCK_MONOTONIC` | wall time, read in user space (vDSO) | 21 ns |
//! | `CLOCK_THREAD_CPUTIME_ID` | CPU time | 0.3 to 0.5 µs |
//! | `/proc/self/task/<tid>/schedstat`, on a kept descriptor | run-queue delay | 0.5 to 0.9 µs |
//! | `getrusage(RUSAGE_THREAD)` | own voluntary context switches | 0.3 µs |
//! | `/proc/self/task/<tid>/status` | another thread's switches and state | 20 µs: only where nothing else can tell |
//!
//! They differ in when they move:
//!
//! * The CPU clock is exact at each read: the kernel adds the time slice that is under way
//!   (`task_sched_runtime` in kernel/sched/core.c, called from kernel/time/posix-cpu-timers.c).
//! * The delay is not: a wait in the run queue is added when the thread gets a CPU
//!   (`sched_info_arrive` in kernel/sched/stats.h), so 300 ms of waiting appear at once at their end.
//! * Time stolen by the hypervisor is in neither of them: CPU time is counted on a clock that leaves it
//!   out (`update_rq_clock_task` in kernel/sched/core.c), and the thread is in no run queue meanwhile.
//! * A context switch is voluntary if the thread left the CPU to sleep (`nvcsw` in `__schedule`,
//!   kernel/sched/core.c). A thread that was only preempted has not blocked.

use std::fs::{self, File};
use std::io;

use rustix::thread::gettid;
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::super::units::{Nanos, Timestamp};
use super::counters::{Activity, Counters, Status};
use super::support::Unsupported;

/// A reader that took longer than this between two clocks has lost the CPU in between.
const INTERRUPTED: Nanos = Nanos::from_micros(50);

pub(super) fn now() -> Timestamp {
    Timestamp::from_nanos(nanoseconds(clock_gettime(ClockId::Monotonic)))
}

fn nanoseconds(time: Timespec) -> u64 {
    // Neither clock is ever negative, and 2⁶⁴ ns are 584 years.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Access to one thread's counters, for the thread itself and for any other of its process.
#[derive(Debug)]
pub(in super::super) struct Source {
    tid: i32,
    /// `None` where the kernel keeps no such statistics (no `CONFIG_SCHED_INFO`): the delay then stays 0.
    schedstat: Option<File>,
}

impl Source {
    /// The counters of the calling thread.
    ///
    /// # Errors
    ///
    /// None on Linux.
    pub(in super::super) fn of_this_thread() -> Result<Self, Unsupported> {
        let tid = gettid().as_raw_nonzero().get();
        let schedstat = File::open(format!("/proc/self/task/{tid}/schedstat"))
            .inspect_err(
                |error| tracing::warn!(%error, "no run-queue delay: schedstat cannot be read"),
            )
            .ok();
        Ok(Self { tid, schedstat })
    }

    /// Reads the counters of the calling thread, which must be this source's, at `wall`.
    pub(in super::super) fn read_own(&self, wall: Timestamp) -> Counters {
        let cpu = nanoseconds(clock_gettime(ClockId::ThreadCPUTime));
        Counters {
            wall,
            cpu: Nanos::from_nanos(cpu),
            delay: self.delay(),
            switches: own_switches(),
        }
    }

    /// Reads CPU time and delay of a thread from another one; leaves `switches` at 0.
    ///
    /// The delay is read only if the thread has run since `last`, its counters at an earlier read:
    /// the kernel adds a wait when the thread gets a CPU. Most threads sleep from scrape to scrape, and
    /// `schedstat` is half of the cost.
    ///
    /// # Errors
    ///
    /// When the thread has ended.
    pub(in super::super) fn read_other(&self, last: &Counters) -> io::Result<Counters> {
        const ATTEMPTS: usize = 8;
        let mut counters = self.read_other_once(last)?;
        for _ in 1..ATTEMPTS {
            // Where every attempt takes this long (traced, emulated), a coarse reading is better
            // than none.
            if counters.wall.elapsed() < INTERRUPTED {
                break;
            }
            counters = self.read_other_once(last)?;
        }
        Ok(counters)
    }

    fn read_other_once(&self, last: &Counters) -> io::Result<Counters> {
        let wall = now();
        let cpu = cpu_clock(self.tid)?;
        let delay = if cpu == last.cpu {
            last.delay
        } else {
            self.delay()
        };
        Ok(Counters {
            wall,
            cpu,
            delay,
            switches: 0,
        })
    }

    /// Reads switches and state of another thread from `status`
    /// (Documentation/filesystems/proc.rst); `None` when the thread has ended.
    pub(in super::super) fn status_of_other(&self) -> Option<Status> {
        let text = fs::read_to_string(format!("/proc/self/task/{}/status", self.tid)).ok()?;
        let field = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line[name.len()..].split_ascii_whitespace().next()
        };
        Some(Status {
            switches: field("voluntary_ctxt_switches:")?.parse().ok()?,
            activity: match field("State:")? {
                "R" => Activity::Active,
                _ => Activity::Asleep,
            },
        })
    }

    /// The second field of `schedstat` (Documentation/scheduler/sched-stats.rst). The first one, CPU
    /// time, moves only at ticks and context switches, so it is not used.
    fn delay(&self) -> Nanos {
        let delay = self.schedstat.as_ref().and_then(second_field);
        Nanos::from_nanos(delay.unwrap_or(0))
    }
}

fn second_field(file: &File) -> Option<u64> {
    let mut buffer = [0; 64];
    let length = rustix::io::pread(file, &mut buffer, 0).ok()?;
    let text = std::str::from_utf8(&buffer[..length]).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// CPU clock of any thread of this process.
#[expect(unsafe_code, reason = "rustix has no clocks of other threads")]
fn cpu_clock(tid: i32) -> io::Result<Nanos> {
    // The clock's number, which the kernel and `pthread_getcpuclockid` derive from the thread's:
    // CPUCLOCK_SCHED (2) and CPUCLOCK_PERTHREAD_MASK (4), include/linux/posix-timers.h.
    let clock = (!tid << 3) | 6;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for the write; the kernel rejects an unknown clock with EINVAL.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let nanoseconds = time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
    Ok(Nanos::from_nanos(nanoseconds))
}

/// Number of voluntary context switches of the calling thread.
#[expect(unsafe_code, reason = "rustix has no getrusage")]
fn own_switches() -> u64 {
    // SAFETY: an `rusage` is plain integers, for which zero is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid for the write; RUSAGE_THREAD cannot fail with a valid pointer.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    usage.ru_nvcsw as u64
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    const BUSY: Nanos = Nanos::from_millis(5);

    #[test]
    fn own_and_other_thread_read_the_same_counters() {
        let (send, receive) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let worker = thread::spawn(move || {
            let source = Source::of_this_thread().unwrap();
            let begun = source.read_own(now()).cpu;
            while source.read_own(now()).cpu - begun < BUSY {}
            let own = source.read_own(now());
            send.send((source, own)).unwrap();
            let _ = ended.recv();
        });
        let (source, own) = receive.recv().unwrap();
        // On a busy machine it takes a while until the thread waits in `recv`.
        while source.status_of_other().unwrap().switches == own.switches {
            thread::sleep(Duration::from_millis(1));
        }
        let other = source.read_other(&Counters::default()).unwrap();
        assert!(own.cpu >= BUSY && other.cpu >= own.cpu, "{own:?} {other:?}");
        assert!(other.wall > own.wall);
        // It sleeps, so it can have no other delay.
        let later = source.read_other(&other).unwrap();
        assert_eq!((later.cpu, later.delay), (other.cpu, other.delay));

        drop(end);
        worker.join().unwrap();
        // The kernel forgets the thread a moment after the join.
        while source.read_other(&other).is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(source.status_of_other().is_none());
    }
}
