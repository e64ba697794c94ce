//! Homes: the sites at which a thread waits for work.
//!
//! A system call alone does not tell whether a thread waits for work or for something that its request needs: a pool's
//! worker and a thread at a lock both wait in `futex`. A thread's *home* is where it waits for a listening socket, in an
//! epoll set with clients' connections, or where it has waited through a time in which no request was in flight that can
//! have sent it there. Off CPU and not at home, it is blocked.
//!
//! A wait for a peer, such as a database, mostly is for what a request needs. But helper threads wait for work there, too:
//! uvicorn's workers for the pings of their supervisor, a consumer for its broker. Such a site is a home as long as the
//! thread is not known to have any other.

use std::collections::{HashMap, HashSet};

use thread_states::waits::On;
use thread_states::{Nanos, Timestamp};

use super::proc_files::Tid;
use super::site::{Site, Wait};
use super::sockets::CLOCK_STEP;

/// Time that a thread waits at one site, without a request that can have sent it there, until that is a home.
const LEARN: Nanos = Nanos::from_millis(300);
/// The same for a timer or a peer, for which a program may also wait between two steps of its work.
const LEARN_LONG: Nanos = Nanos::from_millis(2_000);
/// The same for a place to which a thread with a home comes back. Its home may have moved: a runtime that specializes or
/// compiles its code calls from another stack depth then (CPython 3.11 after a few calls, the JVM after many).
const LEARN_AGAIN: Nanos = Nanos::from_millis(5_000);

/// Relation of a wait to a thread's homes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The thread waits for work.
    Home,
    /// The thread waits for work in an event loop, and serves connections from there.
    Loop,
    /// The thread waits elsewhere, and its home is known: blocked.
    Away,
    /// The thread waits, and has no known home.
    Unknown,
    /// The place cannot be read.
    Hidden,
}

/// Homes of the threads of one process.
#[derive(Debug, Default)]
pub(super) struct Homes {
    of_thread: HashMap<Tid, HashSet<Site>>,
    /// Sites at which threads without a home wait for a peer.
    at_peers: HashMap<Tid, Site>,
    /// Epoll sets and futex words that are homes, and of which threads.
    shared: HashMap<Site, HashSet<Tid>>,
    /// Stack depths at which threads wait for work in `futex`, and which threads.
    depths: HashMap<u64, HashSet<Tid>>,
    /// In Go, goroutines block, and the threads below them wait for work in `futex` and `nanosleep`.
    is_go: bool,
    /// Number of homes learned.
    version: u64,
}

/// Data about a wait that may become a home.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quiet {
    /// When the wait began.
    pub since: Timestamp,
    /// Since when no request that came before the wait is in flight. One that came later has not sent the thread there.
    pub unneeded_since: Timestamp,
    /// Since when the thread has waited only here, of the places that can be homes, and no request was in flight.
    pub returns_since: Timestamp,
    /// When the last look at the sockets was.
    pub last_look: Timestamp,
    /// Now.
    pub now: Timestamp,
}

impl Homes {
    /// Homes of a process; `is_go` if a Go program runs in it.
    pub(super) fn new(is_go: bool) -> Self {
        Self {
            is_go,
            ..Self::default()
        }
    }

    /// Number of homes learned: while it stays the same, so does the place of each wait.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The relation of a thread's wait to its homes.
    pub(super) fn place(&self, tid: Tid, wait: &Wait) -> Place {
        match wait.site {
            Site::Stopped => return Place::Away,
            Site::Hidden => return Place::Hidden,
            _ => {}
        }
        if self.is_go && !wait.multiplexes && matches!(wait.on, On::Lock | On::Sleep) {
            return Place::Home;
        }
        let own = self.of_thread.get(&tid);
        let at_peer = || own.is_none() && self.at_peers.get(&tid) == Some(&wait.site);
        let at_home = wait.for_work
            || own.is_some_and(|sites| sites.contains(&wait.site))
            || self.is_shared(tid, &wait.site)
            || at_peer();
        match (at_home, wait.multiplexes) {
            (true, true) => Place::Loop,
            (true, false) => Place::Home,
            (false, _) if own.is_some() => Place::Away,
            (false, _) => Place::Unknown,
        }
    }

    /// Returns true if a home of this thread is known.
    pub(super) fn has_home(&self, tid: Tid) -> bool {
        self.is_go || self.of_thread.contains_key(&tid)
    }

    /// An epoll set that is one thread's home is that of any other. A futex word is the home of all threads if
    /// it is that of another one (a pool's queue). A word that only this thread waits for can be both, at two
    /// places in the program, as that of Java's `Parker`.
    ///
    /// Workers of a runtime (tokio, Java) park on a word of their own, but in the same function: their stacks, which
    /// begin at page boundaries, have the same depth there.
    fn is_shared(&self, tid: Tid, site: &Site) -> bool {
        let by_another = |threads: Option<&HashSet<Tid>>| {
            threads.is_some_and(|threads| threads.iter().any(|other| *other != tid))
        };
        match site {
            Site::Epoll(_) => self.shared.contains_key(site),
            Site::Futex { stack_pointer, .. } => {
                by_another(self.shared.get(&without_stack(site)))
                    || by_another(self.depths.get(&depth(*stack_pointer)))
            }
            _ => false,
        }
    }

    /// Makes the wait's site a home of this thread if it has lasted long enough without a request that can have sent
    /// the thread there. A wait that began before a request came, and which the last look has not seen, teaches nothing.
    ///
    /// A thread may also wake up by itself and come back: then all of its waits count together, in a process without
    /// requests. Of a thread with a home they must last longer, since requests that no look has seen may send it to the
    /// same place again and again; but then it is also seen at home in between.
    pub(super) fn learn(&mut self, tid: Tid, wait: &Wait, quiet: Quiet) {
        let least = match wait.on {
            On::Sleep if !wait.multiplexes => LEARN_LONG,
            On::Socket => LEARN_LONG,
            _ => LEARN,
        };
        let lasts = |since: Timestamp, least: Nanos| {
            quiet.now.duration_since(since) > least && quiet.last_look > since + CLOCK_STEP
        };
        let waits = lasts(quiet.since.max(quiet.unneeded_since), least);
        let has_home = self.has_home(tid);
        let returns = || {
            lasts(
                quiet.returns_since,
                if has_home { LEARN_AGAIN } else { least },
            )
        };
        if wait.for_work || (can_be_home(wait) && (waits || returns())) {
            self.add(tid, &wait.site);
        } else if is_at_peer(wait)
            && !has_home
            && self.at_peers.get(&tid) != Some(&wait.site)
            && returns()
        {
            self.at_peers.insert(tid, wait.site.clone());
            self.version += 1;
        }
    }

    fn add(&mut self, tid: Tid, site: &Site) {
        let sites = self.of_thread.entry(tid).or_default();
        if sites.contains(site) {
            return;
        }
        sites.insert(site.clone());
        self.version += 1;
        if let Site::Futex { stack_pointer, .. } = site {
            let threads = self.depths.entry(depth(*stack_pointer)).or_default();
            threads.insert(tid);
        }
        if matches!(site, Site::Epoll(_) | Site::Futex { .. }) {
            self.shared
                .entry(without_stack(site))
                .or_default()
                .insert(tid);
        }
    }

    /// The thread has ended. Sets that it shared stay homes of the others.
    pub(super) fn forget(&mut self, tid: Tid) {
        self.of_thread.remove(&tid);
        self.at_peers.remove(&tid);
    }
}

/// Returns true for a wait that may be for work. A wait for a request's own needs, a peer, a disk or a child, is not.
pub(super) fn can_be_home(wait: &Wait) -> bool {
    let is_for_a_request = matches!(
        wait.on,
        On::Socket | On::Fault | On::Disk | On::Stopped | On::Child
    );
    wait.for_work || (!is_for_a_request && wait.site != Site::Hidden)
}

/// Returns true for a wait for a peer other than a client.
pub(super) fn is_at_peer(wait: &Wait) -> bool {
    wait.on == On::Socket
}

/// A stack pointer within its page.
fn depth(stack_pointer: u64) -> u64 {
    const PAGE: u64 = 4_096;
    stack_pointer % PAGE
}

fn without_stack(site: &Site) -> Site {
    match site {
        Site::Futex { address, .. } => Site::Futex {
            address: *address,
            stack_pointer: 0,
        },
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Timestamp {
        Timestamp::from_nanos(milliseconds * 1_000_000)
    }

    fn futex(address: u64, stack_pointer: u64) -> Wait {
        Wait {
            site: Site::Futex {
                address,
                stack_pointer,
            },
            on: On::Lock,
            multiplexes: false,
            for_work: false,
        }
    }

    fn receive(fd: i32) -> Wait {
        Wait {
            site: Site::On {
                call: thread_states::waits::Call::Transfer,
                fd,
                stack_pointer: 1,
            },
            on: On::Socket,
            multiplexes: false,
            for_work: false,
        }
    }

    fn epoll(fd: i32, for_work: bool) -> Wait {
        Wait {
            site: Site::Epoll(fd),
            on: On::Other,
            multiplexes: true,
            for_work,
        }
    }

    fn sleep() -> Wait {
        Wait {
            site: Site::At {
                call: thread_states::waits::Call::Sleep,
                stack_pointer: 1,
            },
            on: On::Sleep,
            multiplexes: false,
            for_work: false,
        }
    }

    /// A wait that began at 1 s in a process without requests since then, and a look right now.
    fn quiet(lasted: u64) -> Quiet {
        Quiet {
            since: ms(1_000),
            unneeded_since: ms(1_000),
            returns_since: ms(1_000),
            last_look: ms(1_000 + lasted),
            now: ms(1_000 + lasted),
        }
    }

    #[test]
    fn a_wait_becomes_a_home_when_it_lasts_without_requests() {
        for (wait, lasted, place) in [
            (futex(8, 1), 299, Place::Unknown),
            (futex(8, 1), 301, Place::Home),
            (sleep(), 301, Place::Unknown),
            (sleep(), 2_001, Place::Home),
            (epoll(5, false), 301, Place::Loop),
        ] {
            let mut homes = Homes::default();
            homes.learn(1, &wait, quiet(lasted));
            assert_eq!(homes.place(1, &wait), place, "{wait:?} {lasted} ms");
        }
    }

    #[test]
    fn nothing_is_learned_before_a_look_or_while_a_request_is_in_flight() {
        let wait = futex(8, 1);
        let mut homes = Homes::default();
        let not_looked = Quiet {
            last_look: ms(1_010),
            ..quiet(5_000)
        };
        let request_until_now = Quiet {
            unneeded_since: ms(5_900),
            returns_since: ms(5_900),
            ..quiet(5_000)
        };
        for quiet in [not_looked, request_until_now] {
            homes.learn(1, &wait, quiet);
            assert_eq!(homes.place(1, &wait), Place::Unknown);
        }
    }

    #[test]
    fn a_wait_that_outlasts_earlier_requests_becomes_a_home_while_others_are_in_flight() {
        let mut homes = Homes::default();
        let busy = Quiet {
            returns_since: ms(1_400),
            ..quiet(400)
        };
        homes.learn(1, &futex(8, 1), busy);
        assert_eq!(homes.place(1, &futex(8, 1)), Place::Home);
    }

    #[test]
    fn a_place_to_which_a_thread_without_a_home_comes_back_becomes_one() {
        // The present wait has begun 50 ms ago.
        let returns = |lasted| Quiet {
            since: ms(950 + lasted),
            unneeded_since: ms(950 + lasted),
            ..quiet(lasted)
        };
        for (wait, lasted, place) in [
            (futex(8, 1), 299, Place::Unknown),
            (futex(8, 1), 301, Place::Home),
            (sleep(), 1_999, Place::Unknown),
            (sleep(), 2_001, Place::Home),
            (epoll(5, false), 301, Place::Loop),
        ] {
            let mut homes = Homes::default();
            homes.learn(1, &wait, returns(lasted));
            assert_eq!(homes.place(1, &wait), place, "{wait:?} {lasted} ms");
        }
    }

    #[test]
    fn a_home_may_move_to_another_stack_depth() {
        let returns = |lasted| Quiet {
            since: ms(950 + lasted),
            unneeded_since: ms(950 + lasted),
            ..quiet(lasted)
        };
        let mut moved = sleep();
        moved.site = Site::At {
            call: thread_states::waits::Call::Sleep,
            stack_pointer: 2,
        };
        let mut homes = Homes::default();
        homes.learn(1, &sleep(), returns(2_001));
        homes.learn(1, &moved, returns(4_999));
        assert_eq!(homes.place(1, &moved), Place::Away);
        homes.learn(1, &moved, returns(5_001));
        assert_eq!(homes.place(1, &moved), Place::Home);
        assert_eq!(homes.place(1, &sleep()), Place::Home);
    }

    #[test]
    fn a_peer_is_a_home_only_while_a_thread_has_no_other() {
        let mut homes = Homes::default();
        homes.learn(1, &receive(5), quiet(1_999));
        assert_eq!(homes.place(1, &receive(5)), Place::Unknown);
        homes.learn(1, &receive(5), quiet(2_001));
        assert_eq!(homes.place(1, &receive(5)), Place::Home);
        assert_eq!(homes.place(1, &receive(6)), Place::Unknown);
        assert_eq!(homes.place(2, &receive(5)), Place::Unknown);
        // A thread that waits for work elsewhere was there for what a request needed.
        homes.learn(1, &futex(8, 1), quiet(400));
        assert_eq!(homes.place(1, &receive(5)), Place::Away);
        homes.learn(1, &receive(5), quiet(9_000));
        assert_eq!(homes.place(1, &receive(5)), Place::Away);
    }

    #[test]
    fn a_listening_socket_makes_a_home_at_once() {
        let mut homes = Homes::default();
        homes.learn(1, &epoll(5, true), quiet(0));
        assert_eq!(homes.place(1, &epoll(5, true)), Place::Loop);
        // Another set of the same thread is not: a synchronous client inside an event loop.
        assert_eq!(homes.place(1, &epoll(9, false)), Place::Away);
        assert_eq!(homes.place(1, &sleep()), Place::Away);
        // The same set, of another thread, is.
        assert_eq!(homes.place(2, &epoll(5, false)), Place::Loop);
    }

    #[test]
    fn a_futex_is_shared_by_a_pool_but_not_by_two_places_of_one_thread() {
        let mut homes = Homes::default();
        homes.learn(1, &futex(8, 100), quiet(400));
        assert_eq!(homes.place(1, &futex(8, 100)), Place::Home);
        assert_eq!(homes.place(1, &futex(8, 200)), Place::Away);
        assert_eq!(homes.place(2, &futex(8, 300)), Place::Home);
        assert_eq!(homes.place(2, &futex(16, 300)), Place::Unknown);
    }

    #[test]
    fn workers_that_park_on_words_of_their_own_park_at_one_stack_depth() {
        let mut homes = Homes::default();
        homes.learn(1, &epoll(5, true), quiet(0));
        homes.learn(2, &futex(8, 0x7f00_0000_1230), quiet(400));
        assert_eq!(homes.place(1, &futex(64, 0x7f00_0020_1230)), Place::Home);
        assert_eq!(homes.place(1, &futex(64, 0x7f00_0020_1240)), Place::Away);
    }

    #[test]
    fn threads_of_go_wait_for_work_in_futex_and_sleep() {
        let homes = Homes::new(true);
        assert_eq!(homes.place(1, &futex(8, 1)), Place::Home);
        assert_eq!(homes.place(1, &sleep()), Place::Home);
    }

    #[test]
    fn a_stopped_thread_is_never_at_home() {
        let stopped = Wait {
            site: Site::Stopped,
            on: On::Stopped,
            multiplexes: false,
            for_work: false,
        };
        let mut homes = Homes::default();
        homes.learn(1, &stopped, quiet(9_000));
        assert_eq!(homes.place(1, &stopped), Place::Away);
    }
}
