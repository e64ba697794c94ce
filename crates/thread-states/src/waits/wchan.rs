//! Kernel functions in which threads wait, as `/proc/PID/task/TID/wchan` names them.

/// Returns true for a function in which a stopped thread waits: a stop signal, a tracer, the freezer of
/// control groups version 2, and that of version 1.
#[must_use]
pub fn is_stopped(wchan: &str) -> bool {
    [
        "do_signal_stop",
        "ptrace_stop",
        "do_freezer_trap",
        "__refrigerator",
    ]
    .contains(&wchan)
}

/// Returns true for a function in which a thread waits for a disk.
#[must_use]
pub fn is_disk(wchan: &str) -> bool {
    [
        "io_schedule",
        "folio_wait",
        "bit_wait_io",
        "blk_",
        "jbd2_",
        "wait_on_page",
        "rq_qos_wait",
    ]
    .iter()
    .any(|prefix| wchan.starts_with(prefix))
}
