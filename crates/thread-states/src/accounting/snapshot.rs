//! Layout of a thread's slot: the values in it, and where each begins.

use super::hold::OpenHold;
use super::kernel::Counters;
use super::route_times::RouteTimes;
use super::state::Times;
use super::window::Window;
use super::words::{Words, words};

/// Values from which an exporter computes a thread's times up to now; those of the routes follow
/// them in the slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) settled: Settled,
    pub(super) hold: Option<OpenHold>,
}

words!(Snapshot {
    settled: Settled,
    hold: Option<OpenHold>,
});

/// The part of a snapshot that changes only when the counters are read, but for the parks in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// Times up to the window's base.
    pub(super) times: Times,
    /// Marks since then.
    pub(super) window: Window,
    /// The thread has ended: its times are final.
    pub(super) ended: bool,
}

words!(Settled {
    times: Times,
    window: Window,
    ended: bool,
});

impl Snapshot {
    /// Index of the first word of `settled`.
    pub(super) const SETTLED: usize = 0;
    /// Index of the first word of the parks within `settled`.
    pub(super) const PARKS: usize = Self::SETTLED + Times::COUNT + Counters::COUNT;
    /// Index of the first word of `hold`.
    pub(super) const HOLD: usize = Self::SETTLED + Settled::COUNT;

    /// Number of words of a slot with this many routes.
    pub(super) fn slot_words(routes: usize) -> usize {
        Self::route(routes)
    }

    /// Index of the first word of a route.
    pub(super) fn route(route: usize) -> usize {
        Self::COUNT + route * RouteTimes::COUNT
    }

    /// Decodes the words of a slot: the snapshot, and the times of each route that was read.
    pub(super) fn of_slot(words: &[u64]) -> (Self, impl Iterator<Item = RouteTimes>) {
        let (own, routes) = words.split_at(Self::COUNT.min(words.len()));
        let routes = routes.chunks_exact(RouteTimes::COUNT);
        let routes = routes.map(|words| RouteTimes::decode(&mut words.iter().copied()));
        (Self::decode(&mut own.iter().copied()), routes)
    }
}

#[cfg(test)]
mod tests {
    use std::hint;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::super::slot::Slot;
    use super::super::units::Timestamp;
    use super::super::window::Parks;
    use super::super::words::to_array;
    use super::*;

    /// A snapshot in which the words are 1, 2, 3 and so on.
    fn numbered() -> Snapshot {
        Snapshot::decode(&mut (1..))
    }

    #[test]
    fn a_slot_holds_what_was_written_part_by_part() {
        let (snapshot, times) = (numbered(), RouteTimes::decode(&mut (100..)));
        let slot = Slot::new(Snapshot::slot_words(2));
        slot.write(|slot| {
            let settled: [u64; Settled::COUNT] = to_array(&snapshot.settled);
            let hold: [u64; <Option<OpenHold>>::COUNT] = to_array(&snapshot.hold);
            let route: [u64; RouteTimes::COUNT] = to_array(&times);
            slot.set(Snapshot::SETTLED, &settled);
            let parks: [u64; Parks::COUNT] = to_array(&snapshot.settled.window.parks);
            slot.set(Snapshot::PARKS, &[0; Parks::COUNT]);
            slot.set(Snapshot::PARKS, &parks);
            slot.set(Snapshot::HOLD, &hold);
            slot.set(Snapshot::route(1), &route);
        });
        let mut words = Vec::new();
        slot.read(slot.len(), &mut words).unwrap();
        let (read, routes) = Snapshot::of_slot(&words);
        assert_eq!(read, snapshot);
        assert!(routes.eq([RouteTimes::default(), times]));
    }

    #[test]
    fn every_value_of_a_snapshot_is_kept() {
        let snapshot = numbered();
        let Settled {
            times,
            window,
            ended,
        } = snapshot.settled;
        assert_eq!(times, Times::from([1, 2, 3, 4, 5]));
        assert_eq!(window.base.wall, Timestamp::from_nanos(6));
        assert!(ended && window.parks.park.is_some());
        for snapshot in [snapshot, Snapshot::default()] {
            let words: [u64; Snapshot::COUNT] = to_array(&snapshot);
            assert_eq!(Snapshot::decode(&mut words.into_iter()), snapshot);
        }
    }

    #[test]
    fn a_reader_never_sees_half_a_write() {
        let (slot, done) = (Slot::new(8), AtomicBool::new(false));
        let mut words = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                for value in 1..=200_000 {
                    slot.write(|words| words.set(0, &[value; 8]));
                    // No thread marks without a pause.
                    (0..20).for_each(|_| hint::spin_loop());
                }
                done.store(true, Ordering::Release);
            });
            let mut last = 0;
            while !done.load(Ordering::Acquire) {
                if slot.read(8, &mut words).is_none() {
                    continue;
                }
                assert!(words.iter().all(|word| *word == words[0]), "{words:?}");
                assert!(words[0] >= last);
                last = words[0];
            }
        });
        slot.read(8, &mut words).unwrap();
        assert_eq!(words, [200_000; 8]);
    }
}
