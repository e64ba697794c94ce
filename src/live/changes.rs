//! What a server's viewer is told, ten times a second: what changed since it was told last.
//!
//! The first event tells all, as if everything had changed since the server began. After that a
//! thread that stays in its state is left out: the viewer reckons that this state has grown by the
//! time between the events. What it reckons is kept here, too; as soon as it is off by [`CLOSE`],
//! or the thread's state is another, the thread is told of again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::links::Link;
use super::look::Look;
use super::watched_server::WatchedServer;
use crate::metrics::AcceptQueue;
use thread_states::{
    Cursor, ENTRIES, Nanos, Registry, RequestRecord, Routes, State, ThreadReading, Timestamp,
};

/// The stretch of time that the page shows: a new viewer is not told of requests that ended
/// before, in nanoseconds.
const WINDOW: Nanos = Nanos::from_secs(60);

/// How far off a viewer may be with each state of a thread, in microseconds. It is 2 % of the time
/// between two events: less than the page draws.
const CLOSE: u64 = 2_000;

/// One event. Times are in milliseconds of the server's clock, which has no relation to any
/// other's.
#[derive(Debug, Serialize)]
pub(super) struct Changes {
    now: f64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    first: Option<First>,
    active_requests: u64,
    /// Absent if the kernel does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    accept_queue: Option<AcceptQueue>,
    /// How many servers share this one's name; absent while that is what it was, or not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<usize>,
    /// Those that the viewer cannot reckon.
    #[serde(skip_serializing_if = "Vec::is_empty")]
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

/// The microseconds that each state of a thread has grown by since the event before. A state that
/// the viewer has reckoned too high may have shrunk.
#[derive(Debug, Serialize)]
struct Thread {
    thread: String,
    /// Absent while it is what it was, null once the thread has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Option<&'static str>>,
    #[serde(skip_serializing_if = "is_zero")]
    running: i64,
    #[serde(skip_serializing_if = "is_zero")]
    runnable: i64,
    #[serde(skip_serializing_if = "is_zero")]
    blocked: i64,
    #[serde(skip_serializing_if = "is_zero")]
    awaiting: i64,
    #[serde(skip_serializing_if = "is_zero")]
    idle: i64,
}

/// A request that began, first waited without a thread, or ended.
#[derive(Debug, Serialize)]
struct Request {
    number: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    begin: Option<Begin>,
    /// Whether it has ever waited without a thread.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    awaits: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    end: Option<End>,
}

/// What is told of a request once only.
#[derive(Debug, Serialize)]
struct Begin {
    route: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<usize>,
    /// The `X-Request-ID` of 16 hexadecimal digits that its client gave it, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<String>,
    arrived: f64,
    started: f64,
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
    server: WatchedServer,
    links: Arc<[Link]>,
    /// When it was told last, in microseconds of the server's clock; `None` before the first event.
    told_at: Option<u64>,
    /// By thread.
    told: BTreeMap<usize, Told>,
    replicas: Option<usize>,
    seen: Cursor,
    /// The numbers of the requests whose begin was told and whose end was not.
    open: BTreeSet<u64>,
}

/// What a viewer knows of a thread.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Told {
    state: Option<State>,
    /// Microseconds in each state.
    times: [u64; State::ALL.len()],
}

impl Viewer {
    pub(super) fn new(server: WatchedServer, links: Arc<[Link]>) -> Self {
        Self {
            server,
            links,
            told_at: None,
            told: BTreeMap::new(),
            replicas: None,
            seen: Cursor::default(),
            open: BTreeSet::new(),
        }
    }

    /// The server that it watches.
    pub(super) fn server(&self) -> &WatchedServer {
        &self.server
    }

    /// What is new to this viewer at a look at its server. `replicas` is how many servers share the
    /// name of this one, if that is known.
    pub(super) fn next(&mut self, look: &Look, replicas: Option<usize>) -> Changes {
        let now = look.now;
        let before = self.told_at.replace(microseconds(now));
        Changes {
            now: milliseconds(now),
            first: before
                .is_none()
                .then(|| First::of(&self.server.registry, &self.links)),
            active_requests: look.requests_in_flight,
            accept_queue: look.accept_queue,
            replicas: self.replicas(replicas),
            threads: self.threads(look, microseconds(now) - before.unwrap_or(0)),
            requests: self.requests(now),
        }
    }

    fn replicas(&mut self, replicas: Option<usize>) -> Option<usize> {
        let told = std::mem::replace(&mut self.replicas, replicas);
        replicas.filter(|_| replicas != told)
    }

    /// The threads of which the viewer, `elapsed` microseconds after it was told last, does not
    /// know what they are at.
    fn threads(&mut self, look: &Look, elapsed: u64) -> Vec<Thread> {
        let mut news = Vec::new();
        for reading in &look.threads {
            let index = reading.index;
            let present = Told::of(reading, look.states.get(&index).copied());
            let told = self.told.get(&index);
            let reckoned = told.map(|told| told.reckoned(elapsed));
            let known = reckoned.filter(|reckoned| reckoned.is_close_to(&present));
            if known.is_none() {
                news.push(Thread::new(index, told, &present));
            }
            self.told.insert(index, known.unwrap_or(present));
        }
        news
    }

    fn requests(&mut self, now: Timestamp) -> Vec<Request> {
        // A viewer too slow for the journal misses ends. To be told a begin twice harms none.
        if self.open.len() > 2 * ENTRIES {
            self.open.clear();
        }
        let changes = self.server.registry.request_log().changes(&mut self.seen);
        let recent = |request: &RequestRecord| {
            let end = request.end;
            end.is_none_or(|end| now.duration_since(end.at) < WINDOW)
        };
        let changes = changes.into_iter().filter(recent);
        changes.map(|request| self.request(&request)).collect()
    }

    fn request(&mut self, request: &RequestRecord) -> Request {
        let new = match request.end {
            None => self.open.insert(request.number),
            Some(_) => !self.open.remove(&request.number),
        };
        Request {
            number: request.number,
            begin: new.then(|| Begin::of(request, self.server.registry.routes())),
            awaits: request.awaits,
            end: End::of(request),
        }
    }
}

impl First {
    fn of(registry: &Registry, links: &[Link]) -> Self {
        Self {
            server: registry.server().to_owned(),
            began: milliseconds(registry.began()),
            most_requests: ENTRIES,
            links: links.to_vec(),
        }
    }
}

impl Told {
    fn of(reading: &ThreadReading, state: Option<State>) -> Self {
        Self {
            state,
            times: State::ALL.map(|state| reading.times[state].as_micros()),
        }
    }

    /// What a viewer takes it for `elapsed` microseconds later.
    fn reckoned(&self, elapsed: u64) -> Self {
        let mut times = self.times;
        if let Some(state) = self.state {
            times[state as usize] += elapsed;
        }
        Self { times, ..*self }
    }

    fn is_close_to(&self, other: &Self) -> bool {
        let mut times = self.times.iter().zip(other.times);
        self.state == other.state && times.all(|(one, other)| one.abs_diff(other) < CLOSE)
    }
}

impl Thread {
    /// What is new about a thread of which `told` is known.
    fn new(index: usize, told: Option<&Told>, present: &Told) -> Self {
        let grown = |state: State| {
            let before = told.map_or(0, |told| told.times[state as usize]);
            present.times[state as usize]
                .wrapping_sub(before)
                .cast_signed()
        };
        let same_state = told.is_some_and(|told| told.state == present.state);
        Self {
            thread: index.to_string(),
            state: (!same_state).then(|| present.state.map(State::as_str)),
            running: grown(State::Running),
            runnable: grown(State::Runnable),
            blocked: grown(State::Blocked),
            awaiting: grown(State::Awaiting),
            idle: grown(State::Idle),
        }
    }
}

impl Begin {
    fn of(request: &RequestRecord, routes: &Routes) -> Self {
        Self {
            route: routes.name(request.route).unwrap_or_default().to_owned(),
            thread: request.thread,
            mark: (request.tag > 0).then(|| format!("{:016x}", request.tag)),
            arrived: milliseconds(request.arrived),
            started: milliseconds(request.started),
        }
    }
}

impl End {
    fn of(request: &RequestRecord) -> Option<Self> {
        request.end.map(|end| Self {
            ended: milliseconds(end.at),
            status: end.status,
            awaited: end.awaited.as_micros() as f64 / 1e3,
        })
    }
}

/// Milliseconds, to the microsecond.
fn milliseconds(time: Timestamp) -> f64 {
    microseconds(time) as f64 / 1e3
}

fn microseconds(time: Timestamp) -> u64 {
    time.as_nanos() / 1_000
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};
    use std::thread;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use thread_states::{InFlight, NewRequest};

    fn next(viewer: &mut Viewer) -> Value {
        let look = Look::at(viewer.server());
        serde_json::to_value(viewer.next(&look, None)).unwrap()
    }

    /// A viewer's own reckoning, as the page does it.
    #[derive(Default)]
    struct Reckoning {
        now: f64,
        state: String,
        times: [i64; State::ALL.len()],
    }

    impl Reckoning {
        fn apply(&mut self, event: &Value) {
            let now = event["now"].as_f64().unwrap();
            let elapsed = ((now - self.now) * 1e3).round() as i64;
            self.now = now;
            let thread = &event["threads"][0];
            for (state, time) in State::ALL.map(State::as_str).iter().zip(&mut self.times) {
                *time += match thread {
                    Value::Null if *state == self.state => elapsed,
                    thread => thread[state].as_i64().unwrap_or(0),
                };
            }
            if let Some(state) = thread["state"].as_str() {
                self.state = state.to_owned();
            }
        }
    }

    #[test]
    fn the_first_event_tells_all_and_the_next_what_is_new() {
        let registry = Registry::new("sync", ["/".to_owned()]);
        let in_flight = InFlight::new();
        let _registration = registry.register(0, Arc::clone(&in_flight));
        let _guard = in_flight.enter();
        thread::sleep(Duration::from_millis(50));
        let request = NewRequest {
            thread: thread_states::index(),
            route: 0,
            queued: Nanos::from_millis(2),
            tag: 0xab,
        };
        let log = registry.request_log();
        let entry = log.begin(Timestamp::now(), request).unwrap();

        let mut viewer = Viewer::new(WatchedServer::new(registry.clone(), None), Arc::default());
        let first = next(&mut viewer);
        assert_eq!(first["server"], "sync");
        assert_eq!(first["active_requests"], 1);
        assert_eq!(first["threads"][0]["state"], "running");
        assert!(
            first["threads"][0]["blocked"].as_u64() >= Some(45_000),
            "{first}"
        );
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

        log.end(Timestamp::now(), entry, 200, Nanos::from_micros(1_500));
        let third = next(&mut viewer);
        assert_eq!(third["requests"][0]["status"], 200);
        assert_eq!(third["requests"][0]["awaited"], json!(1.5));
        assert_eq!(third["requests"][0]["route"], Value::Null, "{third}");
        // Who comes later is told all of it.
        let late = next(&mut Viewer::new(
            WatchedServer::new(registry, None),
            Arc::default(),
        ));
        assert_eq!(late["requests"][0]["status"], 200);
        assert_eq!(late["requests"][0]["route"], "/");
    }

    #[test]
    fn who_reckons_along_is_never_far_off() {
        let registry = Registry::new("sync", ["/".to_owned()]);
        let in_flight = InFlight::new();
        let _registration = registry.register(0, Arc::clone(&in_flight));
        let mut viewer = Viewer::new(WatchedServer::new(registry.clone(), None), Arc::default());
        let mut reckoning = Reckoning::default();
        let mut silent = 0;
        for turn in 0..60 {
            let event = next(&mut viewer);
            silent += u32::from(event["threads"].is_null());
            reckoning.apply(&event);
            let times = registry.read().threads[0].times;
            for (state, reckoned) in State::ALL.iter().zip(reckoning.times) {
                let off = times[*state]
                    .as_micros()
                    .abs_diff(u64::try_from(reckoned).unwrap());
                // What has passed since the event comes on top.
                let most = CLOSE + microseconds(Timestamp::now()) - (reckoning.now * 1e3) as u64;
                assert!(
                    off <= most,
                    "turn {turn}, {state:?}: off by {off} µs: {event}"
                );
            }
            // Waits, work, and work with waits so short that each alone is near enough to none.
            let until = Timestamp::now() + Nanos::from_millis(4);
            match turn / 20 {
                0 => thread::sleep(Duration::from_millis(4)),
                1 => while Timestamp::now() < until {},
                _ => {
                    while Timestamp::now() < until {}
                    thread::sleep(Duration::from_millis(1));
                }
            }
        }
        assert!(silent > 5, "only {silent} of 60 events left the thread out");
    }

    #[test]
    fn the_number_of_replicas_is_told_when_it_is_another() {
        let mut viewer = Viewer::new(
            WatchedServer::new(Registry::new("sync", []), None),
            Arc::default(),
        );
        let look = Look::at(viewer.server());
        let told = [None, Some(1), Some(1), Some(3), None, Some(3)]
            .map(|replicas| viewer.next(&look, replicas).replicas);
        assert_eq!(told, [None, Some(1), None, Some(3), None, Some(3)]);
    }

    #[test]
    fn an_event_is_short_with_many_threads() {
        let registry = Registry::new("sync", ["/".to_owned()]);
        let (ready, go) = (Barrier::new(65), Barrier::new(65));
        thread::scope(|scope| {
            for index in 0..64 {
                let (registry, ready, go) = (&registry, &ready, &go);
                scope.spawn(move || {
                    let _registration = registry.register(index, InFlight::new());
                    thread_states::park();
                    ready.wait();
                    go.wait();
                    thread_states::unpark();
                });
            }
            ready.wait();
            // Until the last of them waits.
            thread::sleep(Duration::from_millis(300));
            let mut viewer =
                Viewer::new(WatchedServer::new(registry.clone(), None), Arc::default());
            next(&mut viewer);
            thread::sleep(Duration::from_millis(100));
            let event = next(&mut viewer).to_string();
            go.wait();
            assert!(event.len() < 300, "{} bytes: {event}", event.len());
        });
    }
}
