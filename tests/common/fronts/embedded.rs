//! The embedded front, started for a test.

use std::net::SocketAddr;

use threadlab::proxy::{self, Asset, ProxyConfig, RunningProxy, ServerPath, Timeouts, Upstream};

use super::lab::Behind;
use super::{PAGE, TIMEOUT};

/// Running embedded front; ends when dropped.
pub struct Embedded(Option<RunningProxy>);

impl Embedded {
    pub fn start(behind: &Behind) -> Self {
        let bound = proxy::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(Some(proxy::spawn(bound, config(behind)).unwrap()))
    }

    pub fn address(&self) -> SocketAddr {
        self.0.as_ref().unwrap().local_addr()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let ended = self.0.take().map(|running| {
            running.shutdown();
            running.join(TIMEOUT)
        });
        assert!(
            std::thread::panicking() || ended == Some(true),
            "the front did not stop"
        );
    }
}

/// Returns the configuration for these servers.
pub fn config(behind: &Behind) -> ProxyConfig {
    let [server] = &behind.sync[..] else {
        panic!("the embedded front has one sync server");
    };
    let upstream = |name, server, threads, keep_alive| Upstream {
        name,
        server,
        keep_alive,
        threads: ServerPath::new(threads, "/threads/stream"),
    };
    let mut config = ProxyConfig::new(vec![
        upstream("sync", server.address, behind.sync_threads.address, false),
        upstream(
            "async",
            behind.asynchronous.address,
            behind.async_threads.address,
            true,
        ),
    ]);
    config.assets = PAGE
        .map(|(path, _, content_type, text)| Asset {
            path: path.into(),
            content_type: content_type.into(),
            bytes: text.into(),
        })
        .into();
    config.docs = Some(behind.async_threads.address);
    config.timeouts = Timeouts {
        connect: behind.connect_timeout,
        upstream: behind.upstream_timeout,
        client: behind.client_timeout,
    };
    config
}
