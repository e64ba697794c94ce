//! Motion: which threads of a process have to be read, told from the CPU time of the whole process.
//!
//! A thread that leaves its wait uses CPU time, and one system call returns the CPU time of all threads of a process
//! together. While that is the sum of what was last read of each, no thread has moved. Else threads are read, those that
//! have moved last first, until it is.
//!
//! A thread that has just been given a CPU is seen a little later than by its own counters: at the next kernel tick, or
//! when it waits again. The time is corrected then, as that of a thread whose counters are late (`ledger`).

use std::io;

use thread_states::{Nanos, Timestamp};

use super::cpu_clock::CpuClock;
use super::proc_files::{Pid, Tid};

/// A thread as it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read {
    /// CPU time since it was read before.
    pub cpu: Nanos,
    /// It has moved since then, or runs.
    pub has_moved: bool,
    /// It does not wait, so it is read at each tick.
    pub runs: bool,
}

/// The threads of one process.
#[derive(Debug, Default)]
pub(super) struct Motion {
    /// `None` if the kernel does not report the CPU time of the process: then all threads are read.
    clock: Option<CpuClock>,
    /// First those that run, then those that wait, of which those that have moved last come first.
    threads: Vec<Tid>,
    /// Number of those that run.
    running: usize,
    /// CPU time of the process while no thread has moved since it was read; `None` if that is not known.
    expected: Option<Nanos>,
    /// No thread had moved since it was read at this moment.
    pub still_until: Timestamp,
}

impl Motion {
    /// A process without threads.
    pub(super) fn of(pid: Pid) -> Self {
        Self {
            clock: CpuClock::of(pid),
            ..Self::default()
        }
    }

    /// Adds a thread of which only the start is known.
    pub(super) fn add(&mut self, tid: Tid) {
        self.threads.insert(0, tid);
        self.running += 1;
        // Its CPU time before this moment may or may not be part of what is expected.
        self.expected = None;
    }

    /// Removes a thread, which has ended.
    pub(super) fn remove(&mut self, tid: Tid) {
        if let Some(index) = self.threads.iter().position(|known| *known == tid) {
            self.threads.remove(index);
            self.running -= usize::from(index < self.running);
        }
        self.expected = None;
    }

    /// Returns true without any thread.
    pub(super) fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// Reads threads until it is known that no other one has moved since the last tick. `read` reads one, or fails if it
    /// has ended. Returns true if any has moved or ended.
    pub(super) fn tick(&mut self, read: impl FnMut(Tid) -> io::Result<Read>) -> bool {
        let clock = self.clock;
        self.tick_by(|| clock.and_then(CpuClock::read), read)
    }

    fn tick_by(
        &mut self,
        clock: impl Fn() -> Option<Nanos>,
        mut read: impl FnMut(Tid) -> io::Result<Read>,
    ) -> bool {
        let now = Timestamp::now();
        // One thread alone costs no more to read than the clock.
        let total = if self.threads.len() > 1 {
            clock()
        } else {
            None
        };
        let mut must_read = std::mem::take(&mut self.running);
        let mut count = 0;
        let (mut any_moved, mut running, mut moved, mut still) = (false, vec![], vec![], vec![]);
        while must_read > 0 || total.is_none() || self.expected != total {
            let Some(&tid) = self.threads.get(count) else {
                break;
            };
            count += 1;
            must_read = must_read.saturating_sub(1);
            let Ok(read) = read(tid) else {
                (self.expected, any_moved) = (None, true);
                continue;
            };
            self.expected = self.expected.map(|expected| expected + read.cpu);
            any_moved |= read.has_moved;
            match read {
                Read { runs: true, .. } => running.push(tid),
                Read {
                    has_moved: true, ..
                } => moved.push(tid),
                Read { .. } => still.push(tid),
            }
        }
        if total.is_some() {
            if self.expected == total {
                self.still_until = now;
            } else if clock() == total {
                // None has moved while all were read.
                self.expected = total;
            }
        }
        self.running = running.len();
        // The others keep their places behind those that were read.
        drop(
            self.threads
                .splice(..count, [running, moved, still].concat()),
        );
        any_moved
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::*;

    /// A process: the CPU time of its threads in all, and since each was read.
    struct Process {
        cpu: u64,
        unread: BTreeMap<Tid, u64>,
    }

    impl Process {
        fn run(&mut self, tid: Tid, cpu: u64) {
            self.cpu += cpu;
            *self.unread.get_mut(&tid).unwrap() += cpu;
        }
    }

    /// Ticks once; returns the threads that were read. `during` is called at each read, before it.
    fn tick(motion: &mut Motion, process: &RefCell<Process>, during: impl Fn(Tid)) -> Vec<Tid> {
        let mut reads = Vec::new();
        let read = |tid| {
            reads.push(tid);
            during(tid);
            let mut process = process.borrow_mut();
            let unread = process.unread.get_mut(&tid);
            let cpu = std::mem::take(unread.ok_or(io::ErrorKind::NotFound)?);
            Ok(Read {
                cpu: Nanos::from_nanos(cpu),
                has_moved: cpu > 0,
                runs: false,
            })
        };
        motion.tick_by(|| Some(Nanos::from_nanos(process.borrow().cpu)), read);
        reads
    }

    /// A process whose threads wait, and have been read.
    fn waiting(threads: u32) -> (Motion, RefCell<Process>) {
        let process = RefCell::new(Process {
            cpu: 500,
            unread: (0..threads).map(|tid| (tid, 0)).collect(),
        });
        let mut motion = Motion::default();
        (0..threads).rev().for_each(|tid| motion.add(tid));
        assert_eq!(tick(&mut motion, &process, |_| {}).len(), threads as usize);
        let began = Timestamp::now();
        assert!(tick(&mut motion, &process, |_| {}).is_empty());
        assert!(motion.still_until >= began);
        (motion, process)
    }

    #[test]
    fn threads_are_read_until_all_that_have_moved_are_found() {
        let (mut motion, process) = waiting(100);
        for (moves, reads) in [
            (&[42][..], 43),
            // Those that have moved last come first.
            (&[42], 1),
            (&[43], 44),
            (&[42, 43], 2),
            (&[], 0),
            (&[0, 43], 3),
            (&[99], 100),
        ] {
            for tid in moves {
                process.borrow_mut().run(*tid, 7);
            }
            let began = Timestamp::now();
            assert_eq!(
                tick(&mut motion, &process, |_| {}).len(),
                reads,
                "{moves:?}"
            );
            assert!(motion.still_until >= began);
            assert!(process.borrow().unread.values().all(|unread| *unread == 0));
        }
    }

    #[test]
    fn a_thread_that_moves_during_a_tick_is_found_at_the_next() {
        let (mut motion, process) = waiting(10);
        process.borrow_mut().run(3, 7);
        // Then another one moves, which was already read.
        let moves = |tid| {
            if tid == 2 {
                process.borrow_mut().run(0, 5);
            }
        };
        assert_eq!(tick(&mut motion, &process, moves), [0, 1, 2, 3]);
        assert_eq!(tick(&mut motion, &process, |_| {}), [3, 0]);
        // And one that is read after the clock: the rest cannot be known to stand still.
        process.borrow_mut().run(3, 7);
        let moves = |tid| {
            if tid == 3 {
                process.borrow_mut().run(3, 5);
            }
        };
        assert_eq!(tick(&mut motion, &process, moves).len(), 10);
        assert!(tick(&mut motion, &process, |_| {}).is_empty());
    }

    #[test]
    fn threads_that_run_are_always_read() {
        let mut motion = Motion::default();
        motion.add(1);
        motion.add(2);
        for expected in [2, 1, 1] {
            let mut reads = 0;
            let read = |tid| {
                reads += 1;
                Ok(Read {
                    cpu: Nanos::ZERO,
                    has_moved: tid == 1,
                    runs: tid == 1,
                })
            };
            assert!(motion.tick_by(|| Some(Nanos::ZERO), read));
            assert_eq!(reads, expected);
        }
    }

    #[test]
    fn a_new_thread_and_one_that_has_ended_make_all_be_read() {
        let (mut motion, process) = waiting(10);
        // A thread that is not known yet.
        process.borrow_mut().cpu += 3;
        assert_eq!(tick(&mut motion, &process, |_| {}).len(), 10);
        assert_eq!(tick(&mut motion, &process, |_| {}).len(), 0);
        process.borrow_mut().unread.insert(10, 0);
        motion.add(10);
        assert_eq!(tick(&mut motion, &process, |_| {}).len(), 11);
        assert_eq!(tick(&mut motion, &process, |_| {}).len(), 0);
        // The last CPU time of one that has ended stays part of the sum.
        process.borrow_mut().run(5, 9);
        process.borrow_mut().unread.remove(&5);
        assert_eq!(tick(&mut motion, &process, |_| {}).len(), 11);
        motion.remove(5);
        assert_eq!(tick(&mut motion, &process, |_| {}).len(), 10);
        assert_eq!(tick(&mut motion, &process, |_| {}).len(), 0);
    }

    #[test]
    fn without_the_clock_all_are_read() {
        let mut motion = Motion::default();
        (0..3).for_each(|tid| motion.add(tid));
        for _ in 0..5 {
            let mut reads = 0;
            let read = |_| {
                reads += 1;
                Ok(Read {
                    cpu: Nanos::ZERO,
                    has_moved: false,
                    runs: false,
                })
            };
            assert!(!motion.tick_by(|| None, read));
            assert_eq!(reads, 3);
        }
    }
}
