//! Gateways without free file descriptors. A test binary of its own, because the limit applies to the
//! whole process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, Socket, Type};
use thread_states::Registry;
use threadlab::gateway::{GatewayConfig, RunningGateway, asynchronous, synchronous};

#[test]
fn gateways_survive_a_lack_of_file_descriptors() {
    let app = Router::new().route("/", get(async || "hello"));
    let config = GatewayConfig::new(([127, 0, 0, 1], 0).into());
    let registry = || Registry::new("test", []);
    let bound = synchronous::bind(&config).unwrap();
    survives(&synchronous::spawn(bound, app.clone(), registry(), "sync").unwrap());
    let bound = asynchronous::bind(&config).unwrap();
    survives(&asynchronous::spawn(bound, app, registry(), "async").unwrap());
}

fn survives(server: &RunningGateway) {
    // A thread that is blocked in `accept` has reserved its descriptor already; this client uses it.
    let first = TcpStream::connect(server.local_addr()).unwrap();
    let second = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    thread::sleep(Duration::from_millis(100));
    let enough = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        ..enough
    };
    setrlimit(Resource::Nofile, none).unwrap();
    second.connect(&server.local_addr().into()).unwrap();
    drop(first);

    // The second client waits, and the server does not use the CPU meanwhile.
    let (start, cpu) = (Instant::now(), cpu_time());
    thread::sleep(Duration::from_millis(500));
    let share = (cpu_time() - cpu).div_duration_f64(start.elapsed());
    assert_eq!(server.accept_queue().unwrap().length, 1);
    assert!(share < 0.2, "{share} of a CPU while nothing can be done");

    setrlimit(Resource::Nofile, enough).unwrap();
    assert_eq!(send(second.into()), "hello");
    server.shutdown();
    assert!(server.join(Duration::from_secs(10)));
}

fn send(mut client: TcpStream) -> String {
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut response = String::new();
    client.read_to_string(&mut response).unwrap();
    response.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Returns the CPU time of this process.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap()
}
