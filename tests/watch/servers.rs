//! Small servers of several kinds, each in a process of its own: this test program, started again.
//!
//! A request's path says what the thread that serves it does: `/sleep/MS`, `/spin/MS`, `/lock/MS` (sleeps while it holds
//! a lock that others want), and on event loops also `/await/MS` and `/offload/MS`. `/exec/PORT` replaces the program by
//! another one of the same kind, on that port.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const KIND: &str = "THREADLAB_TEST_SERVER";
const ADDRESS: &str = "THREADLAB_TEST_ADDRESS";

/// The kinds of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    ThreadPerConnection,
    /// Three threads and a queue with a condition variable.
    Pool,
    /// The same with 100 threads.
    LargePool,
    /// A pool with a new thread for each connection, which then stays in the pool, as Python's executors grow.
    GrowingPool,
    CurrentThread,
    /// tokio with two workers.
    MultiThread,
    /// Two processes that accept from one socket.
    Forking,
    /// As `ThreadPerConnection`; it starts short-lived processes all the time.
    WithChildren,
    /// An event loop with a timer of 100 ms, which gets its connections from a thread that accepts them, and three other
    /// threads that wake up as often: one sleeps, one waits for a condition variable with a timeout, one receives
    /// from the first, as uvicorn's workers from their supervisor.
    Ticking,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::ThreadPerConnection,
        Self::Pool,
        Self::LargePool,
        Self::GrowingPool,
        Self::CurrentThread,
        Self::MultiThread,
        Self::Forking,
        Self::WithChildren,
        Self::Ticking,
    ];
}

/// A server in a process of its own, ended when dropped.
pub struct TestServer {
    child: Child,
    pub address: SocketAddr,
}

impl TestServer {
    /// Starts a server on a free port.
    pub fn start(kind: Kind) -> Self {
        Self::start_on(kind, ([127, 0, 0, 1], 0).into())
    }

    /// Starts a server on an address.
    pub fn start_on(kind: Kind, address: SocketAddr) -> Self {
        Self::run(command(kind), address).expect("the server prints its address")
    }

    /// Starts a server in a network namespace of its own; `None` if this machine allows no new one.
    pub fn start_in_other_namespace(kind: Kind) -> Option<Self> {
        let program = command(kind);
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--net"]);
        unshare.arg(program.get_program()).args(program.get_args());
        unshare.env(KIND, format!("{kind:?}"));
        // Its loopback interface is down, and has no address.
        Self::run(unshare, ([0, 0, 0, 0], 0).into())
    }

    /// Runs the program; `None` if it does not print its address.
    fn run(mut command: Command, address: SocketAddr) -> Option<Self> {
        command.env(ADDRESS, address.to_string());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address =
            lines.find_map(|line| line.unwrap().strip_prefix("listens on ")?.parse().ok());
        let address = address.or_else(|| {
            child.wait().unwrap();
            None
        })?;
        Some(Self { child, address })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request and waits for the end of the response.
    pub fn get(&self, path: &str) {
        self.request(path);
    }

    fn request(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 200"), "{path}: {response:?}");
        response
    }

    /// Sends requests at once and waits for all responses.
    pub fn get_all(&self, paths: &[&str]) {
        thread::scope(|scope| {
            for path in paths {
                scope.spawn(|| self.get(path));
            }
        });
    }

    /// Has the server's process run another program of the same kind, and waits until that listens.
    pub fn exec(&self) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET /exec/{} HTTP/1.1\r\n\r\n", self.address.port()).unwrap();
        // The connection ends with the old program.
        let _ = stream.read_to_string(&mut String::new());
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < deadline, "the new program does not listen");
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program, to run the test below, which is the server.
fn command(kind: Kind) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "--nocapture",
        "servers::runs_a_server_when_it_is_asked_to",
    ]);
    command.env(KIND, format!("{kind:?}"));
    command
}

#[test]
fn runs_a_server_when_it_is_asked_to() {
    let Ok(kind) = std::env::var(KIND) else {
        return;
    };
    let kind = Kind::ALL
        .into_iter()
        .find(|known| format!("{known:?}") == kind)
        .unwrap();
    if let Ok(address) = std::env::var(ADDRESS) {
        let listener = TcpListener::bind(address).unwrap();
        println!("\nlistens on {}", listener.local_addr().unwrap());
        run(kind, listener);
    } else {
        // A worker of `Forking`: the socket is its standard input.
        use std::os::fd::AsFd;
        // It ends with the server.
        let kill = Some(rustix::process::Signal::KILL);
        rustix::process::set_parent_process_death_signal(kill).unwrap();
        let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        serve_one_by_one(&TcpListener::from(socket));
    }
}

fn run(kind: Kind, listener: TcpListener) {
    match kind {
        Kind::ThreadPerConnection => thread_per_connection(&listener),
        Kind::Pool => pool(&listener, 3, 0),
        Kind::LargePool => pool(&listener, 100, 0),
        Kind::GrowingPool => pool(&listener, 0, 1),
        Kind::CurrentThread => {
            tokio_server(tokio::runtime::Builder::new_current_thread(), listener)
        }
        Kind::MultiThread => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(2);
            tokio_server(builder, listener);
        }
        Kind::Forking => fork(&listener),
        Kind::WithChildren => {
            thread::spawn(|| {
                loop {
                    let _ = Command::new("true").status();
                }
            });
            thread_per_connection(&listener);
        }
        Kind::Ticking => ticking(listener),
    }
}

fn thread_per_connection(listener: &TcpListener) {
    for stream in listener.incoming() {
        thread::spawn(|| respond(stream.unwrap()));
    }
}

fn serve_one_by_one(listener: &TcpListener) {
    for stream in listener.incoming() {
        respond(stream.unwrap());
    }
}

/// A pool that begins with some threads and gets more with each connection.
fn pool(listener: &TcpListener, threads: usize, more: usize) {
    let queue = Arc::new((Mutex::new(VecDeque::new()), Condvar::new()));
    let add_threads = |number| {
        for _ in 0..number {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                loop {
                    let (jobs, wakes) = &*queue;
                    let mut jobs = wakes
                        .wait_while(jobs.lock().unwrap(), |jobs| jobs.is_empty())
                        .unwrap();
                    let stream = jobs.pop_front().unwrap();
                    drop(jobs);
                    respond(stream);
                }
            });
        }
    };
    add_threads(threads);
    for stream in listener.incoming() {
        let (jobs, wakes) = &*queue;
        jobs.lock().unwrap().push_back(stream.unwrap());
        wakes.notify_one();
        add_threads(more);
    }
}

fn fork(listener: &TcpListener) {
    use std::os::fd::{AsFd, OwnedFd};
    let workers: Vec<Child> = (0..2)
        .map(|_| {
            let socket: OwnedFd = listener.as_fd().try_clone_to_owned().unwrap();
            command(Kind::Forking)
                .env_remove(ADDRESS)
                .stdin(Stdio::from(socket))
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut worker in workers {
        worker.wait().unwrap();
    }
}

fn tokio_server(mut builder: tokio::runtime::Builder, listener: TcpListener) {
    builder.enable_all().build().unwrap().block_on(async {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        axum::serve(listener, routes()).await.unwrap();
    });
}

fn ticking(listener: TcpListener) {
    const TICK: Duration = Duration::from_millis(100);
    let (sender, mut accepted) = tokio::sync::mpsc::unbounded_channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            sender.send(stream.unwrap()).unwrap();
        }
    });
    let (mut pings, mut pinged) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        loop {
            thread::sleep(TICK);
            pings.write_all(&[0]).unwrap();
        }
    });
    thread::spawn(move || {
        loop {
            pinged.read_exact(&mut [0]).unwrap();
        }
    });
    thread::spawn(|| {
        let (lock, wakes) = (Mutex::new(()), Condvar::new());
        let mut held = lock.lock().unwrap();
        loop {
            held = wakes.wait_timeout(held, TICK).unwrap().0;
        }
    });
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(async {
        let mut timer = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                _ = timer.tick() => {}
                stream = accepted.recv() => {
                    let stream: TcpStream = stream.unwrap();
                    stream.set_nonblocking(true).unwrap();
                    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
                    let service = hyper_util::service::TowerToHyperService::new(routes());
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(hyper_util::rt::TokioIo::new(stream), service);
                    tokio::spawn(connection);
                }
            }
        }
    });
}

fn routes() -> axum::Router {
    use axum::extract::Path;
    use axum::routing::get;
    let waits = async |Path((what, ms)): Path<(String, u64)>| match what.as_str() {
        "await" => tokio::time::sleep(Duration::from_millis(ms)).await,
        "offload" => {
            let call = move || thread::sleep(Duration::from_millis(ms));
            tokio::task::spawn_blocking(call).await.unwrap();
        }
        _ => work(&what, ms),
    };
    axum::Router::new().route("/{what}/{ms}", get(waits))
}

/// Reads a request, works, and responds.
fn respond(mut stream: TcpStream) {
    let mut line = String::new();
    let read = BufReader::new(&stream).read_line(&mut line);
    // A client that only looks whether the server listens sends nothing.
    if read.is_err() || line.is_empty() {
        return;
    }
    let path = line.split(' ').nth(1).unwrap_or_default();
    let mut parts = path.trim_start_matches('/').split('/');
    let (what, ms) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    work(what, ms.parse().unwrap_or(0));
    // The client may be gone.
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

fn work(what: &str, ms: u64) {
    static LOCK: Mutex<()> = Mutex::new(());
    let time = Duration::from_millis(ms);
    match what {
        "sleep" => thread::sleep(time),
        "lock" => {
            let _held = LOCK.lock().unwrap();
            thread::sleep(time);
        }
        "exec" => {
            use std::os::unix::process::CommandExt;
            let kind = std::env::var(KIND).unwrap();
            let kind = Kind::ALL
                .into_iter()
                .find(|known| format!("{known:?}") == kind);
            let mut program = command(kind.unwrap());
            program.env(ADDRESS, format!("127.0.0.1:{ms}"));
            let error = program.stdout(Stdio::null()).exec();
            panic!("{error}");
        }
        "spin" => {
            let end = Instant::now() + time;
            while Instant::now() < end {}
        }
        other => panic!("{other}"),
    }
}
