//! Sources of a thread's counters on Linux.
//!
//! | source | what it is | cost (2-vCPU guest, Linux 6.18) |
//! |---|---|---|
//! | `CLOCK_MONOTONIC` | wall time, read in user space (vDSO) | 21 ns |
//! | `CLOCK_THREAD_CPUTIME_ID` | CPU time | 0.3 to 0.5 µs |
//! | `/proc/self/task/<tid>/schedstat`, on a kept descriptor | run-queue delay | 0.5 to 0.9 µs |
//! | `getrusage(RUSAGE_THREAD)` | own context switches | 0.3 µs |
//! | `/proc/self/task/<tid>/stat` | whether another thread is asleep | 8 µs: only of one that was asleep and has not run, and whose wait is not known (`waits::own`) |
//! | `/proc/self/task/<tid>/status` | another thread's switches and state | 20 µs: only where nothing else can tell |
//!
//! Each of these may be denied to a process (seccomp). Then its value is not known, and nothing is made up:
//! a thread without a CPU clock has no states, and one without the others looks blocked rather than free.
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
use std::os::unix::fs::FileExt;

use super::super::units::{Nanos, Timestamp};
use super::counters::{Activity, Counters, OsThread, Sighting};
use super::support::Unsupported;

/// A reader that took longer than this between two clocks has lost the CPU in between.
const INTERRUPTED: Nanos = Nanos::from_micros(50);
/// More context switches than parks can explain.
const MANY: u64 = 1 << 32;

pub(super) fn now() -> Timestamp {
    // Where even this is denied, no time passes, and no value moves.
    Timestamp::from_nanos(read_clock(libc::CLOCK_MONOTONIC).unwrap_or(1))
}

/// Nanoseconds of a clock. Those of `std` panic where the kernel refuses.
#[inline]
#[expect(unsafe_code, reason = "std has no clocks of threads")]
fn read_clock(clock: libc::clockid_t) -> io::Result<u64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for the write; the kernel rejects an unknown clock with EINVAL.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // None of these clocks is ever negative, and 2⁶⁴ ns are 584 years.
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// CPU time of all threads of this process, in seconds.
pub(crate) fn process_cpu_seconds() -> Option<f64> {
    let time = read_clock(libc::CLOCK_PROCESS_CPUTIME_ID).ok()?;
    Some(Nanos::from_nanos(time).as_secs_f64())
}

/// Access to one thread's counters, for the thread itself and for any other of its process.
#[derive(Debug)]
pub(in super::super) struct Source {
    thread: OsThread,
    /// `None` where the kernel keeps no such statistics (no `CONFIG_SCHED_INFO`): the delay then stays 0.
    schedstat: Option<File>,
}

impl Source {
    /// The counters of the calling thread.
    ///
    /// # Errors
    ///
    /// When the thread's CPU clock cannot be read.
    pub(in super::super) fn of_this_thread() -> Result<Self, Unsupported> {
        let tid = own_tid().ok_or(Unsupported)?;
        cpu_clock(tid).map_err(|_| Unsupported)?;
        let schedstat = File::open(format!("/proc/self/task/{tid}/schedstat"))
            .inspect_err(
                |error| tracing::warn!(%error, "no run-queue delay: schedstat cannot be read"),
            )
            .ok();
        let name = fs::read(format!("/proc/self/task/{tid}/comm")).unwrap_or_default();
        Ok(Self {
            thread: OsThread::new(tid, name.trim_ascii_end()),
            schedstat,
        })
    }

    /// Number and name of the thread.
    pub(in super::super) fn thread(&self) -> OsThread {
        self.thread
    }

    /// Reads the counters of the calling thread, which must be this source's, at `wall`. `last` are its
    /// counters at an earlier read. `None` when its CPU clock cannot be read.
    ///
    /// The delay is read only if the thread has been off its CPU since then: it is more than half of the cost.
    pub(in super::super) fn read_own(&self, wall: Timestamp, last: &Counters) -> Option<Counters> {
        let cpu = read_clock(libc::CLOCK_THREAD_CPUTIME_ID).ok()?;
        // Before the delay, so that no switch comes between the two unnoticed. Unknown: it may have blocked.
        let unknown = (last.switches + MANY, last.preemptions);
        let (switches, preemptions) = own_switches().unwrap_or(unknown);
        let stayed = (switches, preemptions) == (last.switches, last.preemptions);
        let delay = if stayed { None } else { self.delay() };
        Some(Counters {
            wall,
            cpu: Nanos::from_nanos(cpu),
            delay: delay.unwrap_or(last.delay),
            switches,
            preemptions,
        })
    }

    /// Returns whether the calling thread, which must be this source's, may have left its CPU to sleep since it read
    /// these counters of its own.
    pub(in super::super) fn has_slept_since(&self, last: &Counters) -> bool {
        own_switches().is_none_or(|(voluntary, _)| voluntary != last.switches)
    }

    /// Reads CPU time and delay of a thread from another one; leaves the switches at 0.
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
        let cpu = cpu_clock(self.thread.tid)?;
        let delay = if cpu == last.cpu {
            last.delay
        } else {
            self.delay().unwrap_or(last.delay)
        };
        Ok(Counters {
            wall,
            cpu,
            delay,
            switches: 0,
            preemptions: 0,
        })
    }

    /// Reads switches and state of another thread from `status`
    /// (Documentation/filesystems/proc.rst), and whether it is on a CPU; `read` are its counters, which were just
    /// read. `None` when the thread has ended.
    pub(in super::super) fn look_at_other(&self, read: &Counters) -> Option<Sighting> {
        let text =
            fs::read_to_string(format!("/proc/self/task/{}/status", self.thread.tid)).ok()?;
        let field = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line[name.len()..].split_ascii_whitespace().next()
        };
        let activity = match field("State:")? {
            "R" => Activity::Active,
            _ => Activity::Asleep,
        };
        Some(Sighting {
            switches: field("voluntary_ctxt_switches:")?.parse().ok()?,
            activity,
            is_on_cpu: activity == Activity::Active && self.other_has_run_since(read),
        })
    }

    /// Returns whether another thread has been on a CPU without a break since its counters were read: its CPU clock
    /// has advanced as the time has.
    fn other_has_run_since(&self, read: &Counters) -> bool {
        // The two clocks are read one after the other.
        const APART: Nanos = Nanos::from_micros(5);
        let Ok(cpu) = cpu_clock(self.thread.tid) else {
            return false;
        };
        let passed = read.wall.elapsed();
        cpu > read.cpu && cpu - read.cpu + APART >= passed
    }

    /// Returns whether another thread is asleep, from `stat` alone, which takes less time than `status`.
    pub(in super::super) fn other_sleeps(&self) -> bool {
        let stat = fs::read(format!("/proc/self/task/{}/stat", self.thread.tid));
        // The state is the first field after the name, which is in parentheses and may contain any byte.
        let state = stat.ok().and_then(|stat| {
            let name_ends = stat.iter().rposition(|byte| *byte == b')')?;
            stat.get(name_ends + 2).copied()
        });
        state.is_some_and(|state| state != b'R')
    }

    /// The second field of `schedstat` (Documentation/scheduler/sched-stats.rst). The first one, CPU
    /// time, moves only at ticks and context switches, so it is not used.
    fn delay(&self) -> Option<Nanos> {
        let delay = self.schedstat.as_ref().and_then(second_field);
        delay.map(Nanos::from_nanos)
    }
}

fn second_field(file: &File) -> Option<u64> {
    let mut buffer = [0; 64];
    let length = file.read_at(&mut buffer, 0).ok()?;
    let text = std::str::from_utf8(&buffer[..length]).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// CPU clock of any thread of this process.
fn cpu_clock(tid: i32) -> io::Result<Nanos> {
    // The clock's number, which the kernel and `pthread_getcpuclockid` derive from the thread's:
    // CPUCLOCK_SCHED (2) and CPUCLOCK_PERTHREAD_MASK (4), include/linux/posix-timers.h.
    read_clock((!tid << 3) | 6).map(Nanos::from_nanos)
}

/// Number of the calling thread.
#[expect(
    unsafe_code,
    reason = "the C library takes the result of the call for granted"
)]
fn own_tid() -> Option<i32> {
    // SAFETY: the call has no arguments and touches no memory.
    let tid = unsafe { libc::syscall(libc::SYS_gettid) };
    i32::try_from(tid).ok().filter(|tid| *tid > 0)
}

/// Numbers of voluntary and involuntary context switches of the calling thread.
#[expect(unsafe_code, reason = "std has no getrusage")]
fn own_switches() -> Option<(u64, u64)> {
    // SAFETY: an `rusage` is plain integers, for which zero is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid for the write.
    let result = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    (result == 0).then_some((usage.ru_nvcsw as u64, usage.ru_nivcsw as u64))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    const BUSY: Nanos = Nanos::from_millis(5);

    #[test]
    fn a_thread_on_a_cpu_is_told_from_one_that_sleeps() {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (send, receive) = mpsc::channel();
        let spinner = thread::spawn({
            let stop = std::sync::Arc::clone(&stop);
            move || {
                send.send(Source::of_this_thread().unwrap()).unwrap();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            }
        });
        let source = receive.recv().unwrap();
        // On a busy machine it is on a CPU only now and then.
        let is_on_cpu = || {
            let read = source.read_other(&Counters::default()).unwrap();
            source.look_at_other(&read).unwrap().is_on_cpu
        };
        while !is_on_cpu() {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(!source.other_sleeps());
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        spinner.join().unwrap();
    }

    #[test]
    fn the_delay_is_right_whether_the_thread_has_switched_or_not() {
        let source = Source::of_this_thread().unwrap();
        let mut last = Counters::at_start(now());
        let (mut stayed, mut switched) = (0, 0);
        // On a busy machine, most turns have a switch.
        while stayed < 20 || switched < 20 {
            let read = source.read_own(now(), &last).unwrap();
            let exact = source.delay().unwrap();
            let switches = |counters: &Counters| (counters.switches, counters.preemptions);
            if own_switches() == Some(switches(&read)) {
                assert_eq!(read.delay, exact);
                if switches(&read) == switches(&last) {
                    stayed += 1;
                } else {
                    switched += 1;
                    assert!(read.delay >= last.delay);
                }
            }
            last = read;
            if stayed > switched {
                thread::sleep(Duration::from_micros(10));
            }
        }
    }

    #[test]
    fn own_and_other_thread_read_the_same_counters() {
        let (send, receive) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let worker = thread::spawn(move || {
            let source = Source::of_this_thread().unwrap();
            let start = Counters::at_start(now());
            let read = || source.read_own(now(), &start).unwrap();
            let begun = read().cpu;
            while read().cpu - begun < BUSY {}
            let own = read();
            send.send((source, own)).unwrap();
            let _ = ended.recv();
        });
        let (source, own) = receive.recv().unwrap();
        // On a busy machine it takes a while until the thread waits in `recv`.
        let look = || source.look_at_other(&own);
        while look().unwrap().switches == own.switches || !source.other_sleeps() {
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
        assert!(look().is_none() && !source.other_sleeps());
    }
}
