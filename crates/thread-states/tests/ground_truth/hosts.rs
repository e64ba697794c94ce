//! The kinds of threads on which the workloads run.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity, set_name};
use thread_states::{self, InFlight, Registry, Times};
use tokio::runtime::Builder;

use super::own::Own;
use super::watch::{Done, gains, watch};
use super::workloads::Workload;

/// The result of a workload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ran {
    pub(crate) accounted: Times,
    /// The largest difference between the states' sum and the wall time in any reading, as a part of the wall time.
    pub(crate) sum_error: f64,
    pub(crate) own: Own,
}

/// A kind of thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    /// A thread that holds a request from its start to its end, as a synchronous server's does.
    Thread,
    /// A thread that drives a current-thread runtime, as an asynchronous server's does.
    EventLoop,
    /// A worker of a multi-thread runtime.
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

    /// Runs a workload. The thread has the name `name` exactly while the workload runs.
    pub(crate) fn run(self, workload: &'static Workload, name: &str) -> Ran {
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
            while registry.read().threads.is_empty() {
                assert!(since.elapsed() < Duration::from_secs(10), "no thread");
                thread::sleep(Duration::from_millis(1));
            }
            begin.send(()).unwrap();
            let sum_error = watch(&registry, &done);
            let (accounted, own) = worker.join().unwrap();
            Ran {
                accounted,
                sum_error,
                own,
            }
        })
    }
}

/// Runs a workload under a thread name by which the tracer finds it.
async fn named(name: &str, registry: &Registry, workload: &'static Workload) -> (Times, Own) {
    let everywhere = sched_getaffinity(None).unwrap();
    if workload.pinned {
        pin_to_one_of(&everywhere);
    }
    let work = (workload.run)();
    // A request begins at the end of a park, and the time before it is accounted.
    thread_states::park();
    thread_states::unpark();
    let rename = |name: &str| set_name(&std::ffi::CString::new(name).unwrap()).unwrap();
    let before = registry.read().threads[0];
    rename(name);
    let own = work.await;
    rename("ended");
    let after = registry.read().threads[0];
    sched_setaffinity(None, &everywhere).unwrap();
    (gains(&before, &after), own)
}

fn pin_to_one_of(cpus: &CpuSet) {
    let first = (0..CpuSet::MAX_CPU).find(|cpu| cpus.is_set(*cpu)).unwrap();
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).unwrap();
}

/// Parks the calling thread, which is registered, until its workload begins.
fn park_until_begin<'a>(begun: &mpsc::Receiver<()>, done: &'a AtomicBool) -> Done<'a> {
    thread_states::park();
    let _ = begun.recv();
    let ended = Done(done);
    thread_states::unpark();
    ended
}

fn on_a_thread(
    registry: &Registry,
    workload: &'static Workload,
    name: &str,
    begun: &mpsc::Receiver<()>,
    done: &AtomicBool,
) -> (Times, Own) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let _registration = registry.register(0, InFlight::new());
    let ended = park_until_begin(begun, done);
    let own = runtime.block_on(named(name, registry, workload));
    drop(ended);
    own
}

fn on_an_event_loop(
    registry: &Registry,
    workload: &'static Workload,
    name: &str,
    begun: &mpsc::Receiver<()>,
    done: &AtomicBool,
) -> (Times, Own) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .on_thread_park(thread_states::park)
        .on_thread_unpark(thread_states::unpark)
        .build()
        .unwrap();
    let requests = InFlight::new();
    let _registration = registry.register(0, Arc::clone(&requests));
    let ended = park_until_begin(begun, done);
    let request = workload.requests.then(|| requests.enter());
    let own = runtime.block_on(named(name, registry, workload));
    drop((request, ended));
    own
}

fn on_a_worker(
    registry: &Registry,
    workload: &'static Workload,
    name: &str,
    begun: &mpsc::Receiver<()>,
    done: &AtomicBool,
) -> (Times, Own) {
    let mut builder = Builder::new_multi_thread();
    registry.instrument(&mut builder);
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    let _ = begun.recv();
    let ended = Done(done);
    let request = workload.requests.then(|| registry.in_flight().enter());
    let (name, registry) = (name.to_owned(), registry.clone());
    let own = runtime.block_on(runtime.spawn(async move {
        let own = named(&name, &registry, workload).await;
        drop(request);
        own
    }));
    drop(ended);
    own.unwrap()
}
