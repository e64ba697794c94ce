//! Permissions that a watcher lacks, and what gives them.

use std::fmt;

/// Something that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missing {
    /// `/proc/PID/task/TID/syscall`: where threads wait.
    Sites,
    /// `/proc/PID/fd`: which sockets a process has.
    Descriptors,
    /// `/proc/PID/mem`: the sets of `poll` and `select`.
    Memory,
    /// `sock_diag`: requests in flight.
    Sockets,
    /// `sock_diag` of another network namespace: requests of the processes in it.
    Namespace,
}

impl Missing {
    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sites => "syscall",
            Self::Descriptors => "fd",
            Self::Memory => "mem",
            Self::Sockets => "sock_diag",
            Self::Namespace => "netns",
        }
    }

    /// Data that is missing without it.
    #[must_use]
    pub const fn consequence(self) -> &'static str {
        match self {
            Self::Sites => {
                "blocked, awaiting and idle cannot be told apart: that time has state=\"unknown\""
            }
            Self::Descriptors => {
                "requests in flight are not known: awaiting and idle have state=\"unknown\"; and no server is found by \
                 its port"
            }
            Self::Memory => "threads that wait for work in poll or select may count as blocked",
            Self::Sockets | Self::Namespace => {
                "requests in flight are not known: awaiting and idle have state=\"unknown\""
            }
        }
    }

    /// Permission that makes it readable.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Sites | Self::Descriptors => {
                "run as the server's user, or add the capabilities SYS_PTRACE and, for a server that is not root, \
                 DAC_READ_SEARCH; with Yama (kernel.yama.ptrace_scope) SYS_PTRACE is necessary in any case"
            }
            Self::Memory => "add the capability SYS_PTRACE",
            Self::Sockets => {
                "allow netlink (NETLINK_SOCK_DIAG), with a kernel that has CONFIG_INET_DIAG"
            }
            Self::Namespace => {
                "run in the network namespace of the server: in its container or pod, or by `nsenter --net --target PID`"
            }
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}: cannot be read, so {}. To read it, {}",
            self.as_str(),
            self.consequence(),
            self.remedy()
        )
    }
}

/// Data that could be read so far of one server. Nothing is missing until it was tried.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    sites: bool,
    descriptors: bool,
    memory: bool,
    namespace: bool,
}

impl Permissions {
    /// Notes which threads hide where they wait.
    pub(super) fn note_sites(&mut self, mut hidden: impl Iterator<Item = bool>) {
        self.sites = hidden.any(|hidden| hidden);
    }

    /// Notes whether descriptors of a process could be read.
    pub(super) fn note_descriptors(&mut self, readable: bool) {
        self.descriptors = !readable;
    }

    /// Notes whether memory of a process can be read.
    pub(super) fn note_memory(&mut self, readable: bool) {
        self.memory = !readable;
    }

    /// Notes which processes are in another network namespace.
    pub(super) fn note_namespaces(&mut self, mut other: impl Iterator<Item = bool>) {
        self.namespace = other.any(|other| other);
    }

    /// Returns true if it is known which process has which connection.
    pub(super) fn sees_requests(&self) -> bool {
        !self.descriptors
    }

    /// Data that cannot be read.
    pub(super) fn missing(&self) -> Vec<Missing> {
        let all = [
            (self.sites, Missing::Sites),
            (self.descriptors, Missing::Descriptors),
            (self.memory, Missing::Memory),
            (self.namespace, Missing::Namespace),
        ];
        all.into_iter()
            .filter_map(|(missing, what)| missing.then_some(what))
            .collect()
    }
}
