//! Waits of threads: the system call in which a thread waits, as `/proc` shows it, and what it waits for.
//!
//! * `on`: the things that threads wait for
//! * `call`: system calls by what they wait for
//! * `activity`: the contents of `/proc/PID/task/TID/syscall`
//! * `wchan`: those of `/proc/PID/task/TID/wchan`
//! * `descriptor`: objects behind descriptors, and the sets of `epoll`, `poll` and `select`
//! * `own`: the wait of another thread of this process
//! * `unsupported`: other systems, on which nothing is known of it
//!
//! Everything but [`On`] is for Linux only.

#[cfg(target_os = "linux")]
mod activity;
#[cfg(target_os = "linux")]
mod call;
#[cfg(target_os = "linux")]
mod descriptor;
mod on;
#[cfg(target_os = "linux")]
mod own;
#[cfg(not(target_os = "linux"))]
mod unsupported;
#[cfg(target_os = "linux")]
mod wchan;

#[cfg(target_os = "linux")]
pub use activity::{SystemCall, ThreadActivity};
#[cfg(target_os = "linux")]
pub use call::Call;
#[cfg(target_os = "linux")]
pub use descriptor::{
    Descriptor, EpollTarget, parse_epoll, poll_descriptors, select_descriptors, strongest,
};
pub use on::On;
#[cfg(target_os = "linux")]
pub(crate) use own::OwnWait;
#[cfg(not(target_os = "linux"))]
pub(crate) use unsupported::OwnWait;
#[cfg(target_os = "linux")]
pub use wchan::{is_disk, is_stopped};
