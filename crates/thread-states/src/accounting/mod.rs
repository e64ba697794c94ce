//! State of each server thread, and the time spent in each state.
//!
//! Every registered thread is in exactly one of five [`State`]s at any moment, and the times of
//! the five sum to the wall time since its registration. The path of a number:
//!
//! ```text
//! thread ──▶ marks ──▶ clock ──▶ slot ──▶ observer ──▶ account ──▶ registry ──▶ reading
//!                        │ ▲                 ▲ │          │
//!                        ▼ │                 │ ▼          ▼
//!                     window ◀── kernel ──▶ evidence   published
//! ```
//!
//! * `marks`: the thread marks where it parks ([`park`], [`unpark`]) and for which route it works
//!   ([`hold()`]) on its own `clock`, which reads the counters of the `kernel`, as often as its `read_budget` allows
//! * `window` turns marks and counters into states, with the `evidence` of earlier observations
//! * the clock publishes both in a `slot`, as `words`; `snapshot` is the layout, and `shared` all that others see of a clock
//! * `observer` computes the times of one thread up to now from slot and counters, also while the
//!   thread waits; `account` adds up the threads of one index, `accounts` is all of a server, and
//!   `published` makes sure that no counter decreases
//! * `state_start` and `blocked_on` say since when a thread is in its state, and what it waits for
//! * `registry` is all of a server; `registration` is where threads join it ([`Registry::register`]), and the
//!   `workers` of a tokio runtime do so themselves ([`Registry::instrument`]); `worker` is one of them, and `handover`
//!   finds the thread that it was on before; `reading` is the result
//!
//! `in_flight` counts requests, `all_in_flight` those of all threads, `routes` names them, `hold`, `route_times`,
//! `route_sums` and `route_waits` are their times, `long_holds` counts and reports the holds that delay others (in
//! `durations`), `request_log` has the latest requests for people who watch, and `fork` notices that this is another
//! process.
//!
//! `blocking_pool` hands calls to tokio's blocking pool, and `blocking_calls` measures their waits.
//!
//! A thread that is not registered may call everything here; its marks have no effect.
//!
//! No file imports itself through others.

mod account;
mod accounts;
mod all_in_flight;
mod atomic;
mod blocked_on;
mod blocking_calls;
mod blocking_pool;
mod clock;
mod durations;
mod evidence;
mod fork;
mod handover;
mod hold;
mod in_flight;
mod kernel;
mod long_holds;
mod marks;
mod observer;
mod prefetch;
mod published;
mod read_budget;
mod reading;
mod registration;
mod registry;
mod request_log;
mod route_sums;
mod route_times;
mod route_waits;
mod routes;
mod shared;
mod slot;
mod snapshot;
mod state;
mod state_start;
mod units;
mod window;
mod words;
mod worker;
mod workers;

pub use blocking_pool::spawn_blocking;
pub(crate) use durations::{DURATION_BOUNDS, DurationCounts};
pub use hold::{Held, HoldEnd, HoldStart};
pub use in_flight::{InFlight, InFlightGuard};
#[cfg(target_os = "linux")]
pub(crate) use kernel::process_cpu_seconds;
pub use kernel::{OsThread, Unsupported, supported};
pub use marks::{HoldGuard, Parked, held, hold, hold_at, index, park, parked, release_at, unpark};
pub(crate) use marks::{held_at, woken_at};
pub use reading::{Reading, RouteReading, ThreadReading};
pub use registration::Registration;
pub use registry::{Registry, RequestsInFlight};
pub use request_log::{
    Cursor, ENTRIES, NewRequest, OpenEntry, RequestEnd, RequestLog, RequestRecord,
};
pub use routes::{MOST_NEW_ROUTES, OTHER, Routes};
pub use state::{State, Times};
pub use units::{Nanos, Timestamp};
pub use workers::Workers;
