//! The watcher's thread: ticks, looks and scans, each as often as the budget allows.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use std::{io, thread};

use thread_states::{Nanos, Timestamp};

use super::budget::{Budget, Task, cpu_time};
use super::diag::{Diag, DiagError, Query, SocketKind, TcpSocket};
use super::permissions::Missing;
use super::proc_files::{Inode, Pid, Stat};
use super::reading::WatchReading;
use super::server::{Listeners, ObservedServer};
use super::target::{NamedTarget, Target};
use super::tree::Holders;

/// Settings of a watcher.
#[derive(Debug, Clone)]
pub struct WatchSettings {
    /// Servers to watch. Without any: every process of the network namespace that listens on a TCP port.
    pub targets: Vec<NamedTarget>,
    /// Reads of each thread's counters per second, at most.
    pub hz: f64,
    /// CPU time that may be used: a share of one core, from 0 to 1.
    pub budget: f64,
    /// Also show threads that only ever wait.
    pub all_threads: bool,
}

/// A watcher that runs. It ends when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    servers: RwLock<Vec<WatchHandle>>,
    all_threads: bool,
    cost: Cost,
    sockets_missing: AtomicBool,
}

/// Cost of the watcher itself.
#[derive(Debug, Default)]
struct Cost {
    cpu: AtomicU64,
    ticks: AtomicU64,
    looks: AtomicU64,
    scans: AtomicU64,
    period: AtomicU64,
    look_period: AtomicU64,
}

/// CPU time that the watcher has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchCost {
    /// CPU time of its thread.
    pub cpu: Nanos,
    /// Times that the counters of all threads that had moved were read.
    pub ticks: u64,
    /// Times that connections were looked at.
    pub looks: u64,
    /// Times that processes and threads were looked for.
    pub scans: u64,
    /// The time from one tick to the next, which the budget allows now.
    pub period: Nanos,
    /// The time from one look to the next.
    pub look_period: Nanos,
}

/// One watched server. Clones share it.
#[derive(Debug, Clone)]
pub struct WatchHandle {
    name: Arc<str>,
    server: Arc<Mutex<ObservedServer>>,
    watch: std::sync::Weak<Shared>,
}

impl WatchHandle {
    /// The server's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When the server began to be watched.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        self.lock().began
    }

    /// The server up to now.
    #[must_use]
    pub fn read(&self) -> WatchReading {
        self.lock().read(self.missing_sockets())
    }

    fn missing_sockets(&self) -> Option<Missing> {
        let shared = self.watch.upgrade()?;
        let missing = shared.sockets_missing.load(Ordering::Relaxed);
        missing.then_some(Missing::Sockets)
    }

    fn lock(&self) -> MutexGuard<'_, ObservedServer> {
        // Counters that a panic left half done are still counters.
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Starts to watch, on an OS thread of its own.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub fn start(settings: WatchSettings) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            all_threads: settings.all_threads,
            ..Shared::default()
        });
        let discovers = settings.targets.is_empty();
        for named in settings.targets {
            add(&shared, named);
        }
        let budget = Budget::new(
            settings.budget,
            Nanos::from_nanos((1e9 / settings.hz) as u64),
        );
        let weak = Arc::downgrade(&shared);
        let mut sampler = Sampler::new(budget, discovers);
        thread::Builder::new().name("watch".into()).spawn(move || {
            while let Some(shared) = weak.upgrade() {
                let next = sampler.step(&shared);
                drop(shared);
                thread::sleep(next);
            }
        })?;
        Ok(Self(shared))
    }

    /// The servers that are watched.
    #[must_use]
    pub fn servers(&self) -> Vec<WatchHandle> {
        self.0.servers()
    }

    /// Cost of watching.
    #[must_use]
    pub fn cost(&self) -> WatchCost {
        let cost = &self.0.cost;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WatchCost {
            cpu: Nanos::from_nanos(read(&cost.cpu)),
            ticks: read(&cost.ticks),
            looks: read(&cost.looks),
            scans: read(&cost.scans),
            period: Nanos::from_nanos(read(&cost.period)),
            look_period: Nanos::from_nanos(read(&cost.look_period)),
        }
    }
}

impl Shared {
    fn servers(&self) -> Vec<WatchHandle> {
        self.servers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn add(shared: &Arc<Shared>, named: NamedTarget) {
    let handle = WatchHandle {
        name: named.name.as_str().into(),
        server: Arc::new(Mutex::new(ObservedServer::new(named, shared.all_threads))),
        watch: Arc::downgrade(shared),
    };
    shared
        .servers
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .push(handle);
}

/// State of the thread between two steps.
struct Sampler {
    budget: Budget,
    discovers: bool,
    diag: Result<Diag, DiagError>,
    listening: Vec<TcpSocket>,
    listeners: Listeners,
    listened_at: Timestamp,
    scanned_at: Timestamp,
    looked_at: Timestamp,
    /// A thread has run since the last look.
    has_run: bool,
    discovered: HashSet<Inode>,
    reported: BTreeSet<(String, Missing)>,
    /// Servers by name, and whether they had a process at the last scan.
    lived: BTreeMap<String, bool>,
}

impl Sampler {
    fn new(budget: Budget, discovers: bool) -> Self {
        Self {
            budget,
            discovers,
            diag: Diag::open(),
            listening: Vec::new(),
            listeners: Listeners::default(),
            listened_at: Timestamp::default(),
            scanned_at: Timestamp::default(),
            looked_at: Timestamp::default(),
            has_run: true,
            discovered: HashSet::new(),
            reported: BTreeSet::new(),
            lived: BTreeMap::new(),
        }
    }

    /// Does what is due, and returns how long nothing is.
    fn step(&mut self, shared: &Arc<Shared>) -> Duration {
        const LISTENERS: Nanos = Nanos::from_millis(100);
        let (began, cpu) = (Timestamp::now(), cpu_time());
        if began.duration_since(self.scanned_at) >= self.budget.period(Task::Scan)
            || self.scanned_at == Timestamp::default()
        {
            self.run(Task::Scan, shared);
        }
        let servers = shared.servers();
        self.run(Task::Tick, shared);
        let gap = if self.has_run {
            self.budget.period(Task::Look)
        } else {
            self.budget.quiet_look()
        };
        if self.looked_at.elapsed() >= gap {
            self.run(Task::Look, shared);
        } else if self.listened_at.elapsed() >= LISTENERS {
            self.read_listeners();
            servers
                .iter()
                .for_each(|server| server.lock().set_accept_queue(&self.listeners));
        }

        let period = self.budget.period(Task::Tick);
        let cost = &shared.cost;
        cost.cpu
            .fetch_add(cpu_time().saturating_sub(cpu).as_nanos(), Ordering::Relaxed);
        cost.period.store(period.as_nanos(), Ordering::Relaxed);
        cost.look_period
            .store(self.budget.period(Task::Look).as_nanos(), Ordering::Relaxed);
        period
            .saturating_sub(began.elapsed())
            .max(Nanos::from_millis(1))
            .into()
    }

    fn run(&mut self, task: Task, shared: &Arc<Shared>) {
        let cpu = cpu_time();
        let servers = shared.servers();
        let counter = match task {
            Task::Tick => {
                for server in &servers {
                    self.has_run |= server.lock().tick(&self.listeners);
                }
                &shared.cost.ticks
            }
            Task::Look => {
                self.look(shared, &servers);
                &shared.cost.looks
            }
            Task::Scan => {
                self.scan(shared, &servers);
                &shared.cost.scans
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.budget.spent(task, cpu_time().saturating_sub(cpu));
    }

    fn look(&mut self, shared: &Shared, servers: &[WatchHandle]) {
        self.read_listeners();
        let mut ports = HashSet::new();
        for server in servers {
            ports.extend(server.lock().listening_ports(&self.listeners));
        }
        let ports: Vec<u16> = ports.into_iter().collect();
        let sockets = query(&mut self.diag, Query::Ports(&ports));
        shared
            .sockets_missing
            .store(sockets.is_none(), Ordering::Relaxed);
        let sockets = sockets.unwrap_or_default();
        let now = Timestamp::now();
        self.looked_at = now;
        self.has_run = false;
        for server in servers {
            server.lock().look(&sockets, &self.listeners, now);
        }
        self.report(servers);
    }

    fn read_listeners(&mut self) {
        self.listening = query(&mut self.diag, Query::Listeners).unwrap_or_default();
        self.listeners = Listeners::of(&self.listening);
        self.listened_at = Timestamp::now();
    }

    fn scan(&mut self, shared: &Arc<Shared>, servers: &[WatchHandle]) {
        self.read_listeners();
        let now = Timestamp::now();
        let holders = Holders::of_all(&self.listeners.inodes);
        if self.discovers && self.listeners.inodes != self.discovered {
            discover(shared, servers, &self.listening, &holders);
            self.discovered.clone_from(&self.listeners.inodes);
        }
        let servers = shared.servers();
        for server in &servers {
            server.lock().scan(&self.listening, &holders, now);
        }
        self.scanned_at = now;
        self.report_lives(&servers);
    }

    /// Logs which servers have no process, and when that changes.
    fn report_lives(&mut self, servers: &[WatchHandle]) {
        for handle in servers {
            let server = handle.lock();
            let lives = server.has_processes();
            let change = match self.lived.insert(handle.name().to_owned(), lives) {
                None if !lives => "not found yet",
                Some(true) if !lives => "ended",
                Some(false) if lives => "found",
                _ => continue,
            };
            let target = server.named.target.describe();
            tracing::info!(server = handle.name(), "{change}: {target}");
        }
    }

    /// Says once what cannot be read.
    fn report(&mut self, servers: &[WatchHandle]) {
        for server in servers {
            for missing in server.lock().missing(server.missing_sockets()) {
                if self.reported.insert((server.name().to_owned(), missing)) {
                    tracing::warn!(server = server.name(), "{missing}");
                }
            }
        }
    }
}

/// Adds a server for each process that listens and is not watched yet.
fn discover(
    shared: &Arc<Shared>,
    servers: &[WatchHandle],
    listening: &[TcpSocket],
    holders: &Holders<'_>,
) {
    let watched: BTreeSet<Pid> = servers
        .iter()
        .flat_map(|server| server.lock().pids().collect::<Vec<_>>())
        .collect();
    let mut names: BTreeSet<String> = servers
        .iter()
        .map(|server| server.name().to_owned())
        .collect();
    // One by port: all processes that share the port are one server, and it stays one when it restarts.
    let ports: BTreeMap<u16, HashSet<Inode>> =
        listening.iter().fold(BTreeMap::new(), |mut ports, socket| {
            if socket.kind == SocketKind::Listens {
                ports
                    .entry(socket.local.port())
                    .or_insert_with(HashSet::new)
                    .insert(socket.inode);
            }
            ports
        });
    let mut taken = watched;
    for (port, inodes) in ports {
        let holders = holders.of(&inodes);
        if holders.iter().any(|pid| taken.contains(pid)) {
            continue;
        }
        let Some(first) = holders.first().and_then(|pid| Stat::of_process(*pid)) else {
            continue;
        };
        taken.extend(holders);
        let name = if names.contains(&first.comm) {
            format!("{}-{port}", first.comm)
        } else {
            first.comm
        };
        names.insert(name.clone());
        tracing::info!(server = name, port, "found a server to watch");
        add(
            shared,
            NamedTarget {
                name,
                target: Target::Port(port),
            },
        );
    }
}

/// The sockets; `None` if they cannot be read. A socket that failed is opened again.
fn query(diag: &mut Result<Diag, DiagError>, query: Query<'_>) -> Option<Vec<TcpSocket>> {
    if diag.is_err() {
        *diag = Diag::open();
    }
    let sockets = diag.as_mut().ok()?.query(query);
    match sockets {
        Ok(sockets) => Some(sockets),
        Err(error) => {
            tracing::debug!(%error, "no sockets");
            *diag = Err(error);
            None
        }
    }
}
