//! CPU affinity, and the CPU time of a thread.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

/// Limit of the wait until a thread has set its name.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One CPU for the load and another for the servers; the same one if there is only one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpus {
    load: usize,
    servers: usize,
}

impl Cpus {
    /// The first and the last CPU that this process may use.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        let load = cpus.next().ok_or(io::ErrorKind::NotFound)?;
        let servers = cpus.next_back().unwrap_or(load);
        Ok(Self { load, servers })
    }

    /// Pins the calling thread, the load generator, and the threads that it starts later.
    pub(crate) fn pin_load(&self) -> io::Result<()> {
        pin(None, self.load)
    }

    /// Starts threads on the CPU of the servers.
    pub(crate) fn as_server<T>(&self, start: impl FnOnce() -> T) -> io::Result<T> {
        pin(None, self.servers)?;
        let started = start();
        self.pin_load()?;
        Ok(started)
    }
}

fn pin(thread: Option<Pid>, cpu: usize) -> io::Result<()> {
    let mut only = CpuSet::new();
    only.set(cpu);
    Ok(sched_setaffinity(thread, &only)?)
}

/// A thread of this process.
#[derive(Debug)]
pub(crate) struct Thread(Pid);

impl Thread {
    /// Finds the thread with this name and pins it to the servers' CPU.
    pub(crate) fn pinned(name: &str, cpus: &Cpus) -> io::Result<Self> {
        let thread = find(name)?;
        pin(Some(thread), cpus.servers)?;
        Ok(Self(thread))
    }

    /// Gives it the lowest priority, in favor of [`Hold`](crate::hold::Hold).
    pub(crate) fn give_way(&self) -> io::Result<()> {
        Ok(setpriority_process(Some(self.0), 19)?)
    }

    /// Its CPU time as of its last switch off the CPU.
    pub(crate) fn cpu_time(&self) -> io::Result<Duration> {
        time_of(Path::new(&format!("/proc/self/task/{}", self.0)))
    }
}

/// CPU time of the thread with this directory in `/proc` as of its last switch off the CPU: the first field of
/// `schedstat`.
pub(crate) fn time_of(task: &Path) -> io::Result<Duration> {
    let text = fs::read_to_string(task.join("schedstat"))?;
    let nanoseconds = text.split(' ').next().and_then(|field| field.parse().ok());
    let nanoseconds = nanoseconds.ok_or(io::ErrorKind::InvalidData)?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// Microseconds of CPU time for each of these responses.
pub(crate) fn per_response(time: Duration, responses: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(responses)
}

/// Waits until a thread of this process has this name.
fn find(name: &str) -> io::Result<Pid> {
    let begun = Instant::now();
    while begun.elapsed() < TIMEOUT {
        for task in fs::read_dir("/proc/self/task")? {
            let path = task?.path();
            let tid = path.file_name().and_then(|tid| tid.to_str()?.parse().ok());
            // A thread may end meanwhile.
            let comm = fs::read_to_string(path.join("comm")).unwrap_or_default();
            if let (true, Some(tid)) = (comm.trim_end() == name, tid.and_then(Pid::from_raw)) {
                return Ok(tid);
            }
        }
        std::thread::yield_now();
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("no thread is named {name}"),
    ))
}

/// Prints the kernel, the CPUs and the load average, on which the results depend.
pub(crate) fn describe(out: &mut dyn Write) -> io::Result<()> {
    let file = |path| fs::read_to_string(path).unwrap_or_default();
    let info = file("/proc/cpuinfo");
    let models = || info.lines().filter(|line| line.starts_with("model name"));
    let model = models().next().and_then(|line| line.split_once(": "));
    writeln!(
        out,
        "Linux {}, {} CPUs ({}), load average at the start {}\n",
        file("/proc/sys/kernel/osrelease").trim(),
        std::thread::available_parallelism()?,
        model.map_or("unknown model", |(_, model)| model),
        file("/proc/loadavg").split(' ').next().unwrap_or_default(),
    )
}
