//! System calls that a server thread makes for a request. They are counted by ptrace(2), so they are nearly the same on
//! every machine, and a change shows here at once.

#![allow(clippy::unwrap_used)]
// nix has `PTRACE_GET_SYSCALL_INFO` for these only.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common {
    pub(crate) mod lab;
}
#[path = "../crates/thread-states/tests/common/quiet.rs"]
mod quiet;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;

use common::lab::Server;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

const REQUESTS: u64 = 200;

/// Reads of a thread's counters: its delay from `schedstat`, its CPU clock, and its voluntary switches. A mark of a
/// thread state makes one of each at most.
const OF_COUNTERS: [i64; 3] = [
    libc::SYS_pread64,
    libc::SYS_clock_gettime,
    libc::SYS_getrusage,
];
/// Marks of a request: the thread wakes up, the route holds it, the route releases it, the thread parks.
const MARKS: u64 = 4;

/// Numbers of calls of one thread, by their numbers in the kernel.
#[derive(Debug, Default)]
struct Calls(BTreeMap<i64, u64>);

impl Calls {
    /// Number of calls per request, without those that read counters.
    fn per_request(&self) -> f64 {
        let calls = self
            .0
            .iter()
            .filter(|(call, _)| !OF_COUNTERS.contains(call));
        calls.map(|(_, count)| *count as f64).sum::<f64>() / REQUESTS as f64
    }

    /// Number of calls of the kind that is called most among those that read counters.
    fn counter_reads(&self) -> u64 {
        let counts = OF_COUNTERS.iter().filter_map(|call| self.0.get(call));
        counts.copied().max().unwrap_or(0)
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "calls of {REQUESTS} requests, by number:")?;
        self.0
            .iter()
            .try_for_each(|(call, count)| write!(f, " {call}: {count},"))
    }
}

/// Returns the ID of a server's thread.
fn thread_named(server: &Server, name: &str) -> Pid {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.process.pid())).unwrap();
    let mut paths = tasks.map(|task| task.unwrap().path());
    let path = paths.find(|path| fs::read_to_string(path.join("comm")).unwrap().trim_end() == name);
    let id = path.unwrap();
    Pid::from_raw(id.file_name().unwrap().to_str().unwrap().parse().unwrap())
}

/// Counts the calls of a thread until it ends, and reports through `attached` once it does. Only the thread that traces
/// may wait for it.
fn count(thread: Pid, attached: &mpsc::Sender<nix::Result<()>>) -> nix::Result<Calls> {
    let seized = ptrace::seize(thread, Options::PTRACE_O_TRACESYSGOOD);
    let interrupted = seized.and_then(|()| ptrace::interrupt(thread));
    attached.send(interrupted).unwrap();
    interrupted?;
    let mut calls = Calls::default();
    loop {
        match waitpid(thread, Some(WaitPidFlag::__WALL))? {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Ok(calls),
            WaitStatus::PtraceSyscall(_) => {
                let info = match ptrace::syscall_info(thread) {
                    // It was killed meanwhile, which the next wait reports.
                    Err(Errno::ESRCH) => continue,
                    info => info?,
                };
                if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY {
                    #[expect(unsafe_code, reason = "libc has a union for what depends on the stop")]
                    // SAFETY: the kernel wrote the field of this stop.
                    let number = unsafe { info.u.entry.nr };
                    *calls.0.entry(number as i64).or_default() += 1;
                }
            }
            _ => {}
        }
        // It fails if the thread was killed meanwhile, which the next wait reports.
        let _ = ptrace::syscall(thread, None);
    }
}

/// Connections that the requests use.
#[derive(Debug, Clone, Copy)]
enum Connections {
    OnePerRequest,
    /// So many, with a request on each at the same time.
    Kept(usize),
}

/// Returns the calls that the only thread of a server makes for some requests, `None` if this process may not trace.
fn calls(kind: &str, arguments: &[&str], connections: Connections) -> Option<Calls> {
    let server = Server::start(kind, arguments);
    // The first requests fill caches.
    send(&server.http, 20, connections);
    let thread = thread_named(&server, &format!("{kind}-0"));
    let (sender, attached) = mpsc::channel();
    let counting = thread::spawn(move || count(thread, &sender));
    if let Err(error) = attached.recv().unwrap() {
        quiet::not_verified(format_args!("system calls cannot be counted: {error}"));
        return None;
    }
    send(&server.http, REQUESTS, connections);
    drop(server);
    Some(counting.join().unwrap().unwrap())
}

fn send(address: &str, requests: u64, connections: Connections) {
    let connect = || TcpStream::connect(address).unwrap();
    let request = |mut stream: &TcpStream, field: &str| {
        let head = format!("GET /dummy HTTP/1.1\r\nHost: test\r\n{field}\r\n");
        // As one packet.
        stream.write_all(head.as_bytes()).unwrap();
    };
    let check = |response: &[u8]| {
        assert!(
            response.starts_with(b"HTTP/1.1 200 "),
            "{}",
            response.escape_ascii()
        );
    };
    match connections {
        Connections::OnePerRequest => {
            for _ in 0..requests {
                let mut stream = connect();
                request(&stream, "Connection: close\r\n");
                let mut response = Vec::new();
                stream.read_to_end(&mut response).unwrap();
                check(&response);
            }
        }
        Connections::Kept(number) => {
            let mut kept: Vec<_> = (0..number).map(|_| connect()).collect();
            kept.iter().for_each(|stream| request(stream, ""));
            let last_round = requests - number as u64;
            for (sent, place) in (0..requests).zip((0..number).cycle()) {
                let mut response = [0; 4096];
                let length = kept[place].read(&mut response).unwrap();
                check(&response[..length]);
                if sent < last_round {
                    request(&kept[place], "");
                }
            }
        }
    }
}

/// Asserts the most calls of a request on average, without those that read counters. The best of three attempts counts:
/// a client that loses its CPU between connecting and sending costs the server one more wait.
fn assert_at_most(most: f64, kind: &str, arguments: &[&str], connections: Connections) {
    let mut failures = Vec::new();
    for _ in 0..3 {
        let Some(mut calls) = calls(kind, arguments, connections) else {
            return;
        };
        // In unoptimized builds, the standard library checks each descriptor that it closes.
        calls.0.remove(&libc::SYS_fcntl);
        let (each, reads) = (calls.per_request(), calls.counter_reads());
        // Some for the beginning and the end.
        if (1.0..=most).contains(&each) && reads <= MARKS * (REQUESTS + 5) {
            return;
        }
        failures.push(format!(
            "{each} per request, {reads} reads of counters; {calls}"
        ));
    }
    panic!("more than {most} calls per request: {failures:#?}");
}

#[test]
fn a_request_on_a_kept_connection_makes_three_system_calls() {
    // epoll_wait, recvfrom, sendto.
    assert_at_most(3.2, "async", &[], Connections::Kept(1));
}

#[test]
fn a_request_with_its_own_connection_makes_ten_system_calls_on_an_event_loop() {
    // epoll_wait, accept4 twice, epoll_ctl twice, recvfrom three times, sendto, close.
    assert_at_most(10.5, "async", &[], Connections::OnePerRequest);
}

#[test]
fn a_request_makes_six_system_calls_on_a_synchronous_server() {
    // accept4, recvfrom three times, sendto, close.
    assert_at_most(6.3, "sync", &[], Connections::OnePerRequest);
}

#[test]
fn a_request_on_a_kept_connection_makes_five_system_calls_on_an_idle_synchronous_server() {
    // epoll_wait twice, recvfrom, sendto, epoll_ctl.
    assert_at_most(5.2, "sync", &["--keep-alive"], Connections::Kept(1));
}

#[test]
fn a_request_on_a_kept_connection_makes_three_system_calls_on_a_busy_synchronous_server() {
    // recvfrom, sendto, epoll_ctl; one epoll_wait finds several requests. The beginnings of the connections are some more.
    assert_at_most(3.7, "sync", &["--keep-alive"], Connections::Kept(10));
}
