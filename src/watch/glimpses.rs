//! Connections that come and go between two looks at the sockets, as the epoll sets of event loops show them.
//!
//! Of such a connection the kernel's counters are never read. That it was in the set of a loop that accepts connections is
//! all that is known: on a connection that closes after one request, that is the time of the request.

use std::collections::{HashMap, HashSet};

use thread_states::Timestamp;

use super::proc_files::{Fd, Inode};
use super::settle::InFlightSpan;

/// Sockets in the epoll sets of one process that no look has shown.
#[derive(Debug, Default)]
pub(super) struct Glimpses {
    seen: HashMap<Inode, Glimpse>,
    /// Sockets that were there at a look and are not clients' connections.
    others: HashSet<Inode>,
}

#[derive(Debug)]
struct Glimpse {
    set: Fd,
    from: Timestamp,
    left: Option<Timestamp>,
}

impl Glimpses {
    /// Notes the sockets that are in a set now.
    pub(super) fn see(&mut self, set: Fd, sockets: impl Iterator<Item = Inode>, now: Timestamp) {
        let sockets: HashSet<Inode> = sockets.collect();
        for (inode, glimpse) in &mut self.seen {
            if glimpse.set == set && !sockets.contains(inode) {
                glimpse.left.get_or_insert(now);
            }
        }
        for inode in sockets.difference(&self.others) {
            self.seen.entry(*inode).or_insert(Glimpse {
                set,
                from: now,
                left: None,
            });
        }
    }

    /// The set in which a socket is or was, if it came since the last look.
    pub(super) fn set_of(&self, socket: Inode) -> Option<Fd> {
        self.seen.get(&socket).map(|glimpse| glimpse.set)
    }

    /// Takes a look, which has shown these clients' connections. Returns the connections that have come and gone.
    pub(super) fn look(&mut self, is_client: impl Fn(Inode) -> bool) -> Vec<(Fd, InFlightSpan)> {
        let mut gone = Vec::new();
        for (inode, glimpse) in self.seen.drain() {
            match glimpse.left {
                // The look tells more.
                _ if is_client(inode) => {}
                Some(to) => gone.push((
                    glimpse.set,
                    InFlightSpan {
                        from: glimpse.from,
                        to,
                    },
                )),
                None => {
                    self.others.insert(inode);
                }
            }
        }
        const MOST_OTHERS: usize = 4_096;
        if self.others.len() > MOST_OTHERS {
            self.others.clear();
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Timestamp {
        Timestamp::from_nanos(milliseconds * 1_000_000)
    }

    fn see(glimpses: &mut Glimpses, sockets: &[Inode], now: u64) {
        glimpses.see(5, sockets.iter().copied(), ms(now));
    }

    #[test]
    fn a_connection_that_came_and_went_was_in_flight_meanwhile() {
        let mut glimpses = Glimpses::default();
        see(&mut glimpses, &[70], 100);
        see(&mut glimpses, &[70], 120);
        see(&mut glimpses, &[], 150);
        see(&mut glimpses, &[], 170);
        let span = InFlightSpan {
            from: ms(100),
            to: ms(150),
        };
        assert_eq!(glimpses.look(|_| false), [(5, span)]);
        assert_eq!(glimpses.look(|_| false), []);
    }

    #[test]
    fn what_a_look_shows_or_excludes_is_no_glimpse() {
        let mut glimpses = Glimpses::default();
        see(&mut glimpses, &[70, 80], 100);
        // The look shows that 70 is a client's connection, and 80 is not: a connection to a database.
        assert_eq!(glimpses.look(|inode| inode == 70), []);
        see(&mut glimpses, &[80], 120);
        see(&mut glimpses, &[], 140);
        assert_eq!(glimpses.look(|_| false), []);
    }
}
