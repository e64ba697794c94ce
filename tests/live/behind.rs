//! The embedded front with the page, before servers that may end and come back.

use std::net::{SocketAddr, TcpListener};

use threadlab::proxy::{self, Asset, Config, Running, Target, Upstream};

use crate::lab::Process;

/// A server on ports of its own, which it has again after a restart.
pub(crate) struct Server {
    kind: &'static str,
    http: SocketAddr,
    metrics: SocketAddr,
    process: Option<Process>,
}

impl Server {
    pub(crate) fn start(kind: &'static str) -> Self {
        let mut server = Self {
            kind,
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
        let arguments = ["serve", self.kind, "--listen", &http, "--metrics", &metrics];
        self.process = Some(Process::start(&arguments, 2));
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// The front, which ends when dropped.
pub(crate) struct Front(Running);

impl Front {
    pub(crate) fn before(sync: &Server, asynchronous: &Server) -> Self {
        let upstream = |server: &Server| Upstream {
            name: server.kind,
            server: server.http,
            keep_alive: server.kind == "async",
            threads: Target::new(server.metrics, "/threads/stream"),
        };
        let mut config = Config::new(vec![upstream(sync), upstream(asynchronous)]);
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
