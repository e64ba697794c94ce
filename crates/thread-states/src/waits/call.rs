//! System calls in which a thread can wait, by what they wait for.

use super::on::On;

/// A system call, reduced to what its arguments mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// `epoll_wait` and its variants: argument 0 is the epoll descriptor.
    Epoll,
    /// `poll`, `ppoll`: argument 0 points to an array of `pollfd`, argument 1 is its length.
    Poll,
    /// `select`, `pselect6`: argument 0 is the highest descriptor + 1, argument 1 points to the set of
    /// those to read from.
    Select,
    /// `accept`, `accept4`: argument 0 is the listening socket.
    Accept,
    /// `futex` and its variants: argument 0 is the address of the word.
    Futex,
    /// `nanosleep`, `clock_nanosleep`.
    Sleep,
    /// Reads from or writes to a descriptor, which is argument 0.
    Transfer,
    /// Waits until data is on the disk; argument 0 is the descriptor.
    Sync,
    /// Waits for a file lock; argument 0 is the descriptor.
    FileLock,
    /// `connect`: argument 0 is the socket.
    Connect,
    /// Waits for a child process.
    Child,
    /// System V semaphores.
    Semaphore,
    /// Any other, by its number.
    Other(i64),
}

impl Call {
    /// The call with this number on the architecture that this program was built for.
    #[must_use]
    pub fn from_number(number: i64) -> Self {
        match number {
            libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => Self::Epoll,
            libc::SYS_ppoll => Self::Poll,
            libc::SYS_pselect6 => Self::Select,
            libc::SYS_accept | libc::SYS_accept4 => Self::Accept,
            libc::SYS_futex | libc::SYS_futex_waitv | FUTEX_WAIT => Self::Futex,
            libc::SYS_nanosleep | libc::SYS_clock_nanosleep => Self::Sleep,
            libc::SYS_read
            | libc::SYS_write
            | libc::SYS_readv
            | libc::SYS_writev
            | libc::SYS_pread64
            | libc::SYS_pwrite64
            | libc::SYS_preadv
            | libc::SYS_pwritev
            | libc::SYS_preadv2
            | libc::SYS_pwritev2
            | libc::SYS_recvfrom
            | libc::SYS_recvmsg
            | libc::SYS_recvmmsg
            | libc::SYS_sendto
            | libc::SYS_sendmsg
            | libc::SYS_sendmmsg
            | libc::SYS_sendfile
            | libc::SYS_splice => Self::Transfer,
            libc::SYS_fsync
            | libc::SYS_fdatasync
            | libc::SYS_sync_file_range
            | libc::SYS_syncfs => Self::Sync,
            libc::SYS_flock | libc::SYS_fcntl => Self::FileLock,
            libc::SYS_connect => Self::Connect,
            libc::SYS_wait4 | libc::SYS_waitid => Self::Child,
            libc::SYS_semop | libc::SYS_semtimedop => Self::Semaphore,
            // Older calls, which newer architectures do not have.
            #[cfg(target_arch = "x86_64")]
            libc::SYS_epoll_wait => Self::Epoll,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_poll => Self::Poll,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_select => Self::Select,
            other => Self::Other(other),
        }
    }

    /// Returns the thing that a thread in this call waits for. `kind` returns that of its descriptor, or set of
    /// descriptors, where the call alone does not tell.
    pub fn on(self, kind: impl FnOnce() -> On) -> On {
        match self {
            Self::Epoll | Self::Poll | Self::Select | Self::Transfer => kind(),
            Self::Futex | Self::Semaphore => On::Lock,
            Self::Sleep => On::Sleep,
            Self::Sync => On::Disk,
            Self::FileLock => On::File,
            Self::Connect => On::Socket,
            Self::Child => On::Child,
            Self::Accept | Self::Other(_) => On::Other,
        }
    }
}

/// `futex_wait` of Linux 6.7, the same number everywhere.
const FUTEX_WAIT: i64 = 455;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_this_architecture_are_known() {
        #[cfg(target_arch = "x86_64")]
        let (epoll, futex, sleep, read) = (232, 202, 230, 0);
        #[cfg(target_arch = "aarch64")]
        let (epoll, futex, sleep, read) = (22, 98, 115, 63);
        assert_eq!(Call::from_number(epoll), Call::Epoll);
        assert_eq!(Call::from_number(futex), Call::Futex);
        assert_eq!(Call::from_number(sleep), Call::Sleep);
        assert_eq!(Call::from_number(read), Call::Transfer);
        assert_eq!(Call::from_number(39_999), Call::Other(39_999));
    }
}
