//! A front that sends the requests of each server to the other one.

use std::time::Duration;

use threadlab::proxy::{self, ProxyConfig, RunningProxy, ServerPath, Upstream};

use crate::lab::Lab;

/// The front. Stops when dropped.
pub(crate) struct Crossed(Option<RunningProxy>);

impl Crossed {
    pub(crate) fn start(lab: &Lab) -> Self {
        let metrics = lab.metrics.parse().unwrap();
        let upstream = |name, server: &str, keep_alive| Upstream {
            name,
            server: server.parse().unwrap(),
            keep_alive,
            threads: ServerPath::new(metrics, "/threads/stream"),
        };
        let upstreams = vec![
            upstream("sync", &lab.r#async, true),
            upstream("async", &lab.sync, false),
        ];
        let bound = proxy::bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self(Some(
            proxy::spawn(bound, ProxyConfig::new(upstreams)).unwrap(),
        ))
    }

    pub(crate) fn address(&self) -> String {
        self.0.as_ref().unwrap().local_addr().to_string()
    }
}

impl Drop for Crossed {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.shutdown();
            let ended = running.join(Duration::from_secs(10));
            assert!(ended || std::thread::panicking(), "the front did not stop");
        }
    }
}
