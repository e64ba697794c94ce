//! The workloads.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use tokio::time::sleep;

use super::hosts::Host;
use super::hosts::Host::{EventLoop, Thread, Worker};
use super::own::{Own, compute, spin};
use super::watch::Done;

const SECOND: Duration = Duration::from_secs(1);

/// A workload for one thread.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) hosts: &'static [Host],
    /// A request is in flight meanwhile.
    pub(crate) requests: bool,
    /// It never waits for anything but a CPU.
    pub(crate) spins: bool,
    /// Its thread may use one CPU only.
    pub(crate) pinned: bool,
    /// It alternates so quickly between computing and waiting that stolen time may look like a wait.
    pub(crate) mixed: bool,
    pub(crate) run: fn() -> Pin<Box<dyn Future<Output = Own> + Send>>,
}

const ALL: &[Host] = &[Thread, EventLoop, Worker];
const LOOPS: &[Host] = &[EventLoop, Worker];

impl Workload {
    const fn new(
        name: &'static str,
        hosts: &'static [Host],
        run: fn() -> Pin<Box<dyn Future<Output = Own> + Send>>,
    ) -> Self {
        Self {
            name,
            hosts,
            requests: true,
            spins: false,
            pinned: false,
            mixed: false,
            run,
        }
    }

    const fn spins(mut self) -> Self {
        self.spins = true;
        self
    }

    const fn pinned(mut self) -> Self {
        self.pinned = true;
        self
    }

    const fn mixed(mut self) -> Self {
        self.mixed = true;
        self
    }

    const fn without_requests(mut self) -> Self {
        self.requests = false;
        self
    }
}

pub(crate) const SPIN: Workload = Workload::new("pure spin", ALL, || Box::pin(pure_spin())).spins();
pub(crate) const BESIDE_A_HOG: Workload =
    Workload::new("spin beside a hog on its CPU", ALL, || {
        Box::pin(beside_a_hog())
    })
    .spins()
    .pinned();
pub(crate) const SLEEP: Workload = Workload::new("sleep", ALL, || Box::pin(asleep()));
pub(crate) const SILENT_SOCKET: Workload =
    Workload::new("read of a silent socket", ALL, || Box::pin(silent_socket()));
pub(crate) const FUTEX: Workload = Workload::new("futex wait", ALL, || Box::pin(futex()));
pub(crate) const PAGE_IN: Workload = Workload::new("page-in", ALL, || Box::pin(page_in())).mixed();
pub(crate) const ONE_WAIT: Workload =
    Workload::new("await, 1 in flight", ALL, || Box::pin(one_wait()));
pub(crate) const HUNDRED_WAITS: Workload =
    Workload::new("await, 100 in flight", LOOPS, || Box::pin(waits(100)));
pub(crate) const THOUSANDS_OF_WAITS: Workload =
    Workload::new("await, 5,000 in flight", LOOPS, || Box::pin(waits(5_000)));
pub(crate) const IDLE: Workload =
    Workload::new("idle", LOOPS, || Box::pin(one_wait())).without_requests();
pub(crate) const IN_TURN: Workload =
    Workload::new("compute, block, await in turn", ALL, || Box::pin(in_turn())).mixed();
pub(crate) const MARKS: Workload =
    Workload::new("100,000 marks a second", &[Thread], || Box::pin(marks()))
        .spins()
        .mixed();
pub(crate) const PINGS: Workload =
    Workload::new("parks at the highest rate", LOOPS, || Box::pin(pings())).mixed();

/// The rows of the table of `docs/accuracy.md`.
pub(crate) const TABLE: [&Workload; 13] = [
    &SPIN,
    &BESIDE_A_HOG,
    &SLEEP,
    &SILENT_SOCKET,
    &FUTEX,
    &PAGE_IN,
    &ONE_WAIT,
    &HUNDRED_WAITS,
    &THOUSANDS_OF_WAITS,
    &IDLE,
    &IN_TURN,
    &MARKS,
    &PINGS,
];

async fn pure_spin() -> Own {
    let own = Own::begin();
    spin(2 * SECOND);
    own.end()
}

async fn beside_a_hog() -> Own {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        // The hog inherits this thread's affinity to one CPU.
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let _ended = Done(&ended);
        let own = Own::begin();
        spin(2 * SECOND);
        own.end()
    })
}

async fn asleep() -> Own {
    let mut own = Own::begin();
    own.block(SECOND, || thread::sleep(SECOND));
    own.end()
}

async fn silent_socket() -> Own {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    socket.set_read_timeout(Some(SECOND)).unwrap();
    let mut own = Own::begin();
    own.block(SECOND, || drop(socket.read(&mut [0])));
    own.end()
}

async fn futex() -> Own {
    let (_keep, receive) = mpsc::channel::<()>();
    let mut own = Own::begin();
    own.block(SECOND, || {
        let _ = receive.recv_timeout(SECOND);
    });
    own.end()
}

/// Touches, for a second, pages of a file that the kernel was advised to drop from the page cache.
async fn page_in() -> Own {
    const SIZE: usize = 32 << 20;
    let mut own = Own::begin();
    own.block_at_most(|| {
        let mut file = tempfile();
        file.write_all(&vec![1; SIZE]).unwrap();
        file.sync_all().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < SECOND {
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            touch_every_page(&file, NonZeroUsize::new(SIZE).unwrap());
        }
    });
    own.end()
}

/// An unlinked file in the build directory, since `/tmp` may be in memory.
fn tempfile() -> File {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("page-in");
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(true);
    let file = file.open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file
}

#[expect(unsafe_code, reason = "mmap")]
fn touch_every_page(file: &File, size: NonZeroUsize) {
    use std::os::fd::AsRawFd;
    const PAGE: usize = 4096;
    let size = size.get();
    // SAFETY: a new mapping of a file of this length, which no other process can open or truncate.
    let pages = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    assert_ne!(pages, libc::MAP_FAILED);
    for page in (0..size).step_by(PAGE) {
        // SAFETY: within the mapping.
        let byte = unsafe { pages.cast::<u8>().add(page).read_volatile() };
        assert_eq!(byte, 1);
    }
    // SAFETY: no pointer into the mapping remains.
    unsafe { libc::munmap(pages, size) };
}

async fn one_wait() -> Own {
    let mut own = Own::begin();
    own.wait(SECOND, sleep(SECOND)).await;
    own.end()
}

async fn waits(number: u64) -> Own {
    let mut own = Own::begin();
    let wait = async move {
        let waits: Vec<_> = (0..number)
            .map(|index| tokio::spawn(sleep(SECOND + Duration::from_micros(100 * index))))
            .collect();
        for wait in waits {
            wait.await.unwrap();
        }
    };
    own.wait(SECOND, wait).await;
    own.end()
}

async fn in_turn() -> Own {
    const PAUSE: Duration = Duration::from_millis(10);
    let mut own = Own::begin();
    for _ in 0..50 {
        compute(Duration::from_millis(5));
        own.block(PAUSE, || thread::sleep(PAUSE));
        own.wait(PAUSE, sleep(PAUSE)).await;
    }
    own.end()
}

async fn marks() -> Own {
    let own = Own::begin();
    let begun = Instant::now();
    while begun.elapsed() < 2 * SECOND {
        thread_states::park();
        spin(Duration::from_micros(8));
        thread_states::unpark();
        spin(Duration::from_micros(8));
    }
    own.end()
}

/// Exchanges messages with another thread that replies at once, so that the event loop parks after each.
async fn pings() -> Own {
    let (send, receive) = mpsc::channel::<Arc<tokio::sync::Notify>>();
    let echo = thread::spawn(move || receive.into_iter().for_each(|reply| reply.notify_one()));
    let mut own = Own::begin();
    let pings = async move {
        let begun = Instant::now();
        let reply = Arc::new(tokio::sync::Notify::new());
        while begun.elapsed() < SECOND {
            send.send(Arc::clone(&reply)).unwrap();
            reply.notified().await;
        }
    };
    own.wait(Duration::ZERO, pings).await;
    let own = own.end();
    echo.join().unwrap();
    own
}
