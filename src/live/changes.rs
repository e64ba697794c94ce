//! What a server's viewer is told, ten times a second: what changed since it was told last.
//!
//! The first event tells all, as if everything had changed since the server began.

use std::sync::Arc;

use serde::Serialize;

use super::AcceptQueue;
use super::links::Link;
use crate::thread_state::{self, Registry, Routes, Seen, State, ThreadReading};

/// The stretch of time that the page shows: a new viewer is not told of requests that ended
/// before, in nanoseconds.
const WINDOW: u64 = 60_000_000_000;

/// One event. Times are in milliseconds of the server's clock, which has no relation to any
/// other's.
#[derive(Debug, Serialize)]
pub(super) struct Changes {
    now: f64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    first: Option<First>,
    active_requests: u64,
    /// Absent if the kernel does not tell.
    accept_queue: Option<AcceptQueue>,
    threads: Vec<Thread>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    requests: Vec<Request>,
}

/// What only the first event tells.
#[derive(Debug, Serialize)]
struct First {
    server: String,
    /// When the server began: a viewer that comes back and sees the same can go on.
    began: f64,
    /// How many requests are told of at most at once.
    most_requests: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link>,
}

/// A thread's present state, and the microseconds that each state has grown by.
#[derive(Debug, Serialize)]
struct Thread {
    thread: String,
    /// Absent once it has ended.
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "is_zero")]
    running: u64,
    #[serde(skip_serializing_if = "is_zero")]
    runnable: u64,
    #[serde(skip_serializing_if = "is_zero")]
    blocked: u64,
    #[serde(skip_serializing_if = "is_zero")]
    awaiting: u64,
    #[serde(skip_serializing_if = "is_zero")]
    idle: u64,
}

/// A request that began, first waited without a thread, or ended.
#[derive(Debug, Serialize)]
struct Request {
    number: u64,
    route: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<usize>,
    /// The `X-Request-ID` of 16 hexadecimal digits that its client gave it, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<String>,
    arrived: f64,
    started: f64,
    /// Whether it has ever waited without a thread.
    awaits: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    end: Option<End>,
}

#[derive(Debug, Serialize)]
struct End {
    ended: f64,
    status: u16,
    /// How long it waited without a thread.
    awaited: f64,
}

/// A viewer: what it was told last.
#[derive(Debug)]
pub(super) struct Viewer {
    registry: Registry,
    links: Arc<[Link]>,
    greeted: bool,
    /// Microseconds in each state, by thread.
    told: Vec<[u64; State::ALL.len()]>,
    seen: Seen,
}

impl Viewer {
    pub(super) fn new(registry: Registry, links: Arc<[Link]>) -> Self {
        Self {
            registry,
            links,
            greeted: false,
            told: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// What is new to this viewer.
    pub(super) fn next(&mut self) -> Changes {
        let states = self.registry.states();
        let threads = self.registry.read().threads;
        let now = thread_state::now();
        self.told.resize(threads.len(), Default::default());
        let told = self.told.iter_mut();
        let thread = |(thread, told): (&ThreadReading, &mut _)| {
            Thread::since(told, thread, states.get(&thread.index).copied())
        };
        let queue = self.registry.accept_queue();
        let first = !std::mem::replace(&mut self.greeted, true);
        Changes {
            now: milliseconds(now),
            first: first.then(|| First::of(&self.registry, &self.links)),
            active_requests: self.registry.requests_in_flight(),
            accept_queue: queue.map(AcceptQueue::from),
            threads: threads.iter().zip(told).map(thread).collect(),
            requests: self.requests(now),
        }
    }

    fn requests(&mut self, now: u64) -> Vec<Request> {
        let changes = self.registry.journal().changes(&mut self.seen);
        let recent = |request: &thread_state::Request| {
            let ended = request.ended.map(|(at, _)| at);
            ended.is_none_or(|at| now.saturating_sub(at) < WINDOW)
        };
        let changes = changes.into_iter().filter(recent);
        changes
            .map(|request| Request::new(request, self.registry.routes()))
            .collect()
    }
}

impl First {
    fn of(registry: &Registry, links: &[Link]) -> Self {
        Self {
            server: registry.server().to_owned(),
            began: milliseconds(registry.began()),
            most_requests: thread_state::PLACES,
            links: links.to_vec(),
        }
    }
}

impl Thread {
    /// What the thread has grown by since `told`, which becomes what it has now.
    fn since(
        told: &mut [u64; State::ALL.len()],
        reading: &ThreadReading,
        state: Option<State>,
    ) -> Self {
        let now = State::ALL.map(|state| reading.times[state] / 1_000);
        let before = std::mem::replace(told, now);
        let grown = |state: State| now[state as usize] - before[state as usize];
        Self {
            thread: reading.index.to_string(),
            state: state.map(State::as_str),
            running: grown(State::Running),
            runnable: grown(State::Runnable),
            blocked: grown(State::Blocked),
            awaiting: grown(State::Awaiting),
            idle: grown(State::Idle),
        }
    }
}

impl Request {
    fn new(request: thread_state::Request, routes: &Routes) -> Self {
        let thread_state::Request {
            number,
            thread,
            route,
            mark,
            arrived,
            started,
            awaits,
            awaited,
            ended,
        } = request;
        Self {
            number,
            route: routes.name(route).unwrap_or_default().to_owned(),
            thread,
            mark: (mark > 0).then(|| format!("{mark:016x}")),
            arrived: milliseconds(arrived),
            started: milliseconds(started),
            awaits,
            end: ended.map(|(at, status)| End {
                ended: milliseconds(at),
                status,
                awaited: milliseconds(awaited),
            }),
        }
    }
}

/// Nanoseconds as milliseconds, to the microsecond.
fn milliseconds(nanoseconds: u64) -> f64 {
    (nanoseconds / 1_000) as f64 / 1e3
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::thread_state::InFlight;

    fn next(viewer: &mut Viewer) -> Value {
        serde_json::to_value(viewer.next()).unwrap()
    }

    fn grown(event: &Value) -> u64 {
        let thread = &event["threads"][0];
        let states = State::ALL.map(|state| thread[state.as_str()].as_u64().unwrap_or(0));
        states.iter().sum()
    }

    #[test]
    fn the_first_event_tells_all_and_the_next_what_is_new() {
        let registry = Registry::new("sync", ["/".to_owned()]);
        let in_flight = InFlight::new();
        let _registration = registry.register(0, Arc::clone(&in_flight));
        let _guard = in_flight.enter();
        thread::sleep(Duration::from_millis(50));
        let entry = registry.journal().begin(0, 2_000_000, 0xab).unwrap();

        let mut viewer = Viewer::new(registry.clone(), Arc::default());
        let first = next(&mut viewer);
        assert_eq!(first["server"], "sync");
        assert_eq!(first["active_requests"], 1);
        assert_eq!(first["threads"][0]["state"], "running");
        assert!(grown(&first) >= 50_000, "{first}");
        let request = &first["requests"][0];
        assert_eq!(request["route"], "/");
        assert_eq!(request["thread"], 0);
        assert_eq!(request["mark"], "00000000000000ab");
        assert_eq!(request["ended"], Value::Null);
        let time = |name: &str| request[name].as_f64().unwrap();
        assert!(
            (time("started") - time("arrived") - 2.0).abs() < 0.01,
            "{request}"
        );

        let second = next(&mut viewer);
        assert_eq!(second["server"], Value::Null);
        assert_eq!(second["requests"], Value::Null);
        assert!(grown(&second) < grown(&first), "{second}");

        registry.journal().end(entry, 200, 1_500_000);
        let third = next(&mut viewer);
        assert_eq!(third["requests"][0]["status"], 200);
        assert_eq!(third["requests"][0]["awaited"], json!(1.5));
        // Who comes later is told of it, too.
        let late = next(&mut Viewer::new(registry, Arc::default()));
        assert_eq!(late["requests"], third["requests"]);
    }

    #[test]
    fn an_event_is_short() {
        let registry = Registry::new("sync", ["/".to_owned()]);
        let _registration = registry.register(0, InFlight::new());
        let mut viewer = Viewer::new(registry, Arc::default());
        viewer.next();
        thread::sleep(Duration::from_millis(100));
        let event = serde_json::to_string(&viewer.next()).unwrap();
        assert!(event.len() < 300, "{} bytes: {event}", event.len());
    }
}
