//! The scheduler's own account of the workloads, where the kernel lets bpftrace tell it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// What the scheduler did with a thread while it bore a name.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scheduled {
    /// On a CPU, or so it thinks: also while the hypervisor stole it.
    pub(crate) on: Duration,
    /// In the run queue.
    pub(crate) queued: Duration,
    /// Asleep.
    pub(crate) off: Duration,
    /// How often it left a CPU.
    pub(crate) switches: u32,
}

impl Scheduled {
    /// Whether it can be: a tracer that misses a switch, because it was at work on that CPU just
    /// then, takes a sleep for running. No more was stolen than from all threads of the machine.
    pub(crate) fn is_credible(&self, cpu: Duration, stolen_from_all: Duration) -> bool {
        self.on <= cpu + stolen_from_all + Duration::from_millis(50)
    }

    /// What the tracer itself may have moved from running to the run queue: its program runs at each
    /// wake and switch, before the thread goes on.
    pub(crate) fn moved(&self) -> Duration {
        self.switches * Duration::from_micros(4)
    }

    /// What it may have moved between the run queue and asleep: it sees a wake a little late.
    pub(crate) fn blurred(&self) -> Duration {
        self.switches * Duration::from_micros(2)
    }

    fn set(&mut self, map: &str, value: u64) {
        let time = Duration::from_nanos(value);
        match map {
            "@on" => self.on = time,
            "@queued" => self.queued = time,
            "@off" => self.off = time,
            "@switches" => self.switches = u32::try_from(value).unwrap(),
            _ => {}
        }
    }
}

/// What the hypervisor has stolen from all threads of this machine; it counts in 10 ms.
pub(crate) fn stolen_from_all() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let ticks = stat.split_ascii_whitespace().nth(8).unwrap();
    10 * Duration::from_millis(ticks.parse().unwrap())
}

/// bpftrace at work.
pub(crate) struct Tracer {
    bpftrace: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Tracer {
    /// `None` where there is no bpftrace, or it may not or cannot trace.
    pub(crate) fn start() -> Option<Self> {
        let mut bpftrace = Command::new("bpftrace")
            .args(["-f", "json", "tests/ground_truth/reference.bt"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("BPFTRACE_STRLEN", "16")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut lines = BufReader::new(bpftrace.stdout.take()?);
        let mut attached = String::new();
        while !attached.contains("attached_probes") {
            attached.clear();
            if lines.read_line(&mut attached).ok()? == 0 {
                bpftrace.wait().ok()?;
                return None;
            }
        }
        // It says so before it does so.
        std::thread::sleep(Duration::from_secs(3));
        Some(Self { bpftrace, lines })
    }

    /// Ends it, and tells what it saw by name.
    pub(crate) fn finish(mut self) -> HashMap<String, Scheduled> {
        let bpftrace = Pid::from_child(&self.bpftrace);
        kill_process(bpftrace, Signal::INT).unwrap();
        let mut scheduled: HashMap<String, Scheduled> = HashMap::new();
        for line in self.lines.lines() {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap_or_default();
            for (map, values) in line["data"].as_object().into_iter().flatten() {
                for (name, value) in values.as_object().into_iter().flatten() {
                    let of_name = scheduled.entry(name.clone()).or_default();
                    of_name.set(map, value.as_u64().unwrap_or_default());
                }
            }
        }
        self.bpftrace.wait().unwrap();
        scheduled
    }
}
