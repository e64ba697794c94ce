//! Metrics of a lab, as scraped from its metrics ports.

use serde::Deserialize;

use super::lab_server::LabServer;
use crate::flavor::Flavor;

/// Seconds per thread state, summed over the threads of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct StateSeconds {
    /// On a CPU.
    pub running: f64,
    /// Waiting for a CPU.
    pub runnable: f64,
    /// Off CPU while holding a request.
    pub blocked: f64,
    /// Parked while requests are in flight.
    pub awaiting: f64,
    /// Parked with nothing in flight.
    pub idle: f64,
}

impl StateSeconds {
    /// Returns the sum of all states.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.named().iter().map(|(_, seconds)| seconds).sum()
    }

    /// Returns the seconds since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            running: self.running - earlier.running,
            runnable: self.runnable - earlier.runnable,
            blocked: self.blocked - earlier.blocked,
            awaiting: self.awaiting - earlier.awaiting,
            idle: self.idle - earlier.idle,
        }
    }

    /// Returns the seconds of these threads and of others.
    #[must_use]
    pub fn plus(&self, others: &Self) -> Self {
        Self {
            running: self.running + others.running,
            runnable: self.runnable + others.runnable,
            blocked: self.blocked + others.blocked,
            awaiting: self.awaiting + others.awaiting,
            idle: self.idle + others.idle,
        }
    }

    /// Returns the state with the most seconds.
    #[must_use]
    pub fn dominant(&self) -> &'static str {
        let longest = self.named().into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
        longest.map_or("idle", |(state, _)| state)
    }

    /// Returns each state with its name, in the order in which the lab draws them.
    #[must_use]
    pub fn named(&self) -> [(&'static str, f64); 5] {
        [
            ("running", self.running),
            ("runnable", self.runnable),
            ("blocked", self.blocked),
            ("awaiting", self.awaiting),
            ("idle", self.idle),
        ]
    }
}

/// One scrape of every metrics port.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    /// Samples by port, because a `process_*` metric belongs to the servers of its own port only.
    pages: Vec<Vec<Sample>>,
}

#[derive(Debug, Clone)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Scrape {
    /// Adds the response of a port, in the Prometheus text format. Lines that are not samples are ignored.
    pub(super) fn add(&mut self, text: &str) {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        self.pages.push(lines.filter_map(parse_sample).collect());
    }

    /// Returns each sample as a line of the text format.
    pub(super) fn lines(&self) -> Vec<String> {
        self.pages.iter().flatten().map(Sample::line).collect()
    }

    /// Returns the thread states of a server.
    #[must_use]
    pub fn states(&self, server: impl Into<LabServer>) -> StateSeconds {
        let server = server.into();
        let state = |state| {
            self.sum(
                "thread_state_seconds_total",
                &[("server", server.as_str()), ("state", state)],
            )
        };
        StateSeconds {
            running: state("running"),
            runnable: state("runnable"),
            blocked: state("blocked"),
            awaiting: state("awaiting"),
            idle: state("idle"),
        }
    }

    /// Returns the number of threads of a server, over all its replicas.
    #[must_use]
    pub fn threads(&self, server: impl Into<LabServer>) -> usize {
        let labels = [("server", server.into().as_str())];
        let threads = self.matching("thread_wall_seconds_total", &labels);
        threads.count()
    }

    /// Returns the mean age of a server's threads in seconds.
    #[must_use]
    pub fn wall(&self, server: Flavor) -> f64 {
        self.sum_of(server, "thread_wall_seconds_total") / self.threads(server).max(1) as f64
    }

    /// Returns the limit of threads of a server's blocking pool; 0 if it is not known.
    #[must_use]
    pub fn pool(&self, server: impl Into<LabServer>) -> usize {
        self.sum_of(server, "blocking_pool_limit") as usize
    }

    /// Returns the limit of connections of a database driver; `None` if the server has no such driver.
    #[must_use]
    pub fn connections(&self, server: Flavor, driver: &str) -> Option<usize> {
        let labels = [("server", server.as_str()), ("driver", driver)];
        let mut limits = self.matching("database_pool_limit", &labels).peekable();
        limits.peek()?;
        Some(limits.map(|limit| limit.value as usize).sum())
    }

    /// Returns the number of connections of a database driver that run a query.
    #[must_use]
    pub fn used_connections(&self, server: Flavor, driver: &str) -> usize {
        let labels = [
            ("server", server.as_str()),
            ("driver", driver),
            ("state", "used"),
        ];
        self.sum("database_pool_connections", &labels) as usize
    }

    /// Returns the number of waits for a connection of a database driver that have ended, and their sum in seconds.
    #[must_use]
    pub fn connection_waits(&self, server: Flavor, driver: &str) -> (f64, f64) {
        let labels = [("server", server.as_str()), ("driver", driver)];
        let count = self.sum("database_pool_wait_seconds_count", &labels);
        (count, self.sum("database_pool_wait_seconds_sum", &labels))
    }

    /// Returns the number of requests in flight.
    #[must_use]
    pub fn in_flight(&self, server: impl Into<LabServer>) -> f64 {
        self.sum_of(server, "http_server_active_requests")
    }

    /// Returns the number of connections that no thread has accepted yet.
    #[must_use]
    pub fn accept_queue(&self, server: impl Into<LabServer>) -> f64 {
        self.sum_of(server, "tcp_accept_queue_length")
    }

    /// Returns the number of requests that no thread has taken: in the accept queue or, on a connection that was
    /// accepted earlier, unread. Where the kernel does not list sockets, the length of the accept queue.
    #[must_use]
    pub fn queued(&self, server: impl Into<LabServer> + Copy) -> f64 {
        let queued = self.sum_of(server, "http_server_queued_requests");
        queued.max(self.accept_queue(server))
    }

    /// Returns the number of finished requests, whatever their status; 0 for servers that are watched from outside,
    /// where they are not counted.
    #[must_use]
    pub fn finished(&self, server: impl Into<LabServer>) -> f64 {
        self.sum_of(server, "http_server_request_duration_seconds_count")
    }

    /// Returns the seconds that requests waited without a thread, summed over the requests.
    #[must_use]
    pub fn awaited(&self, server: Flavor) -> f64 {
        self.sum_of(server, "http_route_await_seconds_total")
    }

    /// Returns a `process_*` metric, summed over the processes that run this server.
    #[must_use]
    pub fn process(&self, server: Flavor, name: &str) -> f64 {
        let samples = self.pages_of(server);
        let samples = samples.flatten().filter(|sample| sample.is(name, &[]));
        samples.map(|sample| sample.value).sum()
    }

    /// Returns the start times of the processes that run this server, ascending, in Unix time.
    #[must_use]
    pub fn started(&self, server: Flavor) -> Vec<f64> {
        let pages = self.pages_of(server);
        let started = pages.flatten();
        let started = started.filter(|sample| sample.is("process_start_time_seconds", &[]));
        let mut started: Vec<f64> = started.map(|sample| sample.value).collect();
        started.sort_unstable_by(f64::total_cmp);
        started
    }

    /// Returns the number of scraped processes.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.pages.len()
    }

    /// Returns the samples of each process that runs this server.
    fn pages_of(&self, server: Flavor) -> impl Iterator<Item = &Vec<Sample>> {
        let runs = move |page: &&Vec<Sample>| {
            page.iter().any(|sample| {
                sample.is("thread_wall_seconds_total", &[("server", server.as_str())])
            })
        };
        self.pages.iter().filter(runs)
    }

    fn sum_of(&self, server: impl Into<LabServer>, name: &str) -> f64 {
        self.sum(name, &[("server", server.into().as_str())])
    }

    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        let samples = self.pages.iter().flatten();
        samples.filter(move |sample| sample.is(name, labels))
    }
}

impl Sample {
    fn line(&self) -> String {
        let label = |(name, value): &(String, String)| format!("{name}=\"{value}\"");
        let labels: Vec<_> = self.labels.iter().map(label).collect();
        format!("{}{{{}}} {}", self.name, labels.join(","), self.value)
    }

    fn is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let has = |(name, value): &(&str, &str)| {
            let mut own = self.labels.iter();
            own.any(|(own, found)| own == name && found == value)
        };
        self.name == name && labels.iter().all(has)
    }
}

/// Parses a line of the Prometheus text format. It does not unescape label values: none of the lab's
/// contains a quote or a comma.
fn parse_sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}')?.split(',');
    let labels = labels.filter_map(|label| {
        let (name, value) = label.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('"').to_owned()))
    });
    Some(Sample {
        name: name.to_owned(),
        labels: labels.collect(),
        value: value.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(server: &str, threads: usize, memory: u32) -> String {
        let mut text = format!("# HELP x y\nprocess_resident_memory_bytes {memory}\n");
        for thread in 0..threads {
            for (state, seconds) in [("running", 1.5), ("blocked", 2.0)] {
                text += &format!(
                    "thread_state_seconds_total{{server=\"{server}\",thread=\"{thread}\",state=\"{state}\"}} {seconds}\n"
                );
            }
            text += &format!(
                "thread_wall_seconds_total{{server=\"{server}\",thread=\"{thread}\"}} 3.5\n"
            );
        }
        text + "nonsense\n"
    }

    #[test]
    fn sums_over_threads_and_replicas_and_keeps_servers_apart() {
        let mut scrape = Scrape::default();
        scrape.add(&page("sync", 2, 100));
        scrape.add(&page("sync", 1, 10));
        scrape.add(&page("async", 1, 1));
        assert_eq!(scrape.threads(Flavor::Sync), 3);
        assert_eq!(scrape.states(Flavor::Sync).blocked, 6.0);
        assert_eq!(scrape.states(Flavor::Async).running, 1.5);
        let memory = |server| scrape.process(server, "process_resident_memory_bytes");
        assert_eq!((memory(Flavor::Sync), memory(Flavor::Async)), (110.0, 1.0));
    }

    #[test]
    fn requests_are_queued_before_and_after_they_are_accepted() {
        let queued = |text: &str| {
            let mut scrape = Scrape::default();
            scrape.add(text);
            scrape.queued(Flavor::Sync)
        };
        let length = "tcp_accept_queue_length{server=\"sync\"} 3\n";
        assert_eq!(queued(length), 3.0);
        let requests = [("accept", 3), ("socket", 2)].map(|(place, number)| {
            format!("http_server_queued_requests{{server=\"sync\",where=\"{place}\"}} {number}\n")
        });
        assert_eq!(queued(&format!("{length}{}", requests.concat())), 5.0);
    }
}
