//! A target, running.

use std::net::SocketAddr;

use crate::cases::Target;
use crate::fronts::backend::Backend;
use crate::fronts::lab::{Behind, Front, Lab};
use crate::process;

/// Running target; ends when it is dropped.
pub struct Server {
    pub address: SocketAddr,
    /// Paths for GET and for POST that the app gets as `/a`.
    pub paths: &'static [[&'static str; 2]],
    _running: Running,
}

#[expect(dead_code, reason = "kept for its end")]
enum Running {
    Gateway(Backend),
    Front(Box<Lab>),
    Process(process::Server),
}

impl Server {
    pub fn start(target: Target) -> Self {
        match target {
            Target::Synchronous => Self::gateway(Backend::synchronous()),
            Target::Asynchronous => Self::gateway(Backend::asynchronous()),
            Target::Embedded => Self::front(Front::Embedded),
            Target::Nginx => Self::front(Front::Nginx),
            Target::Metrics => {
                let process = process::Server::start("sync", &[]);
                Self {
                    address: process.metrics.parse().unwrap(),
                    paths: &[["/healthz", "/experiments/article"]],
                    _running: Running::Process(process),
                }
            }
        }
    }

    /// The synchronous gateway, which keeps connections between two requests.
    pub fn keeping() -> Self {
        Self::gateway(Backend::keeping())
    }

    fn gateway(gateway: Backend) -> Self {
        Self {
            address: gateway.address,
            paths: &[["/a", "/a"]],
            _running: Running::Gateway(gateway),
        }
    }

    fn front(front: Front) -> Self {
        let lab = Lab::start(front, Behind::gateways());
        Self {
            address: lab.address,
            paths: &[["/sync/a", "/sync/a"], ["/async/a", "/async/a"]],
            _running: Running::Front(Box::new(lab)),
        }
    }
}
