//! Memory that a waiting request holds, and allocations that a request makes. Both are counted, so they are the same on
//! every machine, and a change of either shows here at once.

#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use thread_states::{Metrics, Registry};
use threadlab::flavor::Flavor;
use threadlab::gateway::{GatewayConfig, asynchronous};
use threadlab::serve::{self, ServerConfig};
use tower::ServiceExt;

/// Most bytes that a waiting request may hold, its connection included. Measured: 20,300.
const BYTES_PER_WAIT: i64 = 20_700;
/// Most allocations that a `GET /dummy` on a kept connection may make. Measured: 16, and one
/// more for the `Server-Timing` of a request that runs for long, as on a busy machine.
const ALLOCATIONS_PER_REQUEST: i64 = 17;

/// Counts what the threads of a server allocate. What they free is allocated by them, too: connections stay on their
/// thread.
struct Counting;

/// Allocations of one server since its start, and the bytes of those that are not freed.
struct Count {
    allocations: AtomicI64,
    bytes: AtomicI64,
}

/// Servers that are counted. Each test has its own: they may run at the same time.
static COUNTS: [Count; 3] = [const {
    Count {
        allocations: AtomicI64::new(0),
        bytes: AtomicI64::new(0),
    }
}; 3];
const WAITING: usize = 0;
const WAITING_AXUM: usize = 1;
const BUSY: usize = 2;

thread_local! {
    /// Server of this thread, if it is counted.
    static SERVER: Cell<Option<usize>> = const { Cell::new(None) };
}

fn count(allocations: i64, bytes: i64) {
    if let Ok(Some(server)) = SERVER.try_with(Cell::get) {
        COUNTS[server].allocations.fetch_add(allocations, Relaxed);
        COUNTS[server].bytes.fetch_add(bytes, Relaxed);
    }
}

#[expect(unsafe_code, reason = "the trait of allocators is unsafe")]
// SAFETY: the system's allocator does the work, and counting neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The asynchronous server, as `threadlab serve` runs it.
fn gateway(server: usize) -> SocketAddr {
    let routes = threadlab::app::ROUTES
        .iter()
        .map(|route| (*route).to_owned());
    let registry = Registry::new("async", routes);
    let layer = serve::request_layer(Flavor::Async, &Metrics::of(registry.clone()));
    let config = ServerConfig::default();
    let app = serve::stack(Flavor::Async, layer, None, &registry, &config);
    let app = app.map_request(move |request| {
        SERVER.set(Some(server));
        request
    });
    let config = GatewayConfig::new(([127, 0, 0, 1], 0).into());
    let bound = asynchronous::bind(&config).unwrap();
    let running = asynchronous::spawn(bound, app, registry, "counted").unwrap();
    running.local_addr()
}

/// The smallest app that does the same, under axum's own server.
fn axum_serve(server: usize) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let wait = async || {
        tokio::time::sleep(Duration::from_secs(300)).await;
        "waited"
    };
    let app = Router::new()
        .route("/", get(wait))
        .route("/dummy", get(async || "nothing to wait for"));
    thread::spawn(move || {
        SERVER.set(Some(server));
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
    });
    address
}

/// A kept connection.
struct Client(TcpStream);

impl Client {
    fn new(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).unwrap())
    }

    fn send(&mut self, target: &str) {
        // The fields that nginx adds.
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 127.0.0.1\r\n\
             X-Request-ID: 0123456789abcdef\r\n\r\n"
        );
        self.0.write_all(head.as_bytes()).unwrap();
    }

    fn dummy(&mut self) {
        self.send("/dummy");
        let mut response = [0; 4096];
        assert!(self.0.read(&mut response).unwrap() > 0);
    }
}

/// Returns the bytes that each of some waiting requests holds.
fn bytes_per_wait(server: usize, address: SocketAddr) -> i64 {
    const WAITS: i64 = 200;
    let held = || COUNTS[server].bytes.load(Relaxed);
    let mut client = Client::new(address);
    for _ in 0..100 {
        client.dummy();
    }
    let before = held();
    let waiting: Vec<Client> = (0..WAITS)
        .map(|_| {
            let mut client = Client::new(address);
            client.send("/?seconds=300");
            client
        })
        .collect();
    // Each request has been polled when the bytes do not change any more.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut last = before;
    loop {
        thread::sleep(Duration::from_millis(300));
        client.dummy();
        let now = held();
        if now == last && now > before || Instant::now() > deadline {
            break;
        }
        last = now;
    }
    let grown = held() - before;
    drop(waiting);
    grown / WAITS
}

#[test]
fn a_waiting_request_holds_less_memory_than_under_axums_server() {
    let ours = bytes_per_wait(WAITING, gateway(WAITING));
    let axums = bytes_per_wait(WAITING_AXUM, axum_serve(WAITING_AXUM));

    assert!(ours > 1000 && axums > 1000, "{ours}, {axums}");
    assert!(ours < axums, "{ours} B, and {axums} B under axum::serve");
    assert!(ours <= BYTES_PER_WAIT, "{ours} B");
}

#[test]
fn a_request_makes_few_allocations() {
    const REQUESTS: i64 = 1000;
    let made = || COUNTS[BUSY].allocations.load(Relaxed);
    let mut client = Client::new(gateway(BUSY));
    for _ in 0..100 {
        client.dummy();
    }
    let before = made();
    for _ in 0..REQUESTS {
        client.dummy();
    }
    // Rounded: structures that grow allocate now and then.
    let each = (made() - before + REQUESTS / 2) / REQUESTS;
    assert!(
        (1..=ALLOCATIONS_PER_REQUEST).contains(&each),
        "{each} allocations"
    );
}
