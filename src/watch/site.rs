//! Sites: the places where threads wait.

use thread_states::waits::{Call, On};

use super::proc_files::Fd;

/// A place where threads wait. Two waits at one site are for the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Site {
    /// An epoll set. Without the stack pointer: glibc calls `epoll_wait` with another one as soon as a
    /// process has a second thread.
    Epoll(Fd),
    /// `poll` or `select` on these descriptors.
    Descriptors(Vec<Fd>),
    /// A futex word and the stack pointer. A glibc condition variable alternates between two words
    /// in the same 8 bytes (`__g_signals`), hence the address is that of the 8 bytes.
    Futex {
        /// Address of the word, rounded down to 8 bytes.
        address: u64,
        /// Stack pointer of the caller.
        stack_pointer: u64,
    },
    /// A call on a descriptor.
    On {
        /// The call.
        call: Call,
        /// The descriptor.
        fd: Fd,
        /// Stack pointer of the caller.
        stack_pointer: u64,
    },
    /// Any other call, by the place in the program.
    At {
        /// The call.
        call: Call,
        /// Stack pointer of the caller.
        stack_pointer: u64,
    },
    /// Outside a system call.
    Fault,
    /// Stopped by a signal or a frozen control group.
    Stopped,
    /// A place that may not be read.
    Hidden,
}

/// A wait: where a thread waits, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The place.
    pub site: Site,
    /// The thing waited for.
    pub on: On,
    /// Several connections may be served from here: an event loop's call.
    pub multiplexes: bool,
    /// A listening socket or, in an epoll set, a client's connection is among the things waited for: the thread
    /// waits for work.
    pub for_work: bool,
}
