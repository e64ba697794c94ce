//! A watcher in this process, and what it shows over a stretch of time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use thread_states::waits::On;
use thread_states::{Nanos, State};
use threadlab::watch::{NamedTarget, Watch, WatchHandle, WatchReading, WatchSettings};

/// Time after which everything that has happened is settled: the longest time between two looks, and more.
pub const SETTLES: Duration = Duration::from_millis(2_500);

/// A watcher of one server.
pub struct Watching {
    /// It ends when this is dropped.
    watch: Watch,
    pub server: WatchHandle,
}

/// The seconds that all threads of a server spent in each state.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    pub running: f64,
    pub runnable: f64,
    pub blocked: f64,
    pub awaiting: f64,
    pub unknown: f64,
}

impl Watching {
    /// Watches a target, and waits until its threads' homes are known.
    pub fn of(target: &str) -> Self {
        let watching = Self::start(target);
        let deadline = Instant::now() + Duration::from_secs(30);
        while watching.server.read().threads.is_empty() {
            assert!(Instant::now() < deadline, "no thread of {target} is found");
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(1_500));
        watching
    }

    /// Watches a target that may not exist yet.
    pub fn start(target: &str) -> Self {
        Self::with(target, false)
    }

    /// The same, with the threads that only ever wait.
    pub fn start_with_all_threads(target: &str) -> Self {
        Self::with(target, true)
    }

    fn with(target: &str, all_threads: bool) -> Self {
        let named: NamedTarget = format!("test={target}").parse().unwrap();
        let watch = Watch::start(WatchSettings {
            targets: vec![named],
            hz: 50.0,
            // Other tests load the machine; with more budget its looks stay frequent.
            budget: 0.2,
            all_threads,
        })
        .unwrap();
        let server = watch.servers().remove(0);
        Self { watch, server }
    }

    /// Times of the server's threads while `action` ran. Reads all the time: nothing may decrease, and each thread's times
    /// sum to its wall time.
    pub fn during(&self, action: impl FnOnce()) -> (Spent, BTreeMap<&'static str, f64>) {
        let before = self.server.read();
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| self.check_counters(&ended));
            action();
            self.settle();
            ended.store(true, Ordering::Relaxed);
        });
        let after = self.server.read();
        let on = On::ALL.into_iter().map(|on| {
            let blocked = |reading: &WatchReading| -> f64 {
                let all = reading
                    .threads
                    .iter()
                    .map(|thread| thread.settled.blocked_on[on as usize]);
                all.sum::<Nanos>().as_secs_f64()
            };
            (on.as_str(), blocked(&after) - blocked(&before))
        });
        (
            Spent::between(&before, &after),
            on.filter(|(_, seconds)| *seconds > 0.05).collect(),
        )
    }

    /// Waits until everything that has happened so far is settled: the watcher holds back the last 50 ms, and settles
    /// the rest at a look.
    fn settle(&self) {
        thread::sleep(Duration::from_millis(100));
        let looks = || self.watch.cost().looks;
        let (before, deadline) = (looks(), Instant::now() + Duration::from_secs(30));
        // The first one may have begun earlier.
        while looks() < before + 2 {
            assert!(Instant::now() < deadline, "no two looks within 30 s");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn check_counters(&self, ended: &AtomicBool) {
        let mut last: BTreeMap<Option<usize>, [Nanos; 6]> = BTreeMap::new();
        while !ended.load(Ordering::Relaxed) {
            for thread in self.server.read().threads {
                let states = State::ALL.map(|state| thread.settled.times[state]);
                let [a, b, c, d, e] = states;
                let now = [a, b, c, d, e, thread.settled.unknown];
                assert_eq!(thread.settled.total(), now.into_iter().sum());
                let blocked: Nanos = thread.settled.blocked_on.into_iter().sum();
                assert_eq!(blocked, thread.settled.times[State::Blocked]);
                if let Some(last) = last.insert(thread.index, now) {
                    let decreased = now.iter().zip(last).any(|(now, last)| *now < last);
                    assert!(!decreased, "{last:?} then {now:?}");
                }
            }
            thread::sleep(Duration::from_millis(7));
        }
    }

    /// Waits until a condition holds.
    pub fn wait_until(&self, what: &str, condition: impl Fn(&WatchReading) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition(&self.server.read()) {
            assert!(
                Instant::now() < deadline,
                "{what}: {:#?}",
                self.server.read()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Spent {
    fn between(before: &WatchReading, after: &WatchReading) -> Self {
        let sum = |reading: &WatchReading, state: State| -> f64 {
            let all = reading
                .threads
                .iter()
                .map(|thread| thread.settled.times[state]);
            all.sum::<Nanos>().as_secs_f64()
        };
        let unknown = |reading: &WatchReading| -> f64 {
            reading
                .threads
                .iter()
                .map(|thread| thread.settled.unknown)
                .sum::<Nanos>()
                .as_secs_f64()
        };
        let grown = |state| sum(after, state) - sum(before, state);
        Self {
            running: grown(State::Running),
            runnable: grown(State::Runnable),
            blocked: grown(State::Blocked),
            awaiting: grown(State::Awaiting),
            unknown: unknown(after) - unknown(before),
        }
    }

    /// Asserts how long threads were blocked and awaiting, in seconds, within 3 % and 5 % and 50 ms, and waited for
    /// or on a CPU.
    pub fn assert(&self, what: &str, blocked: f64, awaiting: f64) {
        self.assert_waits(what, 1, blocked, awaiting);
    }

    /// The same for several waits, of which each has the bound of 50 ms.
    pub fn assert_waits(&self, what: &str, waits: u8, blocked: f64, awaiting: f64) {
        let close = |actual: f64, expected: f64, share: f64| {
            (actual - expected).abs() <= expected * share + 0.05 * f64::from(waits)
        };
        assert!(
            close(self.blocked, blocked, 0.03)
                && close(self.awaiting, awaiting, 0.05)
                && self.unknown == 0.0,
            "{what}: expected {blocked} s blocked and {awaiting} s awaiting, but {self:?}"
        );
    }
}
