// What the services have in common: four ways to hold a thread, and a request that suffers from them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, mpsc};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

/// Time for which each way but the computation holds the thread.
const STALL: Duration = Duration::from_millis(400);

/// Holds the thread in one of four ways; `None` for another name.
pub fn stall(kind: &str) -> Option<()> {
    match kind {
        "sleep" => thread::sleep(STALL),
        "lock" => lock_convoy(),
        "cpu" => compute(Duration::from_millis(100)),
        "client" => synchronous_client(),
        _ => return None,
    }
    Some(())
}

/// Waits for a lock that another thread holds during long work.
fn lock_convoy() {
    static LOCK: Mutex<()> = Mutex::new(());
    let (locked, is_locked) = mpsc::channel();
    thread::spawn(move || {
        let _guard = LOCK.lock();
        let _ = locked.send(());
        thread::sleep(STALL);
    });
    let _ = is_locked.recv();
    let _guard = LOCK.lock();
}

/// Uses this much CPU time, as a password hash does.
fn compute(time: Duration) {
    let begun = cpu_time();
    let mut hash = 1_u64;
    while cpu_time() - begun < time {
        for number in 0..100_000 {
            hash = std::hint::black_box(
                hash.wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(number),
            );
        }
    }
}

/// CPU time of the calling thread up to its last tick.
fn cpu_time() -> Duration {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = schedstat.split(' ').next().unwrap().parse().unwrap();
    Duration::from_nanos(nanoseconds)
}

/// Calls a slow server with a client that blocks.
fn synchronous_client() {
    let Ok(slow) = TcpListener::bind("127.0.0.1:0") else {
        return;
    };
    let Ok(address) = slow.local_addr() else {
        return;
    };
    thread::spawn(move || {
        if let Ok((mut stream, _)) = slow.accept() {
            thread::sleep(STALL);
            let _ = stream.write_all(b"done");
        }
    });
    if let Ok(mut stream) = TcpStream::connect(address) {
        let _ = stream.read_to_string(&mut String::new());
    }
}

/// Work in small steps, as the streaming of a report: after each step it lets others run. While another request
/// holds the thread, it is ready and waits.
pub async fn victim() {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(600) {
        let mut stepped = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut stepped, true) {
                return Poll::Ready(());
            }
            thread::sleep(Duration::from_micros(50));
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// Prints the addresses, as the test reads them.
pub fn announce(metrics: std::net::SocketAddr, server: std::net::SocketAddr) {
    println!("metrics: http://{metrics}/metrics");
    println!("server: {server}");
}
