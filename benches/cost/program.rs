//! A server in processes of its own.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::cpu::{self, Cpus};

/// Limit of the wait until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Limit of the wait until it has ended on SIGTERM.
const END_TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// A running program. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Program(Child);

impl Program {
    /// Starts it on the CPU of the servers and waits until it listens; `None` if it is not installed.
    pub(crate) fn start(
        command: &mut Command,
        address: SocketAddr,
        cpus: &Cpus,
    ) -> anyhow::Result<Option<Self>> {
        let name = command.get_program().display().to_string();
        let mut program = match cpus.as_server(|| command.spawn())? {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            started => Self(started.with_context(|| format!("{name} cannot be started"))?),
        };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = program.0.try_wait()? {
                bail!("{name} ended before it listened: {status}");
            }
            ensure!(begun.elapsed() < START_TIMEOUT, "{name} does not listen");
            thread::sleep(POLL);
        }
        Ok(Some(program))
    }

    /// CPU time of all threads of the process and its children, as of their last switches off the CPU.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<Duration> {
        time_of_process(self.0.id())
    }
}

fn time_of_process(pid: u32) -> anyhow::Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        sum += cpu::time_of(&task)?;
        for child in children(&task)? {
            sum += time_of_process(child)?;
        }
    }
    Ok(sum)
}

/// Processes that the thread with this directory in `/proc` has started.
fn children(task: &Path) -> anyhow::Result<Vec<u32>> {
    let pids = fs::read_to_string(task.join("children"))?;
    let pids = pids.split_whitespace().map(str::parse);
    Ok(pids.collect::<Result<_, _>>()?)
}

impl Drop for Program {
    fn drop(&mut self) {
        // A program that is not killed at once ends its children, too.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < END_TIMEOUT && matches!(self.0.try_wait(), Ok(None)) {
            thread::sleep(POLL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
