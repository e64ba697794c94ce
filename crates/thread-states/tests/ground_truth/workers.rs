//! The workers of tokio runtimes, which register themselves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use thread_states::{self, Registry, State, Times};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{block_in_place, spawn_blocking};

use super::own::{compute, cpu_time, spin};
use super::watch::Done;
use super::{SECOND, alone};

const TENTH: Duration = Duration::from_millis(100);

/// A runtime of so many workers, which register themselves.
fn runtime(registry: &Registry, workers: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    registry.instrument(&mut builder);
    builder
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap()
}

/// A runtime as above whose workers have all parked.
fn warm_runtime(registry: &Registry, workers: usize) -> Runtime {
    let runtime = runtime(registry, workers);
    until(|| registry.states().len() == workers);
    runtime
}

fn until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < 10 * SECOND, "it takes too long");
        thread::sleep(Duration::from_millis(1));
    }
}

/// What all threads of a registry came to together, after a look at each.
fn total(registry: &Registry) -> Times {
    let threads = registry.read().threads;
    for thread in &threads {
        assert_eq!(thread.times.total(), thread.wall, "{thread:?}");
    }
    threads.into_iter().map(|thread| thread.times).sum()
}

/// What they gained from `before` to `after`; no state of theirs decreased.
fn gained(before: Times, after: Times) -> Times {
    let mut gains = Times::default();
    for state in State::ALL {
        assert!(after[state] >= before[state], "{after:?} after {before:?}");
        gains[state] = after[state] - before[state];
    }
    gains
}

/// What they gained while `work` ran, looked at 200 times a second meanwhile.
fn gains(registry: &Registry, work: impl FnOnce()) -> Times {
    let done = AtomicBool::new(false);
    let before = total(registry);
    thread::scope(|scope| {
        let looker = scope.spawn(|| {
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
        looker.join().unwrap();
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

#[test]
fn workers_bear_tokios_numbers() {
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
fn workers_idle_without_requests_and_await_with_them() {
    alone(|| {
        let registry = Registry::new("test", []);
        let _runtime = warm_runtime(&registry, 2);
        let idle = gains(&registry, || thread::sleep(5 * TENTH));
        assert_seconds(&idle, State::Idle, 0.95..1.05);
        let _request = registry.in_flight().enter();
        let awaiting = gains(&registry, || thread::sleep(5 * TENTH));
        assert_seconds(&awaiting, State::Awaiting, 0.95..1.05);
        assert_eq!(idle[State::Blocked] + awaiting[State::Blocked], 0);
    });
}

#[test]
fn a_worker_that_computes_or_blocks_before_it_ever_parked_is_counted_from_its_start() {
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
        until(|| !registry.states().is_empty());
        let times = total(&registry);
        assert_seconds(&times, State::Blocked, 0.19..0.3);
        let busy = times.seconds(State::Running) + times.seconds(State::Runnable);
        assert!((0.15..0.3).contains(&busy), "{times:?}");
    });
}

#[test]
fn a_route_that_blocks_a_worker_before_it_ever_parked_is_named_meanwhile() {
    alone(|| {
        let registry = Registry::new("test", ["/blocking".to_owned()]);
        let runtime = runtime(&registry, 1);
        let task = runtime.spawn(async {
            thread_states::hold(0, false);
            thread::sleep(5 * TENTH);
            thread_states::release(0, false);
        });
        thread::sleep(3 * TENTH);
        let reading = registry.read();
        let [route, thread] = [
            reading.routes[0].held.blocked,
            reading.threads[0].times[State::Blocked],
        ];
        assert!(thread >= 200_000_000, "{reading:?}");
        assert!(route as f64 >= 0.99 * thread as f64, "{reading:?}");
        runtime.block_on(task).unwrap();
    });
}

#[test]
fn stolen_tasks_count_where_they_ran() {
    const TASKS: usize = 60;
    alone(|| {
        let registry = Registry::new("test", ["/".to_owned()]);
        let runtime = warm_runtime(&registry, 2);
        let before = registry.read().threads;
        // They wait in this worker's own queue while it blocks, so the other one takes them.
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
        // A wait that began on one worker and ended on the other goes on no more.
        let route = after.routes[0];
        assert!(route.held.running > 200_000_000, "{route:?}");
        thread::sleep(TENTH / 5);
        assert_eq!(registry.read().routes[0].awaited, route.awaited);
    });
}

/// Computes for a route, lets others have the worker, and computes again. Tells where, and how much.
async fn task_of_a_route() -> [(usize, Duration); 2] {
    let compute_here = |awaited, awaits| {
        let begun = cpu_time();
        thread_states::hold(0, awaited);
        compute(Duration::from_millis(2));
        thread_states::release(0, awaits);
        (thread_states::index().unwrap(), cpu_time() - begun)
    };
    let first = compute_here(false, true);
    tokio::task::yield_now().await;
    [first, compute_here(true, false)]
}

#[test]
fn the_blocking_pool_is_not_counted() {
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
fn a_worker_goes_on_in_another_thread_while_its_own_blocks_in_place() {
    alone(|| {
        let registry = Registry::new("test", ["/".to_owned()]);
        let runtime = warm_runtime(&registry, 2);
        let _request = registry.in_flight().enter();
        for _ in 0..3 {
            let gains = gains(&registry, || {
                runtime.block_on(async {
                    let blocks = tokio::spawn(async {
                        thread_states::hold(0, false);
                        spin(TENTH);
                        block_in_place(|| thread::sleep(5 * TENTH));
                        thread_states::release(0, true);
                    });
                    blocks.await.unwrap();
                    let registry = registry.clone();
                    tokio::spawn(async move { registry.end_await(thread_states::now(), 0) })
                        .await
                        .unwrap();
                });
                // The thread that blocked now waits in the blocking pool for ten seconds.
                thread::sleep(5 * TENTH);
            });
            assert_seconds(&gains, State::Awaiting, 1.8..2.4);
            assert_seconds(&gains, State::Blocked, 0.0..0.05);
            assert_eq!(registry.states().len(), 2);
        }
        // Its route waited without a worker, and does so no more.
        let route = registry.read().routes[0];
        assert!(
            (1_300_000_000..1_700_000_000).contains(&route.awaited),
            "{route:?}"
        );
        assert!(route.held.blocked < 100_000_000, "{route:?}");
        // What it computed before that counts, too.
        let busy = route.held.running + route.held.runnable;
        assert!((250_000_000..450_000_000).contains(&busy), "{route:?}");
        thread::sleep(TENTH);
        assert_eq!(registry.read().routes[0].awaited, route.awaited);
    });
}

#[test]
fn a_worker_that_takes_its_place_back_counts_again() {
    alone(|| {
        let registry = Registry::new("test", []);
        let runtime = warm_runtime(&registry, 1);
        let _request = registry.in_flight().enter();
        let gains = gains(&registry, || {
            // Each takes the only worker from the one before, and some get it back.
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
        assert_eq!(registry.states().len(), 1);
        assert_seconds(&gains, State::Awaiting, 0.5..1.5);
        let now = gained(total(&registry), {
            thread::sleep(TENTH);
            total(&registry)
        });
        assert_seconds(&now, State::Awaiting, 0.09..0.2);
    });
}

#[test]
fn a_worker_that_takes_its_place_back_is_named_with_its_route_at_once() {
    alone(|| {
        let registry = Registry::new("test", ["/".to_owned(), "/blocking".to_owned()]);
        let runtime = warm_runtime(&registry, 1);
        let in_place = |time| {
            thread_states::hold(0, false);
            block_in_place(|| thread::sleep(time));
            thread_states::release(0, false);
            // The task goes on, and without the worker.
            thread_states::hold(0, false);
            thread_states::release(0, false);
        };
        runtime
            .block_on(runtime.spawn(async move { in_place(TENTH) }))
            .unwrap();
        // The first thread waits in the pool now; the second gives it the worker back, and a task.
        thread::sleep(TENTH);
        runtime.spawn(async move {
            tokio::spawn(async {
                thread_states::hold(1, false);
                thread::sleep(5 * TENTH);
                thread_states::release(1, false);
            });
            in_place(8 * TENTH);
        });
        thread::sleep(3 * TENTH);
        let reading = registry.read();
        assert!(reading.routes[1].held.blocked >= 200_000_000, "{reading:?}");
        assert!(reading.routes[0].held.blocked <= 50_000_000, "{reading:?}");
        thread::sleep(8 * TENTH);
        let reading = registry.read();
        assert!(reading.routes[1].held.blocked >= 490_000_000, "{reading:?}");
        assert!(reading.routes[0].awaited >= 600_000_000, "{reading:?}");
        assert_eq!(registry.states().len(), 1);
        assert_eq!(reading.threads.len(), 1);
        assert_eq!(reading.threads[0].times.total(), reading.threads[0].wall);
    });
}

#[test]
fn workers_end_with_their_runtime_and_the_next_ones_go_on_under_their_index() {
    alone(|| {
        let registry = Registry::new("test", []);
        for round in 1..=3 {
            let runtime = warm_runtime(&registry, 2);
            thread::sleep(TENTH);
            drop(runtime);
            assert!(registry.states().is_empty());
            let ended = total(&registry);
            assert_eq!(registry.read().threads.len(), 2);
            assert!(ended.total() >= round * 200_000_000, "{ended:?}");
            thread::sleep(TENTH / 5);
            assert_eq!(total(&registry), ended);
        }
    });
}

#[test]
fn a_worker_that_still_blocks_when_its_runtime_is_left_is_counted_to_its_end() {
    alone(|| {
        let registry = Registry::new("test", []);
        let runtime = warm_runtime(&registry, 2);
        runtime.spawn(async { thread::sleep(5 * TENTH) });
        thread::sleep(TENTH);
        runtime.shutdown_background();
        until(|| registry.states().len() == 1);
        assert_eq!(registry.states().into_values().next(), Some(State::Blocked));
        until(|| registry.states().is_empty());
        let times = total(&registry);
        assert_seconds(&times, State::Blocked, 0.49..0.6);
        thread::sleep(TENTH / 5);
        assert_eq!(total(&registry), times);
    });
}

#[test]
fn two_runtimes_of_one_process_are_told_apart() {
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

        // Those of one registry have an index each.
        let _third = runtime(&one, 2);
        until(|| one.states().len() == 3);
        assert_eq!(one.states().into_keys().collect::<Vec<_>>(), [0, 1, 2]);
    });
}

#[test]
fn one_builder_may_build_two_runtimes() {
    alone(|| {
        let registry = Registry::new("test", []);
        let mut builder = Builder::new_multi_thread();
        registry.instrument(&mut builder);
        let _two = [(); 2].map(|()| builder.worker_threads(2).build().unwrap());
        until(|| registry.states().len() == 4);
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
fn a_thread_that_drives_one_runtime_after_the_other_is_of_the_last_one() {
    alone(|| {
        let registries = ["one", "other"].map(|name| Registry::new(name, []));
        for registry in &registries {
            let mut builder = Builder::new_current_thread();
            registry.instrument(&mut builder);
            let runtime = builder.enable_all().build().unwrap();
            runtime.block_on(async { tokio::time::sleep(TENTH).await });
            assert_eq!(registry.states().len(), 1);
        }
        assert!(registries[0].states().is_empty());
    });
}
