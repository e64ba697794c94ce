//! What keeps an experiment from being run, told to a person.

use std::io;

use http::StatusCode;

use super::Server;
use super::client::Failure;

/// What keeps an experiment from being run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name stands for no address.
    #[error("{part} has the address {address} ({flag}), which cannot be resolved")]
    Name {
        /// Which part of the lab.
        part: &'static str,
        /// The flag that gives its address.
        flag: &'static str,
        /// The address as it was given.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// A part of the lab does not answer.
    #[error(
        "{part} at {address} ({flag}) does not answer (is the lab running? `threadlab` starts one)"
    )]
    Unreachable {
        /// Which part of the lab.
        part: &'static str,
        /// The flag that gives its address.
        flag: &'static str,
        /// The address as it was given.
        address: String,
        /// Why not.
        source: Failure,
    },
    /// A metrics port took the connection and says nothing.
    #[error("the metrics port at {0} (--metrics) takes connections but does not answer")]
    SilentMetrics(String),
    /// The metrics ports know nothing of a server.
    #[error(
        "the metrics port at {metrics} (--metrics) has no threads of the server {server}: give the ports of both servers, with a comma between"
    )]
    NotExported {
        /// The server without metrics.
        server: Server,
        /// The ports that were asked.
        metrics: String,
    },
    /// A server refuses the cheapest request.
    #[error(
        "the server {server} is not ready: /{server}/dummy was answered with {status}, not 200"
    )]
    NotReady {
        /// The server.
        server: Server,
        /// What it answered.
        status: StatusCode,
    },
    /// Requests are in flight that are not ours.
    #[error(
        "someone else uses the lab: the server {server} has {requests} requests in flight that are not of this experiment; stop them, then try again"
    )]
    Busy {
        /// The server.
        server: Server,
        /// How many.
        requests: f64,
    },
    /// The experiment is about something that this lab has not.
    #[error("not here: {0}")]
    NotHere(String),
    /// This process may not open enough sockets.
    #[error(
        "this needs {needed} open files, and this process may have {limit}; raise the limit (`ulimit -n {needed}`) or lower --seconds, with which the number of requests shrinks"
    )]
    TooFewFiles {
        /// How many it takes.
        needed: u64,
        /// How many there may be.
        limit: u64,
    },
    /// The runner itself failed.
    #[error("the runner cannot work")]
    Runner(#[from] io::Error),
}

impl Error {
    pub(super) fn unreachable(
        part: &'static str,
        flag: &'static str,
        address: &str,
        source: Failure,
    ) -> Self {
        Self::Unreachable {
            part,
            flag,
            address: address.to_owned(),
            source,
        }
    }
}
