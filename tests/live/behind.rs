//! The embedded front with the page, before servers that can be stopped and started again.

use std::net::SocketAddr;

use threadlab::flavor::Flavor;
use threadlab::proxy::{self, Asset, ProxyConfig, RunningProxy, ServerPath, Upstream};

use crate::address::free_address;
use crate::lab::Process;

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

/// The front; it is shut down on drop.
pub(crate) struct Front(RunningProxy);

impl Front {
    pub(crate) fn before(sync: &Server, asynchronous: &Server) -> Self {
        let upstream = |server: &Server| Upstream {
            name: server.flavor.as_str(),
            server: server.http,
            keep_alive: server.flavor == Flavor::Async,
            threads: ServerPath::new(server.metrics, "/threads/stream"),
        };
        let mut config = ProxyConfig::new(vec![upstream(sync), upstream(asynchronous)]);
        let asset = |file: threadlab::live::File| Asset {
            path: file.path,
            content_type: file.content_type,
            bytes: file.bytes,
        };
        config.assets = threadlab::live::page().map(asset).collect();
        let bound = proxy::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(proxy::spawn(bound, config).unwrap())
    }

    pub(crate) fn address(&self) -> String {
        self.0.local_addr().to_string()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}
