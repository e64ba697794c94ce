//! Input from outside, as bytes: what `/proc` and netlink may return, and what follows from it.
//!
//! The fuzzer (`fuzz/`) calls these functions with bytes of its own, and `tests/fuzz.rs` with those that it has kept. Each
//! asserts what must hold whatever the bytes are.

use std::sync::Arc;

use thread_states::waits::{
    Call, Descriptor, On, ThreadActivity, is_disk, is_stopped, parse_epoll, poll_descriptors,
    select_descriptors,
};
use thread_states::{Nanos, State, Timestamp};

use super::diag;
use super::homes::{Homes, Place, Quiet};
use super::ledger::{Ledger, Seen};
use super::proc_files::{SchedStat, Stat};
use super::settle::{Facts, InFlightSpan, Settled};
use super::site::{Site, Wait};
use super::sockets::Connections;

/// Files of `/proc` about processes and threads.
pub fn proc_files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(stat) = SchedStat::parse(&text) {
        let again = format!(
            "{} {} {}",
            stat.cpu.as_nanos(),
            stat.delay.as_nanos(),
            stat.arrivals
        );
        assert_eq!(SchedStat::parse(&again), Some(stat));
    }
    if let Some(stat) = Stat::parse(&text) {
        assert!(text.contains(&stat.comm));
    }
}

/// Files of `/proc` about waits, and memory of a waiting thread. The first 8 bytes are the number of descriptors that
/// `select` looks at.
pub fn sites(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(ThreadActivity::Calls(call)) = ThreadActivity::parse(&text) {
        let _ = call.has_timeout();
        assert_eq!(call.fd() as u32, call.arguments[0] as u32);
        assert_eq!(
            call.call.on(|| On::Other) == On::Sleep,
            call.call == Call::Sleep
        );
    }
    if let Descriptor::Socket(inode) = Descriptor::parse(&text) {
        assert!(text.starts_with("socket:[") && text.contains(&inode.to_string()));
    }
    assert!(parse_epoll(&text).len() <= text.matches("tfd:").count());
    let _ = (is_disk(&text), is_stopped(&text));
    let Some((end, memory)) = bytes.split_first_chunk() else {
        return;
    };
    let end = u64::from_le_bytes(*end);
    let polled = poll_descriptors(memory);
    assert!(polled.len() <= memory.len() / 8 && polled.iter().all(|fd| *fd >= 0));
    let selected = select_descriptors(memory, end);
    assert!(selected.iter().all(|fd| (*fd as u64) < end));
    assert!(selected.len() as u32 <= memory.iter().map(|byte| byte.count_ones()).sum());
}

/// Messages of `sock_diag`, one look after the other: the input is divided in the middle.
pub fn sockets(bytes: &[u8]) {
    let mut connections = Connections::default();
    let mut last_look = Timestamp::from_nanos(1_000_000_000);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for message in [first, second, bytes] {
        let now = last_look + Nanos::from_millis(100);
        let mut sockets = Vec::new();
        // An error says that the kernel's message is not what it should be; the sockets before that are used.
        let _ = diag::parse(message, now, &mut sockets);
        let found = connections.look(&sockets, now, last_look, |_| None);
        for request in found.requests {
            assert!(
                request.from < request.to && request.to <= now,
                "{request:?}"
            );
        }
        assert!(found.in_accept_queue + found.unread <= sockets.len() as u64);
        assert!(found.oldest_queued <= now.duration_since(Timestamp::default()));
        last_look = now;
    }
}

/// Counters and waits of a thread, tick by tick, and requests in flight meanwhile: times sum to the wall time.
pub fn settle(bytes: &[u8]) {
    let began = Timestamp::from_nanos(1 << 40);
    let (mut now, mut stat) = (began, SchedStat::default());
    let (mut ledger, mut settled) = (Ledger::new(now, stat), Settled::default());
    let mut requests = Vec::new();
    // Each tick is 8 bytes: wall time, CPU time and delay in milliseconds, arrivals, a wait, a request, a place, time to
    // settle.
    for tick in bytes.chunks_exact(8) {
        let [wall, cpu, delay, arrivals, wait, request, place, until] = *tick else {
            return;
        };
        now = now + Nanos::from_millis(wall.into());
        stat.cpu += Nanos::from_millis(cpu.into());
        stat.delay += Nanos::from_millis(delay.into());
        stat.arrivals += u64::from(arrivals);
        let seen = match wait % 4 {
            0 => Seen::Runs,
            1 => Seen::Unmoved,
            _ => Seen::Waits(Arc::new(wait_of(wait))),
        };
        ledger.tick(now, stat, seen);
        if request > 0 {
            let from = now - Nanos::from_millis(request.into());
            requests.push(InFlightSpan { from, to: now });
        }
        let facts = Facts {
            of_process: &requests,
            of_loop: &requests,
            attending: usize::from(request % 3),
            sees_requests: place & 8 == 0,
        };
        let until = now - Nanos::from_millis(until.into());
        settle_until(&mut ledger, &mut settled, until, place_of(place), &facts);
    }
    let facts = Facts::BLIND;
    settle_until(&mut ledger, &mut settled, now, Place::Home, &facts);
    let blocked: Nanos = settled.blocked_on.into_iter().sum();
    assert_eq!(blocked, settled.times[State::Blocked]);
    // What no counter and no slice explains is missing; what the counters say, which may be more than the wall time, is not.
    let counted = stat.cpu + stat.delay;
    let wall = now.duration_since(began);
    assert!(
        settled.total() <= wall.max(counted) + counted,
        "{settled:?} of {wall:?}"
    );
}

fn settle_until(
    ledger: &mut Ledger,
    settled: &mut Settled,
    until: Timestamp,
    place: Place,
    facts: &Facts<'_>,
) {
    let (running, runnable) = ledger.take_counted();
    settled.add_state(State::Running, running);
    settled.add_state(State::Runnable, runnable);
    for slice in ledger.take_slices(until, |_| true) {
        let before = settled.total();
        settled.add_slice(&slice, place, facts);
        assert_eq!(settled.total(), before + slice.amount, "{slice:?}");
        assert!(slice.from <= slice.to);
    }
}

/// Waits of threads, and what they teach about the places at which the threads wait for work.
pub fn homes(bytes: &[u8]) {
    let begin = Timestamp::from_nanos(1 << 40);
    let mut homes = Homes::new(bytes.first().is_some_and(|first| first % 8 == 0));
    let mut threads = [0, 1, 2, 3].map(|tid| (tid, false));
    // Each step is 6 bytes: the thread, its wait and the wait's place, and times in units of 50 ms.
    for step in bytes.chunks_exact(6) {
        let [thread, wait, place, since, lasted, looked] = *step else {
            return;
        };
        let (tid, has_learned) = &mut threads[usize::from(thread % 4)];
        let wait = Wait {
            site: site_of(place),
            ..wait_of(wait)
        };
        if thread & 128 > 0 {
            homes.forget(*tid);
            *has_learned = false;
        }
        let at = |units: u8| begin + Nanos::from_millis(50 * u64::from(units));
        let now = at(since) + Nanos::from_millis(50 * u64::from(lasted));
        let quiet = Quiet {
            since: at(since),
            unneeded_since: at(place),
            returns_since: at(looked),
            last_look: now.min(at(looked)),
            now,
        };
        let before = homes.place(*tid, &wait);
        homes.learn(*tid, &wait, quiet);
        let after = homes.place(*tid, &wait);
        // What is known as a home stays one, and only a thread that has a home can be away from it.
        match wait.site {
            Site::Stopped => assert_eq!(after, Place::Away),
            Site::Hidden => assert_eq!(after, Place::Hidden),
            _ if matches!(before, Place::Home | Place::Loop) => assert_eq!(after, before),
            _ => {}
        }
        *has_learned |= homes.has_home(*tid);
        if after == Place::Away && wait.site != Site::Stopped {
            assert!(*has_learned, "{wait:?}");
        }
        if after == Place::Loop {
            assert!(wait.multiplexes);
        }
        // Too short a wait teaches nothing, unless the thread waits for work.
        if lasted < 6 && !wait.for_work {
            assert_eq!(after, before);
        }
    }
}

fn site_of(byte: u8) -> Site {
    let stack_pointer = 4_096 * u64::from(byte % 8) + 64;
    match byte % 7 {
        0 => Site::Epoll(i32::from(byte / 64)),
        1 => Site::Futex {
            address: u64::from(byte / 64) * 8,
            stack_pointer,
        },
        2 => Site::Descriptors(vec![i32::from(byte / 64)]),
        3 => Site::At {
            call: Call::Sleep,
            stack_pointer,
        },
        4 => Site::Fault,
        5 => Site::Stopped,
        _ => Site::Hidden,
    }
}

fn wait_of(byte: u8) -> Wait {
    let on = On::ALL[usize::from(byte) % On::ALL.len()];
    Wait {
        site: Site::Epoll(i32::from(byte / 32)),
        on,
        multiplexes: byte & 64 > 0,
        for_work: byte & 128 > 0,
    }
}

fn place_of(byte: u8) -> Place {
    match byte % 5 {
        0 => Place::Home,
        1 => Place::Loop,
        2 => Place::Away,
        3 => Place::Unknown,
        _ => Place::Hidden,
    }
}
