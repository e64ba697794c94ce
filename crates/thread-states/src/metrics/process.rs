//! The `process_*` metrics that Prometheus' client libraries have in common, from `/proc`.

use std::fs;
use std::sync::{Mutex, PoisonError};

use super::list::{
    Metric, PROCESS_CPU_SECONDS, PROCESS_MAX_FDS, PROCESS_OPEN_FDS, PROCESS_RESIDENT_BYTES,
    PROCESS_START_SECONDS, PROCESS_THREADS, PROCESS_VIRTUAL_BYTES,
};
use crate::accounting::process_cpu_seconds;
use crate::descriptor_limit::descriptor_limit;

/// Returns the values that can be read.
pub(super) fn values() -> Vec<(Metric, f64)> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |name| Some(field(&status, name)? * 1_024.0);
    let all = [
        (PROCESS_CPU_SECONDS, process_cpu_seconds()),
        (
            PROCESS_MAX_FDS,
            descriptor_limit().map(|limit| limit as f64),
        ),
        (PROCESS_OPEN_FDS, open_fds()),
        (PROCESS_RESIDENT_BYTES, kilobytes("VmRSS:")),
        (PROCESS_START_SECONDS, start_seconds()),
        (PROCESS_THREADS, field(&status, "Threads:")),
        (PROCESS_VIRTUAL_BYTES, kilobytes("VmSize:")),
    ];
    let known = all.into_iter();
    known
        .filter_map(|(metric, value)| Some((metric, value?)))
        .collect()
}

/// Returns the first number after a name at the start of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// Number of open file descriptors.
fn open_fds() -> Option<f64> {
    const DIRECTORY: &str = "/proc/self/fd";
    // The size of the directory is their number since Linux 6.2 (`proc_fd_getattr` in `fs/proc/fd.c`), and 0 before. To
    // list 10,000 of them takes 10 ms.
    match fs::metadata(DIRECTORY).ok()?.len() {
        0 => counted(DIRECTORY),
        size => Some(size as f64),
    }
}

/// Number of entries of the directory of open file descriptors.
fn counted(directory: &str) -> Option<f64> {
    let count = fs::read_dir(directory).ok()?.count();
    // The one that reads them is among them.
    Some(count.saturating_sub(1) as f64)
}

/// Start of the process, in seconds since 1970.
fn start_seconds() -> Option<f64> {
    // By process: a forked child has another one.
    static KNOWN: Mutex<Option<(u32, f64)>> = Mutex::new(None);

    let process = std::process::id();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let read = known.filter(|(of, _)| *of == process);
    *known = read.or_else(|| Some((process, read_start_seconds()?)));
    known.map(|(_, start)| start)
}

/// Reads the start of the process. See proc_pid_stat(5), field 22, and proc_stat(5). For `stat` the kernel adds up the
/// times of all threads, twice (`do_task_stat` in `fs/proc/array.c`).
fn read_start_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may contain anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks: f64 = rest.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let booted = field(&fs::read_to_string("/proc/stat").ok()?, "btime ")?;
    Some(booted + ticks / clock_ticks_per_second()?)
}

#[expect(unsafe_code, reason = "std has no sysconf")]
fn clock_ticks_per_second() -> Option<f64> {
    // SAFETY: the call reads a constant.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    (ticks > 0).then_some(ticks as f64)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::list::PROCESS;
    use super::*;

    fn value(wanted: Metric) -> f64 {
        let values = values();
        values
            .iter()
            .find(|(metric, _)| *metric == wanted)
            .unwrap()
            .1
    }

    #[test]
    fn every_process_metric_has_a_plausible_value() {
        let metrics: Vec<_> = values().iter().map(|(metric, _)| *metric).collect();
        assert_eq!(metrics, PROCESS);
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let age = now.as_secs_f64() - value(PROCESS_START_SECONDS);
        assert!((-2.0..36_000.0).contains(&age), "started {age} s ago");
        let (resident, virt) = (value(PROCESS_RESIDENT_BYTES), value(PROCESS_VIRTUAL_BYTES));
        assert!(resident > 1e6 && virt > resident, "{resident} of {virt}");
        assert!(value(PROCESS_THREADS) >= 2.0);
        let (open, max) = (value(PROCESS_OPEN_FDS), value(PROCESS_MAX_FDS));
        assert!((3.0..=max).contains(&open), "{open} of {max}");
    }

    #[test]
    fn both_ways_to_count_descriptors_agree() {
        let files: Vec<_> = (0..200)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        let (fast, slow) = (open_fds().unwrap(), counted("/proc/self/fd").unwrap());
        assert!(fast >= files.len() as f64, "{fast}");
        // Other tests of this process open some meanwhile.
        assert!((fast - slow).abs() < 100.0, "{fast}, {slow}");
    }

    #[test]
    fn cpu_time_has_fractions_of_a_second() {
        let before = value(PROCESS_CPU_SECONDS);
        let spent = process_cpu_seconds().unwrap();
        while process_cpu_seconds().unwrap() - spent < 0.02 {}
        let after = value(PROCESS_CPU_SECONDS);
        assert!((0.02..0.5).contains(&(after - before)));
    }
}
