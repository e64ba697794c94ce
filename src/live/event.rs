//! The events of `/threads/stream`.
//!
//! Ten times a second each viewer gets a server-sent event whose data is one JSON object. All fields
//! describe the present, so a viewer that misses events only loses time resolution:
//!
//! ```json
//! {
//!   "now": 5000.1, "began": 1000.2,
//!   "server": "sync", "active_requests": 1, "accept_queue": {"length": 1, "limit": 1024},
//!   "request_queue": {"accept": 1, "socket": 0, "oldest_seconds": 0.47},
//!   "threads": [{"thread": "0", "state": "blocked", "state_seconds": 0.97, "on": "sleep", "seconds":
//!     {"running": 0.01, "runnable": 0, "blocked": 0.99, "awaiting": 0, "idle": 3}}],
//!   "history": {"0": [[1000.2, 0, 0, 0, 0, 0], [4000.2, 0, 0, 0, 0, 3]]},
//!   "cpu_pressure": 0.02,
//!   "requests": [{"number": 7, "route": "/", "thread": 0, "tag": "00000000000000ab",
//!     "arrived": 4000.1, "started": 4000.4, "awaits": true,
//!     "ended": 4990.4, "status": 200, "awaited": 980.2}],
//!   "max_requests": 256, "replicas": 1, "replica": "4f1c2d3e4a5b",
//!   "links": [{"name": "Grafana", "url": "http://127.0.0.1:3000"}]
//! }
//! ```
//!
//! | field | meaning |
//! |---|---|
//! | `now` | time of the event in milliseconds of the server's clock, which has no relation to other clocks |
//! | `began` | time at which the server started, on the same clock; another value means that it was restarted |
//! | `server` | name of the server, as in the label `server` of the metrics |
//! | `active_requests` | number of requests in flight |
//! | `accept_queue` | connections that wait to be accepted, and their maximum; `null` if the kernel does not report it |
//! | `request_queue` | requests that no thread has taken yet, on connections that wait to be accepted and unread on accepted ones, and the age of the oldest; `null` if the kernel does not report them |
//! | `threads` | all threads of the server |
//! | `threads[].thread` | index of the thread |
//! | `threads[].state` | present state; `null` once the thread has ended. `running` includes `runnable` |
//! | `threads[].state_seconds` | seconds for which it has been in this state, as in `thread_state_since_seconds`; absent once the thread has ended |
//! | `threads[].on` | what the thread waits for, as in the label `on` of the metrics; absent unless it is blocked |
//! | `threads[].seconds` | seconds in each state since the thread started, as in `thread_state_seconds_total` |
//! | `history` | in the first event of a viewer only: for each thread, moments of the last 60 s, the oldest first. A moment is the time in milliseconds of the server's clock, and the seconds in each state, in the order of `seconds`. Between two moments the thread was in one state, or they are successive samples |
//! | `cpu_pressure` | share of the last 10 s in which a thread of the machine waited for a CPU; `null` if the kernel does not report it |
//! | `requests` | of a server of this process, requests that started, first awaited or ended since the previous event of this viewer; in its first event, those of the last 60 s |
//! | `requests[].number` | identifies the request within the server |
//! | `requests[].route` | matched route |
//! | `requests[].thread` | index of the thread that started it; absent if it is not known |
//! | `requests[].tag` | `X-Request-ID` from the client, if it has 16 hexadecimal digits; else absent |
//! | `requests[].arrived`, `started` | arrival, and start of its handler, in milliseconds of the server's clock |
//! | `requests[].awaits` | whether it has ever waited without a thread |
//! | `requests[].ended`, `status`, `awaited` | end, HTTP status, and milliseconds spent waiting without a thread; absent until it has ended |
//! | `max_requests` | maximum number of requests that the server keeps for new viewers |
//! | `replicas` | number of servers that share this one's name; `null` if it is not known |
//! | `replica` | name of this replica: its host name, which is the container's ID in Docker and the pod's name in Kubernetes; `null` if their number is not known |
//! | `links` | links to other pages |

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use thread_states::{Cursor, ENTRIES, RequestRecord, Routes, Timestamp};

use super::history::{Moment, WINDOW};
use super::link::Link;
use super::milliseconds::Milliseconds;
use super::sample::ServerSample;
use super::states::ServerStates;
use super::watched_server::WatchedServer;

/// One event; the fields are documented at the module.
#[derive(Debug, Serialize)]
pub(super) struct StreamEvent<'a> {
    now: Milliseconds,
    began: Milliseconds,
    #[serde(flatten)]
    states: &'a ServerStates,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    history: BTreeMap<String, Vec<Moment>>,
    cpu_pressure: Option<f64>,
    requests: Vec<LoggedRequest>,
    max_requests: usize,
    replicas: Option<usize>,
    replica: Option<&'a str>,
    links: &'a [Link],
}

/// All that is known of a request.
#[derive(Debug, Serialize)]
struct LoggedRequest {
    number: u64,
    route: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    arrived: Milliseconds,
    started: Milliseconds,
    awaits: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    end: Option<End>,
}

#[derive(Debug, Serialize)]
struct End {
    ended: Milliseconds,
    status: u16,
    awaited: Milliseconds,
}

/// A client of `/threads/stream`.
#[derive(Debug)]
pub(super) struct Viewer {
    server: WatchedServer,
    links: Arc<[Link]>,
    host: String,
    /// The requests that were sent.
    seen: Cursor,
}

impl Viewer {
    pub(super) fn new(server: WatchedServer, links: Arc<[Link]>) -> Self {
        Self {
            server,
            links,
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            seen: Cursor::default(),
        }
    }

    /// Returns the server that it watches.
    pub(super) fn server(&self) -> &WatchedServer {
        &self.server
    }

    /// Returns the event for a sample of its server. `history` has the states before the sample, for the
    /// first event. `replicas` is the number of servers that share the name of this one, if it is known.
    pub(super) fn event<'a>(
        &'a mut self,
        sample: &'a ServerSample,
        history: BTreeMap<String, Vec<Moment>>,
        replicas: Option<usize>,
    ) -> StreamEvent<'a> {
        StreamEvent {
            now: Milliseconds::from(sample.now),
            began: Milliseconds::from(self.server.readings().began()),
            states: &sample.states,
            history,
            cpu_pressure: sample.cpu_pressure,
            requests: self.requests(sample.now),
            max_requests: ENTRIES,
            replicas,
            replica: replicas.map(|_| self.host.as_str()),
            links: &self.links,
        }
    }

    fn requests(&mut self, now: Timestamp) -> Vec<LoggedRequest> {
        let Some((log, routes)) = self.server.readings().request_log() else {
            return Vec::new();
        };
        let recent = |request: &RequestRecord| {
            let end = request.end;
            end.is_none_or(|end| now.duration_since(end.at) < WINDOW)
        };
        let changes = log.changes(&mut self.seen);
        let changes = changes.into_iter().filter(recent);
        changes
            .map(|request| LoggedRequest::new(&request, routes))
            .collect()
    }
}

impl LoggedRequest {
    fn new(request: &RequestRecord, routes: &Routes) -> Self {
        Self {
            number: request.number,
            route: routes.name(request.route).unwrap_or_default().to_owned(),
            thread: request.thread,
            tag: (request.tag > 0).then(|| format!("{:016x}", request.tag)),
            arrived: Milliseconds::from(request.arrived),
            started: Milliseconds::from(request.started),
            awaits: request.awaits,
            end: request.end.map(|end| End {
                ended: end.at.into(),
                status: end.status,
                awaited: end.awaited.into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};
    use std::thread;
    use std::time::Duration;

    use serde_json::{Value, json};
    use thread_states::{InFlight, Nanos, NewRequest, Registry, State};

    use super::*;

    fn next(viewer: &mut Viewer) -> Value {
        let sample = ServerSample::of(viewer.server());
        serde_json::to_value(viewer.event(&sample, BTreeMap::new(), None)).unwrap()
    }

    #[test]
    fn a_request_is_sent_when_it_starts_and_when_it_ends() {
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

        // It may leave the sleep undecided, which can be a wait for a CPU as well. The next one decides.
        let _ = registry.read();
        let mut viewer = Viewer::new(WatchedServer::new(registry.clone(), None), Arc::default());
        let first = next(&mut viewer);
        assert_eq!(first["server"], "sync");
        assert_eq!(first["active_requests"], 1);
        assert_eq!(first["threads"][0]["state"], "running");
        assert!(
            first["threads"][0]["seconds"]["blocked"].as_f64() >= Some(0.045),
            "{first}"
        );
        let request = &first["requests"][0];
        assert_eq!(request["route"], "/");
        assert_eq!(request["thread"], 0);
        assert_eq!(request["tag"], "00000000000000ab");
        assert_eq!(request["ended"], Value::Null);
        let time = |name: &str| request[name].as_f64().unwrap();
        assert!(
            (time("started") - time("arrived") - 2.0).abs() < 0.01,
            "{request}"
        );

        let second = next(&mut viewer);
        assert_eq!(second["server"], "sync");
        assert_eq!(second["requests"], json!([]));

        log.end(Timestamp::now(), entry, 200, Nanos::from_micros(1_500));
        let third = next(&mut viewer);
        assert_eq!(third["requests"][0]["status"], 200);
        assert_eq!(third["requests"][0]["awaited"], json!(1.5));
        assert_eq!(third["requests"][0]["route"], "/");
        let mut late = Viewer::new(WatchedServer::new(registry.clone(), None), Arc::default());
        assert_eq!(next(&mut late)["requests"], third["requests"]);
    }

    #[test]
    fn the_times_of_events_are_those_of_the_registry() {
        let registry = Registry::new("sync", ["/".to_owned()]);
        let in_flight = InFlight::new();
        let _registration = registry.register(0, Arc::clone(&in_flight));
        let mut viewer = Viewer::new(WatchedServer::new(registry.clone(), None), Arc::default());
        let mut before = [0.0; State::ALL.len()];
        for turn in 0..60 {
            let earliest = registry.read().threads[0].times;
            let event = next(&mut viewer);
            let latest = registry.read().threads[0].times;
            let seconds = &event["threads"][0]["seconds"];
            for (state, before) in State::ALL.into_iter().zip(&mut before) {
                let sent = seconds[state.as_str()].as_f64().unwrap();
                // To the microsecond, to which an event rounds.
                let range = earliest.seconds(state) - 1e-6..=latest.seconds(state) + 1e-6;
                assert!(
                    range.contains(&sent),
                    "turn {turn}, {state:?}: {sent} s, not in {range:?}"
                );
                assert!(sent >= *before, "turn {turn}, {state:?} decreased");
                *before = sent;
            }
            // Waits, work, and work with short waits.
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
    }

    #[test]
    fn the_number_of_replicas_and_the_name_of_this_one_are_sent_if_they_are_known() {
        let server = WatchedServer::new(Registry::new("sync", []), None);
        let mut viewer = Viewer::new(server, Arc::default());
        let sample = ServerSample::of(viewer.server());
        for replicas in [None, Some(1), Some(3), Some(3)] {
            let event =
                serde_json::to_value(viewer.event(&sample, BTreeMap::new(), replicas)).unwrap();
            assert_eq!(event["replicas"], json!(replicas));
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
            let expected = replicas.map(|_| host.trim_end());
            assert_eq!(event["replica"], json!(expected));
        }
    }

    #[test]
    fn an_event_of_64_threads_has_less_than_10_kb() {
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
            let server = WatchedServer::new(registry.clone(), None);
            let event = next(&mut Viewer::new(server, Arc::default()));
            go.wait();
            assert_eq!(event["threads"].as_array().unwrap().len(), 64);
            let bytes = event.to_string().len();
            assert!(bytes < 10_000, "{bytes} bytes");
        });
    }
}
