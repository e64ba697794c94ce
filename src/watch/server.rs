//! A watched server: its processes, threads and connections, and its counters.

mod look;
mod scan;
mod settling;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;

use thread_states::{Nanos, State, Timestamp};

use super::diag::{SocketKind, TcpSocket};
use super::motion::Motion;
use super::permissions::{Missing, Permissions};
use super::proc_files::{Inode, Pid, Tid};
use super::process::{KnownSockets, ObservedProcess};
use super::reading::{WatchReading, WatchThreadReading};
use super::slots::{OTHER, Slot, take_slot};
use super::sockets::{Connections, Requests};
use super::target::NamedTarget;
use super::thread::ObservedThread;

/// A thread that has done less than this since it is watched is a helper that waits, and has no series.
const SHOWN_FROM: Nanos = Nanos::from_millis(10);
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

/// A server.
#[derive(Debug)]
pub(super) struct ObservedServer {
    /// Its name, and the processes that belong to it.
    pub named: NamedTarget,
    /// When it began to be watched.
    pub began: Timestamp,
    all_threads: bool,
    roots: BTreeSet<Pid>,
    root_sockets: HashSet<Inode>,
    processes: BTreeMap<Pid, ObservedProcess>,
    threads: BTreeMap<(Pid, Tid), ObservedThread>,
    /// Of each process, which threads have to be read.
    motions: BTreeMap<Pid, Motion>,
    /// A thread has run since the last scan.
    has_run: bool,
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
            motions: BTreeMap::new(),
            has_run: true,
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

    /// Returns true if it has a process.
    pub(super) fn has_processes(&self) -> bool {
        !self.processes.is_empty()
    }

    /// Numbers of its processes.
    pub(super) fn pids(&self) -> impl Iterator<Item = Pid> {
        self.processes.keys().copied()
    }

    /// Reads the counters of the threads that may have moved. Returns true if any has.
    pub(super) fn tick(&mut self, listeners: &Listeners) -> bool {
        let sockets = KnownSockets {
            listeners: &listeners.inodes,
            clients: &self.clients,
        };
        let (mut has_run, mut ended) = (false, Vec::new());
        for (pid, motion) in &mut self.motions {
            let Some(process) = self.processes.get_mut(pid) else {
                continue;
            };
            let still_until = motion.still_until;
            has_run |= motion.tick(|tid| {
                let thread = self.threads.get_mut(&(*pid, tid));
                let thread = thread.ok_or(io::ErrorKind::NotFound)?;
                let read = thread.tick(process, sockets, still_until);
                read.inspect_err(|_| ended.push((*pid, tid)))
            });
        }
        for key in ended {
            self.end_thread(key);
        }
        if has_run {
            self.has_run = true;
            self.note_closed();
            self.update();
        }
        has_run
    }

    /// Brings times and states up to the last tick.
    fn update(&mut self) {
        self.update_those(|_| true);
        self.give_slots();
    }

    /// Brings times and states of these threads up to the last tick.
    fn update_those(&mut self, chosen: impl Fn(&ObservedThread) -> bool + Copy) {
        self.update_times(chosen);
        self.set_states(chosen);
    }

    /// Brings the times of these threads up to the last tick, but for waits that only a look can settle.
    fn update_times(&mut self, chosen: impl Fn(&ObservedThread) -> bool + Copy) {
        for (pid, motion) in &self.motions {
            let Some(process) = self.processes.get(pid) else {
                continue;
            };
            let of_process = self.threads.range_mut((*pid, 0)..=(*pid, Tid::MAX));
            for (_, thread) in of_process.filter(|(_, thread)| chosen(thread)) {
                thread.update(&process.homes, motion.still_until);
            }
        }
        self.settle_blocked(chosen);
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

    /// Data that cannot be read, of its processes and of the sockets.
    pub(super) fn missing(&self, missing_sockets: Option<Missing>) -> Vec<Missing> {
        let mut missing = self.permissions.missing();
        missing.extend(missing_sockets);
        missing
    }

    /// The server up to now.
    pub(super) fn read(&mut self, missing_sockets: Option<Missing>) -> WatchReading {
        // The others were brought up to date when one of the server's threads last moved, or at the last look.
        self.update_those(|thread| thread.slot.is_some());
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
        WatchReading {
            at: Timestamp::now(),
            began: self.began,
            threads: threads.into_values().collect(),
            requests_in_flight: open as u64,
            queued_in_accept: self.requests.in_accept_queue,
            queued_unread: self.requests.unread,
            oldest_queued: self.requests.oldest_queued,
            accept_queue: self.accept_queue,
            missing: self.missing(missing_sockets),
            has_processes: self.has_processes(),
            ties: self.connections.ties(),
            lost_threads: self.lost_threads,
        }
    }
}

fn process_pid(owners: &HashMap<Inode, Pid>, inode: Inode) -> Pid {
    owners.get(&inode).copied().unwrap_or_default()
}
