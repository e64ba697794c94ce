//! One process: its servers, their exporter, and the front if it has one.

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use prometheus::IntGaugeVec;
use thread_states::metrics::Exposition;
use thread_states::metrics::exporter::{self, Readiness};
use thread_states::metrics::list::UNMATCHED;
use thread_states::{Metrics, Registry};

use super::address::{Address, reachable};
use super::config::ServerConfig;
use super::layers::{request_layer, stack};
use super::request_queue::QueueProbes;
use super::signals::Signals;
use crate::database::{Database, DatabasePools};
use crate::flavor::Flavor;
use crate::gateway::{self, asynchronous, synchronous};
use crate::metrics::list::{BLOCKING_POOL_LIMIT, gauge};
use crate::metrics::{AcceptQueue, AcceptQueues, Experiments, Probe, RequestQueue, RequestQueues};
use crate::{app, experiment, live, proxy};

/// Upper bounds of the buckets for the requests in seconds. The bucket from 19 to 20.5 s is narrow so that
/// interpolated quantiles of a 20 s response are close to 20 s. Requests that queue behind one or two of those
/// take 40 and 60 s, and fall just below the bounds of 41 and 61 s.
const REQUEST_BUCKETS: [f64; 21] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 19.0,
    20.5, 30.0, 41.0, 61.0, 100.0, 300.0,
];

/// Everything that runs in this process.
pub(super) struct Process {
    metrics_listener: TcpListener,
    readiness: Readiness,
    /// Maximum number of threads that each server may have beside its own.
    pools: IntGaugeVec,
    /// Connection pools of the servers' databases.
    databases: DatabasePools,
    metrics: Vec<Metrics>,
    queues: Vec<(String, Probe<AcceptQueue>)>,
    queue_probes: QueueProbes,
    request_queues: Vec<(String, Probe<RequestQueue>)>,
    watched: Vec<live::WatchedServer>,
    servers: Vec<gateway::RunningGateway>,
    front: Option<proxy::RunningProxy>,
}

impl Process {
    /// Creates a process without servers that listens on `metrics`.
    pub(super) fn new(metrics: &Address) -> anyhow::Result<Self> {
        Ok(Self {
            metrics_listener: metrics.listen(TcpListener::bind)?,
            readiness: Readiness::default(),
            pools: gauge(&BLOCKING_POOL_LIMIT)?,
            databases: DatabasePools::new()?,
            metrics: Vec::new(),
            queues: Vec::new(),
            queue_probes: QueueProbes::default(),
            request_queues: Vec::new(),
            watched: Vec::new(),
            servers: Vec::new(),
            front: None,
        })
    }

    /// Starts a server on its bound address.
    pub(super) fn start_server(
        &mut self,
        flavor: Flavor,
        bound: gateway::BoundGateway,
        config: &ServerConfig,
    ) -> anyhow::Result<SocketAddr> {
        let routes = app::ROUTES
            .iter()
            .copied()
            .chain([UNMATCHED])
            .map(str::to_owned);
        let registry = Registry::new(flavor.as_str(), routes);
        let metrics = Metrics::builder(registry.clone())
            .buckets(&REQUEST_BUCKETS)?
            .build();
        if flavor == Flavor::Sync {
            // A thread is held by each of its requests, by design.
            registry.warn_of_holds(None);
        }
        let requests = request_layer(flavor, &metrics);
        let database = Database::open(&config.database, flavor.as_str(), &mut self.databases)?;
        let app = stack(flavor, requests, Some(database), &registry, config);
        let spawn = match flavor {
            Flavor::Sync => synchronous::spawn,
            Flavor::Async => asynchronous::spawn,
        };
        let server = spawn(bound, app, registry.clone(), flavor.as_str())
            .with_context(|| format!("cannot start the threads of the {flavor} server"))?;
        let address = server.local_addr();
        let queue = accept_queue(&server);
        let queued = self.queue_probes.of(&server, &registry);
        self.watched.push(live::WatchedServer::with_queues(
            registry,
            queue.clone(),
            queued.clone(),
        ));
        self.queues.push((flavor.as_str().to_owned(), queue));
        self.request_queues
            .push((flavor.as_str().to_owned(), queued));
        let pool = config.threads.get() * config.pool_threads.get();
        self.pools
            .with_label_values(&[flavor.as_str()])
            .set(pool as i64);
        self.metrics.push(metrics);
        self.servers.push(server);
        Ok(address)
    }

    /// Readers of the requests that no thread has taken, of all servers that were started.
    pub(super) fn request_queues(&self) -> Vec<Probe<RequestQueue>> {
        let queues = self.request_queues.iter();
        queues.map(|(_, queue)| queue.clone()).collect()
    }

    /// Starts the exporter for the servers that were started. `shared_name` is the `HOST:PORT` that
    /// the server may share with replicas.
    pub(super) fn start_exporter(
        &self,
        config: &ServerConfig,
        shared_name: Option<&str>,
    ) -> anyhow::Result<SocketAddr> {
        let exposition = Exposition::new(self.metrics.clone())?;
        let experiments = Experiments::new(experiment::ALL.iter().map(|one| one.name))?;
        exposition.register(Box::new(experiments.clone()))?;
        exposition.register(Box::new(self.pools.clone()))?;
        exposition.register(Box::new(self.databases.clone()))?;
        exposition.register(Box::new(AcceptQueues::new(self.queues.clone())?))?;
        exposition.register(Box::new(RequestQueues::new(self.request_queues.clone())?))?;
        let routes = exporter::routes(exposition)
            .merge(exporter::readiness_route(self.readiness.clone()))
            .merge(experiments.routes())
            .merge(live::docs())
            .merge(live::routes(
                self.watched.clone(),
                &config.links,
                shared_name,
            ));
        let names = config.metrics_names.clone();
        let listener = self.metrics_listener.try_clone()?;
        let exporter = exporter::spawn_for_names(listener, routes, names)
            .context("cannot start the exporter")?;
        Ok(exporter.address())
    }

    /// Starts the front before these servers.
    pub(super) fn start_front(
        &mut self,
        bound: proxy::BoundProxy,
        servers: [(Flavor, SocketAddr); 2],
        metrics: SocketAddr,
        servers_config: &ServerConfig,
    ) -> anyhow::Result<SocketAddr> {
        /// Room in a head for the fields that the front adds.
        const ADDED_BYTES: usize = 1024;

        let upstream = |(flavor, server)| proxy::Upstream {
            name: Flavor::as_str(flavor),
            server: reachable(server),
            keep_alive: flavor == Flavor::Async || servers_config.keep_alive,
            threads: proxy::ServerPath::new(
                reachable(metrics),
                match flavor {
                    Flavor::Sync => "/threads/stream?server=sync",
                    Flavor::Async => "/threads/stream?server=async",
                },
            ),
        };
        let mut config = proxy::ProxyConfig::new(servers.map(upstream).into());
        config.assets = live::page().map(asset).collect();
        config.docs = Some(reachable(metrics));
        // The front rejects what the servers would reject, and nothing else.
        config.limits.head = servers_config.limits.max_head_bytes - ADDED_BYTES;
        config.limits.body = usize::try_from(servers_config.body_limit.0).unwrap_or(usize::MAX);
        let front = proxy::spawn(bound, config).context("cannot start the front")?;
        let address = front.local_addr();
        self.front = Some(front);
        Ok(address)
    }

    /// Reports the process as ready. To be called before its addresses are printed: whoever reads them may check at once.
    pub(super) fn set_ready(&self) {
        self.readiness.set(true);
    }

    /// Waits for a signal, then lets the requests in flight finish.
    pub(super) fn run(self, signals: Signals, grace: Duration) -> anyhow::Result<ExitCode> {
        signals.wait()?;
        self.readiness.set(false);
        tracing::info!(
            "shutting down: requests in flight may finish; a second signal ends at once"
        );

        let deadline = Instant::now() + grace;
        let left = || deadline.saturating_duration_since(Instant::now());
        // The front first: it ends when the servers have responded, also to what waits for a thread there.
        if let Some(front) = &self.front {
            front.shutdown();
        }
        let mut finished = self.front.is_none_or(|front| front.join(left()));
        for server in &self.servers {
            server.shutdown();
        }
        for server in &self.servers {
            finished &= server.join(left());
        }
        if finished {
            return Ok(ExitCode::SUCCESS);
        }
        let in_flight = |server: &Metrics| server.threads().requests_in_flight();
        let requests: u64 = self.metrics.iter().map(in_flight).sum();
        tracing::warn!(
            requests,
            ?grace,
            "the grace period is over: ended with requests in flight"
        );
        Ok(ExitCode::FAILURE)
    }
}

/// Binds a server to its address.
pub(super) fn bind_server(
    flavor: Flavor,
    listen: &Address,
    config: &ServerConfig,
) -> anyhow::Result<gateway::BoundGateway> {
    let bind = match flavor {
        Flavor::Sync => synchronous::bind,
        Flavor::Async => asynchronous::bind,
    };
    listen.listen(|address| {
        let config = gateway::GatewayConfig {
            listen: address,
            threads: config.threads,
            pool_threads: config.pool_threads,
            backlog: config.backlog,
            connections: config.connections(),
            keep_alive: config.keep_alive,
            limits: config.limits,
        };
        bind(&config).map_err(|error| error.source)
    })
}

/// Binds the front to its address.
pub(super) fn bind_front(listen: &Address) -> anyhow::Result<proxy::BoundProxy> {
    listen.listen(|address| proxy::bind(address).map_err(|error| error.source))
}

fn accept_queue(server: &gateway::RunningGateway) -> Probe<AcceptQueue> {
    let server = server.clone();
    Probe::new(move || server.accept_queue().ok())
}

/// Converts a file of the live page to an asset of the front; neither module knows the other.
fn asset(file: live::File) -> proxy::Asset {
    let live::File {
        path,
        content_type,
        bytes,
    } = file;
    proxy::Asset {
        path,
        content_type,
        bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quantile is at most the upper bound of the bucket that contains it.
    #[test]
    fn quantiles_of_requests_that_queue_for_20_s_each_are_close_to_their_durations() {
        assert!(REQUEST_BUCKETS.is_sorted_by(|one, next| one < next));
        for waited in [20.01, 40.02, 60.03] {
            let bucket = REQUEST_BUCKETS.partition_point(|bound| *bound < waited);
            let bound = REQUEST_BUCKETS[bucket];
            assert!(bound < waited * 1.05, "{waited} s counts as {bound} s");
        }
    }
}
