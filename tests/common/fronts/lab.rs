//! Either front with scripted servers behind it.

use std::net::SocketAddr;
use std::time::Duration;

use super::backend::Backend;
use super::client::{self, Client};
use super::embedded::Embedded;
use super::message::Message;
use super::nginx::Nginx;

/// Front under test.
#[derive(Debug, Clone, Copy)]
pub enum Front {
    Embedded,
    Nginx,
}

/// Servers behind the front, and the front's timeouts.
pub struct Behind {
    /// More than one only with nginx.
    pub sync: Vec<Backend>,
    pub asynchronous: Backend,
    pub sync_threads: Backend,
    pub async_threads: Backend,
    /// Metrics ports of the processes that watch the article's programs, by their names in nginx.
    pub watchers: Vec<(&'static str, Backend)>,
    pub connect_timeout: Duration,
    pub upstream_timeout: Duration,
    pub client_timeout: Duration,
}

impl Behind {
    /// Echoing servers and the default timeouts.
    pub fn echo() -> Self {
        Self {
            sync: vec![Backend::echo()],
            asynchronous: Backend::echo(),
            sync_threads: Backend::echo(),
            async_threads: Backend::echo(),
            watchers: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            upstream_timeout: Duration::from_secs(600),
            client_timeout: Duration::from_secs(60),
        }
    }

    /// The lab's own gateways, which respond to every request with 200.
    pub fn gateways() -> Self {
        Self {
            sync: vec![Backend::synchronous()],
            asynchronous: Backend::asynchronous(),
            ..Self::echo()
        }
    }

    /// The same server, started twice, as both servers.
    pub fn both(start: impl Fn() -> Backend) -> Self {
        Self {
            sync: vec![start()],
            asynchronous: start(),
            ..Self::echo()
        }
    }

    pub fn with_connect_timeout(self, connect_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            ..self
        }
    }

    pub fn with_upstream_timeout(self, upstream_timeout: Duration) -> Self {
        Self {
            upstream_timeout,
            ..self
        }
    }

    pub fn with_client_timeout(self, client_timeout: Duration) -> Self {
        Self {
            client_timeout,
            ..self
        }
    }
}

/// Running front with its servers; ends when dropped.
pub struct Lab {
    pub address: SocketAddr,
    running: Running,
    _behind: Behind,
}

enum Running {
    Embedded(Embedded),
    Nginx(Nginx),
}

impl Lab {
    /// Starts the front before these servers.
    pub fn start(front: Front, behind: Behind) -> Self {
        let running = match front {
            Front::Embedded => Running::Embedded(Embedded::start(&behind)),
            Front::Nginx => Running::Nginx(Nginx::start(&behind)),
        };
        let address = match &running {
            Running::Embedded(embedded) => embedded.address(),
            Running::Nginx(nginx) => nginx.address,
        };
        Self {
            address,
            running,
            _behind: behind,
        }
    }

    /// Starts the front before echoing servers.
    pub fn echo(front: Front) -> Self {
        Self::start(front, Behind::echo())
    }

    /// Returns the nginx.
    ///
    /// # Panics
    ///
    /// If the front is the embedded one.
    pub fn nginx(&self) -> &Nginx {
        match &self.running {
            Running::Nginx(nginx) => nginx,
            Running::Embedded(_) => panic!("this test is for nginx"),
        }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Returns the response to a request on a new connection; see [`client::response_to`].
    pub fn response_to(&self, head: &str) -> Message {
        client::response_to(self.address, head)
    }

    /// Returns the request as the echoing server received it.
    pub fn echoed(&self, head: &str) -> Echoed {
        Echoed::from(&self.response_to(head))
    }
}

/// Request as the echoing server received it.
#[derive(Debug)]
pub struct Echoed {
    pub line: String,
    pub request: Message,
    pub connection: u64,
}

impl From<&Message> for Echoed {
    fn from(response: &Message) -> Self {
        assert_eq!(response.status(), 200, "{response:?}");
        let echo = response.json();
        let line: String = echo["line"].as_str().unwrap().into();
        let request = Message {
            start: line.clone(),
            headers: serde_json::from_value(echo["headers"].clone()).unwrap(),
            body: echo["body"].as_str().unwrap().into(),
        };
        Self {
            line,
            request,
            connection: echo["connection"].as_u64().unwrap(),
        }
    }
}
