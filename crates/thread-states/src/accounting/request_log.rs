//! The latest requests, for the live page: in flight, or ended a moment ago.
//!
//! The log has [`ENTRIES`] entries. A request takes an entry at its start, if one is free, and keeps it
//! until its end and [`KEPT`] longer. When none is free, because too many requests are in flight or
//! because they come faster than a viewer could see, the request is left out. So memory and events are
//! bounded under any load. The metrics count every request.

use std::sync::atomic::{AtomicU64, Ordering};

use super::slot::Slot;
use super::units::{Nanos, Timestamp};
use super::words::{Words, to_array, words};

/// Number of requests that the log holds.
pub const ENTRIES: usize = 256;
/// Number of entries that a request tries to take: under load it soon gives up.
const TRIES: u64 = 4;
/// Time for which a request that has ended keeps its entry at least: long enough for every viewer to
/// read it.
const KEPT: Nanos = Nanos::from_secs(1);
/// Value of `free_at` while the request is in flight.
const NEVER: u64 = u64::MAX;

/// The latest requests of one server.
#[derive(Debug)]
pub struct RequestLog {
    /// Time from which on another request may take the entry with this index, in nanoseconds. Setting it to [`NEVER`]
    /// takes the entry, and makes the request's thread the one writer of its slot. Apart from the slots, so that those at
    /// which a request looks in vain, as nearly all do under load, are in one cache line.
    free_at: Box<[AtomicU64]>,
    slots: Box<[Slot]>,
    next: AtomicU64,
}

/// The entry of a request in flight, until [`RequestLog::end`].
#[derive(Debug)]
#[must_use = "the entry is taken until the request ends"]
pub struct OpenEntry(usize);

/// A request that begins.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewRequest {
    /// Index of the thread that begins it; `None` if the thread is not registered.
    pub thread: Option<usize>,
    /// Index of its route.
    pub route: usize,
    /// Time for which it waited for a thread.
    pub queued: Nanos,
    /// Number that its client gave it, to find it again; 0 for none.
    pub tag: u64,
}

/// A request in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestRecord {
    /// Sequence number among the requests of this server, those that were left out included.
    pub number: u64,
    /// Index of the thread that began it; `None` if the thread is not registered.
    pub thread: Option<usize>,
    /// Index of its route.
    pub route: usize,
    /// Number that its client gave it, or 0.
    pub tag: u64,
    /// Arrival at the front; `started` if the front did not send it.
    pub arrived: Timestamp,
    /// Time at which a thread began to work for it.
    pub started: Timestamp,
    /// It has waited without a thread at least once.
    pub awaits: bool,
    /// Its end; `None` while it is in flight.
    pub end: Option<RequestEnd>,
}

/// The end of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestEnd {
    /// The moment.
    pub at: Timestamp,
    /// HTTP status code.
    pub status: u16,
    /// Time for which the request waited without a thread.
    pub awaited: Nanos,
}

words!(RequestEnd {
    at: Timestamp,
    status: u16,
    awaited: Nanos,
});

/// The part of a record that is written at the request's start.
#[derive(Debug, Clone, Copy)]
struct Start {
    number: u64,
    thread: Option<usize>,
    route: usize,
    tag: u64,
    arrived: Timestamp,
    started: Timestamp,
}

words!(Start {
    number: u64,
    thread: Option<usize>,
    route: usize,
    tag: u64,
    arrived: Timestamp,
    started: Timestamp,
});

/// Content of an entry's slot, in the order in which the three are written.
#[derive(Debug, Clone, Copy)]
struct Content {
    start: Start,
    awaits: bool,
    end: Option<RequestEnd>,
}

words!(Content {
    start: Start,
    awaits: bool,
    end: Option<RequestEnd>,
});

impl Content {
    /// Index of the first word of `awaits`.
    const AWAITS: usize = Start::COUNT;
    /// Index of the first word of `end`.
    const END: usize = Self::AWAITS + bool::COUNT;
}

impl From<Content> for RequestRecord {
    fn from(Content { start, awaits, end }: Content) -> Self {
        Self {
            number: start.number,
            thread: start.thread,
            route: start.route,
            tag: start.tag,
            arrived: start.arrived,
            started: start.started,
            awaits,
            end,
        }
    }
}

/// A viewer's position in the log: the changes that it has read.
#[derive(Debug, Clone)]
pub struct Cursor([u64; ENTRIES]);

impl Default for Cursor {
    /// A cursor before the first change.
    fn default() -> Self {
        Self([0; ENTRIES])
    }
}

impl RequestLog {
    pub(super) fn new() -> Self {
        let entries = 0..ENTRIES;
        Self {
            free_at: entries.clone().map(|_| AtomicU64::new(0)).collect(),
            slots: entries.map(|_| Slot::new(Content::COUNT)).collect(),
            next: AtomicU64::new(0),
        }
    }

    /// Logs a request that begins `now`. `None` if there is no free entry for it.
    pub fn begin(&self, now: Timestamp, request: NewRequest) -> Option<OpenEntry> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let index = (number..number.wrapping_add(TRIES))
            .map(|number| (number % ENTRIES as u64) as usize)
            .find(|index| self.take(*index, now))?;
        let words: [u64; Content::COUNT] = to_array(&Content {
            start: Start {
                number,
                thread: request.thread,
                route: request.route,
                tag: request.tag,
                arrived: now - request.queued,
                started: now,
            },
            awaits: false,
            end: None,
        });
        self.slots[index].write(|slot| slot.set(0, &words));
        Some(OpenEntry(index))
    }

    /// Takes an entry if it is free.
    fn take(&self, index: usize, now: Timestamp) -> bool {
        let entry = &self.free_at[index];
        let free_at = entry.load(Ordering::Relaxed);
        free_at <= now.as_nanos()
            && entry
                .compare_exchange(free_at, NEVER, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    /// Logs that the request waits without a thread for the first time.
    pub fn awaits(&self, entry: &OpenEntry) {
        let words: [u64; bool::COUNT] = to_array(&true);
        let slot = &self.slots[entry.0];
        slot.write(|slot| slot.set(Content::AWAITS, &words));
    }

    /// Logs the end of the request at `now`, with its HTTP status code and the time for which it
    /// waited without a thread.
    pub fn end(&self, now: Timestamp, entry: OpenEntry, status: u16, awaited: Nanos) {
        let words: [u64; <Option<RequestEnd>>::COUNT] = to_array(&Some(RequestEnd {
            at: now,
            status,
            awaited,
        }));
        self.slots[entry.0].write(|slot| slot.set(Content::END, &words));
        let free_at = (now + KEPT).as_nanos();
        self.free_at[entry.0].store(free_at, Ordering::Release);
    }

    /// Returns the requests that began, first awaited or ended since the cursor was last given here,
    /// in the order in which they began.
    pub fn changes(&self, cursor: &mut Cursor) -> Vec<RequestRecord> {
        let mut words = Vec::new();
        let mut changes: Vec<RequestRecord> = Vec::new();
        for (slot, seen) in self.slots.iter().zip(&mut cursor.0) {
            if slot.is_unchanged(*seen) {
                continue;
            }
            if let Some(sequence) = slot.read(Content::COUNT, &mut words) {
                *seen = sequence;
                changes.push(Content::decode(&mut words.iter().copied()).into());
            }
        }
        changes.sort_unstable_by_key(|request| request.number);
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn begin(log: &RequestLog, route: usize, tag: u64) -> Option<OpenEntry> {
        let request = NewRequest {
            route,
            tag,
            ..NewRequest::default()
        };
        log.begin(Timestamp::now(), request)
    }

    fn end(log: &RequestLog, entry: OpenEntry, awaited: Nanos) {
        log.end(Timestamp::now(), entry, 200, awaited);
    }

    #[test]
    fn a_viewer_sees_each_change_once() {
        let (log, mut cursor) = (RequestLog::new(), Cursor::default());
        assert_eq!(log.changes(&mut cursor), []);

        let new = NewRequest {
            thread: Some(2),
            route: 3,
            queued: Nanos::from_micros(1),
            tag: 9,
        };
        let entry = log.begin(Timestamp::now(), new).unwrap();
        let begun = log.changes(&mut cursor)[0];
        assert_eq!((begun.thread, begun.route), (Some(2), 3));
        assert_eq!((begun.tag, begun.awaits, begun.end), (9, false, None));
        let queued = begun.started.duration_since(begun.arrived);
        assert_eq!(queued, new.queued);
        assert_eq!(log.changes(&mut cursor), []);

        log.awaits(&entry);
        assert!(log.changes(&mut cursor)[0].awaits);

        end(&log, entry, Nanos::from_nanos(5));
        let ended = log.changes(&mut cursor)[0];
        let RequestEnd {
            at,
            status,
            awaited,
        } = ended.end.unwrap();
        assert!(at >= begun.started);
        assert_eq!((status, awaited), (200, Nanos::from_nanos(5)));
        let unchanged = RequestRecord {
            awaits: true,
            end: ended.end,
            ..begun
        };
        assert_eq!(ended, unchanged);
        assert_eq!(log.changes(&mut cursor), []);
        assert_eq!(log.changes(&mut Cursor::default()), [ended]);
    }

    #[test]
    fn requests_without_a_free_entry_are_left_out() {
        let log = RequestLog::new();
        let entries: Vec<_> = (0..10_000).map(|_| begin(&log, 0, 0)).collect();
        let mut open: Vec<OpenEntry> = entries.into_iter().flatten().collect();
        assert_eq!(open.len(), ENTRIES);
        assert_eq!(log.changes(&mut Cursor::default()).len(), ENTRIES);

        end(&log, open.remove(0), Nanos::ZERO);
        let begins = || (0..ENTRIES).find_map(|_| begin(&log, 0, 0));
        assert!(begins().is_none(), "its end is kept for the viewers");
        thread::sleep(KEPT.into());
        assert!(begins().is_some());
        assert!(begins().is_none());
    }

    #[test]
    fn threads_never_share_an_entry() {
        let log = RequestLog::new();
        thread::scope(|scope| {
            for tag in 1..=4 {
                let log = &log;
                scope.spawn(move || {
                    for _ in 0..ENTRIES {
                        let _ = begin(log, tag as usize, tag);
                    }
                });
            }
        });
        let mut numbers: Vec<u64> = Vec::new();
        for request in log.changes(&mut Cursor::default()) {
            assert_eq!(request.route as u64, request.tag);
            numbers.push(request.number);
        }
        assert!(
            numbers.is_sorted_by(|one, other| one < other),
            "{numbers:?}"
        );
    }
}
