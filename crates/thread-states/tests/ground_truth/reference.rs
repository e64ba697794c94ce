//! The scheduler's own account of the workloads, where the kernel lets bpftrace tell it.

use std::collections::HashMap;
use std::fs;
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
    /// What the tracer itself may have moved from running to the run queue: its program runs at each
    /// wake and switch, before the thread goes on. 7.1 µs a switch were seen, as the CPU clock beyond
    /// what the trace calls running.
    pub(crate) fn moved(&self) -> Duration {
        self.switches * Duration::from_micros(8)
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

    /// How many events it has not seen so far, because it was at work on the same CPU just then.
    pub(crate) fn missed(&self) -> u64 {
        let directory = format!("/proc/{}/fdinfo", self.bpftrace.id());
        let files = fs::read_dir(directory).into_iter().flatten().flatten();
        let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
        texts
            .flat_map(|text| {
                let count = text
                    .lines()
                    .find_map(|line| line.strip_prefix("recursion_misses:"));
                count.and_then(|count| count.trim().parse::<u64>().ok())
            })
            .sum()
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
