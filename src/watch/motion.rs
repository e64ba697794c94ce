//! Motion: which threads of a process have to be read, told from the CPU time of the whole process.
//!
//! A thread that leaves its wait uses CPU time, and one system call returns the CPU time of all threads of a process
//! together. While that is the sum of what was last read of each, no thread has moved. So the threads that have moved
//! lately are read at each tick, and the others only if the sum shows that one of them has.
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
    /// It runs, or has moved lately.
    pub is_active: bool,
}

/// The threads of one process.
#[derive(Debug, Default)]
pub(super) struct Motion {
    /// `None` if the kernel does not report the CPU time of the process: then all threads are read.
    clock: Option<CpuClock>,
    active: Vec<Tid>,
    still: Vec<Tid>,
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
        self.active.push(tid);
        // Its CPU time before this moment may or may not be part of what is expected.
        self.expected = None;
    }

    /// Removes a thread, which has ended.
    pub(super) fn remove(&mut self, tid: Tid) {
        self.active.retain(|known| *known != tid);
        self.still.retain(|known| *known != tid);
        self.expected = None;
    }

    /// Returns true without any thread.
    pub(super) fn is_empty(&self) -> bool {
        self.active.is_empty() && self.still.is_empty()
    }

    /// Reads the threads that may have moved since the last tick. `read` reads one, or fails if it has ended. Returns true
    /// if any has moved or ended.
    pub(super) fn tick(&mut self, read: impl FnMut(Tid) -> io::Result<Read>) -> bool {
        let clock = self.clock;
        self.tick_by(|| clock.and_then(CpuClock::read), read)
    }

    fn tick_by(
        &mut self,
        clock: impl Fn() -> Option<Nanos>,
        mut read: impl FnMut(Tid) -> io::Result<Read>,
    ) -> bool {
        if self.still.is_empty() {
            return self.read(Kind::Active, &mut read);
        }
        // What the clock says before all threads are read, and again after it, is what they sum to.
        let before = self.expected.or_else(&clock);
        let was_known = self.expected.is_some();
        let active_moved = self.read(Kind::Active, &mut read);
        let now = Timestamp::now();
        if self.expected.is_some() && clock() == self.expected {
            self.still_until = now;
            return active_moved;
        }
        let still_moved = self.read(Kind::Still, &mut read);
        let sum = if was_known { self.expected } else { before };
        self.expected = sum.filter(|_| clock() == sum);
        active_moved || still_moved
    }

    /// Reads the threads of one kind, and adds their CPU time to what is expected. Returns true if any has moved or ended.
    fn read(&mut self, kind: Kind, read: &mut impl FnMut(Tid) -> io::Result<Read>) -> bool {
        let (threads, others) = match kind {
            Kind::Active => (&mut self.active, &mut self.still),
            Kind::Still => (&mut self.still, &mut self.active),
        };
        let (expected, mut any_moved) = (&mut self.expected, false);
        threads.retain(|tid| {
            let Ok(Read {
                cpu,
                has_moved,
                is_active,
            }) = read(*tid)
            else {
                (*expected, any_moved) = (None, true);
                return false;
            };
            any_moved |= has_moved;
            *expected = expected.map(|expected| expected + cpu);
            let stays = is_active == (kind == Kind::Active);
            if !stays {
                others.push(*tid);
            }
            stays
        });
        any_moved
    }
}

/// The two lists of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Active,
    Still,
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// A process: the CPU time of its threads in all, and since each was read.
    #[derive(Default)]
    struct Process {
        cpu: u64,
        unread: BTreeMap<Tid, u64>,
    }

    impl Process {
        fn with(threads: impl Iterator<Item = Tid>) -> Self {
            Self {
                cpu: 500,
                unread: threads.map(|tid| (tid, 0)).collect(),
            }
        }

        fn run(&mut self, tid: Tid, cpu: u64) {
            self.cpu += cpu;
            *self.unread.get_mut(&tid).unwrap() += cpu;
        }
    }

    /// Ticks once; returns the threads that were read. A thread is active if it has moved since it was read.
    fn tick(
        motion: &mut Motion,
        process: &RefCell<Process>,
        during: impl Fn(Tid),
    ) -> BTreeSet<Tid> {
        let mut reads = BTreeSet::new();
        motion.tick_by(
            || Some(Nanos::from_nanos(process.borrow().cpu)),
            |tid| {
                reads.insert(tid);
                during(tid);
                let mut process = process.borrow_mut();
                let unread = process.unread.get_mut(&tid);
                let cpu = std::mem::take(unread.ok_or(io::ErrorKind::NotFound)?);
                Ok(Read {
                    cpu: Nanos::from_nanos(cpu),
                    has_moved: cpu > 0,
                    is_active: cpu > 0,
                })
            },
        );
        reads
    }

    fn still(threads: u32) -> (Motion, RefCell<Process>) {
        let process = RefCell::new(Process::with(0..threads));
        let mut motion = Motion::default();
        (0..threads).for_each(|tid| motion.add(tid));
        for expected in [threads, threads, 0] {
            let reads = tick(&mut motion, &process, |_| {});
            assert_eq!(reads.len(), expected as usize);
        }
        (motion, process)
    }

    #[test]
    fn threads_that_stand_still_are_not_read() {
        let (mut motion, process) = still(100);
        // The first tick finds that somebody has moved; then only that one is read while it moves.
        process.borrow_mut().run(42, 7);
        assert_eq!(tick(&mut motion, &process, |_| {}).len(), 100);
        for _ in 0..10 {
            process.borrow_mut().run(42, 7);
            let began = Timestamp::now();
            assert_eq!(tick(&mut motion, &process, |_| {}), BTreeSet::from([42]));
            assert!(motion.still_until >= began);
        }
        // A second one makes all be read once more.
        process.borrow_mut().run(42, 7);
        process.borrow_mut().run(43, 1);
        assert_eq!(tick(&mut motion, &process, |_| {}).len(), 100);
    }

    #[test]
    fn a_thread_that_moves_during_a_tick_is_read_at_the_next() {
        let (mut motion, process) = still(10);
        process.borrow_mut().run(3, 7);
        // Thread 3 moves while 9 is read, and then 0 moves after it was read.
        let moves = |tid| {
            if tid == 9 {
                process.borrow_mut().run(0, 5);
            }
        };
        assert_eq!(tick(&mut motion, &process, moves).len(), 10);
        let reads = tick(&mut motion, &process, |_| {});
        assert_eq!(reads.len(), 10);
        assert!(process.borrow().unread.values().all(|unread| *unread == 0));
    }

    #[test]
    fn a_new_thread_and_one_that_has_ended_make_all_be_read() {
        let (mut motion, process) = still(10);
        // A thread that is not known yet.
        process.borrow_mut().cpu += 3;
        assert_eq!(tick(&mut motion, &process, |_| {}).len(), 10);
        process.borrow_mut().unread.insert(10, 0);
        motion.add(10);
        assert_eq!(tick(&mut motion, &process, |_| {}).len(), 11);
        assert_eq!(tick(&mut motion, &process, |_| {}).len(), 0);
        // Its last CPU time stays part of the sum.
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
            motion.tick_by(
                || None,
                |_| {
                    reads += 1;
                    Ok(Read {
                        cpu: Nanos::ZERO,
                        has_moved: false,
                        is_active: false,
                    })
                },
            );
            assert_eq!(reads, 3);
        }
    }
}
