//! Where a thread's counters stand on Linux.
//!
//! | source | what it costs (2-vCPU guest, Linux 6.18) |
//! |---|---|
//! | `CLOCK_MONOTONIC` | 21 ns |
//! | `CLOCK_THREAD_CPUTIME_ID` | 0.3 to 0.5 µs |
//! | `schedstat`, read on a kept descriptor | 0.5 to 0.9 µs |
//! | `getrusage(RUSAGE_THREAD)` | 0.3 µs |
//! | `status` of another thread | 20 µs: read only where nothing else tells |

use std::fs::{self, File};
use std::io;

use rustix::thread::gettid;
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::{Reading, Status, Unsupported};

pub(super) fn now() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

fn nanoseconds(time: Timespec) -> u64 {
    // Neither clock is ever negative, and 2⁶⁴ ns are 584 years.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Access to one thread's counters, for the thread itself and for any other of its process.
#[derive(Debug)]
pub(in super::super) struct Source {
    tid: i32,
    /// `None` where the kernel keeps no such statistics: the delay then stays 0.
    schedstat: Option<File>,
}

impl Source {
    /// The counters of the calling thread.
    ///
    /// # Errors
    ///
    /// Never; elsewhere they cannot be had.
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
    pub(in super::super) fn read_own(&self, wall: u64) -> Reading {
        let cpu = nanoseconds(clock_gettime(ClockId::ThreadCPUTime));
        Reading {
            wall,
            cpu,
            delay: self.delay(),
            switches: own_switches(),
        }
    }

    /// Reads clock and delay of a thread from another one; leaves `switches` at 0.
    ///
    /// # Errors
    ///
    /// When the thread has ended.
    pub(in super::super) fn read_other(&self) -> io::Result<Reading> {
        const ATTEMPTS: usize = 8;
        let mut reading = self.read_other_once()?;
        for _ in 1..ATTEMPTS {
            // The reader itself may lose the CPU between the two clocks. Where it takes this long
            // each time (traced, emulated), a coarse reading is better than none.
            if now().saturating_sub(reading.wall) < 50_000 {
                break;
            }
            reading = self.read_other_once()?;
        }
        Ok(reading)
    }

    fn read_other_once(&self) -> io::Result<Reading> {
        Ok(Reading {
            wall: now(),
            cpu: cpu_clock(self.tid)?,
            delay: self.delay(),
            switches: 0,
        })
    }

    /// What `status` says of another thread; `None` when it has ended.
    pub(in super::super) fn status_of_other(&self) -> Option<Status> {
        let text = fs::read_to_string(format!("/proc/self/task/{}/status", self.tid)).ok()?;
        let field = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line[name.len()..].split_ascii_whitespace().next()
        };
        Some(Status {
            switches: field("voluntary_ctxt_switches:")?.parse().ok()?,
            runs: field("State:")? == "R",
        })
    }

    /// The second field of `schedstat`, in nanoseconds. The first one, CPU time, moves only at
    /// ticks and switches and is not used.
    fn delay(&self) -> u64 {
        self.schedstat.as_ref().and_then(second_field).unwrap_or(0)
    }
}

fn second_field(file: &File) -> Option<u64> {
    let mut buffer = [0; 64];
    let length = rustix::io::pread(file, &mut buffer, 0).ok()?;
    let text = std::str::from_utf8(&buffer[..length]).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The CPU clock of any thread of this process, in nanoseconds.
#[expect(unsafe_code, reason = "rustix has no clocks of other threads")]
fn cpu_clock(tid: i32) -> io::Result<u64> {
    // The clock's number as the kernel and `pthread_getcpuclockid` make it from a thread's:
    // CPUCLOCK_SCHED (2) and CPUCLOCK_PERTHREAD_MASK (4), include/linux/posix-timers.h.
    let clock = (!tid << 3) | 6;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for the write; an unknown clock is answered with EINVAL.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// How often the calling thread left the CPU of its own will.
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

    #[test]
    fn own_and_other_thread_read_the_same_counters() {
        let (send, receive) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let worker = thread::spawn(move || {
            let source = Source::of_this_thread().unwrap();
            let begun = source.read_own(now()).cpu;
            while source.read_own(now()).cpu - begun < 5_000_000 {}
            let own = source.read_own(now());
            send.send((source, own)).unwrap();
            let _ = ended.recv();
        });
        let (source, own) = receive.recv().unwrap();
        // On a busy machine it takes a while until the thread waits in `recv`.
        while source.status_of_other().unwrap().switches == own.switches {
            thread::sleep(Duration::from_millis(1));
        }
        let other = source.read_other().unwrap();
        assert!(
            own.cpu >= 5_000_000 && other.cpu >= own.cpu,
            "{own:?} {other:?}"
        );
        assert!(other.wall > own.wall);

        drop(end);
        worker.join().unwrap();
        // The kernel forgets the thread a moment after the join.
        while source.read_other().is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(source.status_of_other().is_none());
    }
}
