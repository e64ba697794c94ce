//! Thread states, routes and requests in flight as metrics, computed during the scrape.

use super::histogram::HistogramCounts;
use super::list::{
    ACTIVE_REQUESTS, BLOCKING_POOL_QUEUED, BLOCKING_POOL_WAIT, HTTP_ROUTE, METHOD, Metric, ON,
    REQUEST_DURATION, REQUEST_QUEUE, REQUEST_START_REJECTED, ROUTE_AWAIT_SECONDS,
    ROUTE_HOLD_SECONDS, ROUTE_POLL_SECONDS, ROUTE_READY_SECONDS, SERVER, STATE, STATUS, THREAD,
    THREAD_BLOCKED_SECONDS, THREAD_INFO, THREAD_STATE_SECONDS, THREAD_STATE_SINCE,
    THREAD_WALL_SECONDS, UNMATCHED,
};
use super::requests::RequestHistograms;
use crate::accounting::{
    DURATION_BOUNDS, DurationCounts, Nanos, Reading, Registry, RouteReading, State, ThreadReading,
    Timestamp,
};
use crate::waits::On;

/// A metric that this collector computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    States,
    Walls,
    Blocked,
    Since,
    Infos,
    Polls,
    Holds,
    Awaits,
    Readies,
    Active,
    Durations,
    Queue,
    StartsRejected,
    PoolQueued,
    PoolWaits,
}

impl Family {
    pub(super) const ALL: [Self; 15] = [
        Self::States,
        Self::Walls,
        Self::Blocked,
        Self::Since,
        Self::Infos,
        Self::Polls,
        Self::Holds,
        Self::Awaits,
        Self::Readies,
        Self::Active,
        Self::Durations,
        Self::Queue,
        Self::StartsRejected,
        Self::PoolQueued,
        Self::PoolWaits,
    ];

    pub(super) const fn metric(self) -> Metric {
        match self {
            Self::States => THREAD_STATE_SECONDS,
            Self::Walls => THREAD_WALL_SECONDS,
            Self::Blocked => THREAD_BLOCKED_SECONDS,
            Self::Since => THREAD_STATE_SINCE,
            Self::Infos => THREAD_INFO,
            Self::Polls => ROUTE_POLL_SECONDS,
            Self::Holds => ROUTE_HOLD_SECONDS,
            Self::Awaits => ROUTE_AWAIT_SECONDS,
            Self::Readies => ROUTE_READY_SECONDS,
            Self::Active => ACTIVE_REQUESTS,
            Self::Durations => REQUEST_DURATION,
            Self::Queue => REQUEST_QUEUE,
            Self::StartsRejected => REQUEST_START_REJECTED,
            Self::PoolQueued => BLOCKING_POOL_QUEUED,
            Self::PoolWaits => BLOCKING_POOL_WAIT,
        }
    }

    /// Returns whether it has series of each thread: of many threads, most of the page.
    pub(super) fn is_of_threads(self) -> bool {
        self == Self::Infos || self.columns().is_some()
    }

    /// The last labels of a thread's series, if every thread has the same and their values are times: those of
    /// [`Sample::times_of`]. `None` in place of a label if a thread has only one series.
    pub(super) fn columns(self) -> Option<Vec<Option<(&'static str, &'static str)>>> {
        match self {
            Self::States | Self::Since => {
                Some(State::ALL.map(|state| Some((STATE, state.as_str()))).into())
            }
            Self::Blocked => Some(On::ALL.map(|on| Some((ON, on.as_str()))).into()),
            Self::Walls => Some(vec![None]),
            _ => None,
        }
    }
}

/// Value of a series.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Number(f64),
    Histogram {
        /// Upper bounds of the buckets in seconds.
        bounds: &'a [f64],
        counts: &'a HistogramCounts,
    },
}

/// Labels of a series, as name and value.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// Function that gets each series of a metric.
pub(super) type Each<'a> = &'a mut dyn FnMut(Labels<'_>, Value<'_>);

/// Times of one server at one moment.
pub(super) struct Sample {
    registry: Registry,
    requests: RequestHistograms,
    reading: Reading,
    now: Timestamp,
    /// Number of this process.
    pid: String,
}

impl Sample {
    pub(super) fn new(registry: &Registry, requests: &RequestHistograms) -> Self {
        let reading = registry.read();
        Self {
            registry: registry.clone(),
            requests: requests.clone(),
            reading,
            now: Timestamp::now(),
            pid: std::process::id().to_string(),
        }
    }

    /// Calls `each` with every series of a metric.
    pub(super) fn series(&self, family: Family, each: Each<'_>) {
        match family {
            Family::States | Family::Walls | Family::Blocked | Family::Since => {
                self.thread_series(family, each);
            }
            Family::Infos => self.infos(each),
            Family::Active => {
                let active = self.registry.requests_in_flight() as f64;
                each(&[self.server()], Value::Number(active));
            }
            Family::Durations => self.durations(each),
            Family::Queue => {
                let value = Value::Histogram {
                    bounds: self.requests.bounds(),
                    counts: &self.requests.queue(),
                };
                each(&[self.server()], value);
            }
            Family::StartsRejected => {
                let rejected = self.requests.starts_rejected() as f64;
                each(&[self.server()], Value::Number(rejected));
            }
            Family::PoolQueued => {
                let queued = self.registry.blocking_calls().queued() as f64;
                each(&[self.server()], Value::Number(queued));
            }
            Family::PoolWaits => {
                let value = Value::Histogram {
                    bounds: &DURATION_BOUNDS.map(Nanos::as_secs_f64),
                    counts: &self.registry.blocking_calls().waits().into(),
                };
                each(&[self.server()], value);
            }
            _ => self.route_series(family, each),
        }
    }

    fn durations(&self, each: Each<'_>) {
        for (key, counts) in self.requests.durations() {
            let route = self.registry.routes().name(key.route);
            let labels = [
                self.server(),
                (METHOD, key.method),
                (HTTP_ROUTE, route.unwrap_or(UNMATCHED)),
                (STATUS, key.status.as_str()),
            ];
            let value = Value::Histogram {
                bounds: self.requests.bounds(),
                counts: &counts,
            };
            each(&labels, value);
        }
    }

    /// The label that all series have.
    pub(super) fn server(&self) -> (&'static str, &str) {
        (SERVER, self.registry.server())
    }

    /// The threads.
    pub(super) fn threads(&self) -> &[ThreadReading] {
        &self.reading.threads
    }

    /// Calls `each` with the times of a thread, in the order of [`Family::columns`].
    pub(super) fn times_of(
        &self,
        family: Family,
        thread: &ThreadReading,
        each: impl FnOnce(&[Nanos]),
    ) {
        match family {
            Family::States => each(&State::ALL.map(|state| thread.times[state])),
            Family::Blocked => each(&thread.blocked_on),
            Family::Since => each(&State::ALL.map(|state| self.age(thread, state))),
            Family::Walls => each(&[thread.wall]),
            _ => {}
        }
    }

    fn thread_series(&self, family: Family, each: Each<'_>) {
        let server = self.server();
        let columns = family.columns().unwrap_or_default();
        for thread in self.threads() {
            let mut index = itoa::Buffer::new();
            let index = index.format(thread.index);
            self.times_of(family, thread, |times| {
                for (column, time) in columns.iter().zip(times) {
                    let labels = [server, (THREAD, index)].into_iter().chain(*column);
                    let value = Value::Number(time.as_secs_f64());
                    each(&labels.collect::<Vec<_>>(), value);
                }
            });
        }
    }

    fn infos(&self, each: Each<'_>) {
        for thread in self.threads() {
            self.info_of(thread, each);
        }
    }

    /// Calls `each` with the series that names a thread as the kernel does, if it lives.
    pub(super) fn info_of(&self, thread: &ThreadReading, each: Each<'_>) {
        let Some(os_thread) = thread.os_thread else {
            return;
        };
        let [mut index, mut tid] = [itoa::Buffer::new(); 2];
        let labels = [
            self.server(),
            (THREAD, index.format(thread.index)),
            ("pid", &*self.pid),
            ("tid", tid.format(os_thread.tid)),
            ("comm", os_thread.name()),
        ];
        each(&labels, Value::Number(1.0));
    }

    /// Time since a thread entered a state; zero if it is in another one.
    fn age(&self, thread: &ThreadReading, state: State) -> Nanos {
        let since = thread.state_since.filter(|_| thread.state == Some(state));
        since.map_or(Nanos::ZERO, |since| self.now.duration_since(since))
    }

    fn route_series(&self, family: Family, each: Each<'_>) {
        // The times of routes come from the threads: without threads they would be 0 whatever happened.
        if self.reading.threads.is_empty() {
            return;
        }
        let server = self.server();
        let bounds = DURATION_BOUNDS.map(Nanos::as_secs_f64);
        let routes = self.registry.routes().iter();
        for (index, (route, times)) in routes.zip(&self.reading.routes).enumerate() {
            let route = (HTTP_ROUTE, route);
            match family {
                Family::Polls => {
                    for (state, held) in held_by_state(times) {
                        let labels = [server, route, (STATE, state.as_str())];
                        each(&labels, Value::Number(held));
                    }
                }
                Family::Holds => {
                    for (state, counts) in self.registry.long_holds().read(index) {
                        let labels = [server, route, (STATE, state.as_str())];
                        let value = Value::Histogram {
                            bounds: &bounds,
                            counts: &counts.into(),
                        };
                        each(&labels, value);
                    }
                }
                Family::Awaits => {
                    each(&[server, route], Value::Number(times.awaited.as_secs_f64()))
                }
                _ => each(&[server, route], Value::Number(times.ready.as_secs_f64())),
            }
        }
    }
}

fn held_by_state(times: &RouteReading) -> [(State, f64); 3] {
    [
        (State::Running, times.held.running.as_secs_f64()),
        (State::Runnable, times.held.runnable.as_secs_f64()),
        (State::Blocked, times.held.blocked.as_secs_f64()),
    ]
}

impl From<DurationCounts> for HistogramCounts {
    fn from(counts: DurationCounts) -> Self {
        Self {
            cumulative: counts.cumulative.into(),
            count: counts.count,
            sum: counts.sum.as_secs_f64(),
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::super::histogram::Bounds;
    use super::super::list::MetricKind;
    use super::super::requests::Requests;
    use super::*;

    fn no_requests() -> RequestHistograms {
        RequestHistograms::new(Bounds::of_ascending(&[1.0]))
    }

    #[test]
    fn series_have_the_labels_that_the_list_declares() {
        let registry = Registry::new("shop", ["/".to_owned()]);
        let _registration = registry.register_current_thread();
        let histograms = no_requests();
        let _requests = Requests::new(&histograms, &registry);
        let sample = Sample::new(&registry, &histograms);
        for family in Family::ALL {
            let metric = family.metric();
            let mut any = false;
            sample.series(family, &mut |labels, value| {
                any = true;
                let labels = labels.iter().map(|(name, _)| *name);
                assert_eq!(labels.collect::<Vec<_>>(), metric.labels);
                let is_histogram = matches!(value, Value::Histogram { .. });
                assert_eq!(is_histogram, metric.kind == MetricKind::Histogram);
            });
            assert!(any, "{} has no series", metric.name);
        }
    }

    #[test]
    fn a_thread_has_the_number_and_name_by_which_top_shows_it() {
        let registry = Registry::new("shop", []);
        let named = std::thread::Builder::new().name("worker-7".into());
        let seen = named.spawn(move || {
            let _registration = registry.register_current_thread();
            let mut seen = Vec::new();
            Sample::new(&registry, &no_requests()).series(Family::Infos, &mut |labels, _| {
                seen.extend(labels.iter().map(|(_, value)| (*value).to_owned()));
            });
            (seen, rustix::thread::gettid().as_raw_nonzero().to_string())
        });
        let (seen, tid) = seen.unwrap().join().unwrap();
        let pid = std::process::id().to_string();
        assert_eq!(seen, ["shop", "0", &pid, &tid, "worker-7"]);
    }
}
