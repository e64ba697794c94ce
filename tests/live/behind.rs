//! The embedded front with the page, before servers that can be stopped and started again.

use std::net::SocketAddr;

use threadlab::flavor::Flavor;
use threadlab::proxy::{self, Asset, ProxyConfig, RunningProxy, ServerPath, Upstream};

use crate::address::free_address;
use crate::lab::Process;
use crate::stand_in::StandIn;

/// A server that keeps its ports when it is restarted.
pub(crate) struct Server {
    flavor: Flavor,
    http: SocketAddr,
    metrics: SocketAddr,
    process: Option<Process>,
}

impl Server {
    pub(crate) fn start(flavor: Flavor) -> Self {
        let mut server = Self {
            flavor,
            http: free_address(),
            metrics: free_address(),
            process: None,
        };
        server.restart();
        server
    }

    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    pub(crate) fn restart(&mut self) {
        let (http, metrics) = (self.http.to_string(), self.metrics.to_string());
        let arguments = [
            "serve",
            self.flavor.as_str(),
            "--listen",
            &http,
            "--metrics",
            &metrics,
        ];
        self.process = Some(Process::start(&arguments, 2));
    }
}

/// One of the article's programs, or rather a stand-in for it, and the process that watches it.
pub(crate) struct Original {
    name: &'static str,
    program: StandIn,
    watch: Process,
}

impl Original {
    pub(crate) fn start(name: &'static str) -> Self {
        let program = StandIn::start(name);
        let target = format!("{name}=port:{}", program.address.port());
        let arguments = ["watch", "--name", &target, "--metrics", "127.0.0.1:0"];
        let watch = Process::start(&arguments, 1);
        Self {
            name,
            program,
            watch,
        }
    }
}

/// The front; it is shut down on drop.
pub(crate) struct Front(RunningProxy);

impl Front {
    pub(crate) fn before(sync: &Server, asynchronous: &Server) -> Self {
        Self::start([sync, asynchronous].map(upstream_of).into(), assets())
    }

    /// As nginx in Compose with these services of the profile "originals".
    pub(crate) fn with_originals(
        sync: &Server,
        asynchronous: &Server,
        originals: &[Original],
    ) -> Self {
        let mut upstreams: Vec<_> = [sync, asynchronous].map(upstream_of).into();
        upstreams.extend(originals.iter().map(|original| Upstream {
            name: original.name,
            server: original.program.address,
            keep_alive: false,
            threads: ServerPath::new(
                original.watch.address(0).parse().unwrap(),
                "/threads/stream",
            ),
        }));
        let names: Vec<_> = upstreams.iter().map(|upstream| upstream.name).collect();
        let mut assets = assets();
        for asset in &mut assets {
            // As nginx/servers.js does.
            if asset.path == "/live/servers.js" {
                asset.bytes = format!("export const NAMES = {names:?};\n").into();
            }
        }
        Self::start(upstreams, assets)
    }

    fn start(upstreams: Vec<Upstream>, assets: Vec<Asset>) -> Self {
        let mut config = ProxyConfig::new(upstreams);
        config.assets = assets;
        let bound = proxy::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(proxy::spawn(bound, config).unwrap())
    }

    pub(crate) fn address(&self) -> String {
        self.0.local_addr().to_string()
    }
}

fn upstream_of(server: &Server) -> Upstream {
    Upstream {
        name: server.flavor.as_str(),
        server: server.http,
        keep_alive: server.flavor == Flavor::Async,
        threads: ServerPath::new(server.metrics, "/threads/stream"),
    }
}

fn assets() -> Vec<Asset> {
    let asset = |file: threadlab::live::File| Asset {
        path: file.path,
        content_type: file.content_type,
        bytes: file.bytes,
    };
    threadlab::live::page().map(asset).collect()
}

impl Drop for Front {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}
