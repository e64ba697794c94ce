//! States of the time off CPU: what a slice at a site was, once it is known which requests were in flight.

use std::collections::BTreeSet;

use thread_states::waits::On;
use thread_states::{Nanos, State, Times, Timestamp};

use super::homes::Place;
use super::ledger::{Slice, share};
use super::sockets::CLOCK_STEP;

/// A time during which a request was in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlightSpan {
    /// When the request came.
    pub from: Timestamp,
    /// When its response began, or when it was last seen in flight.
    pub to: Timestamp,
}

/// Facts about the process of a thread that decide about its slices.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Requests of the process.
    pub of_process: &'a [InFlightSpan],
    /// Requests whose connections the thread's event loop serves.
    pub of_loop: &'a [InFlightSpan],
    /// Threads of the process that are known to serve a request.
    pub attending: usize,
    /// The sockets can be read, so that `of_process` and `of_loop` are complete.
    pub sees_requests: bool,
}

impl Facts<'_> {
    /// Nothing is known of requests.
    pub const BLIND: Facts<'static> = Facts {
        of_process: &[],
        of_loop: &[],
        attending: 0,
        sees_requests: false,
    };
}

/// Time of a thread by state, with what it was blocked on, and what could not be decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// Time in each state.
    pub times: Times,
    /// Time off CPU whose state cannot be known.
    pub unknown: Nanos,
    /// Parts of the blocked time, in the order of [`On::ALL`].
    pub blocked_on: [Nanos; On::ALL.len()],
}

impl Settled {
    /// All of the time.
    pub fn total(&self) -> Nanos {
        self.times.total() + self.unknown
    }

    /// Adds another time.
    pub fn add(&mut self, other: &Self) {
        self.times += other.times;
        self.unknown += other.unknown;
        for (sum, span) in self.blocked_on.iter_mut().zip(other.blocked_on) {
            *sum += span;
        }
    }

    /// Adds time in one state.
    pub fn add_state(&mut self, state: State, span: Nanos) {
        self.times[state] += span;
    }

    fn add_blocked(&mut self, on: On, span: Nanos) {
        self.add_state(State::Blocked, span);
        self.blocked_on[on as usize] += span;
    }

    /// Adds a slice, of a thread that was in this relation to its homes.
    pub fn add_slice(&mut self, slice: &Slice, place: Place, facts: &Facts<'_>) {
        let length = slice.to.duration_since(slice.from);
        let during = |spans: &[InFlightSpan]| share(slice.amount, overlap(slice, spans), length);
        match place {
            Place::Hidden => self.unknown += slice.amount,
            Place::Home => self.add_state(State::Idle, slice.amount),
            Place::Away if slice.wait.on != On::Client => {
                self.add_blocked(slice.wait.on, slice.amount)
            }
            _ if !facts.sees_requests => self.unknown += slice.amount,
            Place::Loop => {
                let awaiting = during(facts.of_loop);
                self.add_state(State::Awaiting, awaiting);
                self.add_state(State::Idle, slice.amount - awaiting);
            }
            Place::Away => {
                // Between two requests of a kept connection, it waits for work.
                let blocked = during(facts.of_process);
                self.add_blocked(slice.wait.on, blocked);
                self.add_state(State::Idle, slice.amount - blocked);
            }
            Place::Unknown => {
                // A request that came during the wait cannot have sent the thread there.
                let may_serve = |span: &&InFlightSpan| {
                    span.from <= slice.since + CLOCK_STEP
                        && span.from < slice.to
                        && span.to > slice.from
                };
                let spans: Vec<_> = facts.of_process.iter().filter(may_serve).copied().collect();
                // One that was in flight at both of the last looks has a span of each.
                let requests: BTreeSet<_> = spans.iter().map(|span| span.from).collect();
                let blocked = if requests.len() > facts.attending {
                    during(&spans)
                } else {
                    Nanos::ZERO
                };
                self.add_blocked(slice.wait.on, blocked);
                self.add_state(State::Idle, slice.amount - blocked);
            }
        }
    }
}

/// The part of a slice in which at least one request was in flight.
fn overlap(slice: &Slice, spans: &[InFlightSpan]) -> Nanos {
    let clip = |span: &InFlightSpan| (span.from.max(slice.from), span.to.min(slice.to));
    let mut clipped: Vec<_> = spans
        .iter()
        .map(clip)
        .filter(|(from, to)| to > from)
        .collect();
    clipped.sort_unstable();
    let (mut sum, mut end) = (Nanos::ZERO, Timestamp::default());
    for (from, to) in clipped {
        let from = from.max(end);
        if to > from {
            sum += to.duration_since(from);
            end = to;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::site::{Site, Wait};
    use super::*;

    const fn ms(milliseconds: u64) -> Timestamp {
        Timestamp::from_nanos(milliseconds * 1_000_000)
    }

    /// 1 s to 2 s, of which the thread waited 900 ms, in a wait that began at 0.5 s.
    fn slice(on: On) -> Slice {
        let wait = Wait {
            site: Site::Fault,
            on,
            multiplexes: false,
            for_work: false,
        };
        Slice {
            wait: Arc::new(wait),
            since: ms(500),
            from: ms(1_000),
            to: ms(2_000),
            amount: Nanos::from_millis(900),
        }
    }

    const fn span(from: u64, to: u64) -> InFlightSpan {
        InFlightSpan {
            from: ms(from),
            to: ms(to),
        }
    }

    const NONE: Facts<'static> = Facts {
        of_process: &[],
        of_loop: &[],
        attending: 0,
        sees_requests: true,
    };

    /// Blocked, awaiting, idle and unknown in milliseconds.
    fn settle(on: On, place: Place, facts: &Facts<'_>) -> [u64; 4] {
        let mut settled = Settled::default();
        settled.add_slice(&slice(on), place, facts);
        assert_eq!(settled.total(), Nanos::from_millis(900));
        assert_eq!(
            settled.blocked_on.iter().copied().sum::<Nanos>(),
            settled.times[State::Blocked]
        );
        let states = [State::Blocked, State::Awaiting, State::Idle];
        let [blocked, awaiting, idle] =
            states.map(|state| settled.times[state].as_nanos() / 1_000_000);
        [
            blocked,
            awaiting,
            idle,
            settled.unknown.as_nanos() / 1_000_000,
        ]
    }

    #[test]
    fn each_place_has_its_state() {
        // Two requests that overlap: from 1.2 s to 1.7 s in all.
        let spans = [span(1_200, 1_500), span(1_400, 1_700)];
        let of_loop = Facts {
            of_loop: &spans,
            ..NONE
        };
        let of_process = Facts {
            of_process: &spans,
            ..NONE
        };
        let before_the_wait = Facts {
            of_process: &[span(400, 1_500)],
            ..NONE
        };
        let attended = Facts {
            attending: 1,
            ..before_the_wait
        };
        let blind = Facts {
            sees_requests: false,
            ..NONE
        };
        for (name, on, place, facts, expected) in [
            ("home", On::Lock, Place::Home, &of_loop, [0, 0, 900, 0]),
            ("loop", On::Other, Place::Loop, &of_loop, [0, 450, 450, 0]),
            (
                "loop, request of another",
                On::Other,
                Place::Loop,
                &of_process,
                [0, 0, 900, 0],
            ),
            ("away", On::Sleep, Place::Away, &NONE, [900, 0, 0, 0]),
            (
                "at a client",
                On::Client,
                Place::Away,
                &of_process,
                [450, 0, 450, 0],
            ),
            (
                "unknown, came later",
                On::Lock,
                Place::Unknown,
                &of_process,
                [0, 0, 900, 0],
            ),
            (
                "unknown",
                On::Lock,
                Place::Unknown,
                &before_the_wait,
                [450, 0, 450, 0],
            ),
            (
                "unknown, others serve",
                On::Lock,
                Place::Unknown,
                &attended,
                [0, 0, 900, 0],
            ),
            ("hidden", On::Other, Place::Hidden, &NONE, [0, 0, 0, 900]),
            (
                "loop, no sockets",
                On::Other,
                Place::Loop,
                &blind,
                [0, 0, 0, 900],
            ),
            (
                "away, no sockets",
                On::Sleep,
                Place::Away,
                &blind,
                [900, 0, 0, 0],
            ),
        ] {
            assert_eq!(settle(on, place, facts), expected, "{name}");
        }
    }
}
