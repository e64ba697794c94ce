//! Requests in flight, from what the kernel counts on each accepted connection.
//!
//! A request is in flight from when its bytes came until a response's bytes go. The kernel keeps the age
//! of both (`tcpi_last_data_recv`, `tcpi_last_data_sent`), so one look tells also *when* a request came, and
//! looks every 0.1 to 1 s still split the time between them to one kernel tick.

use std::collections::HashMap;

use thread_states::{Nanos, Timestamp};

use super::diag::{SocketKind, TcpSocket, Traffic};
use super::proc_files::Inode;

/// Two ticks of a kernel with HZ=100, in which ages of sockets are given.
pub(super) const CLOCK_STEP: Nanos = Nanos::from_millis(20);

/// A request that was in flight for a while on the connection with this inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// The connection.
    pub inode: Inode,
    /// When its bytes came.
    pub from: Timestamp,
    /// When its response began, or the time of the look.
    pub to: Timestamp,
    /// It is in flight at the look.
    pub open: bool,
}

/// Result of one look at the connections of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Requests {
    /// Requests in flight at some time since the look before.
    pub requests: Vec<Request>,
    /// Requests of connections that no thread has accepted.
    pub in_accept_queue: u64,
    /// Requests on accepted connections of which the program has not read a byte.
    pub unread: u64,
    /// The age of the oldest request in the accept queue or unread; zero if there is none.
    pub oldest_queued: Nanos,
}

/// A connection as it was at the last look.
#[derive(Debug, Clone, Default)]
struct Connection {
    traffic: Traffic,
    inode: Inode,
    in_flight: bool,
    /// When the request in flight came.
    since: Timestamp,
    /// When it was seen that the program has closed the connection.
    closed: Option<Timestamp>,
    stream: Stream,
    seen: bool,
}

/// Responses in parts: data that goes out though no data came.
#[derive(Debug, Clone, Copy, Default)]
struct Stream {
    /// When data was last sent.
    sent_at: Timestamp,
    /// The time between the last two parts.
    gap: Nanos,
    /// It is one, until the next request.
    flows: bool,
}

/// The accepted connections of one server.
#[derive(Debug, Default)]
pub(super) struct Connections {
    by_cookie: HashMap<u64, Connection>,
    /// Looks at which a request and a response fell into one kernel tick, so that their number of segments
    /// had to decide.
    ties: u64,
}

impl Connections {
    /// Takes a look. `sockets` are the connections to the server's ports; `last_ran` returns the last time
    /// at which the process that holds a connection is known to have run.
    pub(super) fn look<'a>(
        &mut self,
        sockets: impl IntoIterator<Item = &'a TcpSocket>,
        now: Timestamp,
        last_look: Timestamp,
        last_ran: impl Fn(Inode) -> Option<Timestamp>,
    ) -> Requests {
        let mut result = Requests::default();
        for socket in sockets {
            let SocketKind::Connected(traffic) = socket.kind else {
                continue;
            };
            let connection = self.by_cookie.entry(socket.cookie).or_default();
            let is_tie = connection.look(socket, &traffic, &mut result.requests);
            self.ties += u64::from(is_tie);
            if connection.in_flight && socket.receive_queue > 0 {
                if socket.inode == 0 {
                    result.in_accept_queue += 1;
                } else {
                    result.unread += 1;
                }
                result.oldest_queued = result
                    .oldest_queued
                    .max(socket.at.duration_since(connection.since));
            }
        }
        self.by_cookie.retain(|_, connection| {
            let seen = std::mem::take(&mut connection.seen);
            if !seen {
                result
                    .requests
                    .extend(connection.end(now, last_look, &last_ran));
            }
            seen
        });
        result
    }

    /// Inodes of the connections whose requests are in flight and that are not known to be closed.
    pub(super) fn open_inodes(&self) -> impl Iterator<Item = Inode> {
        let open = self
            .by_cookie
            .values()
            .filter(|c| c.in_flight && c.closed.is_none());
        open.map(|c| c.inode).filter(|inode| *inode > 0)
    }

    /// The program has closed the connection with this inode.
    pub(super) fn closed(&mut self, inode: Inode, at: Timestamp) {
        for connection in self.by_cookie.values_mut() {
            if connection.inode == inode {
                connection.closed.get_or_insert(at);
            }
        }
    }

    /// Returns true for the inode of a client's connection.
    pub(super) fn is_client(&self, inode: Inode) -> bool {
        self.by_cookie
            .values()
            .any(|connection| connection.inode == inode)
    }

    /// Number of looks at a connection that its number of segments had to decide.
    pub(super) fn ties(&self) -> u64 {
        self.ties
    }
}

impl Connection {
    /// Takes a look, and adds the requests that were in flight since the last one. Returns true if ages did
    /// not decide whether the last request is answered.
    fn look(&mut self, socket: &TcpSocket, now: &Traffic, requests: &mut Vec<Request>) -> bool {
        let received = now.received != self.traffic.received;
        let sent = now.sent != self.traffic.sent;
        let (came, answered) = (socket.at - now.since_received, socket.at - now.since_sent);
        let was_in_flight = self.in_flight;
        let (mut in_flight, is_tie) = is_unanswered(&self.traffic, now, was_in_flight);
        in_flight |= self
            .stream
            .look(received, sent, was_in_flight, answered, socket.at)
            && !in_flight;

        if socket.inode > 0 {
            self.inode = socket.inode;
        }
        let inode = self.inode;
        let mut add = |from: Timestamp, to: Timestamp, open| {
            if inode > 0 && to > from {
                requests.push(Request {
                    inode,
                    from,
                    to,
                    open,
                });
            }
        };
        if in_flight {
            if was_in_flight && received && sent {
                // One was answered, and the next one is in flight.
                add(self.since, answered, false);
            }
            if !was_in_flight || (received && sent) {
                self.since = came;
            }
            add(self.since, socket.at, true);
        } else if was_in_flight {
            add(self.since, answered, false);
        } else if received {
            add(came, answered, false);
        }
        self.traffic = *now;
        self.in_flight = in_flight;
        self.seen = true;
        is_tie
    }

    /// The connection is gone. Its request ended when it was seen to be closed, or else when the process
    /// last ran: only a running program closes.
    fn end(
        &self,
        now: Timestamp,
        last_look: Timestamp,
        last_ran: impl Fn(Inode) -> Option<Timestamp>,
    ) -> Option<Request> {
        let ran = || last_ran(self.inode).unwrap_or(now).max(last_look).min(now);
        let to = self.closed.unwrap_or_else(ran);
        (self.in_flight && self.inode > 0 && to > self.since).then_some(Request {
            inode: self.inode,
            from: self.since,
            to,
            open: false,
        })
    }
}

impl Stream {
    /// Takes a look; returns true while parts of a response flow: after data went out that no request asked for,
    /// until twice the time between two parts has passed without one.
    fn look(
        &mut self,
        received: bool,
        sent: bool,
        was_in_flight: bool,
        sent_at: Timestamp,
        now: Timestamp,
    ) -> bool {
        const SAME_PART: Nanos = Nanos::from_millis(50);
        const SHORTEST: Nanos = Nanos::from_millis(1000);
        if received {
            self.flows = false;
        } else if sent && !was_in_flight && self.sent_at > Timestamp::default() {
            let gap = sent_at.duration_since(self.sent_at);
            if gap > SAME_PART {
                (self.gap, self.flows) = (gap, true);
            }
        } else if sent && self.flows {
            self.gap = sent_at.duration_since(self.sent_at);
        }
        if sent {
            self.sent_at = sent_at;
        }
        self.flows &= now.duration_since(self.sent_at) < SHORTEST.max(self.gap + self.gap);
        self.flows
    }
}

/// Returns whether the last data received has had no answer, and whether the ages left that open.
fn is_unanswered(before: &Traffic, now: &Traffic, was_in_flight: bool) -> (bool, bool) {
    use std::cmp::Ordering::{Equal, Greater, Less};
    if now.received == 0 || now.sent == 0 {
        return (now.received > 0, false);
    }
    match now.since_received.cmp(&now.since_sent) {
        Less => (true, false),
        Greater => (false, false),
        Equal => {
            let received = now.received != before.received;
            let sent = now.sent != before.sent;
            match (received, sent) {
                (true, false) => (true, false),
                (false, true) => (false, false),
                (true, true) => (one_response_is_missing(now), true),
                // An acknowledgement alone has been sent: the program has not answered for 40 ms.
                (false, false) => (
                    was_in_flight || acknowledgements(now) > acknowledgements(before),
                    false,
                ),
            }
        }
    }
}

/// Returns whether a response is missing: if every request is one segment and every response has the same number of
/// them, the totals give the number of responses.
fn one_response_is_missing(now: &Traffic) -> bool {
    let (requests, segments) = (now.data_segments_in, now.data_segments_out);
    requests > 2
        && segments > 0
        && segments.is_multiple_of(requests - 1)
        && !segments.is_multiple_of(requests)
}

fn acknowledgements(traffic: &Traffic) -> u32 {
    traffic
        .segments_out
        .saturating_sub(traffic.data_segments_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Timestamp {
        Timestamp::from_nanos(milliseconds * 1_000_000)
    }

    /// A connection at a time, with the moments at which data last came and went, and the bytes of both.
    fn socket(at: u64, came: (u64, u64), went: (u64, u64)) -> TcpSocket {
        let address = ([127, 0, 0, 1], 5000).into();
        TcpSocket {
            at: ms(at),
            local: address,
            remote: address,
            cookie: 1,
            inode: 77,
            receive_queue: 0,
            send_queue: 0,
            kind: SocketKind::Connected(Traffic {
                since_received: Nanos::from_millis(at - came.0),
                received: came.1,
                since_sent: Nanos::from_millis(at - went.0),
                sent: went.1,
                ..Traffic::default()
            }),
        }
    }

    /// The requests that each of these looks shows, as (from, to, open) in milliseconds.
    fn looks(sockets: &[TcpSocket]) -> Vec<Vec<(u64, u64, bool)>> {
        let (mut connections, mut last) = (Connections::default(), ms(0));
        let look = |socket: &TcpSocket| {
            let requests = connections
                .look([socket], socket.at, last, |_| None)
                .requests;
            last = socket.at;
            let plain = |r: &Request| {
                (
                    r.from.as_nanos() / 1_000_000,
                    r.to.as_nanos() / 1_000_000,
                    r.open,
                )
            };
            requests.iter().map(plain).collect()
        };
        sockets.iter().map(look).collect()
    }

    #[test]
    fn a_request_is_in_flight_until_data_goes_out() {
        let requests = looks(&[
            socket(1_000, (500, 0), (500, 0)),
            socket(2_000, (1_200, 80), (500, 0)),
            socket(3_000, (1_200, 80), (500, 0)),
            socket(7_000, (1_200, 80), (6_200, 150)),
            socket(8_000, (1_200, 80), (6_200, 150)),
        ]);
        let expected = [
            vec![],
            vec![(1_200, 2_000, true)],
            vec![(1_200, 3_000, true)],
            vec![(1_200, 6_200, false)],
            vec![],
        ];
        assert_eq!(requests, expected);
    }

    #[test]
    fn a_request_that_came_and_was_answered_between_two_looks_counts() {
        let requests = looks(&[
            socket(1_000, (100, 80), (200, 150)),
            socket(2_000, (1_300, 160), (1_700, 300)),
        ]);
        assert_eq!(
            requests,
            [vec![(100, 200, false)], vec![(1_300, 1_700, false)]]
        );
    }

    #[test]
    fn an_answer_and_the_next_request_between_two_looks_are_told_apart() {
        let requests = looks(&[
            socket(1_000, (100, 80), (50, 0)),
            socket(2_000, (1_500, 160), (1_400, 150)),
        ]);
        let expected = [
            vec![(100, 1_000, true)],
            vec![(100, 1_400, false), (1_500, 2_000, true)],
        ];
        assert_eq!(requests, expected);
    }

    #[test]
    fn a_connection_that_vanishes_ended_when_its_process_last_ran() {
        let open = socket(1_000, (500, 80), (100, 0));
        for (closed, expected) in [(None, 1_800), (Some(ms(1_600)), 1_600)] {
            let mut connections = Connections::default();
            connections.look([&open], ms(1_000), ms(0), |_| None);
            assert_eq!(connections.open_inodes().collect::<Vec<_>>(), [77]);
            if let Some(closed) = closed {
                connections.closed(77, closed);
                assert_eq!(connections.open_inodes().count(), 0);
            }
            let requests = connections.look([], ms(2_000), ms(1_000), |_| Some(ms(1_800)));
            let request = requests.requests[0];
            assert_eq!(
                (request.from, request.to, request.open),
                (ms(500), ms(expected), false)
            );
            assert!(!connections.is_client(77));
        }
    }

    #[test]
    fn requests_that_no_thread_has_taken_are_queued() {
        let mut in_queue = socket(4_000, (1_500, 80), (100, 0));
        in_queue.inode = 0;
        in_queue.receive_queue = 80;
        let mut unread = socket(4_000, (3_000, 80), (100, 0));
        (unread.cookie, unread.receive_queue) = (2, 80);
        let requests =
            Connections::default().look([&in_queue, &unread], ms(4_000), ms(0), |_| None);
        assert_eq!((requests.in_accept_queue, requests.unread), (1, 1));
        assert_eq!(requests.oldest_queued, Nanos::from_millis(2_500));
    }

    #[test]
    fn a_stream_counts_from_its_second_part_until_it_stops() {
        let requests = looks(&[
            socket(1_000, (900, 80), (910, 100)),
            socket(2_000, (900, 80), (1_910, 200)),
            socket(2_900, (900, 80), (2_910 - 20, 300)),
            socket(6_000, (900, 80), (2_910 - 20, 300)),
        ]);
        assert!(requests[0].len() == 1 && !requests[0][0].2);
        assert!(requests[1].iter().any(|r| r.2) && requests[2].iter().any(|r| r.2));
        assert!(requests[3].iter().all(|r| !r.2));
    }

    #[test]
    fn segments_decide_within_one_kernel_tick() {
        let traffic = |requests, segments| Traffic {
            received: 1,
            sent: 1,
            data_segments_in: requests,
            data_segments_out: segments,
            ..Traffic::default()
        };
        let before = Traffic::default();
        for (requests, segments, unanswered) in
            [(5, 8, true), (5, 10, false), (5, 5, false), (1, 1, false)]
        {
            let result = is_unanswered(&before, &traffic(requests, segments), false);
            assert_eq!(result, (unanswered, true), "{requests} {segments}");
        }
    }
}
