//! What each server thread is doing, and for how long.
//!
//! Every registered thread is at any moment in exactly one of five [`State`]s, and the times of
//! the five sum to the wall time since it was registered. The way of a number:
//!
//! * the thread marks where it parks ([`park`], [`unpark`]) and for which route it works
//!   ([`hold`]) on its own `clock`, which reads the `kernel`'s counters
//! * a `window` turns marks and counters into states, with the `evidence` of whoever looked on
//! * the clock publishes both in a `slot`, as a `snapshot` of plain words
//! * whoever reads the [`Registry`] computes from slot and counters the times up to now, also of
//!   a thread that waits, and `published` sees to it that none decreases
//!
//! Threads register with [`Registry::register`]; the `workers` of a tokio runtime do so themselves
//! ([`Registry::instrument`]).
//!
//! Beside the times stands the `journal` of the latest requests, for people who watch.
//!
//! A thread that is not registered may call everything here; its marks do nothing.

mod clock;
mod evidence;
mod in_flight;
mod journal;
mod kernel;
mod published;
mod registry;
mod route;
mod routes;
mod slot;
mod snapshot;
mod state;
mod window;
mod workers;

/// What the `slot` is made of; `tests/slot.rs` puts a model checker's in their place.
mod atomic {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering, fence};
}

use std::marker::PhantomData;

pub use in_flight::{InFlight, InFlightGuard};
pub use journal::{Entry, Journal, PLACES, Request, Seen};
pub use kernel::{Unsupported, now, supported};
pub use registry::{Reading, Registration, Registry, RouteReading, ThreadReading};
pub use route::Held;
pub use routes::{MOST_NEW_ROUTES, OTHER, Routes};
pub use state::{State, Times, seconds};
pub use workers::Workers;

/// Marks the calling thread as parked: it now waits for work.
///
/// To be called by what runs the thread, e.g. from tokio's `on_thread_park` or before `accept`. Between
/// [`hold`] and [`release`] it does nothing: a thread that works for a route does not wait for work,
/// but is blocked.
pub fn park() {
    clock::with(clock::Clock::park);
}

/// Marks the calling thread as working again.
pub fn unpark() {
    clock::with(clock::Clock::unpark);
}

/// Marks the calling thread as parked until the guard is dropped, however the scope is left.
///
/// ```
/// use std::sync::mpsc::Receiver;
/// use thread_states::thread_state;
///
/// /// The life of a thread in a pool of one's own.
/// fn work(jobs: &Receiver<Box<dyn FnOnce() + Send>>) {
///     let next = || {
///         let _parked = accounting::parked();
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

/// Keeps the calling thread marked as parked. To be dropped on the same thread.
#[derive(Debug)]
#[must_use = "the thread is parked until this is dropped"]
pub struct Parked(PhantomData<*const ()>);

impl Drop for Parked {
    fn drop(&mut self) {
        unpark();
    }
}

/// The index under which the calling thread is registered; `None` if it is not.
#[must_use]
pub fn index() -> Option<usize> {
    clock::with(|clock| clock.index())
}

/// The calling thread now works for a route, given by its index in [`Registry::routes`], until
/// [`release`]. `awaited` says that this ends an await which a `release` began, perhaps on
/// another thread. A hold within a hold is the outer one's, so that no time counts twice.
///
/// [`crate::metrics::RequestLayer`] does this for requests. Other work can have a route, too:
///
/// ```
/// use std::{thread, time::Duration};
/// use thread_states::{self, Registry};
///
/// let registry = Registry::new("shop", []);
/// let _registration = registry.join();
/// let mail = registry.routes().index("mail");
///
/// accounting::hold(mail, false);
/// thread::sleep(Duration::from_millis(20)); // sends one, and waits for the answer
/// let held = accounting::release(mail, false);
/// assert!(held.is_some_and(|held| held.blocked > held.running));
/// ```
pub fn hold(route: usize, awaited: bool) {
    hold_at(now(), route, awaited);
}

/// [`hold`], at a time that was read of [`now`] just before. To read it costs about as much as
/// the rest, so who marks several things at once reads it once.
pub fn hold_at(time: u64, route: usize, awaited: bool) {
    let is_worker_again = clock::with(|clock| clock.hold(time, route, awaited));
    if is_worker_again != Some(false) {
        workers::register_this_thread();
        // Not before its clock began; an await has ended on the clock before.
        let awaited = awaited && is_worker_again.is_none();
        clock::with(|clock| clock.hold(now(), route, awaited));
    }
}

/// What the present hold has come to so far; `None` on a thread that is not registered.
#[must_use]
pub fn held() -> Option<Held> {
    held_at(now())
}

/// [`held`], up to a time that was read of [`now`] just before.
#[must_use]
pub fn held_at(now: u64) -> Option<Held> {
    clock::with(|clock| clock.held(now))
}

/// Ends a hold and returns what it came to; `None` on a thread that is not registered.
/// `awaits` says that the route's work now waits without the thread.
pub fn release(route: usize, awaits: bool) -> Option<Held> {
    release_at(now(), route, awaits)
}

/// [`release`], at a time that was read of [`now`] just before.
pub fn release_at(now: u64, route: usize, awaits: bool) -> Option<Held> {
    clock::with(|clock| clock.release(now, route, awaits))
}
