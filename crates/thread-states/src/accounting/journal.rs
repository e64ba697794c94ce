//! The latest requests, in flight or ended lately, for people who watch.
//!
//! The journal has places for [`PLACES`] requests. A request takes a place at its start, if one is
//! free, and has it until its end and [`KEPT`] longer. When none is free, because so many are in
//! flight or because they come faster than a viewer could see, the request is left out: so memory
//! and events are bounded whatever the load, and counters, which count all, are elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};

use super::slot::Slot;

/// How many requests the journal holds.
pub const PLACES: usize = 256;
/// How many places a request tries: under load it soon gives up.
const TRIES: u64 = 4;
/// How long a request that has ended keeps its place at least, in nanoseconds: long enough for
/// every viewer to be told.
const KEPT: u64 = 1_000_000_000;
/// What `free_at` is while the request is in flight.
const NEVER: u64 = u64::MAX;

/// The latest requests of one server.
#[derive(Debug)]
pub struct Journal {
    places: Box<[Place]>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Place {
    /// From when on another request may take it, in nanoseconds of `CLOCK_MONOTONIC`. Who sets
    /// it to [`NEVER`] has the place and is the one writer of the slot.
    free_at: AtomicU64,
    slot: Slot,
}

/// A request's place in the journal, until [`Journal::end`].
#[derive(Debug)]
pub struct Entry(usize);

/// A request as the journal holds it. Times are in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request {
    /// Its number among the requests of this server; some numbers are left out.
    pub number: u64,
    /// The thread that began it, by index; `None` if that is not registered.
    pub thread: Option<usize>,
    /// Its route, by index.
    pub route: usize,
    /// What its client marked it with, or 0.
    pub mark: u64,
    /// When it arrived at the front, or `started` if the front did not say.
    pub arrived: u64,
    /// When a thread began with it.
    pub started: u64,
    /// Whether it has ever waited without a thread.
    pub awaits: bool,
    /// How long it did so; known at its end.
    pub awaited: u64,
    /// When it ended and with which status; `None` while it is in flight.
    pub ended: Option<(u64, u16)>,
}

/// Which changes of the journal a viewer has seen already.
#[derive(Debug, Clone)]
pub struct Seen([u64; PLACES]);

impl Default for Seen {
    /// None yet.
    fn default() -> Self {
        Self([0; PLACES])
    }
}

impl Journal {
    pub(super) fn new() -> Self {
        let place = |_| Place {
            free_at: AtomicU64::new(0),
            slot: Slot::new(Request::WORDS),
        };
        Self {
            places: (0..PLACES).map(place).collect(),
            next: AtomicU64::new(0),
        }
    }

    /// A request begins `now` on the calling thread, after it waited `queued` nanoseconds for it.
    /// `None` if there is no place for it.
    pub fn begin(&self, now: u64, route: usize, queued: u64, mark: u64) -> Option<Entry> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let index = (number..number.wrapping_add(TRIES))
            .map(|number| (number % PLACES as u64) as usize)
            .find(|index| self.places[*index].take(now))?;
        let request = Request {
            number,
            thread: super::index(),
            route,
            mark,
            arrived: now.saturating_sub(queued),
            started: now,
            ..Request::default()
        };
        let words = request.to_words();
        self.places[index].slot.write(|slot| slot.set(0, &words));
        Some(Entry(index))
    }

    /// The request now waits without a thread, for the first time.
    pub fn awaits(&self, entry: &Entry) {
        let place = &self.places[entry.0];
        place.slot.write(|slot| slot.set(Request::AWAITS, &[1]));
    }

    /// The request ends `now`, after it waited `awaited` nanoseconds without a thread.
    pub fn end(&self, now: u64, entry: Entry, status: u16, awaited: u64) {
        let place = &self.places[entry.0];
        let end = [awaited, now, u64::from(status)];
        place.slot.write(|slot| slot.set(Request::END, &end));
        place.free_at.store(now + KEPT, Ordering::Release);
    }

    /// The requests that began, changed or ended since `seen` was last given here, in the order
    /// in which they began.
    pub fn changes(&self, seen: &mut Seen) -> Vec<Request> {
        let news = self.places.iter().zip(&mut seen.0);
        let mut changes: Vec<Request> = news
            .filter(|(place, seen)| !place.slot.is_still(**seen))
            .filter_map(|(place, seen)| {
                let (sequence, words) = place.slot.read()?;
                *seen = sequence;
                Request::from_words(&words)
            })
            .collect();
        changes.sort_unstable_by_key(|request| request.number);
        changes
    }
}

impl Place {
    /// Takes the place if it is free.
    fn take(&self, now: u64) -> bool {
        let free_at = self.free_at.load(Ordering::Relaxed);
        free_at <= now
            && self
                .free_at
                .compare_exchange(free_at, NEVER, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }
}

impl Request {
    const WORDS: usize = 10;
    const AWAITS: usize = 6;
    const END: usize = 7;

    fn to_words(self) -> [u64; Self::WORDS] {
        let (ended, status) = self.ended.unwrap_or_default();
        [
            self.number,
            self.thread.map_or(0, |index| index as u64 + 1),
            self.route as u64,
            self.mark,
            self.arrived,
            self.started,
            u64::from(self.awaits),
            self.awaited,
            ended,
            u64::from(status),
        ]
    }

    fn from_words(words: &[u64]) -> Option<Self> {
        let [
            number,
            thread,
            route,
            mark,
            arrived,
            started,
            awaits,
            awaited,
            ended,
            status,
        ] = <[u64; Self::WORDS]>::try_from(words).ok()?;
        Some(Self {
            number,
            thread: thread.checked_sub(1).map(|index| index as usize),
            route: route as usize,
            mark,
            arrived,
            started,
            awaits: awaits > 0,
            awaited,
            ended: (ended > 0).then_some((ended, status as u16)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::now;
    use super::*;

    #[test]
    fn words_and_values_are_the_same() {
        let request = Request {
            number: 1,
            thread: Some(0),
            route: 2,
            mark: 3,
            arrived: 4,
            started: 5,
            awaits: true,
            awaited: 6,
            ended: Some((7, 200)),
        };
        for request in [request, Request::default()] {
            assert_eq!(Request::from_words(&request.to_words()), Some(request));
        }
    }

    #[test]
    fn a_viewer_is_told_each_change_once() {
        let (journal, mut seen) = (Journal::new(), Seen::default());
        assert_eq!(journal.changes(&mut seen), []);

        let entry = journal.begin(now(), 3, 1_000, 9).unwrap();
        let begun = journal.changes(&mut seen)[0];
        assert_eq!((begun.route, begun.mark, begun.ended), (3, 9, None));
        assert_eq!(begun.started - begun.arrived, 1_000);
        assert_eq!(journal.changes(&mut seen), []);

        journal.awaits(&entry);
        assert!(journal.changes(&mut seen)[0].awaits);

        journal.end(now(), entry, 200, 5);
        let ended = journal.changes(&mut seen)[0];
        let (at, status) = ended.ended.unwrap();
        assert!(at >= begun.started);
        assert_eq!((status, ended.awaited, ended.awaits), (200, 5, true));
        assert_eq!(journal.changes(&mut seen), []);
        assert_eq!(journal.changes(&mut Seen::default()), [ended]);
    }

    #[test]
    fn requests_that_find_no_place_are_left_out_until_one_is_free() {
        let journal = Journal::new();
        let entries: Vec<_> = (0..10_000).map(|_| journal.begin(now(), 0, 0, 0)).collect();
        let mut held: Vec<Entry> = entries.into_iter().flatten().collect();
        assert_eq!(held.len(), PLACES);
        assert_eq!(journal.changes(&mut Seen::default()).len(), PLACES);

        journal.end(now(), held.remove(0), 200, 0);
        let begins = || (0..PLACES).find_map(|_| journal.begin(now(), 0, 0, 0));
        assert!(begins().is_none(), "its end is kept for the viewers");
        thread::sleep(std::time::Duration::from_nanos(KEPT));
        assert!(begins().is_some());
        assert!(begins().is_none());
    }

    #[test]
    fn threads_never_share_a_place() {
        let journal = Journal::new();
        thread::scope(|scope| {
            for mark in 1..=4 {
                let journal = &journal;
                scope.spawn(move || {
                    for _ in 0..PLACES {
                        let _ = journal.begin(now(), mark as usize, 0, mark);
                    }
                });
            }
        });
        let mut numbers: Vec<u64> = Vec::new();
        for request in journal.changes(&mut Seen::default()) {
            assert_eq!(request.route as u64, request.mark);
            numbers.push(request.number);
        }
        assert!(
            numbers.is_sorted_by(|one, other| one < other),
            "{numbers:?}"
        );
    }
}
