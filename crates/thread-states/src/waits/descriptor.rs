//! Objects behind the descriptors of a process, and the sets of descriptors that threads wait for.

use std::collections::HashSet;
use std::fs;

use super::on::On;

/// Object that a descriptor of a process refers to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Descriptor {
    /// A socket, by the number of its inode.
    Socket(u64),
    /// A pipe or FIFO without a name.
    Pipe,
    /// An object without a file, e.g. `eventfd`, `timerfd`, `[pidfd]`, by its kind without brackets.
    Anonymous(String),
    /// A file with a path; this includes named pipes and devices.
    File,
}

impl Descriptor {
    /// Parses the target of a link in `/proc/PID/fd`.
    #[must_use]
    pub fn parse(link: &str) -> Self {
        let bracketed = |prefix: &str| link.strip_prefix(prefix)?.strip_suffix(']');
        if let Some(inode) = bracketed("socket:[").and_then(|inode| inode.parse().ok()) {
            Self::Socket(inode)
        } else if link.starts_with("pipe:[") {
            Self::Pipe
        } else if let Some(kind) = link.strip_prefix("anon_inode:") {
            Self::Anonymous(kind.trim_matches(['[', ']']).to_owned())
        } else {
            Self::File
        }
    }

    /// Reads the link; `None` if there is no such descriptor or it may not be read.
    #[must_use]
    pub fn of(pid: u32, fd: i32) -> Option<Self> {
        let link = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
        Some(Self::parse(&link.to_string_lossy()))
    }

    /// Returns the thing that a thread waits for at this object. Of a socket, it is for the caller to know
    /// whether it is a client's.
    #[must_use]
    pub fn on(&self) -> On {
        match self {
            Self::Socket(_) => On::Socket,
            Self::Pipe => On::Pipe,
            Self::Anonymous(kind) if kind == "pidfd" => On::Child,
            Self::Anonymous(_) => On::Other,
            Self::File => On::File,
        }
    }
}

/// A target of an epoll set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EpollTarget {
    /// Its descriptor.
    pub fd: i32,
    /// The inode behind it.
    pub inode: u64,
    /// The device of the inode: one for all sockets.
    pub device: u64,
}

/// Returns the targets of an epoll set, from `/proc/PID/fdinfo/FD`.
#[must_use]
pub fn parse_epoll(text: &str) -> Vec<EpollTarget> {
    let target = |line: &str| {
        let mut words = line.strip_prefix("tfd:")?.split_ascii_whitespace();
        let fd = words.next()?.parse().ok()?;
        let mut hexadecimal = |prefix| {
            let word = words.find_map(|word| word.strip_prefix(prefix))?;
            u64::from_str_radix(word, 16).ok()
        };
        Some(EpollTarget {
            fd,
            inode: hexadecimal("ino:")?,
            device: hexadecimal("sdev:")?,
        })
    };
    text.lines().filter_map(target).collect()
}

/// Returns the descriptors of an array of `pollfd`; negative ones are ignored by the kernel, too.
#[must_use]
pub fn poll_descriptors(memory: &[u8]) -> Vec<i32> {
    let fds = memory
        .chunks_exact(8)
        .filter_map(|entry| entry.first_chunk());
    fds.map(|fd| i32::from_ne_bytes(*fd))
        .filter(|fd| *fd >= 0)
        .collect()
}

/// Returns the descriptors below `end` in the bit set of `select`.
#[must_use]
pub fn select_descriptors(memory: &[u8], end: u64) -> Vec<i32> {
    let is_set = |fd: &usize| {
        memory
            .get(fd / 8)
            .is_some_and(|byte| byte >> (fd % 8) & 1 == 1)
    };
    let end = (memory.len() * 8).min(usize::try_from(end).unwrap_or(usize::MAX));
    (0..end).filter(is_set).map(|fd| fd as i32).collect()
}

/// Returns the kind after which the wait for several things is named, the one that says most: a loop's own
/// pipe or timer says least.
#[must_use]
pub fn strongest(kinds: impl IntoIterator<Item = On>) -> On {
    const ORDER: [On; 5] = [On::Client, On::Socket, On::Child, On::Pipe, On::File];
    let kinds: HashSet<On> = kinds.into_iter().collect();
    let mut ordered = ORDER.into_iter().filter(|kind| kinds.contains(kind));
    ordered.next().unwrap_or(On::Other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links_of_descriptors_tell_their_kind() {
        for (link, expected) in [
            ("socket:[1234]", Descriptor::Socket(1234)),
            ("pipe:[99]", Descriptor::Pipe),
            (
                "anon_inode:[eventpoll]",
                Descriptor::Anonymous("eventpoll".to_owned()),
            ),
            ("/tmp/socket:[1]", Descriptor::File),
            ("/dev/null", Descriptor::File),
        ] {
            assert_eq!(Descriptor::parse(link), expected, "{link}");
        }
    }

    #[test]
    fn an_epoll_set_names_the_inodes_of_its_targets() {
        let text = "pos:\t0\nflags:\t02000002\nmnt_id:\t16\nino:\t2061\n\
                    tfd:        6 events:       19 data:                6  pos:0 ino:1f32a sdev:9\n\
                    tfd:       11 events: 80002019 data:     7f2a00000011  pos:0 ino:2061 sdev:10\n";
        let targets = [(6, 0x1f32a, 9), (11, 0x2061, 0x10)];
        let expected = targets.map(|(fd, inode, device)| EpollTarget { fd, inode, device });
        assert_eq!(parse_epoll(text), expected);
    }

    #[test]
    fn sets_of_poll_and_select_are_read_from_memory() {
        let entry = |fd: i32| [fd.to_ne_bytes(), [1, 0, 0, 0]].concat();
        let memory = [entry(3), entry(-1), entry(9)].concat();
        assert_eq!(poll_descriptors(&memory), [3, 9]);
        assert_eq!(select_descriptors(&[0b0010_1000, 0b1], 9), [3, 5, 8]);
        // Bits above the end are not looked at by the kernel.
        assert_eq!(select_descriptors(&[0xff, 0xff], 2), [0, 1]);
    }

    #[test]
    fn the_thing_that_says_most_names_a_wait() {
        assert_eq!(strongest([On::Pipe, On::Socket, On::Other]), On::Socket);
        assert_eq!(strongest([On::Other, On::Pipe]), On::Pipe);
        assert_eq!(strongest([]), On::Other);
    }

    proptest! {
        #[test]
        fn no_input_makes_a_parser_panic(
            text in ".*",
            memory in proptest::collection::vec(any::<u8>(), 0..64),
            end: u64,
        ) {
            let _ = Descriptor::parse(&text);
            let _ = parse_epoll(&format!("tfd:{text} ino:{text} sdev:{text}"));
            let _ = (poll_descriptors(&memory), select_descriptors(&memory, end));
        }
    }
}
