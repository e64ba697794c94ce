//! Processes and threads that appear and end.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use thread_states::{Nanos, Timestamp};

use super::ObservedServer;
use super::settling::settle_decided;
use crate::watch::diag::TcpSocket;
use crate::watch::motion::Motion;
use crate::watch::proc_files::{Inode, Pid, Stat, Tid, thread_name, threads};
use crate::watch::process::ObservedProcess;
use crate::watch::target::Target;
use crate::watch::thread::ObservedThread;
use crate::watch::tree::{self, Holders};

/// The most threads of one server that are watched.
const MOST_THREADS: usize = 4_096;
/// Scans in a row without a process for a listening socket that say more than that one has just ended.
const UNFOUND: u32 = 5;

impl ObservedServer {
    /// Looks for processes and threads that are new or have ended. `listening` are the listening sockets of the namespace.
    pub(in crate::watch) fn scan(
        &mut self,
        listening: &[TcpSocket],
        holders: &Holders<'_>,
        now: Timestamp,
    ) {
        const EVERY_SO_MANY: u64 = 10;
        // Scans may be seconds apart.
        const LONGEST: Nanos = Nanos::from_millis(4_000);
        let rarely = self.scans.is_multiple_of(EVERY_SO_MANY)
            || now.duration_since(self.searched_at) >= LONGEST;
        self.scans += 1;
        if rarely {
            self.searched_at = now;
        }
        let sockets = self.target_sockets(listening);
        let has_run = std::mem::take(&mut self.has_run);
        // Only a thread that runs can start another one or a process, or end.
        if !rarely && !has_run && !self.is_choice_due(&sockets, rarely) {
            return;
        }
        self.choose(sockets, listening, holders, rarely);
        let tree = tree::with_descendants(&self.roots, rarely);
        let is_first = self.processes.is_empty() && self.threads.is_empty();
        // A number may belong to another process by now.
        let mut stats: BTreeMap<Pid, Stat> = tree
            .iter()
            .filter_map(|pid| Some((*pid, Stat::of_process(*pid)?)))
            .collect();
        if !rarely {
            // Of the children that another thread than the first has started, only those that are known are found.
            for (pid, process) in &self.processes {
                if !stats.contains_key(pid)
                    && let Some(stat) = Stat::of_process(*pid)
                    && stat.start_ticks == process.start_ticks
                {
                    stats.insert(*pid, stat);
                }
            }
        }
        let lives = |pid: &Pid, process: &ObservedProcess| {
            let stat = stats.get(pid);
            stat.is_some_and(|stat| stat.start_ticks == process.start_ticks)
        };
        let has_ended = |pid: &Pid| !self.processes.get(pid).is_some_and(|p| lives(pid, p));
        let gone: Vec<_> = self
            .threads
            .keys()
            .filter(|(pid, _)| has_ended(pid))
            .copied()
            .collect();
        for key in gone {
            self.end_thread(key);
        }
        self.processes.retain(|pid, process| lives(pid, process));
        let mut has_new = false;
        for (pid, stat) in &stats {
            // After `execve`, what was known of the process is no longer true. Its first thread goes on if it made the
            // call itself.
            let is_known = |process: &ObservedProcess| process.start_stack == stat.start_stack;
            if !self.processes.get(pid).is_some_and(is_known) {
                let is_root = self.roots.contains(pid);
                let process = ObservedProcess::new(*pid, stat, is_root, now);
                self.processes.insert(*pid, process);
                self.read_sockets(*pid);
                has_new = true;
            }
            self.scan_threads(*pid, !is_first && self.last_look > Timestamp::default());
        }
        if rarely {
            self.unowned.clear();
        }
        if rarely || has_new {
            self.read_names();
        }
        let elsewhere = self.processes.values().map(|process| process.is_elsewhere);
        self.permissions.note_namespaces(elsewhere);
    }

    /// Reads the names of the threads that are shown: most threads get theirs after they have started.
    fn read_names(&mut self) {
        for slot in self.slots.values_mut() {
            let name = slot.thread.and_then(|(pid, tid)| thread_name(pid, tid));
            slot.comm = name.unwrap_or(std::mem::take(&mut slot.comm));
        }
    }

    /// Sockets whose holders are its processes.
    fn target_sockets(&self, listening: &[TcpSocket]) -> HashSet<Inode> {
        let Target::Port(port) = &self.named.target else {
            return HashSet::new();
        };
        let on_port = listening
            .iter()
            .filter(|socket| socket.local.port() == *port);
        on_port.map(|socket| socket.inode).collect()
    }

    /// Returns true if its processes must be chosen again: those chosen have ended, or others may have appeared.
    fn is_choice_due(&self, sockets: &HashSet<Inode>, rarely: bool) -> bool {
        match &self.named.target {
            Target::Pid(_) => self.roots.is_empty(),
            Target::Port(_) => self.roots.is_empty() || *sockets != self.root_sockets,
            Target::Command(_) => rarely,
        }
    }

    /// Chooses its processes again, if that is due.
    fn choose(
        &mut self,
        sockets: HashSet<Inode>,
        listening: &[TcpSocket],
        holders: &Holders<'_>,
        rarely: bool,
    ) {
        self.roots.retain(|pid| {
            let process = self.processes.get(pid);
            process.is_some_and(|p| {
                Stat::of_process(*pid).is_some_and(|s| s.start_ticks == p.start_ticks)
            })
        });
        if self.is_choice_due(&sockets, rarely) {
            self.roots
                .extend(tree::chosen(&self.named.target, listening, holders));
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
            let motion = self.motions.entry(pid).or_insert_with(|| Motion::of(pid));
            motion.add(tid);
        }
    }

    /// The earliest start of a thread that can have begun since the scan before.
    fn last_scan_bound(&self) -> Timestamp {
        self.last_look - Nanos::from_millis(3_000)
    }

    pub(in crate::watch) fn end_thread(&mut self, key: (Pid, Tid)) {
        let mut still_until = Timestamp::default();
        if let Some(motion) = self.motions.get_mut(&key.0) {
            still_until = motion.still_until;
            motion.remove(key.1);
            if motion.is_empty() {
                self.motions.remove(&key.0);
            }
        }
        let Some(mut thread) = self.threads.remove(&key) else {
            return;
        };
        if let Some(process) = self.processes.get_mut(&key.0) {
            thread.update(&process.homes, still_until);
            settle_decided(&mut thread, process, Timestamp::from_nanos(u64::MAX));
            process.homes.forget(key.1);
            // It has run at least to its end.
            process.last_ran = Timestamp::now();
        }
        self.ended.push(thread);
    }

    /// Reads which sockets a process has.
    pub(in crate::watch) fn read_sockets(&mut self, pid: Pid) {
        let Some(process) = self.processes.get_mut(&pid) else {
            return;
        };
        let clients = &self.clients;
        let readable = process.read_sockets(|inode| clients.contains(&inode));
        if let Some(readable) = readable {
            self.permissions.note_descriptors(readable);
            self.permissions.note_memory(process.shows_memory());
        }
        for inode in process.sockets() {
            self.owners.insert(inode, pid);
        }
    }
}

/// Returns the start of a thread, on the clock of [`Timestamp::now`].
fn started_at(ticks: u64) -> Option<Timestamp> {
    use rustix::time::{ClockId, clock_gettime};
    let boot = clock_gettime(ClockId::Boottime);
    let boot = Nanos::from_secs(boot.tv_sec.unsigned_abs())
        + Nanos::from_nanos(boot.tv_nsec.unsigned_abs());
    let started =
        Nanos::from_nanos(ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second()));
    Some(Timestamp::now() - boot.saturating_sub(started))
}
