//! The scheduler's trace of the workloads, by bpftrace.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A thread's times by the scheduler's trace, while the thread had a certain name.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scheduled {
    /// Time on a CPU, including time stolen by the hypervisor.
    pub(crate) on: Duration,
    /// Time in the run queue.
    pub(crate) queued: Duration,
    /// Time asleep.
    pub(crate) off: Duration,
    /// Number of context switches away from the thread.
    pub(crate) switches: u32,
}

impl Scheduled {
    /// Time that the tracer itself may have moved from running to the run queue: its program runs at each wakeup and
    /// switch, before the thread continues. The CPU clock exceeded the traced running time by 7.1 µs per switch.
    pub(crate) fn moved(&self) -> Duration {
        self.switches * Duration::from_micros(8)
    }

    /// Time that the tracer may have moved between the run queue and asleep, because it sees a wakeup slightly late.
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

/// A running bpftrace.
pub(crate) struct Tracer {
    bpftrace: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Tracer {
    /// Starts bpftrace. Returns `None` if it is not installed, not permitted or not able to trace.
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
        // It reports this before the probes are attached.
        std::thread::sleep(Duration::from_secs(3));
        Some(Self { bpftrace, lines })
    }

    /// Number of events missed so far, because its program was already running on the same CPU.
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

    /// Ends the trace and returns the times by thread name.
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
