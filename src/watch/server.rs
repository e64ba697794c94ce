//! A watched server: its processes, threads and connections, and its counters.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use thread_states::waits::On;
use thread_states::{Nanos, State, Timestamp};

use super::diag::{SocketKind, TcpSocket};
use super::homes::Place;
use super::ledger::{HOLD_BACK, Slice};
use super::permissions::{Missing, Permissions};
use super::proc_files::{Inode, Pid, Stat, Tid, threads};
use super::process::{KnownSockets, ObservedProcess};
use super::reading::{WatchReading, WatchThreadReading};
use super::settle::{Facts, InFlightSpan, Settled};
use super::site::Site;
use super::sockets::{Connections, Request, Requests};
use super::target::NamedTarget;
use super::thread::ObservedThread;
use super::tree;

/// Threads that have series of their own; the others of a server share those of [`OTHER`].
pub(super) const MOST_SLOTS: usize = 64;
/// Place of the threads above [`MOST_SLOTS`].
pub(super) const OTHER: usize = usize::MAX;
/// The most threads of one server that are watched.
pub(super) const MOST_THREADS: usize = 4_096;
/// A thread that has done less than this since it is watched is a helper that waits, and has no series.
const SHOWN_FROM: Nanos = Nanos::from_millis(10);
/// Scans in a row without a process for a listening socket that say more than that one has just ended.
const UNFOUND: u32 = 5;
/// The most connections of a process that are looked at each tick for whether they are closed.
const MOST_CLOSE_CHECKS: usize = 16;

/// The listening sockets of this network namespace, with the connections that wait in each.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// By inode.
    pub sockets: HashMap<Inode, TcpSocket>,
    /// The inodes.
    pub inodes: HashSet<Inode>,
}

impl Listeners {
    /// Those among these sockets.
    pub(super) fn of(sockets: &[TcpSocket]) -> Self {
        let listening = sockets
            .iter()
            .filter(|socket| socket.kind == SocketKind::Listens);
        let sockets: HashMap<_, _> = listening.map(|socket| (socket.inode, *socket)).collect();
        Self {
            inodes: sockets.keys().copied().collect(),
            sockets,
        }
    }
}

/// Counters of one thread index; they go on when another thread takes the index.
#[derive(Debug, Default)]
struct Slot {
    /// The thread that has it.
    thread: Option<(Pid, Tid)>,
    /// The last thread that had it.
    pid: Pid,
    tid: Tid,
    comm: String,
    /// Time of the threads that have ended.
    ended: Settled,
}

/// Numbers of threads of one process that serve a request.
#[derive(Debug, Clone, Copy, Default)]
struct Attending {
    /// Away from a known home.
    known: usize,
    /// Without a known home, in a wait that is hardly one for work.
    likely: usize,
}

impl Attending {
    /// The number of those that come before a thread without a known home, which waits for this.
    fn beside(self, on: On) -> usize {
        // A new thread of a pool waits at a lock for its next request while another new one serves the last.
        match on {
            On::Lock => self.known + self.likely,
            _ => self.known,
        }
    }
}

/// A server.
#[derive(Debug)]
pub(super) struct ObservedServer {
    /// Its name, and the processes that belong to it.
    pub named: NamedTarget,
    began: Timestamp,
    all_threads: bool,
    roots: BTreeSet<Pid>,
    root_sockets: HashSet<Inode>,
    processes: BTreeMap<Pid, ObservedProcess>,
    threads: BTreeMap<(Pid, Tid), ObservedThread>,
    /// Threads that have ended and whose last slices are not settled.
    ended: Vec<ObservedThread>,
    connections: Connections,
    clients: HashSet<Inode>,
    owners: HashMap<Inode, Pid>,
    /// Inodes that no process of the server has; so they are not searched for at each look.
    unowned: HashSet<Inode>,
    listening: HashSet<Inode>,
    ports: HashSet<u16>,
    slots: BTreeMap<usize, Slot>,
    last_look: Timestamp,
    requests: Requests,
    permissions: Permissions,
    scans: u64,
    /// When children of all threads were last looked for.
    searched_at: Timestamp,
    lost_threads: u64,
    /// Scans in a row at which no process was found for a listening socket.
    unfound: u32,
    accept_queue: Option<(u64, u64)>,
}

impl ObservedServer {
    /// A server whose processes are not known yet.
    pub(super) fn new(named: NamedTarget, all_threads: bool) -> Self {
        Self {
            named,
            began: Timestamp::now(),
            all_threads,
            roots: BTreeSet::new(),
            root_sockets: HashSet::new(),
            processes: BTreeMap::new(),
            threads: BTreeMap::new(),
            ended: Vec::new(),
            connections: Connections::default(),
            clients: HashSet::new(),
            owners: HashMap::new(),
            unowned: HashSet::new(),
            listening: HashSet::new(),
            ports: HashSet::new(),
            slots: BTreeMap::new(),
            last_look: Timestamp::default(),
            requests: Requests::default(),
            permissions: Permissions::default(),
            scans: 0,
            searched_at: Timestamp::default(),
            lost_threads: 0,
            unfound: 0,
            accept_queue: None,
        }
    }

    /// Numbers of its processes.
    pub(super) fn pids(&self) -> impl Iterator<Item = Pid> {
        self.processes.keys().copied()
    }

    /// Looks for processes and threads that are new or have ended. `listening` are the listening sockets of the namespace.
    pub(super) fn scan(&mut self, listening: &[TcpSocket], now: Timestamp) {
        const EVERY_SO_MANY: u64 = 10;
        // Scans may be seconds apart.
        const LONGEST: Nanos = Nanos::from_millis(4_000);
        let rarely = self.scans.is_multiple_of(EVERY_SO_MANY)
            || now.duration_since(self.searched_at) >= LONGEST;
        self.scans += 1;
        if rarely {
            self.searched_at = now;
        }
        self.choose(listening, rarely);
        let tree = tree::with_descendants(&self.roots, rarely);
        let is_first = self.processes.is_empty() && self.threads.is_empty();
        // A number may belong to another process by now.
        let mut stats: BTreeMap<Pid, Stat> = tree
            .iter()
            .filter_map(|pid| Some((*pid, Stat::of_process(*pid)?)))
            .collect();
        if !rarely {
            // Of the children that another thread than the first has started, only those that are known are found.
            let known = self.processes.iter();
            stats.extend(known.filter_map(|(pid, process)| {
                let stat = Stat::of_process(*pid)?;
                (stat.start_ticks == process.start_ticks).then_some((*pid, stat))
            }));
        }
        self.processes.retain(|pid, process| {
            stats
                .get(pid)
                .is_some_and(|stat| stat.start_ticks == process.start_ticks)
        });
        let gone: Vec<_> = self
            .threads
            .keys()
            .filter(|(pid, _)| !self.processes.contains_key(pid))
            .copied()
            .collect();
        for key in gone {
            self.end_thread(key);
        }
        for (pid, stat) in &stats {
            // After `execve`, what was known of the process is no longer true. Its first thread goes on if it made the
            // call itself.
            let is_known = |process: &ObservedProcess| process.start_stack == stat.start_stack;
            if !self.processes.get(pid).is_some_and(is_known) {
                let is_root = self.roots.contains(pid);
                let process = ObservedProcess::new(*pid, stat, is_root, now);
                self.processes.insert(*pid, process);
                self.read_sockets(*pid);
                self.rename(*pid, &stat.comm);
            }
            self.scan_threads(*pid, !is_first && self.last_look > Timestamp::default());
        }
        if rarely {
            self.unowned.clear();
        }
    }

    /// Sets the name of the first thread of a process.
    fn rename(&mut self, pid: Pid, comm: &str) {
        let Some(thread) = self.threads.get_mut(&(pid, pid)) else {
            return;
        };
        comm.clone_into(&mut thread.comm);
        if let Some(slot) = thread.slot.and_then(|index| self.slots.get_mut(&index)) {
            comm.clone_into(&mut slot.comm);
        }
    }

    /// Chooses its processes again, if those chosen have ended or others may have appeared.
    fn choose(&mut self, listening: &[TcpSocket], rarely: bool) {
        use super::target::Target;
        self.roots.retain(|pid| {
            let process = self.processes.get(pid);
            process.is_some_and(|p| {
                Stat::of_process(*pid).is_some_and(|s| s.start_ticks == p.start_ticks)
            })
        });
        let sockets: HashSet<Inode> = match &self.named.target {
            Target::Port(port) => {
                let on_port = listening
                    .iter()
                    .filter(|socket| socket.local.port() == *port);
                on_port.map(|socket| socket.inode).collect()
            }
            _ => HashSet::new(),
        };
        let is_due = match &self.named.target {
            Target::Pid(_) => self.roots.is_empty(),
            Target::Port(_) => self.roots.is_empty() || sockets != self.root_sockets,
            Target::Command(_) => rarely,
        };
        if is_due {
            self.roots
                .extend(tree::chosen(&self.named.target, listening));
            // Somebody has these sockets. If nobody is found again and again, descriptors are hidden.
            let is_hidden = !sockets.is_empty() && self.roots.is_empty();
            self.unfound = if is_hidden { self.unfound + 1 } else { 0 };
            if self.unfound > UNFOUND {
                self.permissions.note_descriptors(false);
            }
            self.root_sockets = sockets;
        }
    }

    fn scan_threads(&mut self, pid: Pid, knows_start: bool) {
        let tids: BTreeSet<Tid> = threads(pid).unwrap_or_default().into_iter().collect();
        let known = self
            .threads
            .range((pid, 0)..=(pid, Tid::MAX))
            .map(|(key, _)| *key);
        let gone: Vec<_> = known.filter(|(_, tid)| !tids.contains(tid)).collect();
        for key in gone {
            self.end_thread(key);
        }
        for tid in tids {
            if self.threads.contains_key(&(pid, tid)) {
                continue;
            }
            if self.threads.len() >= MOST_THREADS {
                self.lost_threads += 1;
                continue;
            }
            self.add_thread(pid, tid, knows_start);
        }
    }

    fn add_thread(&mut self, pid: Pid, tid: Tid, knows_start: bool) {
        let Some(stat) = Stat::of_thread(pid, tid) else {
            return;
        };
        // Only of a thread that began under our eyes is it known where it has waited since.
        let started =
            started_at(stat.start_ticks).filter(|at| knows_start && *at >= self.last_scan_bound());
        if let Ok(thread) = ObservedThread::open(pid, tid, stat.comm, started) {
            self.threads.insert((pid, tid), thread);
        }
    }

    /// The earliest start of a thread that can have begun since the scan before.
    fn last_scan_bound(&self) -> Timestamp {
        self.last_look - Nanos::from_millis(3_000)
    }

    fn end_thread(&mut self, key: (Pid, Tid)) {
        if let Some(thread) = self.threads.remove(&key) {
            if let Some(process) = self.processes.get_mut(&key.0) {
                process.homes.forget(key.1);
                // It has run at least to its end.
                process.last_ran = Timestamp::now();
            }
            self.ended.push(thread);
        }
    }

    /// Reads which sockets a process has.
    fn read_sockets(&mut self, pid: Pid) {
        let Some(process) = self.processes.get_mut(&pid) else {
            return;
        };
        let clients = &self.clients;
        let readable = process.read_sockets(|inode| clients.contains(&inode));
        self.permissions.note_descriptors(readable);
        self.permissions.note_memory(process.has_memory());
        for inode in process.sockets() {
            self.owners.insert(inode, pid);
        }
    }

    /// Its listening sockets are those that its processes have among all of the namespace.
    fn set_listening(&mut self, listeners: &Listeners) {
        let own: HashSet<Inode> = self
            .processes
            .values()
            .flat_map(ObservedProcess::sockets)
            .filter(|inode| listeners.inodes.contains(inode))
            .collect();
        self.ports = own
            .iter()
            .filter_map(|inode| Some(listeners.sockets.get(inode)?.local.port()))
            .collect();
        self.listening = own;
    }

    /// Sets the length of its accept queues.
    pub(super) fn set_accept_queue(&mut self, listeners: &Listeners) {
        let own = self
            .listening
            .iter()
            .filter_map(|inode| listeners.sockets.get(inode));
        let sums = own.map(|socket| {
            (
                u64::from(socket.receive_queue),
                u64::from(socket.send_queue),
            )
        });
        self.accept_queue = sums.reduce(|sum, queue| (sum.0 + queue.0, sum.1 + queue.1));
    }

    /// Reads the counters of every thread. Returns true if any has run.
    pub(super) fn tick(&mut self, listeners: &Listeners) -> bool {
        let sockets = KnownSockets {
            listeners: &listeners.inodes,
            clients: &self.clients,
        };
        let (mut any_ran, mut ended) = (false, Vec::new());
        for (key, thread) in &mut self.threads {
            let Some(process) = self.processes.get_mut(&key.0) else {
                continue;
            };
            match thread.tick(process, sockets) {
                Ok(ran) => any_ran |= ran,
                Err(_) => ended.push(*key),
            }
        }
        any_ran |= !ended.is_empty();
        for key in ended {
            self.end_thread(key);
        }
        self.note_closed();
        self.settle_blocked();
        self.set_states();
        self.give_slots();
        any_ran
    }

    /// Notes which connections with a request in flight were closed just now.
    fn note_closed(&mut self) {
        let open: Vec<Inode> = self.connections.open_inodes().collect();
        let now = Timestamp::now();
        let mut checks: HashMap<Pid, usize> = HashMap::new();
        for inode in open {
            let Some(process) = self
                .owners
                .get(&inode)
                .and_then(|pid| self.processes.get(pid))
            else {
                continue;
            };
            let checks = checks.entry(process_pid(&self.owners, inode)).or_default();
            *checks += 1;
            // Only a process that has run can have closed one.
            let may_have =
                *checks <= MOST_CLOSE_CHECKS && process.last_ran >= self.last_tick_bound(now);
            if may_have && process.has_closed(inode) {
                self.connections.closed(inode, now);
            }
        }
    }

    fn last_tick_bound(&self, now: Timestamp) -> Timestamp {
        now - Nanos::from_millis(25)
    }

    /// Settles the waits that need no look at the sockets: away from a known home, a thread is blocked.
    fn settle_blocked(&mut self) {
        for thread in self.threads.values_mut() {
            let Some(process) = self.processes.get(&thread.pid) else {
                continue;
            };
            let (homes, tid, now) = (&process.homes, thread.tid, thread.place);
            let present = thread.ledger.wait().map(|(wait, _)| Arc::clone(wait));
            let place = |slice: &Slice| match &present {
                Some(wait) if Arc::ptr_eq(wait, &slice.wait) => now,
                _ => homes.place(tid, &slice.wait),
            };
            let decided = |slice: &Slice| match place(slice) {
                Place::Away => slice.wait.on != On::Client,
                Place::Home | Place::Hidden => true,
                Place::Loop | Place::Unknown => false,
            };
            let until = thread.ledger.at() - HOLD_BACK;
            let loop_fd = thread.loop_fd;
            for slice in thread.ledger.take_slices(until, |slice| {
                decided(slice) && !(loop_fd.is_some() && slice.wait.on == On::Lock)
            }) {
                thread
                    .settled
                    .add_slice(&slice, place(&slice), &Facts::BLIND);
            }
        }
    }

    /// The ports on which it listens, for a look at their connections.
    pub(super) fn listening_ports(&mut self, listeners: &Listeners) -> &HashSet<u16> {
        if self.last_look == Timestamp::default()
            || !self.listening.is_subset(&listeners.inodes)
            || self.listening.is_empty()
        {
            for pid in self.processes.keys().copied().collect::<Vec<_>>() {
                self.read_sockets(pid);
            }
        }
        self.set_listening(listeners);
        &self.ports
    }

    /// Takes a look at the connections to its ports, and settles all time up to it.
    pub(super) fn look(&mut self, sockets: &[TcpSocket], listeners: &Listeners, now: Timestamp) {
        self.set_accept_queue(listeners);
        let ports = &self.ports;
        let own: Vec<&TcpSocket> = sockets
            .iter()
            .filter(|socket| {
                socket.kind != SocketKind::Listens && ports.contains(&socket.local.port())
            })
            .collect();
        self.clients = own
            .iter()
            .map(|socket| socket.inode)
            .filter(|inode| *inode > 0)
            .collect();

        let (owners, processes) = (&self.owners, &self.processes);
        let last_ran = |inode: Inode| Some(processes.get(owners.get(&inode)?)?.last_ran);
        self.requests = self.connections.look(own, now, self.last_look, last_ran);
        self.find_owners();
        self.find_loops(listeners, now);
        self.assign_requests(now);
        self.learn(now);
        self.settle(now);
        let (clients, connections) = (&self.clients, &self.connections);
        let is_known = |inode| clients.contains(&inode) || connections.is_client(inode);
        self.owners.retain(|inode, _| is_known(*inode));
        for process in self.processes.values_mut() {
            process.keep_connections(is_known);
        }
        self.last_look = now;
    }

    /// Finds the processes that hold connections with requests, where they are not known.
    fn find_owners(&mut self) {
        let is_unknown = |request: &Request| {
            !self.owners.contains_key(&request.inode) && !self.unowned.contains(&request.inode)
        };
        let unknown: Vec<Inode> = self
            .requests
            .requests
            .iter()
            .filter(|r| is_unknown(r))
            .map(|r| r.inode)
            .collect();
        if unknown.is_empty() {
            return;
        }
        for pid in self.processes.keys().copied().collect::<Vec<_>>() {
            self.read_sockets(pid);
        }
        let unowned = unknown
            .into_iter()
            .filter(|inode| !self.owners.contains_key(inode));
        self.unowned.extend(unowned);
    }

    /// Finds the event loops that serve connections with requests, where they are not known.
    fn find_loops(&mut self, listeners: &Listeners, now: Timestamp) {
        let sockets = KnownSockets {
            listeners: &listeners.inodes,
            clients: &self.clients,
        };
        for request in &self.requests.requests {
            let owner = self.owners.get(&request.inode);
            if let Some(process) = owner.and_then(|pid| self.processes.get_mut(pid)) {
                process.find_loop(request.inode, now, sockets);
            }
        }
    }

    fn assign_requests(&mut self, now: Timestamp) {
        for process in self.processes.values_mut() {
            process.requests.turn();
            process
                .of_loops
                .values_mut()
                .for_each(super::process::Spans::turn);
            process.open_requests = 0;
        }
        for request in &self.requests.requests {
            let owner = self.owners.get(&request.inode);
            let Some(process) = owner.and_then(|pid| self.processes.get_mut(pid)) else {
                continue;
            };
            let span = InFlightSpan {
                from: request.from,
                to: if request.open { now } else { request.to },
            };
            process.requests.push(span);
            process.open_requests += usize::from(request.open);
            if let Some(fd) = process.loop_of(request.inode) {
                process.of_loops.entry(fd).or_default().push(span);
            }
        }
        let clients = &self.clients;
        for process in self.processes.values_mut() {
            for (fd, span) in process.glimpses.look(|inode| clients.contains(&inode)) {
                process.requests.push(span);
                process.of_loops.entry(fd).or_default().push(span);
            }
        }
        for (pid, process) in &mut self.processes {
            if process.requests.has_new() {
                process.no_request_since = now;
            }
            let of_process = self
                .threads
                .range((*pid, 0)..=(*pid, Tid::MAX))
                .map(|(_, thread)| thread);
            let away = of_process.filter(|thread| {
                thread.ledger.wait().is_none()
                    || thread.place == Place::Away
                    || thread.is_likely_to_serve()
            });
            let held_by_a_loop = process
                .of_loops
                .values()
                .any(super::process::Spans::has_new);
            if process.open_requests > away.count() && !held_by_a_loop {
                process.surplus += 1;
            } else if process.open_requests > 0 {
                process.surplus = 0;
            }
        }
    }

    fn learn(&mut self, now: Timestamp) {
        for (pid, process) in &mut self.processes {
            let (ends, no_request_since) = (process.requests.ends(), process.no_request_since);
            for (_, thread) in self.threads.range_mut((*pid, 0)..=(*pid, Tid::MAX)) {
                if let Some((wait, quiet)) =
                    thread.quiet(no_request_since, &ends, self.last_look, now)
                {
                    process.homes.learn(thread.tid, &wait, quiet);
                }
            }
        }
    }

    /// Threads of a process that serve a request, as far as is known.
    fn attending(&self, pid: Pid) -> Attending {
        let Some(process) = self.processes.get(&pid) else {
            return Attending::default();
        };
        let mut attending = Attending::default();
        for (_, thread) in self.threads.range((pid, 0)..=(pid, Tid::MAX)) {
            let away = thread.ledger.wait().is_none() || thread.place == Place::Away;
            attending.known += usize::from(away && process.homes.has_home(thread.tid));
            attending.likely += usize::from(thread.is_likely_to_serve());
        }
        attending
    }

    fn settle(&mut self, now: Timestamp) {
        let attending: HashMap<Pid, Attending> = self
            .processes
            .keys()
            .map(|pid| (*pid, self.attending(*pid)))
            .collect();
        let sees_requests = self.permissions.sees_requests();
        let until = now - HOLD_BACK;
        for thread in self.threads.values_mut() {
            let Some(process) = self.processes.get(&thread.pid) else {
                continue;
            };
            let until = until.min(thread.ledger.at());
            settle_thread(
                thread,
                process,
                until,
                attending[&thread.pid],
                sees_requests,
            );
        }
        for mut thread in std::mem::take(&mut self.ended) {
            if let Some(process) = self.processes.get(&thread.pid) {
                let attending = attending[&thread.pid];
                settle_thread(
                    &mut thread,
                    process,
                    Timestamp::from_nanos(u64::MAX),
                    attending,
                    sees_requests,
                );
            }
            self.retire(&thread);
        }
    }

    /// Keeps the time of a thread that has ended under its index.
    fn retire(&mut self, thread: &ObservedThread) {
        let is_shown = thread.busy() >= SHOWN_FROM;
        let index = thread
            .slot
            .or_else(|| is_shown.then(|| take_slot(&mut self.slots, thread)));
        let Some(slot) = index.and_then(|index| self.slots.get_mut(&index)) else {
            return;
        };
        slot.ended.add(&thread.settled);
        slot.thread = None;
    }

    /// States at this moment, by what the last look has shown.
    fn set_states(&mut self) {
        let now = Timestamp::now();
        let sees_requests = self.permissions.sees_requests();
        let mut attending: HashMap<Pid, Attending> = HashMap::new();
        let unknown: HashSet<Pid> = self
            .threads
            .values()
            .filter(|t| t.place == Place::Unknown)
            .map(|t| t.pid)
            .collect();
        for pid in unknown {
            attending.insert(pid, self.attending(pid));
        }
        for thread in self.threads.values_mut() {
            let Some(process) = self.processes.get(&thread.pid) else {
                continue;
            };
            let has_requests = process.open_requests > 0;
            let in_loop = |fd| {
                loop_spans(process, fd).is_some_and(super::process::Spans::has_new) && has_requests
            };
            let Some((wait, since)) = thread.ledger.wait() else {
                thread.set_state(Some(State::Running), now);
                continue;
            };
            let known = |condition: bool, state| Some(if condition { state } else { State::Idle });
            let state = match thread.place {
                Place::Hidden => None,
                Place::Away if wait.on != On::Client => Some(State::Blocked),
                Place::Home if thread.loop_fd.is_none() || wait.on != On::Lock => Some(State::Idle),
                _ if !sees_requests => None,
                Place::Home => known(thread.loop_fd.is_some_and(in_loop), State::Awaiting),
                Place::Loop => {
                    let serves = match &wait.site {
                        Site::Epoll(fd) => in_loop(*fd),
                        _ => has_requests,
                    };
                    known(serves, State::Awaiting)
                }
                Place::Away => known(has_requests, State::Blocked),
                Place::Unknown => {
                    let spans = process.requests.as_slice().iter();
                    let before = spans
                        .filter(|span| span.to >= self.last_look && span.from <= since)
                        .count();
                    let others = attending[&thread.pid].beside(wait.on);
                    known(before > others, State::Blocked)
                }
            };
            thread.set_state(state, now);
        }
    }

    /// Gives threads that have done something a place among the server's.
    fn give_slots(&mut self) {
        for (key, thread) in &mut self.threads {
            if thread.slot.is_some() {
                continue;
            }
            let serves = |process: &ObservedProcess| {
                let mut sockets = process.sockets();
                process.is_root || sockets.any(|inode| self.listening.contains(&inode))
            };
            let is_shown = self.all_threads
                || thread.busy() >= SHOWN_FROM
                || (key.0 == key.1 && self.processes.get(&key.0).is_some_and(serves));
            if !is_shown {
                continue;
            }
            let index = take_slot(&mut self.slots, thread);
            thread.slot = Some(index);
        }
        self.permissions
            .note_sites(self.threads.values().map(ObservedThread::is_hidden));
    }

    /// The server up to now.
    pub(super) fn read(&self, missing_sockets: Option<Missing>) -> WatchReading {
        let mut threads: BTreeMap<usize, WatchThreadReading> = self
            .slots
            .iter()
            .map(|(index, slot)| {
                let mut reading = WatchThreadReading {
                    index: (*index != OTHER).then_some(*index),
                    pid: slot.pid,
                    tid: slot.tid,
                    comm: slot.comm.clone(),
                    settled: slot.ended,
                    state: None,
                    state_since: Timestamp::default(),
                    waits_on: None,
                };
                // Settled at the next look.
                for thread in self
                    .ended
                    .iter()
                    .filter(|thread| thread.slot == Some(*index))
                {
                    reading.settled.add(&thread.settled);
                }
                (*index, reading)
            })
            .collect();
        for thread in self.threads.values() {
            let Some(reading) = thread.slot.and_then(|index| threads.get_mut(&index)) else {
                continue;
            };
            reading.settled.add(&thread.settled);
            if reading.index.is_some() {
                (reading.state, reading.state_since) = (thread.state, thread.state_since);
                let is_blocked = thread.state == Some(State::Blocked);
                let wait = thread.ledger.wait().filter(|_| is_blocked);
                reading.waits_on = wait.map(|(wait, _)| wait.on);
            }
        }
        let open = self
            .requests
            .requests
            .iter()
            .filter(|request| request.open)
            .count();
        let mut missing = self.permissions.missing();
        missing.extend(missing_sockets);
        WatchReading {
            at: Timestamp::now(),
            began: self.began,
            threads: threads.into_values().collect(),
            requests_in_flight: open as u64,
            queued_in_accept: self.requests.in_accept_queue,
            queued_unread: self.requests.unread,
            oldest_queued: self.requests.oldest_queued,
            accept_queue: self.accept_queue,
            missing,
            has_processes: !self.processes.is_empty(),
            ties: self.connections.ties(),
            lost_threads: self.lost_threads,
        }
    }
}

/// Gives a thread the lowest index that no other has, and returns it.
fn take_slot(slots: &mut BTreeMap<usize, Slot>, thread: &ObservedThread) -> usize {
    let is_free = |index: &usize| slots.get(index).is_none_or(|slot| slot.thread.is_none());
    let index = (0..MOST_SLOTS).find(is_free).unwrap_or(OTHER);
    let slot = slots.entry(index).or_default();
    let key = (thread.pid, thread.tid);
    (slot.thread, slot.pid, slot.tid) = (Some(key), thread.pid, thread.tid);
    slot.comm.clone_from(&thread.comm);
    index
}

fn process_pid(owners: &HashMap<Inode, Pid>, inode: Inode) -> Pid {
    owners.get(&inode).copied().unwrap_or_default()
}

fn loop_spans(process: &ObservedProcess, fd: i32) -> Option<&super::process::Spans> {
    // A loop that keeps its requests out of its epoll set (gevent) has more of them than threads are away.
    const SURPLUS: u32 = 2;
    if process.surplus >= SURPLUS {
        return Some(&process.requests);
    }
    process.of_loops.get(&fd)
}

fn settle_thread(
    thread: &mut ObservedThread,
    process: &ObservedProcess,
    until: Timestamp,
    attending: Attending,
    sees_requests: bool,
) {
    for slice in thread.ledger.take_slices(until, |_| true) {
        let mut place = process.homes.place(thread.tid, &slice.wait);
        let fd = match slice.wait.site {
            Site::Epoll(fd) => Some(fd),
            _ => thread.loop_fd,
        };
        // A thread of a runtime waits for work in its event loop or, if another one does, at a lock.
        if place == Place::Home && slice.wait.on == On::Lock && thread.loop_fd.is_some() {
            place = Place::Loop;
        }
        let of_process = process.requests.as_slice();
        let of_loop = match slice.wait.site {
            Site::Descriptors(_) => of_process,
            _ => fd
                .and_then(|fd| loop_spans(process, fd))
                .map_or(&[][..], |spans| spans.as_slice()),
        };
        let facts = Facts {
            of_process,
            of_loop,
            attending: attending.beside(slice.wait.on),
            sees_requests,
        };
        thread.settled.add_slice(&slice, place, &facts);
    }
}

/// When a thread started, on the clock of [`Timestamp::now`].
fn started_at(ticks: u64) -> Option<Timestamp> {
    use rustix::time::{ClockId, clock_gettime};
    let boot = clock_gettime(ClockId::Boottime);
    let boot = Nanos::from_secs(boot.tv_sec.unsigned_abs())
        + Nanos::from_nanos(boot.tv_nsec.unsigned_abs());
    let started =
        Nanos::from_nanos(ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second()));
    Some(Timestamp::now() - boot.saturating_sub(started))
}
