//! The composition root: the only place where app, gateway, metrics and front meet.

mod address;
mod announce;
mod overload;
mod signals;

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use prometheus::{IntGaugeVec, Opts};
use tower::ServiceBuilder;
use tower::util::option_layer;
use tower_http::request_id::PropagateRequestIdLayer;

pub use self::address::Address;
use self::signals::Signals;
use crate::flavor::Flavor;
use crate::gateway::{self, asynchronous, synchronous};
use crate::metrics::list::BLOCKING_POOL_LIMIT;
use crate::metrics::{AcceptQueue, AcceptQueues, Experiments, Probe};
use crate::{app, experiment, live, proxy};
use thread_states::metrics::exporter::{self, Readiness};
use thread_states::metrics::list::{Metric, UNMATCHED};
use thread_states::metrics::{self, RequestLayer, Waits};
use thread_states::{Metrics, Registry};

/// What every server of a process has in common.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Threads of each server. Default: 1.
    pub threads: NonZeroUsize,
    /// Connections that the kernel holds for a server until a thread accepts them.
    pub backlog: u16,
    /// Requests that an asynchronous server takes at once; those above it get a 503.
    pub max_in_flight: u64,
    /// What a gateway lets a client send, and how slowly.
    pub limits: gateway::Limits,
    /// The longest request body in bytes.
    pub max_body_bytes: u64,
    /// Other pages that the live page leads to. Default: none.
    pub links: Vec<live::Link>,
    /// How long requests in flight may take to finish after the first signal.
    pub grace: Duration,
}

/// Runs one server until a signal ends it.
///
/// # Errors
///
/// When an address is taken or a thread cannot be started.
pub fn serve(
    flavor: Flavor,
    listen: &Address,
    metrics: &Address,
    settings: &Settings,
) -> anyhow::Result<ExitCode> {
    let signals = Signals::catch()?;
    raise_file_limit();
    let mut lab = Lab::new(metrics)?;
    let bound = bind_server(flavor, listen, settings)?;
    let server = lab.start(flavor, bound, settings)?;
    let metrics = lab.export(&settings.links, Some(&listen.text))?;
    announce::server(flavor, server, metrics);
    lab.run(signals, settings.grace)
}

/// Where the lab in one process listens.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The front.
    pub front: Address,
    /// The synchronous server.
    pub sync: Address,
    /// The asynchronous server.
    pub r#async: Address,
    /// The metrics of both.
    pub metrics: Address,
}

/// Runs the whole lab in this process until a signal ends it: both servers and the front.
///
/// # Errors
///
/// When an address is taken or a thread cannot be started.
pub fn up(addresses: &Addresses, settings: &Settings) -> anyhow::Result<ExitCode> {
    let signals = Signals::catch()?;
    raise_file_limit();
    let mut lab = Lab::new(&addresses.metrics)?;
    let front = addresses
        .front
        .listen(|address| proxy::bind(address).map_err(|error| error.source))?;
    let sync = bind_server(Flavor::Sync, &addresses.sync, settings)?;
    let r#async = bind_server(Flavor::Async, &addresses.r#async, settings)?;

    let sync = lab.start(Flavor::Sync, sync, settings)?;
    let r#async = lab.start(Flavor::Async, r#async, settings)?;
    let metrics = lab.export(&settings.links, None)?;
    let front = lab.start_front(
        front,
        [(Flavor::Sync, sync), (Flavor::Async, r#async)],
        metrics,
    )?;
    announce::lab(&announce::Lab {
        front,
        sync,
        r#async,
        metrics,
        threads: settings.threads,
    });
    lab.run(signals, settings.grace)
}

/// What runs in this process.
struct Lab {
    metrics_listener: TcpListener,
    readiness: Readiness,
    pools: IntGaugeVec,
    metrics: Vec<Metrics>,
    queues: Vec<(String, Probe)>,
    shown: Vec<live::Server>,
    servers: Vec<gateway::Running>,
    front: Option<proxy::Running>,
}

impl Lab {
    fn new(metrics: &Address) -> anyhow::Result<Self> {
        let listener = metrics.listen(TcpListener::bind)?;
        Ok(Self {
            metrics_listener: listener,
            readiness: Readiness::default(),
            pools: pools()?,
            metrics: Vec::new(),
            queues: Vec::new(),
            shown: Vec::new(),
            servers: Vec::new(),
            front: None,
        })
    }

    /// Starts a server on its bound address.
    fn start(
        &mut self,
        flavor: Flavor,
        bound: gateway::Bound,
        settings: &Settings,
    ) -> anyhow::Result<SocketAddr> {
        let routes = app::ROUTES
            .iter()
            .copied()
            .chain([UNMATCHED])
            .map(str::to_owned);
        let registry = Registry::new(flavor.as_str(), routes);
        let metrics = Metrics::of(registry.clone())?;
        let requests = request_layer(flavor, &metrics);
        let app = stack(flavor, Some(requests), &registry, settings);
        let spawn = match flavor {
            Flavor::Sync => synchronous::spawn,
            Flavor::Async => asynchronous::spawn,
        };
        let server = spawn(bound, app, registry.clone(), flavor.as_str())
            .with_context(|| format!("the threads of {} cannot be started", flavor.as_str()))?;
        let address = server.local_addr();
        let queue = server.clone();
        let queue = Probe::new(move || {
            let queue = queue.accept_queue()?;
            Ok(AcceptQueue {
                length: queue.length.into(),
                limit: queue.limit.into(),
            })
        });
        self.shown
            .push(live::Server::new(registry.clone(), Some(queue.clone())));
        self.queues.push((flavor.as_str().to_owned(), queue));
        let pool = settings.threads.get() * gateway::POOL_THREADS;
        self.pools
            .with_label_values(&[flavor.as_str()])
            .set(pool as i64);
        self.metrics.push(metrics);
        self.servers.push(server);
        Ok(address)
    }

    /// Starts the exporter for the servers that were started, of which one may share `name` with
    /// other replicas.
    fn export(&self, links: &[live::Link], name: Option<&str>) -> anyhow::Result<SocketAddr> {
        let registry = metrics::registry(self.metrics.clone())?;
        let experiments = Experiments::new(experiment::ALL.iter().map(|one| one.name))?;
        registry.register(Box::new(experiments.clone()))?;
        registry.register(Box::new(self.pools.clone()))?;
        registry.register(Box::new(AcceptQueues::new(self.queues.clone())?))?;
        let routes = exporter::routes(registry)
            .merge(exporter::readiness_route(self.readiness.clone()))
            .merge(experiments.routes())
            .merge(live::routes(self.shown.clone(), links, name));
        exporter::spawn(self.metrics_listener.try_clone()?, routes)
            .context("the exporter cannot be started")
    }

    /// Starts the front before these servers.
    fn start_front(
        &mut self,
        bound: proxy::Bound,
        servers: [(Flavor, SocketAddr); 2],
        metrics: SocketAddr,
    ) -> anyhow::Result<SocketAddr> {
        let upstream = |(flavor, server)| proxy::Upstream {
            name: Flavor::as_str(flavor),
            server: reachable(server),
            keep_alive: flavor == Flavor::Async,
            threads: proxy::Target::new(
                reachable(metrics),
                match flavor {
                    Flavor::Sync => "/threads/stream?server=sync",
                    Flavor::Async => "/threads/stream?server=async",
                },
            ),
        };
        let mut config = proxy::Config::new(servers.map(upstream).into());
        config.assets = live::PAGE.iter().map(asset).collect();
        let front = proxy::spawn(bound, config).context("the front cannot be started")?;
        let address = front.local_addr();
        self.front = Some(front);
        Ok(address)
    }

    /// Waits for a signal, then lets what is in flight finish.
    fn run(self, signals: Signals, grace: Duration) -> anyhow::Result<ExitCode> {
        self.readiness.set(true);
        signals.wait()?;
        self.readiness.set(false);
        tracing::info!("finishing what is in flight; a second signal ends at once");

        let deadline = Instant::now() + grace;
        // The front first, so that nothing new comes; it ends when the servers have answered.
        if let Some(front) = &self.front {
            front.shutdown();
        }
        for server in &self.servers {
            server.shutdown();
        }
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut finished = self.front.is_none_or(|front| front.join(left()));
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
            "ended with requests in flight: the grace time is over"
        );
        Ok(ExitCode::FAILURE)
    }
}

/// How many threads each server may have beside its own.
fn pools() -> prometheus::Result<IntGaugeVec> {
    let Metric {
        name, help, labels, ..
    } = BLOCKING_POOL_LIMIT;
    IntGaugeVec::new(Opts::new(name, help), labels)
}

/// What measures the requests of a server.
#[must_use]
pub fn request_layer(flavor: Flavor, metrics: &Metrics) -> RequestLayer {
    let waits = match flavor {
        Flavor::Sync => Waits::WithThread,
        Flavor::Async => Waits::WithoutThread,
    };
    // The gateways count a request from before its head is read.
    let layer = metrics.layer().waits(waits).in_flight_elsewhere();
    layer.server_timing(true)
}

/// The app with what is around it; a request meets the layers from the first to the last.
/// Without `requests` they are not measured.
pub fn stack(
    flavor: Flavor,
    requests: Option<RequestLayer>,
    threads: &Registry,
    settings: &Settings,
) -> Router {
    // The synchronous server has its threads for a limit.
    let overload =
        (flavor == Flavor::Async).then(|| overload::layer(threads.clone(), settings.max_in_flight));
    let layers = ServiceBuilder::new()
        .option_layer(requests)
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(option_layer(overload));
    let limits = app::Limits {
        max_body: settings.max_body_bytes,
    };
    // Puts handlers and layers together now; else axum would do it for every request.
    app::router_within(limits, layers).with_state(())
}

fn bind_server(
    flavor: Flavor,
    listen: &Address,
    settings: &Settings,
) -> anyhow::Result<gateway::Bound> {
    let bind = match flavor {
        Flavor::Sync => synchronous::bind,
        Flavor::Async => asynchronous::bind,
    };
    listen.listen(|address| {
        let config = gateway::Config {
            listen: address,
            threads: settings.threads,
            backlog: settings.backlog,
            limits: settings.limits,
        };
        bind(&config).map_err(|error| error.source)
    })
}

/// The address at which this machine reaches itself where a server listens on every address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let loopback: std::net::IpAddr = match address {
        SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    if address.ip().is_unspecified() {
        (loopback, address.port()).into()
    } else {
        address
    }
}

fn asset(file: &live::File) -> proxy::Asset {
    let live::File {
        path,
        content_type,
        bytes,
    } = *file;
    proxy::Asset {
        path,
        content_type,
        bytes,
    }
}

/// Thousands of requests in flight are thousands of open files: takes as many as are allowed.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(error = %std::io::Error::from(error), "the limit of open files stays");
    }
}
