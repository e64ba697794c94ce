//! The time at which a request was woken: from then on it waits for a thread, not for something else.
//!
//! Without it, a request that is ready but gets no thread, because another route blocks it, looks as if it
//! waited for a database.
//!
//! A future keeps a waker only if it has to wait, and it gets one by cloning the waker of its context. So
//! the first poll has a waker on the stack, which makes the real one when it is cloned: a request that
//! never waits pays neither for memory nor for a reference count.

use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, RawWaker, RawWakerVTable, Wake, Waker};

use crate::accounting::{self, Registry, Timestamp};

/// The request is not waiting, or its wait is in no counter.
const POLLED: u64 = 0;
/// It waits, and has not been woken.
const WAITING: u64 = 1;
/// It was woken during the poll, and will be polled again.
const WOKEN_EARLY: u64 = 2;
// Any other value: twice the time of the wake-up, plus 1 if the thread that woke it marked it.

/// End of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitEnd {
    /// Without a wake-up that was noticed.
    NotWoken,
    /// After a wake-up at this time.
    Woken {
        at: Timestamp,
        /// The wake-up is marked in the counters.
        marked: bool,
    },
}

/// Waker of a request, which keeps the time of the first wake-up.
#[derive(Debug)]
pub(super) struct WakeTimer {
    registry: Registry,
    route: usize,
    waker: Waker,
    state: AtomicU64,
    /// Start of the wait, in nanoseconds.
    since: AtomicU64,
}

impl Wake for WakeTimer {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task can be polled.
        self.note();
        self.waker.wake_by_ref();
    }
}

impl WakeTimer {
    fn new(registry: &Registry, route: usize, waker: &Waker) -> Self {
        Self {
            registry: registry.clone(),
            route,
            waker: waker.clone(),
            state: AtomicU64::new(POLLED),
            since: AtomicU64::new(0),
        }
    }

    /// Notes a wake-up.
    fn note(&self) {
        match self.state.load(Ordering::Acquire) {
            POLLED if self.change(POLLED, WOKEN_EARLY) => return,
            POLLED | WAITING => {}
            _ => return,
        }
        let now = Timestamp::now();
        let since = Timestamp::from_nanos(self.since.load(Ordering::Relaxed));
        let take = |at: Timestamp| {
            let at = at.max(since);
            self.change(WAITING, 2 * at.as_nanos() + 1).then_some(at)
        };
        if !accounting::woken_at(now, &self.registry, self.route, take) {
            self.change(WAITING, 2 * now.as_nanos());
        }
    }

    fn change(&self, from: u64, to: u64) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Begins a wait. Returns `false` if the request has been woken already.
    fn begin_wait(&self, now: Timestamp) -> bool {
        self.since.store(now.as_nanos(), Ordering::Relaxed);
        if self.change(POLLED, WAITING) {
            return true;
        }
        self.state.store(2 * now.as_nanos() + 1, Ordering::Release);
        false
    }

    /// Ends the wait, before the next poll.
    fn end_wait(&self) -> WaitEnd {
        match self.state.swap(POLLED, Ordering::AcqRel) {
            POLLED | WAITING | WOKEN_EARLY => WaitEnd::NotWoken,
            woken => WaitEnd::Woken {
                at: Timestamp::from_nanos(woken / 2),
                marked: woken % 2 == 1,
            },
        }
    }
}

/// The waker of a request from its first wait on; without one before.
#[derive(Debug, Default)]
pub(super) struct Wakes(Option<Made>);

#[derive(Debug)]
struct Made {
    timer: Arc<WakeTimer>,
    /// The same as a waker.
    waker: Waker,
}

impl Wakes {
    /// Polls `work` with a waker that notes when the request is woken.
    pub(super) fn poll<T>(
        &mut self,
        registry: &Registry,
        route: usize,
        context: &mut Context<'_>,
        work: impl FnOnce(&mut Context<'_>) -> T,
    ) -> T {
        if let Some(made) = &self.0 {
            if made.timer.waker.will_wake(context.waker()) {
                return work(&mut Context::from_waker(&made.waker));
            }
        }
        let lazy = LazyTimer {
            registry,
            route,
            waker: context.waker(),
            timer: OnceLock::new(),
        };
        let result = lazy.with_waker(|waker| work(&mut Context::from_waker(waker)));
        if let Some(timer) = lazy.timer.into_inner() {
            let waker = Waker::from(Arc::clone(&timer));
            self.0 = Some(Made { timer, waker });
        }
        result
    }

    /// Begins a wait. Returns `false` if the request has been woken already.
    pub(super) fn begin_wait(&self, now: Timestamp) -> bool {
        let made = self.0.as_ref();
        made.is_none_or(|made| made.timer.begin_wait(now))
    }

    /// Ends the wait, before the next poll.
    pub(super) fn end_wait(&self) -> WaitEnd {
        let made = self.0.as_ref();
        made.map_or(WaitEnd::NotWoken, |made| made.timer.end_wait())
    }
}

/// A waker on the stack that makes its [`WakeTimer`] when it is first cloned.
struct LazyTimer<'a> {
    registry: &'a Registry,
    route: usize,
    waker: &'a Waker,
    /// Thread-safe, as a `&Waker` may be sent to another thread during the poll.
    timer: OnceLock<Arc<WakeTimer>>,
}

impl LazyTimer<'_> {
    const VTABLE: RawWakerVTable = RawWakerVTable::new(Self::clone, Self::wake, Self::wake, |_| {});

    /// Calls `f` with the waker, which lives no longer than the call.
    #[expect(unsafe_code, reason = "std has no waker that borrows")]
    fn with_waker<R>(&self, f: impl FnOnce(&Waker) -> R) -> R {
        // SAFETY: the functions of the vtable are thread-safe, and read the data as what it is. The
        // waker is only lent to `f`, and its clones are of another vtable, so that none outlives `self`.
        let waker = unsafe { Waker::new(std::ptr::from_ref(self).cast(), &Self::VTABLE) };
        f(&ManuallyDrop::new(waker))
    }

    fn timer(&self) -> &Arc<WakeTimer> {
        let new = || Arc::new(WakeTimer::new(self.registry, self.route, self.waker));
        self.timer.get_or_init(new)
    }

    #[expect(unsafe_code, reason = "called through the vtable")]
    unsafe fn clone(data: *const ()) -> RawWaker {
        // SAFETY: `with_waker` gave a `Self` that is borrowed while the waker lives.
        let this = unsafe { &*data.cast::<LazyTimer<'_>>() };
        let waker = ManuallyDrop::new(Waker::from(Arc::clone(this.timer())));
        // The new waker owns what this one would have dropped.
        RawWaker::new(waker.data(), waker.vtable())
    }

    #[expect(unsafe_code, reason = "called through the vtable")]
    unsafe fn wake(data: *const ()) {
        // SAFETY: as in `clone`. A lent waker is woken by reference, and owns nothing.
        let this = unsafe { &*data.cast::<LazyTimer<'_>>() };
        this.timer().wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn registry() -> Registry {
        Registry::new("test", ["/".to_owned()])
    }

    /// A task that is never polled.
    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    fn task() -> Waker {
        Arc::new(Task).into()
    }

    fn poll(wakes: &mut Wakes, task: &Waker, registry: &Registry, work: impl FnOnce(&Waker)) {
        let context = &mut Context::from_waker(task);
        wakes.poll(registry, 0, context, |context| work(context.waker()));
    }

    #[test]
    fn a_request_that_keeps_no_waker_makes_none() {
        let (mut wakes, task, registry) = (Wakes::default(), task(), registry());
        poll(&mut wakes, &task, &registry, |_| {});
        assert!(wakes.0.is_none());
        assert!(wakes.begin_wait(Timestamp::now()));
        assert_eq!(wakes.end_wait(), WaitEnd::NotWoken);
    }

    #[test]
    fn the_first_wake_up_of_a_wait_counts() {
        let (mut wakes, task, registry) = (Wakes::default(), task(), registry());
        let mut kept = None;
        poll(&mut wakes, &task, &registry, |waker| {
            kept = Some(waker.clone())
        });
        let kept = kept.unwrap();
        assert!(wakes.begin_wait(Timestamp::now()));
        thread::scope(|scope| {
            scope.spawn(|| kept.wake_by_ref());
        });
        let after = Timestamp::now();
        thread::sleep(Duration::from_millis(1));
        kept.wake_by_ref();
        let WaitEnd::Woken { at, marked: false } = wakes.end_wait() else {
            panic!("woken on a thread that is not registered")
        };
        assert!(at <= after);
        // The next poll keeps the same waker, as tokio's timers and channels expect.
        poll(&mut wakes, &task, &registry, |waker| {
            assert!(waker.will_wake(&kept))
        });
    }

    #[test]
    fn a_wake_up_during_the_poll_ends_the_wait_at_once() {
        let (mut wakes, task, registry) = (Wakes::default(), task(), registry());
        poll(&mut wakes, &task, &registry, Waker::wake_by_ref);
        let now = Timestamp::now();
        assert!(!wakes.begin_wait(now));
        let woken = WaitEnd::Woken {
            at: now,
            marked: true,
        };
        assert_eq!(wakes.end_wait(), woken);
    }
}
