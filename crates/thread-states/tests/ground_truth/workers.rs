//! Workers of tokio runtimes, which register automatically.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use thread_states::{
    HoldEnd, HoldStart, Nanos, Registry, State, Times, Timestamp, hold_at, release_at,
};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{block_in_place, spawn_blocking};

use super::own::{compute, cpu_time, spin};
use super::watch::Done;
use super::{SECOND, alone};

const TENTH: Duration = Duration::from_millis(100);

/// A runtime with this many instrumented workers.
fn runtime(registry: &Registry, workers: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    registry.instrument(&mut builder);
    builder
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap()
}

/// As [`runtime`]; all of its workers have registered.
fn warm_runtime(registry: &Registry, workers: usize) -> Runtime {
    let runtime = runtime(registry, workers);
    until(|| registry.read().states().len() == workers);
    runtime
}

fn until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < 10 * SECOND, "not within 10 s");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The sum of all threads' times. Asserts that each thread's times sum to its wall time.
fn total(registry: &Registry) -> Times {
    let threads = registry.read().threads;
    for thread in &threads {
        assert_eq!(thread.times.total(), thread.wall, "{thread:?}");
    }
    threads.into_iter().map(|thread| thread.times).sum()
}

/// The increase from `before` to `after`. Asserts that no state decreased.
fn gained(before: Times, after: Times) -> Times {
    let mut gains = Times::default();
    for state in State::ALL {
        assert!(after[state] >= before[state], "{after:?} after {before:?}");
        gains[state] = after[state] - before[state];
    }
    gains
}

/// The increase while `work` ran. Asserts 200 times a second meanwhile that no state decreased.
fn gains(registry: &Registry, work: impl FnOnce()) -> Times {
    let done = AtomicBool::new(false);
    let before = total(registry);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = before;
            while !done.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(5));
                let next = total(registry);
                gained(last, next);
                last = next;
            }
        });
        let done = Done(&done);
        work();
        let gains = gained(before, total(registry));
        drop(done);
        reader.join().unwrap();
        gains
    })
}

#[track_caller]
fn assert_seconds(times: &Times, state: State, expected: std::ops::Range<f64>) {
    let seconds = times.seconds(state);
    assert!(
        expected.contains(&seconds),
        "{seconds} s {state:?}, not in {expected:?}: {times:?}"
    );
}

#[cfg(feature = "worker-index")]
#[test]
fn worker_indexes_are_tokios() {
    alone(|| {
        let registry = Registry::new("test", []);
        let runtime = warm_runtime(&registry, 3);
        for _ in 0..100 {
            let numbers = runtime.block_on(
                runtime.spawn(async { (tokio::runtime::worker_index(), thread_states::index()) }),
            );
            let (tokios, ours) = numbers.unwrap();
            assert!(ours.is_some());
            assert_eq!(tokios, ours);
        }
        assert_eq!(registry.read().threads.len(), 3);
    });
}

#[test]
fn parked_workers_are_idle_without_requests_and_awaiting_with_them() {
    alone(|| {
        let registry = Registry::new("test", []);
        let _runtime = warm_runtime(&registry, 2);
        let idle = gains(&registry, || thread::sleep(5 * TENTH));
        assert_seconds(&idle, State::Idle, 0.95..1.05);
        let _request = registry.in_flight().enter();
        let awaiting = gains(&registry, || thread::sleep(5 * TENTH));
        assert_seconds(&awaiting, State::Awaiting, 0.95..1.05);
        assert_eq!(idle[State::Blocked] + awaiting[State::Blocked], Nanos::ZERO);
    });
}

#[test]
fn a_worker_is_accounted_from_its_start_even_before_its_first_park() {
    alone(|| {
        let registry = Registry::new("test", []);
        let runtime = runtime(&registry, 1);
        // The first task comes before the first park, or right after it.
        runtime
            .block_on(runtime.spawn(async {
                spin(2 * TENTH);
                thread::sleep(2 * TENTH);
            }))
            .unwrap();
        until(|| !registry.read().states().is_empty());
        let times = total(&registry);
        assert_seconds(&times, State::Blocked, 0.19..0.3);
        let busy = times.seconds(State::Running) + times.seconds(State::Runnable);
        assert!((0.15..0.3).contains(&busy), "{times:?}");
    });
}

#[test]
fn a_route_that_blocks_a_worker_before_its_first_park_is_named_meanwhile() {
    alone(|| {
        let registry = Registry::new("test", ["/blocking".to_owned()]);
        let runtime = runtime(&registry, 1);
        let task = runtime.spawn(async {
            let _hold = thread_states::hold(0);
            thread::sleep(5 * TENTH);
        });
        thread::sleep(3 * TENTH);
        let reading = registry.read();
        let [route, thread] = [
            reading.routes[0].held.blocked,
            reading.threads[0].times[State::Blocked],
        ];
        assert!(thread >= Nanos::from_millis(200), "{reading:?}");
        assert!(
            route.as_secs_f64() >= 0.99 * thread.as_secs_f64(),
            "{reading:?}"
        );
        runtime.block_on(task).unwrap();
    });
}

#[test]
fn stolen_tasks_count_for_the_worker_that_ran_them() {
    const TASKS: usize = 60;
    alone(|| {
        let registry = Registry::new("test", ["/".to_owned()]);
        let runtime = warm_runtime(&registry, 2);
        let before = registry.read().threads;
        // They wait in this worker's own queue while it blocks, so the other worker steals them.
        let (blocker, ran) = runtime
            .block_on(runtime.spawn(async {
                let tasks: Vec<_> = (0..TASKS)
                    .map(|_| tokio::spawn(task_of_a_route()))
                    .collect();
                let blocker = thread_states::index().unwrap();
                thread::sleep(5 * TENTH);
                let mut ran = [Duration::ZERO; 2];
                for task in tasks {
                    for (worker, cpu) in task.await.unwrap() {
                        ran[worker] += cpu;
                    }
                }
                (blocker, ran)
            }))
            .unwrap();
        assert!(ran[1 - blocker] > ran[blocker], "{ran:?} beside {blocker}");
        let after = registry.read();
        for (index, ran) in ran.into_iter().enumerate() {
            let times = gained(before[index].times, after.threads[index].times);
            let (running, ran) = (times.seconds(State::Running), ran.as_secs_f64());
            assert!(
                (running - ran).abs() <= 0.02 * ran + 0.01,
                "{running} s, not {ran}"
            );
            let blocked = if index == blocker {
                0.49..0.6
            } else {
                0.0..0.02
            };
            assert_seconds(&times, State::Blocked, blocked);
        }
        // An await that began on one worker and ended on the other has ended.
        let route = after.routes[0];
        assert!(route.held.running > Nanos::from_millis(200), "{route:?}");
        thread::sleep(TENTH / 5);
        assert_eq!(registry.read().routes[0].awaited, route.awaited);
    });
}

/// Computes for a route, yields, and computes again. Returns the worker and the CPU time of each part.
async fn task_of_a_route() -> [(usize, Duration); 2] {
    let compute_here = |start, end| {
        let begun = cpu_time();
        hold_at(Timestamp::now(), 0, start);
        compute(Duration::from_millis(2));
        release_at(Timestamp::now(), 0, end);
        (thread_states::index().unwrap(), cpu_time() - begun)
    };
    let first = compute_here(HoldStart::New, HoldEnd::Awaits);
    tokio::task::yield_now().await;
    [first, compute_here(HoldStart::AfterAwait, HoldEnd::Done)]
}

#[test]
fn threads_of_the_blocking_pool_are_not_accounted() {
    alone(|| {
        let registry = Registry::new("test", []);
        let runtime = warm_runtime(&registry, 2);
        let _request = registry.in_flight().enter();
        let gains = gains(&registry, || {
            runtime.block_on(async {
                let jobs: Vec<_> = (0..8)
                    .map(|_| spawn_blocking(|| thread::sleep(5 * TENTH)))
                    .collect();
                for job in jobs {
                    job.await.unwrap();
                }
            });
        });
        assert_eq!(registry.read().threads.len(), 2);
        assert_seconds(&gains, State::Awaiting, 0.9..1.2);
        assert_seconds(&gains, State::Blocked, 0.0..0.01);
    });
}

#[test]
fn a_worker_continues_on_another_thread_during_block_in_place() {
    alone(|| {
        let registry = Registry::new("test", ["/".to_owned()]);
        let runtime = warm_runtime(&registry, 2);
        let _request = registry.in_flight().enter();
        for _ in 0..3 {
            let gains = gains(&registry, || {
                runtime.block_on(async {
                    let blocks = tokio::spawn(async {
                        hold_at(Timestamp::now(), 0, HoldStart::New);
                        spin(TENTH);
                        block_in_place(|| thread::sleep(5 * TENTH));
                        release_at(Timestamp::now(), 0, HoldEnd::Awaits);
                    });
                    blocks.await.unwrap();
                    let registry = registry.clone();
                    tokio::spawn(async move { registry.end_await(Timestamp::now(), 0) })
                        .await
                        .unwrap();
                });
                // The thread that blocked is now idle in the blocking pool, for ten seconds.
                thread::sleep(5 * TENTH);
            });
            assert_seconds(&gains, State::Awaiting, 1.8..2.4);
            assert_seconds(&gains, State::Blocked, 0.0..0.05);
            assert_eq!(registry.read().states().len(), 2);
        }
        // The route's await without a worker has ended.
        let route = registry.read().routes[0];
        assert!(
            (1.3..1.7).contains(&route.awaited.as_secs_f64()),
            "{route:?}"
        );
        assert!(route.held.blocked < Nanos::from_millis(100), "{route:?}");
        // Its CPU time before that counts as well.
        let busy = route.held.running + route.held.runnable;
        assert!((0.25..0.45).contains(&busy.as_secs_f64()), "{route:?}");
        thread::sleep(TENTH);
        assert_eq!(registry.read().routes[0].awaited, route.awaited);
    });
}

#[test]
fn a_thread_that_gets_its_worker_back_is_accounted_again() {
    alone(|| {
        let registry = Registry::new("test", []);
        let runtime = warm_runtime(&registry, 1);
        let _request = registry.in_flight().enter();
        let gains = gains(&registry, || {
            // Each task takes the only worker from the thread of the task before, and some threads get it back.
            runtime.block_on(async {
                let blocks: Vec<_> = (0..20)
                    .map(|index| {
                        tokio::spawn(async move {
                            block_in_place(|| thread::sleep(Duration::from_millis(10 * index)));
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        })
                    })
                    .collect();
                for block in blocks {
                    block.await.unwrap();
                }
            });
            thread::sleep(5 * TENTH);
        });
        assert_eq!(registry.read().states().len(), 1);
        assert_seconds(&gains, State::Awaiting, 0.5..1.5);
        let now = gained(total(&registry), {
            thread::sleep(TENTH);
            total(&registry)
        });
        assert_seconds(&now, State::Awaiting, 0.09..0.2);
    });
}

#[test]
fn a_thread_that_gets_its_worker_back_is_named_with_its_route_at_once() {
    alone(|| {
        let registry = Registry::new("test", ["/".to_owned(), "/blocking".to_owned()]);
        let runtime = warm_runtime(&registry, 1);
        let in_place = |time| {
            let hold = thread_states::hold(0);
            block_in_place(|| thread::sleep(time));
            drop(hold);
            // The task continues without the worker.
            drop(thread_states::hold(0));
        };
        runtime
            .block_on(runtime.spawn(async move { in_place(TENTH) }))
            .unwrap();
        // The first thread is idle in the blocking pool. The second one gives it the worker back, with a task.
        thread::sleep(TENTH);
        runtime.spawn(async move {
            tokio::spawn(async {
                let _hold = thread_states::hold(1);
                thread::sleep(5 * TENTH);
            });
            in_place(8 * TENTH);
        });
        thread::sleep(3 * TENTH);
        let reading = registry.read();
        assert!(
            reading.routes[1].held.blocked >= Nanos::from_millis(200),
            "{reading:?}"
        );
        assert!(
            reading.routes[0].held.blocked <= Nanos::from_millis(50),
            "{reading:?}"
        );
        thread::sleep(8 * TENTH);
        let reading = registry.read();
        assert!(
            reading.routes[1].held.blocked >= Nanos::from_millis(490),
            "{reading:?}"
        );
        assert!(
            reading.routes[0].awaited >= Nanos::from_millis(600),
            "{reading:?}"
        );
        assert_eq!(registry.read().states().len(), 1);
        assert_eq!(reading.threads.len(), 1);
        assert_eq!(reading.threads[0].times.total(), reading.threads[0].wall);
    });
}

#[test]
fn workers_end_with_their_runtime_and_the_next_runtime_reuses_their_indexes() {
    alone(|| {
        let registry = Registry::new("test", []);
        for round in 1..=3 {
            let runtime = warm_runtime(&registry, 2);
            thread::sleep(TENTH);
            drop(runtime);
            assert!(registry.read().states().is_empty());
            let ended = total(&registry);
            assert_eq!(registry.read().threads.len(), 2);
            assert!(
                ended.total() >= Nanos::from_millis(round * 200),
                "{ended:?}"
            );
            thread::sleep(TENTH / 5);
            assert_eq!(total(&registry), ended);
        }
    });
}

#[test]
fn a_worker_that_blocks_during_a_background_shutdown_is_accounted_to_its_end() {
    alone(|| {
        let registry = Registry::new("test", []);
        let runtime = warm_runtime(&registry, 2);
        runtime.spawn(async { thread::sleep(5 * TENTH) });
        thread::sleep(TENTH);
        runtime.shutdown_background();
        until(|| registry.read().states().len() == 1);
        assert_eq!(
            registry.read().states().into_values().next(),
            Some(State::Blocked)
        );
        until(|| registry.read().states().is_empty());
        let times = total(&registry);
        assert_seconds(&times, State::Blocked, 0.49..0.6);
        thread::sleep(TENTH / 5);
        assert_eq!(total(&registry), times);
    });
}

#[test]
fn two_runtimes_in_one_process_are_distinguished() {
    alone(|| {
        let [one, other] = ["one", "other"].map(|name| Registry::new(name, []));
        let first = warm_runtime(&one, 1);
        let _second = warm_runtime(&other, 2);
        let others = gains(&other, || {
            let ones = gains(&one, || {
                first
                    .block_on(first.spawn(async { thread::sleep(5 * TENTH) }))
                    .unwrap();
            });
            assert_seconds(&ones, State::Blocked, 0.49..0.6);
        });
        assert_seconds(&others, State::Idle, 0.95..1.2);

        // Each worker of one registry has an index of its own.
        let _third = runtime(&one, 2);
        until(|| one.read().states().len() == 3);
        assert_eq!(
            one.read().states().into_keys().collect::<Vec<_>>(),
            [0, 1, 2]
        );
    });
}

#[test]
fn one_builder_can_build_two_runtimes() {
    alone(|| {
        let registry = Registry::new("test", []);
        let mut builder = Builder::new_multi_thread();
        registry.instrument(&mut builder);
        let _two = [(); 2].map(|()| builder.worker_threads(2).build().unwrap());
        until(|| registry.read().states().len() == 4);
        let idle = gains(&registry, || thread::sleep(2 * TENTH));
        assert_seconds(&idle, State::Idle, 0.7..0.9);
    });
}

#[test]
fn a_current_thread_runtime_registers_the_thread_that_drives_it() {
    alone(|| {
        let registry = Registry::new("test", []);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut builder = Builder::new_current_thread();
                registry.instrument(&mut builder);
                let _request = registry.in_flight().enter();
                builder.enable_all().build().unwrap().block_on(async {
                    tokio::time::sleep(5 * TENTH).await;
                    spawn_blocking(|| thread::sleep(TENTH)).await.unwrap();
                    thread::sleep(2 * TENTH);
                });
            });
        });
        assert_eq!(registry.read().threads.len(), 1);
        let times = total(&registry);
        assert_seconds(&times, State::Awaiting, 0.58..0.7);
        assert_seconds(&times, State::Blocked, 0.19..0.3);
    });
}

#[test]
fn a_thread_that_drives_one_runtime_after_another_belongs_to_the_last() {
    alone(|| {
        let registries = ["one", "other"].map(|name| Registry::new(name, []));
        for registry in &registries {
            let mut builder = Builder::new_current_thread();
            registry.instrument(&mut builder);
            let runtime = builder.enable_all().build().unwrap();
            runtime.block_on(async { tokio::time::sleep(TENTH).await });
            assert_eq!(registry.read().states().len(), 1);
        }
        assert!(registries[0].read().states().is_empty());
    });
}
