//! Looks at the connections: which requests are in flight, and which process and event loop serve them.

use std::collections::HashSet;

use thread_states::Timestamp;

use super::{Listeners, ObservedServer};
use crate::watch::diag::{SocketKind, TcpSocket};
use crate::watch::proc_files::{Inode, Tid};
use crate::watch::process::{KnownSockets, ObservedProcess, Spans};
use crate::watch::settle::InFlightSpan;
use crate::watch::sockets::Request;

impl ObservedServer {
    /// The ports on which it listens, for a look at their connections.
    pub(in crate::watch) fn listening_ports(&mut self, listeners: &Listeners) -> &HashSet<u16> {
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
    pub(in crate::watch) fn look(
        &mut self,
        sockets: &[TcpSocket],
        listeners: &Listeners,
        now: Timestamp,
    ) {
        self.update_times(|_| true);
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
        self.update();
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
    pub(in crate::watch) fn set_accept_queue(&mut self, listeners: &Listeners) {
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
            process.of_loops.values_mut().for_each(Spans::turn);
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
            let away = of_process.filter(|thread| thread.is_away() || thread.is_likely_to_serve());
            let held_by_a_loop = process.of_loops.values().any(Spans::has_new);
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
}
