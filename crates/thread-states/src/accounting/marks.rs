//! Marks: what a thread says about itself.

use std::marker::PhantomData;
use std::sync::Arc;

use super::clock::{self, Clock, HoldMark};
use super::hold::{Held, HoldEnd, HoldStart};
use super::long_holds::LONG_HOLD;
use super::registry::Registry;
use super::units::Timestamp;
use super::workers;

/// Marks the calling thread as parked: it now waits for work.
///
/// Meant for the code that runs the thread, e.g. tokio's `on_thread_park`, or before `accept`. It has
/// no effect while a route holds the thread: that thread is blocked and does not wait for work.
pub fn park() {
    clock::with(Clock::park);
}

/// Marks the calling thread as working again.
pub fn unpark() {
    clock::with(Clock::unpark);
}

/// Marks the calling thread as parked until the guard is dropped.
///
/// ```
/// use std::sync::mpsc::Receiver;
///
/// /// A thread of a worker pool.
/// fn work(jobs: &Receiver<Box<dyn FnOnce() + Send>>) {
///     let next = || {
///         let _parked = thread_states::parked();
///         jobs.recv()
///     };
///     while let Ok(job) = next() {
///         job();
///     }
/// }
/// ```
pub fn parked() -> Parked {
    park();
    Parked(PhantomData)
}

/// Keeps the calling thread marked as parked. Has to be dropped on the same thread.
#[derive(Debug)]
#[must_use = "the thread is parked until this is dropped"]
pub struct Parked(PhantomData<*const ()>);

impl Drop for Parked {
    fn drop(&mut self) {
        unpark();
    }
}

/// Index under which the calling thread is registered; `None` if it is not.
#[must_use]
pub fn index() -> Option<usize> {
    clock::with(|clock| clock.index())
}

/// Marks that the calling thread works for a route, given by its index in
/// [`Registry::routes`](super::Registry::routes), until the guard is dropped. A hold within another
/// counts as part of the outer one, so that no time counts twice.
///
/// [`RequestLayer`](crate::metrics::RequestLayer) does this for requests. Other work can have a route,
/// too:
///
/// ```
/// use std::{thread, time::Duration};
/// use thread_states::Registry;
///
/// let registry = Registry::new("shop", []);
/// let _registration = registry.register_current_thread();
/// let mail = registry.routes().index("mail");
///
/// let hold = thread_states::hold(mail);
/// thread::sleep(Duration::from_millis(20)); // sends one, and waits for the response
/// let held = hold.release();
/// assert!(held.is_some_and(|held| held.blocked > held.running));
/// ```
pub fn hold(route: usize) -> HoldGuard {
    hold_at(Timestamp::now(), route, HoldStart::New);
    HoldGuard {
        route,
        thread: PhantomData,
    }
}

/// Keeps the calling thread marked as working for a route. Has to be dropped on the same thread.
#[derive(Debug)]
#[must_use = "the route holds the thread until this is dropped"]
pub struct HoldGuard {
    route: usize,
    thread: PhantomData<*const ()>,
}

impl HoldGuard {
    /// Ends the hold and returns its times, which are zero if it was within another; `None` on a
    /// thread that is not registered.
    #[expect(clippy::must_use_candidate, reason = "to end the hold is enough")]
    pub fn release(self) -> Option<Held> {
        let released = release_at(Timestamp::now(), self.route, HoldEnd::Done);
        std::mem::forget(self);
        released
    }
}

impl Drop for HoldGuard {
    fn drop(&mut self) {
        release_at(Timestamp::now(), self.route, HoldEnd::Done);
    }
}

/// Begins a hold, as [`hold`] does, at a time that was just read. [`release_at`] has to end it, on the
/// same thread.
///
/// For middleware that polls futures: a hold may begin where an await ends, and code that marks
/// several things at once reads the time only once, which costs as much as a mark.
///
/// ```
/// use thread_states::{HoldEnd, HoldStart, Registry, Timestamp, hold_at, release_at};
///
/// let registry = Registry::new("shop", ["/".to_owned()]);
/// let _registration = registry.register_current_thread();
/// hold_at(Timestamp::now(), 0, HoldStart::New);
/// // The first poll of the request's future, which is pending:
/// release_at(Timestamp::now(), 0, HoldEnd::Awaits);
/// // Other work of the thread. Then the second poll, on this thread or another:
/// hold_at(Timestamp::now(), 0, HoldStart::AfterAwait);
/// release_at(Timestamp::now(), 0, HoldEnd::Done);
/// assert!(registry.read().routes[0].awaited.as_nanos() > 0);
/// ```
pub fn hold_at(now: Timestamp, route: usize, start: HoldStart) {
    let start = match clock::with(|clock| clock.hold(now, route, start)) {
        Some(HoldMark::Marked) => return,
        // The clock that the thread had has ended the await already.
        Some(HoldMark::NeedsClock) => HoldStart::New,
        None => start,
    };
    workers::register_this_thread();
    // Not `now`, which is before the start of the new clock.
    clock::with(|clock| clock.hold(Timestamp::now(), route, start));
}

/// Ends a hold at a time that was just read. Returns the times of the hold, which are zero if it was
/// within another; `None` on a thread that is not registered.
pub fn release_at(now: Timestamp, route: usize, end: HoldEnd) -> Option<Held> {
    let held = clock::with(|clock| clock.release(now, route, end))?;
    workers::register_again_if_replaced();
    if held.total() > LONG_HOLD {
        count_long_hold(route, &held);
    }
    Some(held)
}

/// Counts a long hold of the calling thread. Outside of the clock, because a subscriber of the event may
/// do anything.
#[cold]
fn count_long_hold(route: usize, held: &Held) {
    let clock = |clock: &mut Clock| (clock.index(), Arc::clone(clock.long_holds()));
    if let Some((thread, long_holds)) = clock::with(clock) {
        long_holds.add(route, thread, held);
    }
}

/// Marks, from the wake-up of a request that awaits, that it now waits for a thread. `take` gets the time
/// of the event and returns whether this wake-up is the first. Returns whether the calling thread can
/// mark it: it has to be a thread of `registry`.
pub(crate) fn woken_at(
    now: Timestamp,
    registry: &Registry,
    route: usize,
    take: impl FnOnce(Timestamp) -> Option<Timestamp>,
) -> bool {
    let mark = |clock: &mut Clock| {
        let ours = Arc::ptr_eq(clock.long_holds(), registry.long_holds());
        if ours {
            if let Some(woken) = take(clock.time_of_event(now)) {
                clock.wait(route, |times| times.wake(woken));
            }
        }
        ours
    };
    clock::with(mark).unwrap_or(false)
}

/// Returns the times of the present hold so far; `None` on a thread that is not registered.
#[must_use]
pub fn held() -> Option<Held> {
    held_at(Timestamp::now())
}

/// Returns the times of the present hold up to a time that was just read.
pub(crate) fn held_at(now: Timestamp) -> Option<Held> {
    clock::with(|clock| clock.held(now))
}
