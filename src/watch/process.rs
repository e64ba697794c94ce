//! One watched process: its descriptors, event loops and homes, and what its waits mean.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use thread_states::waits::{
    Call, Descriptor, EpollTarget, On, SystemCall, ThreadActivity, is_disk, is_stopped,
    parse_epoll, poll_descriptors, select_descriptors, strongest,
};
use thread_states::{Nanos, Timestamp};

use super::glimpses::Glimpses;
use super::homes::Homes;
use super::proc_files::{Fd, Inode, Pid, Stat, descriptors};
use super::settle::InFlightSpan;
use super::site::{Site, Wait};

/// Descriptors that a wait in `poll` or `select` is classified by, and bytes of a set of `select`.
const MOST_DESCRIPTORS: usize = 64;
const MOST_SET_BYTES: usize = 128;
/// Bytes of an epoll set's description that are read: about 4,096 targets.
const MOST_EPOLL_BYTES: u64 = 400_000;
/// Time for which the targets of an epoll set are known, and the least time between two reads of a large one, which take
/// the lock that `epoll_ctl` needs.
const EPOLL_FRESH: Nanos = Nanos::from_millis(1_000);
const EPOLL_AGAIN: Nanos = Nanos::from_millis(50);

/// Sockets by what is known of them in the whole network namespace.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownSockets<'a> {
    /// Inodes of listening sockets.
    pub listeners: &'a HashSet<Inode>,
    /// Inodes of accepted connections of the server.
    pub clients: &'a HashSet<Inode>,
}

/// Targets of an epoll set.
#[derive(Debug)]
struct EpollSet {
    read_at: Timestamp,
    listens: bool,
    /// It has a client's connection or a listening socket.
    for_work: bool,
    /// It costs little to read.
    is_small: bool,
    /// Thing waited for, if the set is not an event loop's.
    on: On,
}

/// A process.
#[derive(Debug)]
pub(super) struct ObservedProcess {
    pid: Pid,
    /// Tells it from another one with the same number.
    pub start_ticks: u64,
    /// Tells its program from one that it ran before.
    pub start_stack: u64,
    /// It was chosen itself, not as a descendant.
    pub is_root: bool,
    memory: Option<File>,
    /// It is in another network namespace than this program, which cannot see its connections.
    pub is_elsewhere: bool,
    /// Its memory may not be read.
    hides_memory: bool,
    /// Sites at which its threads wait for work.
    pub homes: Homes,
    sockets: HashMap<Fd, Inode>,
    epolls: HashMap<Fd, EpollSet>,
    /// The epoll set in which a client's connection was last seen; known also after it has left.
    loops: HashMap<Inode, Fd>,
    /// Connections that came since the last look.
    pub glimpses: Glimpses,
    /// When a thread of it was last seen to have run.
    pub last_ran: Timestamp,
    /// Since when no request has been in flight.
    pub no_request_since: Timestamp,
    /// Requests in flight since the look before the last one.
    pub requests: Spans,
    /// The same for each event loop.
    pub of_loops: HashMap<Fd, Spans>,
    /// Requests in flight at the last look.
    pub open_requests: usize,
    /// Looks in a row at which more requests were in flight than threads were away, while no event loop held any.
    pub surplus: u32,
}

/// Requests in flight: those of the last look and of the one before, since the ends of slices are held back for one look.
#[derive(Debug, Default)]
pub(super) struct Spans {
    all: Vec<InFlightSpan>,
    new_from: usize,
}

impl Spans {
    /// Begins a new look.
    pub(super) fn turn(&mut self) {
        self.all.drain(..self.new_from);
        self.new_from = self.all.len();
    }

    /// Adds a request of this look.
    pub(super) fn push(&mut self, span: InFlightSpan) {
        self.all.push(span);
    }

    /// All of them.
    pub(super) fn as_slice(&self) -> &[InFlightSpan] {
        &self.all
    }

    /// Returns when the requests of this look ended.
    pub(super) fn ends(&self) -> Ends {
        let mut ends: Vec<_> = self.all[self.new_from..]
            .iter()
            .map(|span| (span.from, span.to))
            .collect();
        ends.sort_unstable();
        let mut latest = Timestamp::default();
        for (_, to) in &mut ends {
            latest = latest.max(*to);
            *to = latest;
        }
        Ends(ends)
    }

    /// Returns true if this look has any.
    pub(super) fn has_new(&self) -> bool {
        self.all.len() > self.new_from
    }
}

/// For each moment at which a request came, the latest end of the requests that had come by then.
#[derive(Debug)]
pub(super) struct Ends(Vec<(Timestamp, Timestamp)>);

impl Ends {
    /// Returns the latest end of the requests that had come by this moment; the beginning of time if there were none.
    pub(super) fn of_those_before(&self, moment: Timestamp) -> Timestamp {
        let earlier = self.0.partition_point(|(from, _)| *from <= moment);
        let last = earlier.checked_sub(1).and_then(|index| self.0.get(index));
        last.map_or(Timestamp::default(), |(_, to)| *to)
    }
}

impl ObservedProcess {
    /// A process that was found at `now`.
    pub(super) fn new(pid: Pid, stat: &Stat, is_root: bool, now: Timestamp) -> Self {
        let memory = File::open(format!("/proc/{pid}/mem"));
        Self {
            pid,
            start_ticks: stat.start_ticks,
            start_stack: stat.start_stack,
            is_root,
            hides_memory: memory.as_ref().is_err_and(is_forbidden),
            memory: memory.ok(),
            is_elsewhere: is_in_other_namespace(pid),
            homes: Homes::new(is_go(pid)),
            sockets: HashMap::new(),
            epolls: HashMap::new(),
            loops: HashMap::new(),
            glimpses: Glimpses::default(),
            last_ran: now,
            no_request_since: now,
            requests: Spans::default(),
            of_loops: HashMap::new(),
            open_requests: 0,
            surplus: 0,
        }
    }

    /// Returns true if its memory may be read, as far as is known: a process that ends has none.
    pub(super) fn shows_memory(&self) -> bool {
        !self.hides_memory
    }

    /// Reads which sockets its descriptors are. Those that are known, and whose inodes `live` still has, are not
    /// read again. Returns whether they may be read; `None` if the process has ended, which does not show it.
    pub(super) fn read_sockets(&mut self, live: impl Fn(Inode) -> bool) -> Option<bool> {
        let fds = match descriptors(self.pid) {
            Ok(fds) => fds,
            Err(error) => return is_forbidden(&error).then_some(false),
        };
        let known: HashMap<_, _> = self
            .sockets
            .drain()
            .filter(|(_, inode)| live(*inode))
            .collect();
        let mut readable = false;
        for fd in fds {
            if let Some(inode) = known.get(&fd) {
                self.sockets.insert(fd, *inode);
                readable = true;
            } else if let Some(descriptor) = Descriptor::of(self.pid, fd) {
                readable = true;
                if let Descriptor::Socket(inode) = descriptor {
                    self.sockets.insert(fd, inode);
                }
            }
        }
        // A process gives up its descriptors when it ends, perhaps after they were listed.
        let has_some = || descriptors(self.pid).is_ok_and(|fds| !fds.is_empty());
        (readable || has_some()).then_some(readable)
    }

    /// Inodes of its sockets, as last read.
    pub(super) fn sockets(&self) -> impl Iterator<Item = Inode> {
        self.sockets.values().copied()
    }

    /// Returns true if the descriptor that was this socket no longer is; false if there was none.
    pub(super) fn has_closed(&self, inode: Inode) -> bool {
        let mut known = self.sockets.iter().filter(|(_, socket)| **socket == inode);
        known
            .next()
            .is_some_and(|(fd, _)| Descriptor::of(self.pid, *fd) != Some(Descriptor::Socket(inode)))
    }

    /// The event loop that serves this connection: the one whose epoll set has or had it.
    pub(super) fn loop_of(&self, inode: Inode) -> Option<Fd> {
        self.loops.get(&inode).copied()
    }

    /// Forgets connections other than these.
    pub(super) fn keep_connections(&mut self, is_known: impl Fn(Inode) -> bool) {
        self.loops.retain(|inode, _| is_known(*inode));
    }

    /// Finds the event loop that serves this connection, if it is not known: in what was read since the last look,
    /// when the connection was not known to be a client's, or else in the epoll sets, of which large ones are not read
    /// again before [`EPOLL_AGAIN`].
    pub(super) fn find_loop(&mut self, inode: Inode, now: Timestamp, sockets: KnownSockets<'_>) {
        if self.loops.contains_key(&inode) {
            return;
        }
        if let Some(fd) = self.glimpses.set_of(inode) {
            self.loops.insert(inode, fd);
            return;
        }
        let old = |(fd, set): (&Fd, &EpollSet)| {
            let age = now.duration_since(set.read_at);
            (age > EPOLL_AGAIN || (set.is_small && age > Nanos::ZERO)).then_some(*fd)
        };
        for fd in self.epolls.iter().filter_map(old).collect::<Vec<_>>() {
            self.read_epoll(fd, now, sockets);
        }
    }

    fn read_epoll(&mut self, fd: Fd, now: Timestamp, sockets: KnownSockets<'_>) {
        let mut text = String::new();
        let file = File::open(format!("/proc/{}/fdinfo/{fd}", self.pid));
        // A set that cannot be read has no known targets.
        let _ = file.and_then(|file| file.take(MOST_EPOLL_BYTES).read_to_string(&mut text));
        let targets = parse_epoll(&text);
        let listener = targets
            .iter()
            .find(|target| sockets.listeners.contains(&target.inode));
        let is_client = |inode: &Inode| sockets.clients.contains(inode);
        let inodes = targets.iter().map(|target| target.inode);
        let clients: Vec<Inode> = inodes.filter(is_client).collect();
        let for_work = listener.is_some() || !clients.is_empty();
        let on = if for_work {
            On::Other
        } else {
            let fds = targets.iter().take(MOST_DESCRIPTORS);
            strongest(fds.map(|target| self.kind(target.fd, sockets)))
        };
        self.loops
            .extend(clients.into_iter().map(|inode| (inode, fd)));
        if let Some(listener) = listener {
            let is_new = |target: &&EpollTarget| {
                target.device == listener.device
                    && !sockets.listeners.contains(&target.inode)
                    && !is_client(&target.inode)
            };
            self.glimpses.see(
                fd,
                targets.iter().filter(is_new).map(|target| target.inode),
                now,
            );
        }
        let set = EpollSet {
            read_at: now,
            listens: listener.is_some(),
            for_work,
            is_small: targets.len() <= MOST_DESCRIPTORS,
            on,
        };
        self.epolls.insert(fd, set);
    }

    /// The wait of a thread; `None` if it runs. `wchan` is the kernel function in which it waits.
    pub(super) fn wait(
        &mut self,
        activity: ThreadActivity,
        wchan: &str,
        now: Timestamp,
        sockets: KnownSockets<'_>,
    ) -> Option<Arc<Wait>> {
        let mut wait = match activity {
            ThreadActivity::Runs => return None,
            ThreadActivity::Faults => plain(Site::Fault, On::Fault),
            ThreadActivity::Calls(call) => self.wait_in(call, now, sockets),
        };
        if is_stopped(wchan) {
            wait = plain(Site::Stopped, On::Stopped);
        } else if is_disk(wchan) {
            wait.on = On::Disk;
        }
        Some(Arc::new(wait))
    }

    fn wait_in(&mut self, call: SystemCall, now: Timestamp, sockets: KnownSockets<'_>) -> Wait {
        let stack_pointer = call.stack_pointer;
        let site = match call.call {
            Call::Epoll => return self.wait_in_epoll(call, now, sockets),
            Call::Poll | Call::Select => match self.set_of(&call) {
                Some(fds) if !fds.is_empty() => return self.wait_for_any(fds, &call, sockets),
                set => {
                    let on = set.map_or(On::Other, |_| On::Sleep);
                    return plain(place_of(&call), on);
                }
            },
            Call::Futex => Site::Futex {
                address: call.arguments[0] & !7,
                stack_pointer,
            },
            Call::Accept | Call::Transfer | Call::Connect | Call::Sync | Call::FileLock => {
                Site::On {
                    call: call.call,
                    fd: call.fd(),
                    stack_pointer,
                }
            }
            _ => place_of(&call),
        };
        Wait {
            for_work: call.call == Call::Accept,
            ..plain(site, call.call.on(|| self.kind(call.fd(), sockets)))
        }
    }

    fn wait_in_epoll(
        &mut self,
        call: SystemCall,
        now: Timestamp,
        sockets: KnownSockets<'_>,
    ) -> Wait {
        let fd = call.fd();
        // A small set of an event loop is read whenever its thread has run, so that connections that come and go between
        // two looks are seen.
        let is_fresh = |set: &EpollSet| {
            now.duration_since(set.read_at) < EPOLL_FRESH && !(set.listens && set.is_small)
        };
        if !self.epolls.get(&fd).is_some_and(is_fresh) {
            self.read_epoll(fd, now, sockets);
        }
        let set = self.epolls.get(&fd);
        let for_work = set.is_some_and(|set| set.for_work);
        let on = set.map_or(On::Other, |set| set.on);
        Wait {
            site: Site::Epoll(fd),
            on: if for_work {
                on
            } else {
                until_a_time(on, &call)
            },
            multiplexes: true,
            for_work,
        }
    }

    /// The descriptors of a wait in `poll` or `select`; `None` if memory cannot be read.
    fn set_of(&self, call: &SystemCall) -> Option<Vec<Fd>> {
        let arguments = call.arguments;
        let mut memory = [0; MOST_DESCRIPTORS * 8];
        if call.call == Call::Poll {
            let entries = usize::try_from(arguments[1])
                .unwrap_or(MOST_DESCRIPTORS)
                .min(MOST_DESCRIPTORS);
            let memory = &mut memory[..entries * 8];
            self.read_memory(arguments[0], memory)?;
            return Some(poll_descriptors(memory));
        }
        if arguments[1] == 0 {
            return Some(Vec::new());
        }
        // The kernel changes the set only when the call returns: meanwhile it has what is waited for.
        let words = usize::try_from(arguments[0].div_ceil(64)).unwrap_or(usize::MAX);
        let memory = &mut memory[..words.saturating_mul(8).min(MOST_SET_BYTES)];
        self.read_memory(arguments[1], memory)?;
        Some(select_descriptors(memory, arguments[0]))
    }

    fn read_memory(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        self.memory.as_ref()?.read_exact_at(buffer, address).ok()
    }

    fn wait_for_any(&self, fds: Vec<Fd>, call: &SystemCall, sockets: KnownSockets<'_>) -> Wait {
        let (mut listens, mut has_client, mut kinds) = (false, false, Vec::new());
        for fd in &fds {
            if let Some(Descriptor::Socket(inode)) = Descriptor::of(self.pid, *fd) {
                listens |= sockets.listeners.contains(&inode);
                has_client |= sockets.clients.contains(&inode);
            }
            kinds.push(self.kind(*fd, sockets));
        }
        Wait {
            site: Site::Descriptors(fds),
            on: if listens {
                On::Other
            } else {
                until_a_time(strongest(kinds), call)
            },
            multiplexes: listens && has_client,
            for_work: listens,
        }
    }

    /// Thing that a wait for this descriptor is a wait for.
    fn kind(&self, fd: Fd, sockets: KnownSockets<'_>) -> On {
        match Descriptor::of(self.pid, fd) {
            Some(Descriptor::Socket(inode)) if sockets.clients.contains(&inode) => On::Client,
            Some(descriptor) => descriptor.on(),
            None => On::Other,
        }
    }
}

/// A wait in an event loop for nothing but the loop's own means to wake it, until a time, is a sleep.
fn until_a_time(on: On, call: &SystemCall) -> On {
    match on {
        On::Other if call.has_timeout() => On::Sleep,
        on => on,
    }
}

fn plain(site: Site, on: On) -> Wait {
    Wait {
        site,
        on,
        multiplexes: false,
        for_work: false,
    }
}

fn place_of(call: &SystemCall) -> Site {
    Site::At {
        call: call.call,
        stack_pointer: call.stack_pointer,
    }
}

/// Returns true for a Go program. Its linker writes a note with the build ID into the first page: name size 4, type
/// 4 (`ELF_NOTE_GOBUILDID_TAG`), name `Go`.
fn is_go(pid: Pid) -> bool {
    let mut start = Vec::new();
    let Ok(file) = fs::File::open(format!("/proc/{pid}/exe")) else {
        return false;
    };
    if file.take(8_192).read_to_end(&mut start).is_err() {
        return false;
    }
    let is_note = |bytes: &[u8]| bytes[..4] == [4, 0, 0, 0] && bytes[8..] == *b"\x04\0\0\0Go\0\0";
    start.windows(16).any(is_note)
}

/// Returns true if a process is in another network namespace; false if that may not be read.
fn is_in_other_namespace(pid: Pid) -> bool {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/net"));
    match (namespace(&pid.to_string()), namespace("self")) {
        (Ok(other), Ok(own)) => other != own,
        _ => false,
    }
}

/// Returns true for an error that a lack of rights causes, and not the end of a process.
fn is_forbidden(error: &io::Error) -> bool {
    error.kind() == ErrorKind::PermissionDenied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_kept_for_one_more_look() {
        let span = |from| InFlightSpan {
            from: Timestamp::from_nanos(from),
            to: Timestamp::from_nanos(from + 1),
        };
        let mut spans = Spans::default();
        spans.push(span(1));
        spans.turn();
        assert!(!spans.has_new());
        spans.push(span(2));
        assert_eq!(spans.as_slice(), [span(1), span(2)]);
        spans.turn();
        assert_eq!(spans.as_slice(), [span(2)]);
        spans.turn();
        assert_eq!(spans.as_slice(), []);
    }

    #[test]
    fn the_last_end_is_that_of_all_earlier_requests() {
        let at = Timestamp::from_nanos;
        let mut spans = Spans::default();
        spans.push(InFlightSpan {
            from: at(1),
            to: at(99),
        });
        spans.turn();
        for (from, to) in [(30, 35), (10, 50), (20, 25)] {
            spans.push(InFlightSpan {
                from: at(from),
                to: at(to),
            });
        }
        let ends = spans.ends();
        for (moment, expected) in [(9, 0), (10, 50), (25, 50), (40, 50)] {
            assert_eq!(ends.of_those_before(at(moment)), at(expected), "{moment}");
        }
    }

    #[test]
    fn a_process_that_has_ended_hides_nothing() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = child.id();
        let stat = Stat::of_process(pid).unwrap();
        let mut process = ObservedProcess::new(pid, &stat, true, Timestamp::now());
        assert_eq!(process.read_sockets(|_| true), Some(true));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process.read_sockets(|_| true), None);
        let late = ObservedProcess::new(pid, &stat, true, Timestamp::now());
        assert!(late.shows_memory());
    }

    #[test]
    fn this_program_is_not_go() {
        assert!(!is_go(std::process::id()));
    }
}
