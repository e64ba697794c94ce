//! Tests whose limits hold only while no other program uses the CPUs.
//!
//! Such a test always runs. If it fails while other programs used the CPUs, it waits for a quiet machine and runs
//! again. On a machine that stays busy it is reported as not verified instead of failed. Both are written to
//! `target/tmp/test-notes.log`, which `make test` prints at its end: a runner shows the output of failed tests only.

// Each test binary uses a part of this.
#![allow(dead_code, unreachable_pub)]

use std::collections::HashMap;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write};
use std::iter::successors;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// CPUs that other programs may use on a quiet machine.
const QUIET: f64 = 0.1;
/// Attempts of a test that fails on a busy machine.
const ATTEMPTS: usize = 3;
/// Time for which a test waits for a quiet machine.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Time for which no other test waits after one has waited without success: on a machine that stays busy the waits of
/// all tests together would take longer than the tests.
const WAITED_IN_VAIN: Duration = Duration::from_secs(1_800);

/// Runs a test whose limits hold on a quiet machine only.
///
/// # Panics
///
/// If the test fails although no other program used the CPUs meanwhile, or each time beside other tests of the same run.
pub fn on_quiet_machine(test: impl Fn()) {
    let mut attempt = 1;
    loop {
        let before = CpuTimes::now();
        let Err(failure) = panic::catch_unwind(AssertUnwindSafe(&test)) else {
            return;
        };
        let Used { tests, others } = before.used_since();
        let is_last = attempt == ATTEMPTS;
        if tests + others < QUIET || others < QUIET && is_last {
            panic::resume_unwind(failure);
        }
        let busy = format!(
            "failed while other programs used {others:.1} CPUs, and other tests {tests:.1}"
        );
        if others >= QUIET && (is_last || !becomes_quiet()) {
            return not_verified(busy);
        }
        repeated(busy);
        attempt += 1;
    }
}

/// Waits until no other program uses the CPUs, but for other tests of the same run. Returns false if that does not
/// happen soon.
pub fn becomes_quiet() -> bool {
    becomes_quiet_beside(0.0)
}

/// As [`becomes_quiet`], beside programs of the test that are not its descendants and use this many CPUs.
pub fn becomes_quiet_beside(own: f64) -> bool {
    let begun = Instant::now();
    let vain = tmp().join("waited-in-vain");
    let waited_before = fs::metadata(&vain)
        .and_then(|file| file.modified())
        .is_ok_and(|at| at.elapsed().unwrap_or_default() < WAITED_IN_VAIN);
    let limit = if waited_before {
        Duration::ZERO
    } else {
        LONGEST_WAIT
    };
    loop {
        let before = CpuTimes::now();
        thread::sleep(Duration::from_secs(1));
        if before.used_since().others < QUIET + own {
            return true;
        }
        if begun.elapsed() > limit {
            if !waited_before {
                // Without the file each test waits, which takes longer and is right all the same.
                let _ = File::create(vain);
            }
            return false;
        }
    }
}

/// Reports that the calling test was repeated, and why.
pub fn repeated(why: impl Display) {
    note("repeated", why);
}

/// Reports that the calling test could not show what it was to show, and why.
pub fn not_verified(why: impl Display) {
    note("NOT VERIFIED", why);
}

fn note(what: &str, why: impl Display) {
    let name = thread::current().name().unwrap_or("unnamed").to_owned();
    // One line each: several processes append to one file.
    let line = format!("{what}: {name}: {why}").replace('\n', " ") + "\n";
    let _ = io::stderr().write_all(line.as_bytes());
    let file = File::options()
        .append(true)
        .create(true)
        .open(tmp().join("test-notes.log"));
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        panic!("could not write down that a test was not verified or repeated: {error}");
    }
}

fn tmp() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// CPU time that other processes than this one and its descendants have used, up to a moment.
struct CpuTimes {
    at: Instant,
    /// Ticks of other tests of the same run.
    tests: u64,
    /// Ticks of other programs.
    others: u64,
}

/// Number of CPUs used on average over a time.
struct Used {
    /// By other tests of the same run.
    tests: f64,
    /// By other programs.
    others: f64,
}

impl CpuTimes {
    fn now() -> Self {
        let at = Instant::now();
        let (own, run) = own_and_run_ticks();
        Self {
            at,
            tests: run.saturating_sub(own),
            // The two sums are not of the same moment.
            others: busy_ticks().saturating_sub(run),
        }
    }

    fn used_since(&self) -> Used {
        /// Ticks per second in `/proc`, the same on every Linux architecture that Rust supports.
        const USER_HZ: f64 = 100.0;
        let now = Self::now();
        let seconds = (now.at - self.at).as_secs_f64().max(0.1);
        let cpus = |before: u64, now: u64| now.saturating_sub(before) as f64 / USER_HZ / seconds;
        Used {
            tests: cpus(self.tests, now.tests),
            others: cpus(self.others, now.others),
        }
    }
}

/// Ticks for which any CPU was busy, or stolen by the hypervisor. Not those of interrupts, which may be due to this
/// process's own traffic. See proc_stat(5).
fn busy_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .lines()
        .next()
        .into_iter()
        .flat_map(|line| line.split_whitespace().skip(1))
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    match fields[..] {
        [
            user,
            nice,
            system,
            _idle,
            _iowait,
            _irq,
            _softirq,
            steal,
            ..,
        ] => user + nice + system + steal,
        _ => 0,
    }
}

/// Ticks that this process and its descendants have used, ended ones included, and those of the whole test run:
/// cargo-nextest starts each test in a process of its own, and sets this variable for it.
fn own_and_run_ticks() -> (u64, u64) {
    let processes: HashMap<u32, Process> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, Process::of(pid)?))
        })
        .collect();
    let ticks_below = |root: u32| -> u64 {
        let is_below = |pid: u32| {
            let parent = |pid: &u32| Some(processes.get(pid)?.parent);
            successors(Some(pid), parent).any(|pid| pid == root)
        };
        let all = processes.iter().filter(|(pid, _)| is_below(**pid));
        all.map(|(_, process)| process.ticks).sum()
    };
    let own = std::process::id();
    let runner = std::env::var_os("NEXTEST").and(processes.get(&own).map(|test| test.parent));
    (ticks_below(own), ticks_below(runner.unwrap_or(own)))
}

struct Process {
    parent: u32,
    /// Of itself and of those of its children that it has waited for.
    ticks: u64,
}

impl Process {
    /// Returns `None` if it has ended. See proc_pid_stat(5).
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Its name, in parentheses, may have spaces.
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let [_state, parent] = fields.get(..2)? else {
            return None;
        };
        let times = fields.get(11..15)?;
        Some(Self {
            parent: parent.parse().ok()?,
            ticks: times
                .iter()
                .filter_map(|time| time.parse::<u64>().ok())
                .sum(),
        })
    }
}
