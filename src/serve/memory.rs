//! Returns memory to the kernel after a burst of connections.
//!
//! glibc keeps what is freed, except at the end of the heap: after 19,500 waiting requests it kept all of
//! 430 MiB. `malloc_trim` returns all free pages. It locks each heap meanwhile, for about 0.1 s after such a
//! burst, so it is called only when many connections have been closed: since the look before, or between two looks, which
//! shows as memory that grew although the connections did not.

use crate::metrics::{Probe, RequestQueue};

/// Lets the allocator return freed memory sooner. To be called before the process has other threads.
pub(super) fn keep_little() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::keep_little();
}

/// Starts a thread that returns memory after bursts, until the process ends. The memory is freed sooner or
/// later without it too, so a failure is only logged. `queues` keep what they have read of each connection until they are
/// read again.
pub(super) fn return_after_bursts(queues: Vec<Probe<RequestQueue>>) {
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    drop(queues);
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let thread = std::thread::Builder::new().name("memory".into());
        if let Err(error) = thread.spawn(move || glibc::run(&queues)) {
            tracing::warn!(%error, "freed memory is not returned to the system");
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::fs;
    use std::thread::park_timeout;
    use std::time::Duration;

    use crate::metrics::{Probe, RequestQueue};

    /// Time between two looks at the open files.
    const INTERVAL: Duration = Duration::from_secs(2);

    pub(super) fn run(queues: &[Probe<RequestQueue>]) {
        let mut bursts = Bursts::default();
        loop {
            // Not `sleep`: from outside, a thread that sleeps while requests are in flight looks like one that serves.
            park_timeout(INTERVAL);
            if look().is_some_and(|look| bursts.has_ended(look)) {
                for queue in queues {
                    let _ = queue.read();
                }
                trim();
                bursts.trimmed(look());
            }
        }
    }

    /// Looks at the open files and the memory of the process.
    fn look() -> Option<Look> {
        let files = fs::metadata("/proc/self/fd").ok()?;
        let open = match files.len() {
            // Before Linux 6.2.
            0 => fs::read_dir("/proc/self/fd").ok()?.count() as u64,
            count => count,
        };
        let statm = fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
        let resident = pages * rustix::param::page_size() as u64;
        Some(Look { open, resident })
    }

    /// Open files and memory of the process at one moment.
    #[derive(Debug, Clone, Copy)]
    pub(super) struct Look {
        /// Number of open files, most of which are connections during a burst.
        pub(super) open: u64,
        /// Bytes of resident memory.
        pub(super) resident: u64,
    }

    /// Detects the end of a burst of connections.
    #[derive(Debug, Default)]
    pub(super) struct Bursts {
        most: u64,
        ended: bool,
        /// The least memory since the last call, and the number of open files then.
        least: Option<Look>,
    }

    impl Bursts {
        /// Number of connections whose memory is worth the call: about 1.6 MiB.
        const WORTH_IT: u64 = 64;
        /// Bytes of memory beyond the least that are: those of a burst between two looks.
        const GROWN: u64 = 8 * 1024 * 1024;

        /// Returns whether half of the connections have been closed since there were the most, and so
        /// many that their memory is worth the call. It returns that once more at the next look, because the last of them
        /// may have closed since. Also returns true if the memory has grown although the connections have not.
        pub(super) fn has_ended(&mut self, look: Look) -> bool {
            let open = look.open;
            self.most = self.most.max(open);
            let ended = open <= self.most / 2 && self.most - open >= Self::WORTH_IT;
            if ended {
                self.most = open;
            }
            let ended_before = std::mem::replace(&mut self.ended, ended);
            ended_before || ended || self.has_grown(look)
        }

        fn has_grown(&mut self, look: Look) -> bool {
            let least = self.least.get_or_insert(look);
            if look.resident < least.resident {
                *least = look;
            }
            look.open < least.open + Self::WORTH_IT && look.resident >= least.resident + Self::GROWN
        }

        /// Records what the process uses after the call: what could not be returned is in use.
        pub(super) fn trimmed(&mut self, look: Option<Look>) {
            self.least = look;
        }
    }

    /// Fixes the size of the free end of a heap above which it is returned. By default glibc raises it to twice that of
    /// the largest block that was ever freed, and `malloc_trim` does not shrink the heaps of other threads than the
    /// first: a scrape during 10,000 waits left 5 MiB in that of the exporter.
    #[expect(unsafe_code, reason = "there is no safe interface")]
    pub(super) fn keep_little() {
        /// The initial value (mallopt(3), `M_TRIM_THRESHOLD`).
        const TRIM_THRESHOLD: libc::c_int = 128 * 1024;

        // SAFETY: no other thread allocates meanwhile (mallopt(3), "Attributes": MT-Unsafe init).
        unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD) };
    }

    #[expect(unsafe_code, reason = "there is no safe interface")]
    fn trim() {
        // SAFETY: it may be called at any time, from any thread (malloc_trim(3), "Attributes").
        unsafe { libc::malloc_trim(0) };
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::glibc::{Bursts, Look};

    #[test]
    fn a_burst_ends_when_half_of_many_connections_are_closed() {
        let mut bursts = Bursts::default();
        let ends = [20, 10, 200, 101, 100, 90, 40, 30, 95, 40, 30]
            .map(|open| bursts.has_ended(Look { open, resident: 0 }));
        let ended: Vec<_> = (0..ends.len()).filter(|&index| ends[index]).collect();
        assert_eq!(ended, [4, 5, 7, 8, 10]);
    }

    #[test]
    fn a_burst_between_two_looks_shows_in_the_memory() {
        let mut bursts = Bursts::default();
        let mut has_ended = |open, mebibytes: u64| {
            let resident = mebibytes << 20;
            bursts.has_ended(Look { open, resident })
        };
        assert!(!has_ended(20, 30) && !has_ended(20, 20) && !has_ended(20, 27));
        assert!(!has_ended(1_000, 60), "the connections are open");
        let mut bursts = Bursts::default();
        let look = |mebibytes: u64| Look {
            open: 20,
            resident: mebibytes << 20,
        };
        assert!(!bursts.has_ended(look(20)));
        assert!(bursts.has_ended(look(60)));
        bursts.trimmed(Some(look(50)));
        assert!(!bursts.has_ended(look(55)), "it is in use");
    }
}
