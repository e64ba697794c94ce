//! Blocked time by what a thread waited for.

use super::units::{Nanos, Timestamp};
use crate::waits::On;

/// Time for which a thread's last known wait stands for blocks that no reading saw.
const MEMORY: Nanos = Nanos::from_secs(60);

/// Blocked time of the threads of one index, by what they waited for. The parts sum to all of it.
///
/// A reading that finds a thread blocked also reads the thing that it waits for, so a block that is under way is known
/// from its start. Blocks that begin and end between two readings count as the wait in which the thread was last seen.
/// A reading finds a thread in each of its waits in proportion to their time, so over many readings the parts are right. If
/// no reading has found it blocked within [`MEMORY`], they count as [`On::Other`].
#[derive(Debug, Default)]
pub(super) struct BlockedOn {
    times: [Nanos; On::ALL.len()],
    last: Option<(On, Timestamp)>,
}

/// The wait of a thread that a reading found blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SeenWait {
    /// Thing waited for; `None` if it could not be read.
    pub(super) on: Option<On>,
    /// Start of the block.
    pub(super) since: Timestamp,
}

impl BlockedOn {
    /// Adds the blocked time since the last reading, of a thread that was `seen` in a wait `now`.
    pub(super) fn add(&mut self, blocked: Nanos, now: Timestamp, seen: Option<SeenWait>) {
        let last = self
            .last
            .filter(|(_, at)| now.duration_since(*at) <= MEMORY);
        let last = last.map(|(on, _)| on);
        let (mut under_way, mut on) = (Nanos::ZERO, None);
        if let Some(seen) = seen {
            under_way = blocked.min(now.duration_since(seen.since));
            on = seen.on;
        }
        self.times[on.unwrap_or(On::Other) as usize] += under_way;
        // What was first seen now is the nearest to know of the time before.
        self.times[last.or(on).unwrap_or(On::Other) as usize] += blocked - under_way;
        if let Some(on) = on {
            self.last = Some((on, now));
        }
    }

    /// The parts, in the order of [`On::ALL`].
    pub(super) fn times(&self) -> [Nanos; On::ALL.len()] {
        self.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Timestamp {
        Timestamp::from_nanos(milliseconds * 1_000_000)
    }

    fn seen(on: On, since: u64) -> Option<SeenWait> {
        Some(SeenWait {
            on: Some(on),
            since: ms(since),
        })
    }

    /// Milliseconds of each thing that was waited for, after readings: blocked time, moment, and wait.
    fn parts(readings: &[(u64, u64, Option<SeenWait>)]) -> Vec<(&'static str, u64)> {
        let mut blocked_on = BlockedOn::default();
        for (blocked, now, seen) in readings {
            blocked_on.add(Nanos::from_millis(*blocked), ms(*now), *seen);
        }
        let parts = On::ALL.into_iter().zip(blocked_on.times());
        let parts = parts.map(|(on, time)| (on.as_str(), time.as_micros() / 1_000));
        parts.filter(|(_, time)| *time > 0).collect()
    }

    #[test]
    fn a_block_under_way_is_what_it_was_seen_to_be() {
        let readings = [
            (300, 1_000, seen(On::Sleep, 700)),
            (1_000, 2_000, seen(On::Sleep, 700)),
            // It ended after 100 ms, and another one began after that.
            (350, 3_000, seen(On::Socket, 2_750)),
        ];
        assert_eq!(parts(&readings), [("sleep", 1_400), ("socket", 250)]);
    }

    #[test]
    fn blocks_between_two_readings_are_what_was_last_seen_within_a_minute() {
        let readings = [
            (10, 1_000, None),
            (500, 2_000, seen(On::Lock, 1_980)),
            (300, 3_000, None),
            (200, 63_000, None),
        ];
        assert_eq!(parts(&readings), [("lock", 800), ("other", 210)]);
    }

    #[test]
    fn a_wait_that_cannot_be_read_is_other() {
        let unread = Some(SeenWait {
            on: None,
            since: ms(0),
        });
        let readings = [(100, 100, unread), (50, 200, unread)];
        assert_eq!(parts(&readings), [("other", 150)]);
    }
}
