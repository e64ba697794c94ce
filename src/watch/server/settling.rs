//! States of the threads, up to the last look and at this moment.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use thread_states::waits::On;
use thread_states::{State, Timestamp};

use super::ObservedServer;
use crate::watch::homes::Place;
use crate::watch::ledger::{HOLD_BACK, Slice};
use crate::watch::proc_files::{Pid, Tid};
use crate::watch::process::{ObservedProcess, Spans};
use crate::watch::settle::Facts;
use crate::watch::site::Site;
use crate::watch::thread::ObservedThread;

/// Numbers of threads of one process that serve a request.
#[derive(Debug, Clone, Copy, Default)]
struct Attending {
    /// Away from a known home.
    known: usize,
    /// Without a known home, in a wait that is probably not for work.
    likely: usize,
}

impl Attending {
    /// Returns the number of threads that are taken to serve requests before one without a known home that waits for `on`.
    fn beside(self, on: On) -> usize {
        // A new thread of a pool waits at a lock for its next request while another new one serves the last.
        match on {
            On::Lock => self.known + self.likely,
            _ => self.known,
        }
    }
}

impl ObservedServer {
    /// Settles the waits of these threads that need no look at the sockets.
    pub(super) fn settle_blocked(&mut self, chosen: impl Fn(&ObservedThread) -> bool) {
        for thread in self.threads.values_mut().filter(|thread| chosen(thread)) {
            if let Some(process) = self.processes.get(&thread.pid) {
                let until = thread.ledger.at() - HOLD_BACK;
                settle_decided(thread, process, until);
            }
        }
    }

    pub(in crate::watch) fn settle(&mut self, now: Timestamp) {
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
                sees_requests && !process.is_elsewhere,
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
                    sees_requests && !process.is_elsewhere,
                );
            }
            self.retire(&thread);
        }
    }

    /// States at this moment, by what the last look has shown.
    pub(super) fn set_states(&mut self, chosen: impl Fn(&ObservedThread) -> bool) {
        let now = Timestamp::now();
        let sees_requests = self.permissions.sees_requests();
        let mut attending: HashMap<Pid, Attending> = HashMap::new();
        let unknown: HashSet<Pid> = self
            .threads
            .values()
            .filter(|thread| thread.place == Place::Unknown && chosen(thread))
            .map(|thread| thread.pid)
            .collect();
        for pid in unknown {
            attending.insert(pid, self.attending(pid));
        }
        for thread in self.threads.values_mut().filter(|thread| chosen(thread)) {
            let Some(process) = self.processes.get(&thread.pid) else {
                continue;
            };
            let sees_requests = sees_requests && !process.is_elsewhere;
            let has_requests = process.open_requests > 0;
            let in_loop = |fd| loop_spans(process, fd).is_some_and(Spans::has_new) && has_requests;
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

    /// Threads of a process that serve a request, as far as is known.
    fn attending(&self, pid: Pid) -> Attending {
        let Some(process) = self.processes.get(&pid) else {
            return Attending::default();
        };
        let mut attending = Attending::default();
        for (_, thread) in self.threads.range((pid, 0)..=(pid, Tid::MAX)) {
            attending.known += usize::from(thread.is_away() && process.homes.has_home(thread.tid));
            attending.likely += usize::from(thread.is_likely_to_serve());
        }
        attending
    }
}

/// Settles the waits of a thread that need no look at the sockets: away from a known home, it is blocked.
pub(super) fn settle_decided(
    thread: &mut ObservedThread,
    process: &ObservedProcess,
    until: Timestamp,
) {
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
    let loop_fd = thread.loop_fd;
    for slice in thread.ledger.take_slices(until, |slice| {
        decided(slice) && !(loop_fd.is_some() && slice.wait.on == On::Lock)
    }) {
        thread
            .settled
            .add_slice(&slice, place(&slice), &Facts::BLIND);
    }
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

fn loop_spans(process: &ObservedProcess, fd: i32) -> Option<&Spans> {
    // A loop that keeps its requests out of its epoll set (gevent) has more of them than threads are away.
    const SURPLUS: u32 = 2;
    if process.surplus >= SURPLUS {
        return Some(&process.requests);
    }
    process.of_loops.get(&fd)
}
