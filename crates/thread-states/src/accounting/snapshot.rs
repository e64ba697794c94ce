//! What a thread's slot holds, as values and as the words of the slot.

use super::kernel::Reading;
use super::route::RouteTimes;
use super::state::Times;
use super::window::{Park, Window};

/// Everything that an exporter needs to tell a thread's times up to now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// The times up to the window's base.
    pub(super) settled: Times,
    /// What happened since.
    pub(super) window: Window,
    /// The route that holds the thread, and since when that is not accounted yet.
    pub(super) hold: Option<(usize, u64)>,
    /// The thread ended: its counters are settled for good.
    pub(super) ended: bool,
}

impl Snapshot {
    /// How many words it takes; those of the routes follow it.
    pub(super) const WORDS: usize = 18;
    /// Where the words of the hold begin; the others change only at a park, or when the counters
    /// are read.
    pub(super) const HOLD: usize = 15;

    pub(super) fn to_words(self) -> [u64; Self::WORDS] {
        let [running, runnable, blocked, awaiting, idle] = self.settled.to_words();
        let Window {
            base,
            parked,
            parked_in_flight,
            sleeps,
            park,
        } = self.window;
        let park = park.map_or([0, 0], |park| [park.wall, park.in_flight]);
        let hold = self.hold_words();
        [
            running,
            runnable,
            blocked,
            awaiting,
            idle,
            base.wall,
            base.cpu,
            base.delay,
            base.switches,
            parked,
            parked_in_flight,
            sleeps,
            park[0],
            park[1],
            u64::from(self.ended),
            hold[0],
            hold[1],
            hold[2],
        ]
    }

    pub(super) fn hold_words(self) -> [u64; Self::WORDS - Self::HOLD] {
        self.hold
            .map_or([0; 3], |(route, since)| [1, route as u64, since])
    }

    pub(super) fn from_words(words: [u64; Self::WORDS]) -> Self {
        let [w0, w1, w2, w3, w4, wall, cpu, delay, switches, rest @ ..] = words;
        let [
            parked,
            parked_in_flight,
            sleeps,
            park,
            in_flight,
            ended,
            held,
            route,
            since,
        ] = rest;
        Self {
            settled: Times::from_words([w0, w1, w2, w3, w4]),
            window: Window {
                base: Reading {
                    wall,
                    cpu,
                    delay,
                    switches,
                },
                parked,
                parked_in_flight,
                sleeps,
                park: (park > 0).then_some(Park {
                    wall: park,
                    in_flight,
                }),
            },
            hold: (held > 0).then_some((route as usize, since)),
            ended: ended > 0,
        }
    }

    /// How many words a slot with this many routes has.
    pub(super) fn slot_words(routes: usize) -> usize {
        Self::route_word(routes)
    }

    /// Where the words of a route begin.
    pub(super) fn route_word(route: usize) -> usize {
        Self::WORDS + route * RouteTimes::WORDS
    }

    /// Takes a slot's words apart.
    pub(super) fn parse(words: &[u64]) -> Option<(Self, Vec<RouteTimes>)> {
        let (own, routes) = words.split_first_chunk()?;
        let routes = routes
            .as_chunks()
            .0
            .iter()
            .copied()
            .map(RouteTimes::from_words);
        Some((Self::from_words(*own), routes.collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::hint;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::super::slot::Slot;
    use super::*;

    #[test]
    fn words_and_values_are_the_same() {
        let snapshot = Snapshot {
            settled: Times::from_words([1, 2, 3, 4, 5]),
            window: Window {
                base: Reading {
                    wall: 6,
                    cpu: 7,
                    delay: 8,
                    switches: 9,
                },
                parked: 10,
                parked_in_flight: 11,
                sleeps: 12,
                park: Some(Park {
                    wall: 13,
                    in_flight: 14,
                }),
            },
            hold: Some((15, 16)),
            ended: true,
        };
        assert_eq!(Snapshot::from_words(snapshot.to_words()), snapshot);
        assert_eq!(
            Snapshot::from_words(Snapshot::default().to_words()),
            Snapshot::default()
        );
    }

    #[test]
    fn a_reader_never_sees_half_a_write() {
        let (slot, done) = (Slot::new(8), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                for value in 1..=200_000 {
                    slot.write(|words| words.set(0, &[value; 8]));
                    // No thread marks without pause.
                    (0..20).for_each(|_| hint::spin_loop());
                }
                done.store(true, Ordering::Release);
            });
            let mut last = 0;
            while !done.load(Ordering::Acquire) {
                let Some((_, words)) = slot.read() else {
                    continue;
                };
                assert!(words.iter().all(|word| *word == words[0]), "{words:?}");
                assert!(words[0] >= last);
                last = words[0];
            }
        });
        assert_eq!(slot.read().unwrap().1, [200_000; 8]);
    }
}
