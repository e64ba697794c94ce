//! The thread accounting against what a workload is known to have done, on a thread of one's own
//! and on an event loop: each workload measures itself by other means than the accounting.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod workers;

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use threadlab::thread_state::{self, InFlight, Registry, State, Times};

/// The CPU time of the calling thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Computes for this much CPU time, however long that takes.
fn compute(cpu: Duration) {
    let begun = cpu_time();
    while cpu_time() - begun < cpu {}
}

/// Each test has the machine to itself: side by side they would measure each other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the accounting said of thread 0 while a workload ran, read 100 times a second meanwhile.
struct Accounted {
    times: Times,
    wall: u64,
}

impl Accounted {
    fn share(&self, state: State) -> f64 {
        self.times[state] as f64 / self.wall as f64
    }

    /// What the hypervisor can have stolen: it is part of `blocked` where a thread blocks as well.
    fn stolen_at_most(&self) -> Duration {
        Duration::from_nanos(self.wall / 8)
    }

    /// Holds a state to what it came to by other means: within 2 % of it, or 4 ms.
    fn assert(&self, state: State, truth: Duration) {
        let (accounted, truth) = (self.times.seconds(state), truth.as_secs_f64());
        let margin = (0.02 * truth).max(0.004);
        assert!(
            (accounted - truth).abs() <= margin,
            "{state:?}: accounted {accounted:.4} s, in truth {truth:.4} s; {:?}",
            self.times
        );
    }
}

/// Reads the registry until `done`, checks each reading, and returns what it came to.
fn watch(registry: &Registry, done: &AtomicBool) -> Accounted {
    let read = || registry.read().threads.first().copied();
    let first = loop {
        match read() {
            Some(thread) => break thread,
            None => thread::sleep(Duration::from_millis(1)),
        }
    };
    let mut last = first;
    while !done.load(Ordering::Acquire) {
        thread::sleep(Duration::from_millis(10));
        let next = read().unwrap();
        for state in State::ALL {
            assert!(
                next.times[state] >= last.times[state],
                "{state:?} decreased"
            );
        }
        let (sum, wall) = (next.times.total(), next.wall);
        assert!(
            sum.abs_diff(wall) <= wall / 1_000,
            "{sum} ns in states, {wall} ns in all"
        );
        last = next;
    }
    last = read().unwrap();
    let mut times = Times::default();
    for state in State::ALL {
        times[state] = last.times[state] - first.times[state];
    }
    Accounted {
        times,
        wall: last.wall - first.wall,
    }
}

/// Runs a workload on a registered thread that never parks: as a synchronous thread which holds
/// one request.
fn on_a_held_thread<T: Send>(workload: impl FnOnce() -> T + Send) -> (Accounted, T) {
    let registry = Registry::new("test", []);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (begin, begun) = mpsc::channel::<()>();
        let worker = scope.spawn({
            let (registry, done) = (registry.clone(), &done);
            move || {
                let _registration = registry.register(0, InFlight::new());
                // Only what comes after the first reading is compared.
                thread_state::park();
                begun.recv().unwrap();
                thread_state::unpark();
                let result = workload();
                thread_state::park();
                done.store(true, Ordering::Release);
                // The last reading is of a thread that still lives.
                let _ = begun.recv();
                result
            }
        });
        while registry.read().threads.is_empty() {
            thread::sleep(Duration::from_millis(1));
        }
        begin.send(()).unwrap();
        let accounted = watch(&registry, &done);
        drop(begin);
        (accounted, worker.join().unwrap())
    })
}

/// Runs a future on an event loop with one request in flight.
fn on_an_event_loop<T: Send>(
    in_flight: bool,
    workload: impl AsyncFnOnce() -> T + Send,
) -> (Accounted, T) {
    let registry = Registry::new("test", []);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (begin, begun) = mpsc::channel::<()>();
        let worker = scope.spawn({
            let (registry, done) = (registry.clone(), &done);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .on_thread_park(thread_state::park)
                    .on_thread_unpark(thread_state::unpark)
                    .build()
                    .unwrap();
                let requests = InFlight::new();
                let _registration = registry.register(0, Arc::clone(&requests));
                let _request = in_flight.then(|| requests.enter());
                // Only what comes after the first reading is compared.
                thread_state::park();
                begun.recv().unwrap();
                thread_state::unpark();
                let result = runtime.block_on(workload());
                done.store(true, Ordering::Release);
                result
            }
        });
        while registry.read().threads.is_empty() {
            thread::sleep(Duration::from_millis(1));
        }
        begin.send(()).unwrap();
        (watch(&registry, &done), worker.join().unwrap())
    })
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_pure_spin_is_never_blocked() {
    let _alone = alone();
    let spin = || {
        let begun = Instant::now();
        while begun.elapsed() < 2 * SECOND {}
        cpu_time()
    };
    let (accounted, cpu) = on_a_held_thread(spin);
    accounted.assert(State::Running, cpu);
    assert!(
        accounted.share(State::Blocked) <= 0.005,
        "{:?}",
        accounted.times
    );
}

#[test]
fn a_spin_beside_a_hog_is_half_runnable() {
    let _alone = alone();
    let ended = AtomicBool::new(false);
    let pin = || {
        let mut first = CpuSet::new();
        first.set(0);
        sched_setaffinity(None, &first).unwrap();
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            pin();
            let begun = Instant::now();
            // A failed assertion ends the spin without a word.
            while !ended.load(Ordering::Relaxed) && begun.elapsed() < 20 * SECOND {
                std::hint::spin_loop();
            }
        });
        let (accounted, cpu) = on_a_held_thread(|| {
            // To be moved to that CPU is to leave the other one, which is no part of the spin.
            thread_state::park();
            pin();
            thread_state::unpark();
            let begun = Instant::now();
            while begun.elapsed() < 2 * SECOND {}
            cpu_time()
        });
        ended.store(true, Ordering::Relaxed);
        accounted.assert(State::Running, cpu);
        assert!(
            accounted.share(State::Runnable) > 0.3,
            "{:?}",
            accounted.times
        );
        assert!(
            accounted.share(State::Blocked) <= 0.02,
            "{:?}",
            accounted.times
        );
    });
}

/// Every way to leave the CPU while holding a request is blocked.
fn assert_blocked(workload: impl FnOnce() + Send) {
    let (accounted, blocked) = on_a_held_thread(|| {
        let begun = Instant::now();
        workload();
        begun.elapsed()
    });
    accounted.assert(State::Blocked, blocked);
}

#[test]
fn a_sleep_is_blocked() {
    let _alone = alone();
    assert_blocked(|| thread::sleep(SECOND));
}

#[test]
fn a_read_of_a_silent_socket_is_blocked() {
    let _alone = alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    socket.set_read_timeout(Some(SECOND)).unwrap();
    assert_blocked(move || drop(socket.read(&mut [0])));
}

#[test]
fn a_futex_wait_is_blocked() {
    let _alone = alone();
    let (_keep, receive) = mpsc::channel::<()>();
    assert_blocked(move || {
        let _ = receive.recv_timeout(SECOND);
    });
}

#[test]
fn a_route_is_not_charged_for_what_the_thread_did_before_it() {
    let _alone = alone();
    let registry = Registry::new("test", ["/cpu".to_owned()]);
    let held = thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let _registration = registry.register(0, InFlight::new());
            // A client that is slow to say what it wants.
            thread::sleep(SECOND / 2);
            thread_state::hold(0, false);
            compute(SECOND / 2);
            thread_state::release(0, false).unwrap()
        });
        worker.join().unwrap()
    });
    let route = registry.read().routes[0].held;
    for held in [held, route] {
        let running = Duration::from_nanos(held.running);
        assert!(running >= SECOND * 9 / 20, "{held:?}");
        assert!(held.blocked <= held.running / 5, "{held:?}");
    }
}

/// Holds a state to a wait that lasted at least `asked` and at most `waited`: what lies between
/// is the delay until the thread got a CPU again, which is runnable.
fn assert_within(accounted: &Accounted, state: State, asked: Duration, waited: Duration) {
    let seconds = accounted.times.seconds(state);
    let (least, most) = (0.98 * asked.as_secs_f64(), 1.02 * waited.as_secs_f64());
    assert!(
        (least..=most).contains(&seconds),
        "{state:?}: {seconds} not in {least}..={most}"
    );
}

#[test]
fn computing_and_blocking_in_turn_are_told_apart() {
    let _alone = alone();
    const PAUSE: Duration = Duration::from_millis(20);
    let (accounted, (cpu, blocked)) = on_a_held_thread(|| {
        let mut blocked = Duration::ZERO;
        for _ in 0..40 {
            compute(Duration::from_millis(10));
            let begun = Instant::now();
            thread::sleep(PAUSE);
            blocked += begun.elapsed();
        }
        (cpu_time(), blocked)
    });
    accounted.assert(State::Running, cpu);
    // What the hypervisor steals while it computes cannot be told from blocking here: see
    // docs/ARCHITECTURE.md, "What cannot be known".
    assert_within(
        &accounted,
        State::Blocked,
        40 * PAUSE,
        blocked + accounted.stolen_at_most(),
    );
}

#[test]
fn an_event_loop_awaits_with_requests_and_idles_without() {
    let _alone = alone();
    for (in_flight, state) in [(true, State::Awaiting), (false, State::Idle)] {
        let (accounted, waited) = on_an_event_loop(in_flight, async || {
            let begun = Instant::now();
            tokio::time::sleep(SECOND).await;
            begun.elapsed()
        });
        assert_within(&accounted, state, SECOND, waited);
        assert_eq!(accounted.times[State::Blocked], 0);
    }
}

#[test]
fn thousands_of_waits_are_one_await() {
    let _alone = alone();
    for waits in [100, 5_000] {
        let (accounted, ()) = on_an_event_loop(true, async || {
            let begun = Instant::now();
            let waiting: Vec<_> = (0..waits)
                .map(|index| {
                    tokio::spawn(tokio::time::sleep(
                        SECOND + Duration::from_micros(index * 100),
                    ))
                })
                .collect();
            for wait in waiting {
                wait.await.unwrap();
            }
            assert!(begun.elapsed() >= SECOND);
        });
        assert!(
            accounted.share(State::Awaiting) > 0.5,
            "{waits}: {:?}",
            accounted.times
        );
        assert!(
            accounted.share(State::Blocked) <= 0.01,
            "{waits}: {:?}",
            accounted.times
        );
    }
}

#[test]
fn one_poll_may_compute_block_and_await() {
    let _alone = alone();
    const PAUSE: Duration = Duration::from_millis(10);
    let (accounted, (cpu, blocked, awaited)) = on_an_event_loop(true, async || {
        let (mut blocked, mut awaited) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..50 {
            compute(Duration::from_millis(5));
            let begun = Instant::now();
            thread::sleep(PAUSE);
            blocked += begun.elapsed();
            let begun = Instant::now();
            tokio::time::sleep(PAUSE).await;
            awaited += begun.elapsed();
        }
        (cpu_time(), blocked, awaited)
    });
    accounted.assert(State::Running, cpu);
    assert_within(
        &accounted,
        State::Blocked,
        50 * PAUSE,
        blocked + accounted.stolen_at_most(),
    );
    assert_within(&accounted, State::Awaiting, 50 * PAUSE, awaited);
}

#[test]
fn a_hundred_thousand_marks_a_second_are_no_blocking() {
    let _alone = alone();
    let registry = Registry::new("test", []);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let worker = scope.spawn({
            let (registry, done) = (registry.clone(), &done);
            move || {
                let _registration = registry.register(0, InFlight::new());
                let begun = Instant::now();
                while begun.elapsed() < 2 * SECOND {
                    thread_state::park();
                    spin(Duration::from_micros(8));
                    thread_state::unpark();
                    spin(Duration::from_micros(8));
                }
                done.store(true, Ordering::Release);
                cpu_time()
            }
        });
        let accounted = watch(&registry, &done);
        accounted.assert(State::Running, worker.join().unwrap());
        assert!(
            accounted.share(State::Blocked) <= 0.01,
            "{:?}",
            accounted.times
        );
    });
}

fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {}
}

#[test]
fn threads_that_come_and_go_add_up_under_their_index() {
    let _alone = alone();
    let registry = Registry::new("test", []);
    let mut before = 0;
    for _ in 0..100 {
        thread::scope(|scope| {
            scope.spawn(|| {
                let _registration = registry.register(0, InFlight::new());
                thread::sleep(Duration::from_millis(2));
            });
        });
        let thread = registry.read().threads[0];
        assert!(
            thread.wall >= before + 2_000_000,
            "{} ns after {before}",
            thread.wall
        );
        assert_eq!(thread.times.total(), thread.wall);
        before = thread.wall;
    }
    let blocked = registry.read().threads[0].times[State::Blocked];
    assert!(
        blocked as f64 > 0.5 * before as f64,
        "{blocked} of {before}"
    );
    // Nothing goes on after the last of them.
    thread::sleep(Duration::from_millis(20));
    assert_eq!(registry.read().threads[0].wall, before);
}

#[test]
fn a_thread_that_is_gone_without_a_word_stands_where_it_was_last_seen() {
    let _alone = alone();
    let registry = Registry::new("test", []);
    let (seen, ended) = mpsc::channel::<()>();
    let worker = thread::spawn({
        let registry = registry.clone();
        move || {
            std::mem::forget(registry.register(0, InFlight::new()));
            let _ = ended.recv();
        }
    });
    let last_seen = loop {
        match registry.read().threads.first() {
            Some(thread) if thread.wall > 10_000_000 => break *thread,
            _ => thread::sleep(Duration::from_millis(1)),
        }
    };
    drop(seen);
    worker.join().unwrap();
    // The kernel forgets the thread a moment after the join.
    thread::sleep(Duration::from_millis(100));
    let (gone, later) = (registry.read().threads[0], registry.read().threads[0]);
    assert!(gone.wall >= last_seen.wall, "{gone:?} after {last_seen:?}");
    assert_eq!(later, gone);
    assert_eq!(gone.times.total(), gone.wall);
}
