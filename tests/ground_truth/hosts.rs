//! The threads on which the workloads run.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::set_name;
use threadlab::thread_state::{self, InFlight, Registry};
use tokio::runtime::Builder;

use super::own::Own;
use super::watch::{Accounted, Done, watch};
use super::workloads::Workload;

/// A kind of thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    /// One that holds a request from its start to its end, as a synchronous thread does.
    Thread,
    /// One that drives a current-thread runtime, as an asynchronous thread does.
    EventLoop,
    /// The worker of a multi-thread runtime.
    Worker,
}

impl Host {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Thread => "synchronous thread",
            Self::EventLoop => "event loop",
            Self::Worker => "worker",
        }
    }

    /// Runs a workload and tells what the accounting said of it, and what it says itself. The thread
    /// bears `name` from the workload's start to its end, no longer.
    pub(crate) fn run(self, workload: &Workload, name: &str) -> (Accounted, Own) {
        let registry = Registry::new("test", []);
        let done = AtomicBool::new(false);
        let (begin, begun) = mpsc::channel();
        thread::scope(|scope| {
            let worker = scope.spawn({
                let (registry, done) = (registry.clone(), &done);
                move || match self {
                    Self::Thread => on_a_thread(&registry, workload, name, &begun, done),
                    Self::EventLoop => on_an_event_loop(&registry, workload, name, &begun, done),
                    Self::Worker => on_a_worker(&registry, workload, name, &begun, done),
                }
            });
            let since = Instant::now();
            while registry.states().is_empty() {
                assert!(since.elapsed() < Duration::from_secs(10), "no thread");
                thread::sleep(Duration::from_millis(1));
            }
            let accounted = watch(&registry, || begin.send(()).unwrap(), &done);
            // The last reading, too, was of a thread that lived.
            drop(begin);
            (accounted, worker.join().unwrap())
        })
    }
}

/// Runs `work` under a name that a tracer can tell from others.
async fn named(name: &str, work: impl Future<Output = Own>) -> Own {
    let rename = |name: &str| set_name(&std::ffi::CString::new(name).unwrap()).unwrap();
    rename(name);
    let own = work.await;
    rename("ended");
    own
}

fn on_a_thread(
    registry: &Registry,
    workload: &Workload,
    name: &str,
    begun: &mpsc::Receiver<()>,
    done: &AtomicBool,
) -> Own {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let _registration = registry.register(0, InFlight::new());
    thread_state::park();
    let _ = begun.recv();
    let ended = Done(done);
    thread_state::unpark();
    let own = runtime.block_on(named(name, (workload.run)()));
    thread_state::park();
    drop(ended);
    let _ = begun.recv();
    own
}

fn on_an_event_loop(
    registry: &Registry,
    workload: &Workload,
    name: &str,
    begun: &mpsc::Receiver<()>,
    done: &AtomicBool,
) -> Own {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .on_thread_park(thread_state::park)
        .on_thread_unpark(thread_state::unpark)
        .build()
        .unwrap();
    let requests = InFlight::new();
    let _registration = registry.register(0, Arc::clone(&requests));
    thread_state::park();
    let _ = begun.recv();
    let ended = Done(done);
    thread_state::unpark();
    let request = workload.requests.then(|| requests.enter());
    let own = runtime.block_on(named(name, (workload.run)()));
    drop(request);
    thread_state::park();
    drop(ended);
    let _ = begun.recv();
    own
}

fn on_a_worker(
    registry: &Registry,
    workload: &Workload,
    name: &str,
    begun: &mpsc::Receiver<()>,
    done: &AtomicBool,
) -> Own {
    let mut builder = Builder::new_multi_thread();
    registry.instrument(&mut builder);
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    let _ = begun.recv();
    let ended = Done(done);
    let request = workload.requests.then(|| registry.in_flight().enter());
    let (name, work) = (name.to_owned(), (workload.run)());
    let own = runtime.block_on(runtime.spawn(async move {
        let own = named(&name, work).await;
        drop(request);
        own
    }));
    drop(ended);
    let _ = begun.recv();
    own.unwrap()
}
