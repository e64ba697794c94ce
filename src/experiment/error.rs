//! Reasons why an experiment cannot run.

use std::io;

use http::StatusCode;

use super::client::RequestError;
use super::lab_server::LabServer;
use super::plural::plural;
use crate::flavor::Flavor;

/// Reason why an experiment cannot run. The text is written for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address could not be resolved.
    #[error("cannot resolve {address}, the address of {part} ({flag})")]
    Resolve {
        /// Part of the lab.
        part: &'static str,
        /// Flag that sets its address.
        flag: &'static str,
        /// The address as given.
        address: String,
        /// Cause.
        source: io::Error,
    },
    /// A part of the lab does not respond.
    #[error(
        "{part} at {address} ({flag}) does not respond; is the lab running? `threadlab` starts one"
    )]
    Unreachable {
        /// Part of the lab.
        part: &'static str,
        /// Flag that sets its address.
        flag: &'static str,
        /// The address as given.
        address: String,
        /// Cause.
        source: RequestError,
    },
    /// A metrics port accepts connections and does not respond.
    #[error("the metrics port at {0} (--metrics) accepts connections but does not respond")]
    SilentMetrics(String),
    /// No metrics port exports one of the servers.
    #[error(
        "the metrics port at {metrics} (--metrics) exports no threads of the {server} server; give the metrics ports \
         of both servers, separated by a comma"
    )]
    NotExported {
        /// The missing server.
        server: Flavor,
        /// Metrics ports that were scraped.
        metrics: String,
    },
    /// The address of the front is one of something else.
    #[error(
        "{address} (--url) is not the front of a lab: /{server}/dummy returned 404; `threadlab` prints the URL of its \
         front at the start"
    )]
    NotAFront {
        /// The address as given.
        address: String,
        /// The server whose path does not exist.
        server: LabServer,
    },
    /// Requests through the front do not appear in the metrics.
    #[error(
        "the front at {front} (--url) belongs to another lab than the metrics port at {metrics} (--metrics): requests \
         through the front do not appear in the metrics"
    )]
    OtherLab {
        /// Address of the front.
        front: String,
        /// Metrics ports.
        metrics: String,
    },
    /// One of the article's programs is not part of this lab.
    #[error(
        "the server {server} (--servers) is not part of this lab: {reason}; in Compose, \
         `docker compose --profile originals up --build --wait` starts the article's programs"
    )]
    NoOriginal {
        /// The missing server.
        server: LabServer,
        /// The sign that it is missing.
        reason: String,
    },
    /// A server fails the cheapest request.
    #[error("the {server} server is not ready: /{server}/dummy returned {status}, not 200")]
    NotReady {
        /// The server.
        server: LabServer,
        /// Status of its response.
        status: StatusCode,
    },
    /// The lab has requests in flight that are not of this experiment.
    #[error(
        "the lab is in use: {} in flight on the {server} server that {} not of this experiment; stop {}, then try again",
        plural(*requests, "request"),
        if *requests == 1.0 { "is" } else { "are" },
        if *requests == 1.0 { "it" } else { "them" }
    )]
    Busy {
        /// The server.
        server: LabServer,
        /// Number of requests in flight.
        requests: f64,
    },
    /// The experiment needs something that this lab does not have.
    #[error("not available on this lab: {0}")]
    NotHere(String),
    /// The limit of open files is too low for the experiment.
    #[error(
        "this needs {needed} open files, but the limit of this process is {limit}; raise it (`ulimit -n {needed}`), \
         or lower --seconds, which lowers the number of requests"
    )]
    TooFewFiles {
        /// Files needed.
        needed: u64,
        /// Soft limit of this process.
        limit: u64,
    },
    /// The runtime or its signal handlers could not be set up.
    #[error("the experiment runner failed to start")]
    Runner(#[from] io::Error),
}

impl Error {
    /// Returns the error of an experiment that queries a database, on a lab whose metrics show none.
    pub(super) fn no_database() -> Self {
        Self::NotHere("the servers have no database, or are of an older version".into())
    }

    pub(super) fn unreachable(
        part: &'static str,
        flag: &'static str,
        address: &str,
        source: RequestError,
    ) -> Self {
        Self::Unreachable {
            part,
            flag,
            address: address.to_owned(),
            source,
        }
    }
}
