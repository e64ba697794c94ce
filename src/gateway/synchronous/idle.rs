//! Connections that no thread holds, and the wait for the next of them.
//!
//! All threads of a gateway wait in one epoll instance (epoll(7)), for the listening socket and for every idle
//! connection. The kernel keeps what is ready in the order in which it became ready, and hands each of it to one thread
//! (`EPOLLONESHOT`), so no request waits for a certain thread while another one is idle. While no thread is idle, one
//! call takes all that is ready, and the threads share it in the same order. As many new connections as one call takes
//! events are then accepted in a row.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::running::IdleConnections;
use super::arrival::{Arrival, Until};
use crate::wire;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// Names of the two descriptors that are not connections. Those have numbers in the order in which they became idle.
const LISTENER: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

/// Most events that one call takes.
const BATCH: usize = 32;
/// Room for an event.
const NO_EVENT: Event = Event {
    flags: EventFlags::empty(),
    data: EventData::new_u64(0),
};

/// The idle connections of a gateway, which its threads share.
pub(super) struct IdleSet<C> {
    epoll: OwnedFd,
    listener: TcpListener,
    timer: OwnedFd,
    most: usize,
    members: Mutex<Members<C>>,
}

struct Members<C> {
    /// By their numbers. The first one has been idle for longest.
    connections: BTreeMap<u64, Member<C>>,
    deadlines: BTreeSet<(Instant, u64)>,
    next_number: u64,
    /// Names of what is ready, in the order in which it became ready. Empty while a thread sleeps, which nothing would
    /// wake up for it.
    ready: VecDeque<u64>,
    /// Number of threads that sleep until something is ready.
    sleeping: usize,
    /// Number of connections that were accepted in the present row, before what else is ready.
    accepted: usize,
    /// Deadline for which the timer is set.
    alarm: Option<Instant>,
    closed: bool,
}

struct Member<C> {
    connection: C,
    deadline: Instant,
    until: Until,
}

impl<C: AsFd> IdleSet<C> {
    /// Creates a set for at most so many connections of a listening socket, which becomes non-blocking.
    ///
    /// # Errors
    ///
    /// If the system has no more file descriptors.
    pub(super) fn new(listener: &TcpListener, most: NonZeroUsize) -> io::Result<Self> {
        let listener = listener.try_clone()?;
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let once = EventFlags::IN | EventFlags::ONESHOT;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), once)?;
        // With an edge for each expiry, one thread wakes up, and nobody has to read from the timer.
        let edge = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), edge)?;
        Ok(Self {
            epoll,
            listener,
            timer,
            most: most.get(),
            members: Mutex::new(Members {
                connections: BTreeMap::new(),
                deadlines: BTreeSet::new(),
                next_number: 0,
                ready: VecDeque::with_capacity(BATCH),
                sleeping: 0,
                accepted: 0,
                alarm: None,
                closed: false,
            }),
        })
    }

    /// Waits for something to do. Returns `None` if another thread has done it already, if a signal came, or if no new
    /// connection follows the last one. If nothing is there yet, the thread first calls `sleeps`, and keeps what that
    /// returns until the end of the wait.
    ///
    /// # Errors
    ///
    /// If a connection could not be accepted, or if the gateway no longer listens. That wakes all threads, one after the
    /// other.
    pub(super) fn wait<G>(&self, sleeps: impl FnOnce() -> G) -> io::Result<Option<Arrival<C>>> {
        let mut members = self.members();
        if members.ready.is_empty() {
            // One event while others sleep: the kernel wakes them for the rest.
            let most = if members.sleeping > 0 { 1 } else { BATCH };
            let mut events = [NO_EVENT; BATCH];
            let taken = self.take_events(&mut events[..most], Some(&Timespec::default()))?;
            members.ready.extend(taken);
        }
        if members.ready.is_empty() {
            members.sleeping += 1;
            drop(members);
            let mut event = [NO_EVENT];
            let taken = {
                let _sleeping = sleeps();
                self.take_events(&mut event, None)
            };
            members = self.members();
            members.sleeping -= 1;
            members.ready.extend(taken?);
        }
        match members.ready.pop_front() {
            Some(LISTENER) => {
                drop(members);
                Ok(self.accept()?.map(Arrival::New))
            }
            Some(TIMER) => Ok(self.take_expired(&mut members).map(Arrival::Idle)),
            // It is no longer a member if its deadline has passed, or if it had to make room.
            Some(number) => Ok(members.remove(number).map(Arrival::Idle)),
            None => Ok(None),
        }
    }

    /// Takes what is ready, or becomes ready before the timeout, and returns its names; none if a signal came.
    fn take_events<'a>(
        &self,
        events: &'a mut [Event],
        timeout: Option<&Timespec>,
    ) -> io::Result<impl Iterator<Item = u64> + 'a> {
        let number = match epoll::wait(&self.epoll, &mut *events, timeout) {
            Err(Errno::INTR) => 0,
            number => number?,
        };
        let taken = events.iter().take(number);
        Ok(taken.map(|event| event.data.u64()))
    }

    /// Accepts a connection. The next one is accepted after it in the same row, or wakes another thread.
    fn accept(&self) -> io::Result<Option<TcpStream>> {
        let accepted = self.listener.accept();
        // With the last descriptors, requests on idle connections are served first.
        let is_plain = matches!(&accepted, Ok((stream, _)) if !wire::is_last(stream));
        if !(is_plain && self.accepts_next()) {
            self.members().accepted = 0;
            let once = EventFlags::IN | EventFlags::ONESHOT;
            let name = EventData::new_u64(LISTENER);
            epoll::modify(&self.epoll, &self.listener, name, once)?;
        }
        match accepted {
            Ok((stream, _)) => Ok(Some(stream)),
            // Its client has left.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lets the next connection come before what else is ready, unless a thread sleeps, which it can wake, or the row
    /// has its length. With one for each turn of all kept connections, new ones would wait for seconds beside busy ones.
    fn accepts_next(&self) -> bool {
        let mut members = self.members();
        members.accepted += 1;
        let is_next = members.sleeping == 0 && members.accepted < BATCH;
        if is_next {
            members.ready.push_front(LISTENER);
        }
        is_next
    }

    /// Adds a connection until it is ready, or until the deadline. Returns it after a shutdown, if the kernel has no
    /// memory, or if every place is taken and the connection that has been idle for longest has a request.
    pub(super) fn insert(&self, connection: C, deadline: Instant, until: Until) -> Result<(), C> {
        let mut members = self.members();
        let mut evicted = None;
        if members.connections.len() >= self.most {
            evicted = members.take_oldest();
        }
        if members.closed || members.connections.len() >= self.most {
            return Err(connection);
        }
        let number = members.next_number;
        // Under the lock: the event may come at once.
        if let Err(error) = self.register(&connection, number, until) {
            tracing::warn!(error = %io::Error::from(error), "cannot keep a connection");
            return Err(connection);
        }
        members.next_number += 1;
        let member = Member {
            connection,
            deadline,
            until,
        };
        members.connections.insert(number, member);
        members.deadlines.insert((deadline, number));
        if members.alarm.is_none_or(|alarm| deadline < alarm) {
            self.set_alarm(&mut members);
        }
        // Its end may take time.
        drop(members);
        drop(evicted);
        Ok(())
    }

    /// Closes the connection that has been idle for longest, unless it has a request. Returns whether it did.
    pub(super) fn close_oldest(&self) -> bool {
        let oldest = self.members().take_oldest();
        oldest.is_some()
    }

    /// Returns whether no connection is idle.
    pub(super) fn is_empty(&self) -> bool {
        self.members().connections.is_empty()
    }

    fn members(&self) -> MutexGuard<'_, Members<C>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, connection: &C, number: u64, until: Until) -> rustix::io::Result<()> {
        let flags = match until {
            Until::Readable => EventFlags::IN,
            // A socket can nearly always be written to, so it comes after what is ready now.
            Until::NextTurn => EventFlags::IN | EventFlags::OUT,
        };
        let flags = flags | EventFlags::RDHUP | EventFlags::ONESHOT;
        let name = EventData::new_u64(number);
        match epoll::modify(&self.epoll, connection, name, flags) {
            // The first time.
            Err(Errno::NOENT) => epoll::add(&self.epoll, connection, name, flags),
            modified => modified,
        }
    }

    /// Removes a connection whose deadline has passed. The timer comes again for the others.
    fn take_expired(&self, members: &mut Members<C>) -> Option<C> {
        let expired = match members.deadlines.first().copied() {
            Some((deadline, number)) if deadline <= Instant::now() => members.remove(number),
            _ => None,
        };
        // Also if there is no deadline: the next one is then not compared with an alarm that has passed.
        self.set_alarm(members);
        expired
    }

    /// Sets the timer to the first deadline.
    fn set_alarm(&self, members: &mut Members<C>) {
        members.alarm = members.deadlines.first().map(|(deadline, _)| *deadline);
        let Some(alarm) = members.alarm else {
            return;
        };
        let none = Timespec::default();
        // Zero would disarm it.
        let left = alarm.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left.max(Duration::from_nanos(1))).unwrap_or(none);
        let once = Itimerspec {
            it_interval: none,
            it_value: left,
        };
        if let Err(error) = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once) {
            tracing::error!(error = %io::Error::from(error), "idle connections are not closed in time");
        }
    }
}

impl<C: AsFd> Members<C> {
    fn remove(&mut self, number: u64) -> Option<C> {
        let member = self.connections.remove(&number)?;
        self.deadlines.remove(&(member.deadline, number));
        Some(member.connection)
    }

    /// Removes the connection that has been idle for longest, unless it has a request: that would be lost.
    fn take_oldest(&mut self) -> Option<C> {
        let (&number, oldest) = self.connections.first_key_value()?;
        if oldest.has_request() {
            return None;
        }
        self.remove(number)
    }
}

impl<C: AsFd> Member<C> {
    /// Returns whether a request is there, or a part of one.
    fn has_request(&self) -> bool {
        // A request that waits for its turn has been read, and the socket no longer shows it.
        self.until == Until::NextTurn || has_bytes(&self.connection)
    }
}

impl<C: AsFd + Send> IdleSet<C> {
    /// Removes a connection with a request that no thread has taken before the shutdown, in the order in which they became
    /// idle. Closes all without one, if that has not been done.
    pub(super) fn take_last(&self) -> Option<C> {
        self.close_idle();
        let last = self.members().connections.pop_first();
        last.map(|(_, member)| member.connection)
    }
}

impl<C: AsFd + Send> IdleConnections for IdleSet<C> {
    fn close_idle(&self) {
        let mut members = self.members();
        if std::mem::replace(&mut members.closed, true) {
            return;
        }
        let all = std::mem::take(&mut members.connections).into_iter();
        let (last, idle) = all.partition(|(_, member)| member.has_request());
        members.connections = last;
        members.deadlines.clear();
        drop(members);
        drop::<BTreeMap<_, _>>(idle);
    }
}

impl<C> fmt::Debug for IdleSet<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdleSet").finish_non_exhaustive()
    }
}

fn has_bytes(connection: impl AsFd) -> bool {
    let peeked = recv(connection, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    matches!(peeked, Ok((1.., _)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(100);

    /// A set of at most so many connections, and the listening socket.
    fn set(most: usize) -> (IdleSet<TcpStream>, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let most = NonZeroUsize::new(most).unwrap();
        (IdleSet::new(&listener, most).unwrap(), listener)
    }

    /// Connects a client, and returns both ends.
    fn connect(set: &IdleSet<TcpStream>, listener: &TcpListener) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        match next(set) {
            Arrival::New(accepted) => (client, accepted),
            Arrival::Idle(connection) => panic!("{connection:?} in place of a new one"),
        }
    }

    /// Adds a connection with a new client, and returns the client.
    fn add(set: &IdleSet<TcpStream>, listener: &TcpListener, idle: Duration) -> TcpStream {
        let (client, accepted) = connect(set, listener);
        set.insert(accepted, Instant::now() + idle, Until::Readable)
            .unwrap();
        client
    }

    fn next(set: &IdleSet<TcpStream>) -> Arrival<TcpStream> {
        loop {
            if let Some(arrival) = set.wait(|| ()).unwrap() {
                return arrival;
            }
        }
    }

    fn next_idle(set: &IdleSet<TcpStream>) -> TcpStream {
        match next(set) {
            Arrival::Idle(connection) => connection,
            Arrival::New(connection) => panic!("{connection:?} is new"),
        }
    }

    fn is_closed(client: &mut TcpStream) -> bool {
        matches!(client.read(&mut [0]), Ok(0))
    }

    /// Reads `N` bytes.
    fn bytes<const N: usize>(mut connection: &TcpStream) -> [u8; N] {
        let mut bytes = [0; N];
        connection.read_exact(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn connections_come_in_the_order_in_which_they_became_ready() {
        let (set, listener) = set(3);
        let mut clients: Vec<_> = (0..3).map(|_| add(&set, &listener, LONG)).collect();
        for (index, name) in [(2, b'c'), (0, b'a'), (1, b'b')] {
            clients[index].write_all(&[name]).unwrap();
        }
        let order = [(); 3].map(|()| bytes::<1>(&next_idle(&set)));
        assert_eq!(order, [*b"c", *b"a", *b"b"]);
    }

    #[test]
    fn new_connections_come_in_a_row_but_not_before_a_ready_one_for_ever() {
        let (set, listener) = set(1);
        let mut kept = add(&set, &listener, LONG);
        let address = listener.local_addr().unwrap();
        let new: Vec<_> = (0..2 * BATCH)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        kept.write_all(b"request").unwrap();
        let mut before = 0;
        while let Arrival::New(_) = next(&set) {
            before += 1;
        }
        assert!((2..=BATCH).contains(&before), "{before}");
        for _ in before..new.len() {
            assert!(matches!(next(&set), Arrival::New(_)));
        }
    }

    #[test]
    fn a_connection_comes_again_after_it_was_added_again() {
        let (set, listener) = set(1);
        let mut client = add(&set, &listener, LONG);
        for _ in 0..3 {
            client.write_all(b"request").unwrap();
            let connection = next_idle(&set);
            assert_eq!(&bytes(&connection), b"request");
            let deadline = Instant::now() + LONG;
            set.insert(connection, deadline, Until::Readable).unwrap();
        }
        drop(client);
        assert!(is_closed(&mut next_idle(&set)));
    }

    #[test]
    fn a_connection_with_a_next_turn_comes_without_bytes_after_the_others() {
        let (set, listener) = set(2);
        let mut waits = add(&set, &listener, LONG);
        let (_client, has_turn) = connect(&set, &listener);
        waits.write_all(b"a").unwrap();
        let name = has_turn.peer_addr().unwrap();
        let deadline = Instant::now() + LONG;
        set.insert(has_turn, deadline, Until::NextTurn).unwrap();
        assert_eq!(&bytes(&next_idle(&set)), b"a");
        assert_eq!(next_idle(&set).peer_addr().unwrap(), name);
    }

    #[test]
    fn threads_share_what_was_ready_unless_one_of_them_sleeps() {
        let (set, listener) = set(4);
        let mut clients: Vec<_> = (0..4).map(|_| add(&set, &listener, LONG)).collect();
        let send_both = |clients: &mut [TcpStream]| {
            clients
                .iter_mut()
                .for_each(|client| client.write_all(b"a").unwrap());
        };
        send_both(&mut clients[..2]);
        let peer = |connection: TcpStream| connection.peer_addr().unwrap();
        let mut served = vec![peer(next_idle(&set))];
        assert_eq!(set.members().ready.len(), 1);
        served.push(thread::scope(|scope| {
            let other = scope.spawn(|| peer(next_idle(&set)));
            other.join().unwrap()
        }));
        // Nothing would wake it up for what another thread has taken.
        set.members().sleeping = 1;
        send_both(&mut clients[2..]);
        for _ in 2..4 {
            served.push(peer(next_idle(&set)));
            assert!(set.members().ready.is_empty());
        }
        let expected = clients.iter().map(|client| client.local_addr().unwrap());
        assert_eq!(served, expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_thread_sleeps_only_if_nothing_is_there() {
        let (set, listener) = set(1);
        let mut client = add(&set, &listener, LONG);
        client.write_all(b"a").unwrap();
        let sleeps = || panic!("a request is there");
        assert!(matches!(set.wait(sleeps), Ok(None)), "no second connection");
        assert!(matches!(set.wait(sleeps), Ok(Some(Arrival::Idle(_)))));
        let mut new = None;
        let arrival = set.wait(|| {
            assert_eq!(set.members().sleeping, 1);
            new = Some(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        });
        assert!(matches!(arrival, Ok(Some(Arrival::New(_)))));
        assert!(new.is_some());
        assert_eq!(set.members().sleeping, 0);
    }

    #[test]
    fn connections_come_at_their_deadlines_in_order() {
        let (set, listener) = set(3);
        let start = Instant::now();
        let clients = [3, 1, 2].map(|times| add(&set, &listener, SHORT * times));
        let mut expected = [1, 2, 0].map(|index| clients[index].local_addr().unwrap());
        for (times, expected) in (1..).zip(&mut expected) {
            let connection = next_idle(&set);
            assert_eq!(connection.peer_addr().unwrap(), *expected);
            assert!(start.elapsed() >= SHORT * times);
        }
        // The timer works again.
        let _client = add(&set, &listener, SHORT);
        next_idle(&set);
        assert!(start.elapsed() < LONG / 2);
    }

    #[test]
    fn the_timer_works_again_after_it_found_no_connection() {
        let (set, listener) = set(1);
        let client = add(&set, &listener, SHORT);
        drop(client);
        next_idle(&set);
        // The timer, whose connection is gone.
        assert!(set.wait(|| ()).unwrap().is_none());
        let later = add(&set, &listener, SHORT);
        let (sender, expired) = channel();
        thread::scope(|scope| {
            scope.spawn(|| sender.send(next_idle(&set).peer_addr().unwrap()));
            let came = expired.recv_timeout(LONG / 6);
            // Otherwise the thread would wait forever.
            later.shutdown(std::net::Shutdown::Both).unwrap();
            assert_eq!(came.unwrap(), later.local_addr().unwrap());
        });
    }

    #[test]
    fn the_oldest_connection_makes_room_unless_it_has_a_request() {
        let (set, listener) = set(2);
        // The deadline does not matter.
        let mut clients = [3, 2, 1].map(|times| add(&set, &listener, LONG * times));
        assert!(is_closed(&mut clients[0]));
        clients[1].write_all(b"request").unwrap();
        let (_client, accepted) = connect_beside_requests(&set, &listener);
        let refused = set.insert(accepted, Instant::now() + LONG, Until::Readable);
        assert!(refused.is_err(), "a request would be lost");
        assert!(!set.close_oldest());
        let number = *set.members().connections.keys().next().unwrap();
        let connection = set.members().remove(number).unwrap();
        assert_eq!(&bytes(&connection), b"request");
        assert!(set.close_oldest());
        assert!(is_closed(&mut clients[2]));
        assert!(!set.close_oldest());
    }

    #[test]
    fn a_connection_with_a_next_turn_does_not_make_room() {
        let (set, listener) = set(1);
        let (_client, has_turn) = connect(&set, &listener);
        let deadline = Instant::now() + LONG;
        set.insert(has_turn, deadline, Until::NextTurn).unwrap();
        assert!(!set.close_oldest(), "a request would be lost");
        let connection = next_idle(&set);
        set.insert(connection, deadline, Until::Readable).unwrap();
        assert!(set.close_oldest());
    }

    /// Accepts without a wait, which would return the connection with a request.
    fn connect_beside_requests(
        set: &IdleSet<TcpStream>,
        listener: &TcpListener,
    ) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, set.accept().unwrap().unwrap())
    }

    #[test]
    fn closed_connections_leave_the_set_for_good() {
        let (set, listener) = set(8);
        let mut clients: Vec<_> = (0..3).map(|_| add(&set, &listener, LONG)).collect();
        set.close_idle();
        for client in &mut clients {
            assert!(is_closed(client));
        }
        let (_client, accepted) = connect(&set, &listener);
        let refused = set.insert(accepted, Instant::now() + LONG, Until::Readable);
        assert!(refused.is_err());
    }

    #[test]
    fn connections_with_requests_are_taken_after_the_others_are_closed() {
        let (set, listener) = set(8);
        let mut clients: Vec<_> = (0..4).map(|_| add(&set, &listener, LONG)).collect();
        for number in [3, 1] {
            clients[number].write_all(&[number as u8]).unwrap();
        }
        let taken: Vec<_> = (0..2).map(|_| set.take_last().unwrap()).collect();
        assert_eq!(bytes(&taken[0]), [1]);
        assert_eq!(bytes(&taken[1]), [3]);
        assert!(set.take_last().is_none());
        assert!(is_closed(&mut clients[0]) && is_closed(&mut clients[2]));
    }

    /// Returns how often each of some threads got something from the set. They end when the gateway no longer listens.
    fn waiting_threads(
        set: &IdleSet<TcpStream>,
        count: usize,
        work: impl Fn() + Sync,
    ) -> Vec<usize> {
        let work = || {
            let mut arrivals = 0;
            while let Ok(arrival) = set.wait(|| ()) {
                if arrival.is_some() {
                    arrivals += 1;
                    work();
                }
            }
            arrivals
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        })
    }

    #[test]
    fn each_connection_wakes_one_thread_and_the_end_of_listening_wakes_all() {
        const CLIENTS: usize = 40;
        let (set, listener) = set(CLIENTS);
        let set = &set;
        let address = listener.local_addr().unwrap();
        let (sender, done): (_, Receiver<()>) = channel();
        thread::scope(|scope| {
            let threads = scope.spawn(move || {
                waiting_threads(set, 8, || {
                    let _ = sender.send(());
                })
            });
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| TcpStream::connect(address).unwrap())
                .collect();
            (0..CLIENTS).for_each(|_| done.recv_timeout(LONG).unwrap());
            crate::gateway::listener::close(&listener);
            let arrivals = threads.join().unwrap();
            assert_eq!(arrivals.iter().sum::<usize>(), CLIENTS, "{arrivals:?}");
            drop(clients);
        });
    }
}
