//! The exporter of a service: it can be stopped, and its errors say on which address.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use thread_states::Metrics;

fn entries(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}

fn scrape(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut start = [0; 15];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    stream
}

/// One test, because it counts the threads and descriptors of the process.
#[test]
fn a_stopped_exporter_leaves_nothing_and_a_dropped_handle_leaves_it_running() {
    let metrics = Metrics::new("shop");
    let start = || metrics.export("127.0.0.1:0").unwrap();
    // Whatever is opened once is open from now on.
    start().stop();
    let before = ["/proc/self/task", "/proc/self/fd"].map(entries);
    for _ in 0..300 {
        let exporter = start();
        // A kept connection does not delay the stop.
        let _kept = scrape(exporter.address());
        exporter.stop();
    }
    assert_eq!(["/proc/self/task", "/proc/self/fd"].map(entries), before);

    let exporter = start();
    let address = exporter.address();
    drop(exporter);
    scrape(address);

    let exporter = start();
    let address = exporter.address();
    exporter.stop();
    // Its port is free again at once.
    drop(TcpListener::bind(address).unwrap());

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = metrics.export(&*address).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let message = error.to_string();
    let expected = format!("cannot serve metrics on {address}: ");
    assert!(message.starts_with(&expected), "{message}");
    let message = metrics.export("127.0.0.1").unwrap_err().to_string();
    assert!(message.contains("metrics on 127.0.0.1: "), "{message}");
}
