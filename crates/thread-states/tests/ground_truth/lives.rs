//! Threads that start and end, and times that count for a thread or for a route.

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use thread_states::{InFlight, Nanos, Registry, State};

use super::own::{compute, spin};
use super::{SECOND, alone};

#[test]
fn a_route_is_not_charged_for_time_before_its_hold() {
    alone(|| {
        let registry = Registry::new("test", ["/cpu".to_owned()]);
        let held = thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let _registration = registry.register(0, InFlight::new());
                // A client that sends its request slowly.
                thread::sleep(SECOND / 2);
                let hold = thread_states::hold(0);
                compute(SECOND / 2);
                hold.release().unwrap()
            });
            worker.join().unwrap()
        });
        let route = registry.read().routes[0].held;
        for held in [held, route] {
            let running = Duration::from(held.running);
            assert!(running >= SECOND * 9 / 20, "{held:?}");
            assert!(held.blocked <= held.running / 5, "{held:?}");
        }
    });
}

#[test]
fn times_of_successive_threads_add_up_under_their_index() {
    alone(|| {
        let registry = Registry::new("test", []);
        let mut before = Nanos::ZERO;
        for _ in 0..100 {
            thread::scope(|scope| {
                scope.spawn(|| {
                    let _registration = registry.register(0, InFlight::new());
                    thread::sleep(Duration::from_millis(2));
                });
            });
            let thread = registry.read().threads[0];
            assert!(
                thread.wall >= before + Nanos::from_millis(2),
                "{:?} after {before:?}",
                thread.wall
            );
            assert_eq!(thread.times.total(), thread.wall);
            before = thread.wall;
        }
        let blocked = registry.read().threads[0].times[State::Blocked];
        assert!(blocked > before / 2, "{blocked:?} of {before:?}");
        // No time is added after the end of the last thread.
        thread::sleep(Duration::from_millis(20));
        assert_eq!(registry.read().threads[0].wall, before);
    });
}

#[test]
fn a_thread_that_ends_without_unregistering_keeps_its_last_times() {
    alone(|| {
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
                Some(thread) if thread.wall > Nanos::from_millis(10) => break *thread,
                _ => thread::sleep(Duration::from_millis(1)),
            }
        };
        drop(seen);
        worker.join().unwrap();
        // The kernel removes the thread from /proc a moment after the join.
        thread::sleep(Duration::from_millis(100));
        let (gone, later) = (registry.read().threads[0], registry.read().threads[0]);
        assert!(gone.wall >= last_seen.wall, "{gone:?} after {last_seen:?}");
        assert_eq!(later, gone);
        assert_eq!(gone.times.total(), gone.wall);
    });
}

#[test]
fn a_route_is_not_charged_for_short_blocking_between_its_holds() {
    alone(|| {
        let registry = Registry::new("test", ["/cpu".to_owned()]);
        let part = Duration::from_micros(300);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _registration = registry.register(0, InFlight::new());
                // Marks at such a rate do not each read the kernel's counters.
                for _ in 0..2_000 {
                    thread::sleep(part); // a task of no route
                    thread_states::park();
                    thread_states::unpark();
                    let hold = thread_states::hold(0);
                    spin(part);
                    drop(hold);
                    thread_states::park();
                    thread_states::unpark();
                }
            });
        });
        let route = registry.read().routes[0].held;
        assert!(route.blocked <= route.running / 5, "{route:?}");
    });
}

#[test]
fn a_thread_that_parks_while_it_holds_a_route_is_blocked() {
    alone(|| {
        let registry = Registry::new("test", ["/".to_owned()]);
        let _registration = registry.register_current_thread();
        let hold = thread_states::hold(0);
        let parked = thread_states::parked();
        thread::sleep(SECOND / 20);
        // A reading by the thread itself finds it on a CPU just now: whether it slept or waited for the CPU until then
        // is known at the next one.
        let _ = registry.read();
        let reading = registry.read();
        drop(parked);
        let held = hold.release().unwrap();
        let blocked = [
            reading.threads[0].times[State::Blocked],
            reading.routes[0].held.blocked,
            held.blocked,
        ];
        assert!(
            blocked.iter().all(|time| *time >= Nanos::from_millis(45)),
            "{blocked:?}"
        );
    });
}

#[test]
fn threads_that_end_unread_leave_no_file_open() {
    alone(|| {
        let registry = Registry::new("test", ["/".to_owned()]);
        let open = || fs::read_dir("/proc/self/fd").unwrap().count();
        let before = open();
        for _ in 0..100 {
            thread::scope(|scope| {
                scope.spawn(|| {
                    let _registration = registry.register(0, InFlight::new());
                    let _hold = thread_states::hold(0);
                    thread::sleep(Duration::from_millis(1));
                });
            });
        }
        assert!(open() <= before + 10, "{} after {before}", open());
        let reading = registry.read();
        assert!(
            reading.threads[0].wall >= Nanos::from_millis(100),
            "{reading:?}"
        );
        assert!(
            reading.routes[0].held.blocked >= Nanos::from_millis(90),
            "{reading:?}"
        );
        assert_eq!(registry.read(), reading);
    });
}
