//! Process trees: which processes a target has at the moment.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet};

use thread_states::waits::Descriptor;

use super::diag::{SocketKind, TcpSocket};
use super::proc_files::{Inode, Pid, Stat, children, descriptors, processes, threads};
use super::target::Target;

/// The most processes of one server.
pub(super) const MOST_PROCESSES: usize = 1_024;

/// The processes that hold the listening sockets. They are read from `/proc` when they are first needed, for all servers
/// at once: a machine may have hundreds, and a pass over all descriptors for each would take minutes within the budget.
pub(super) struct Holders<'a> {
    listening: &'a HashSet<Inode>,
    by_inode: OnceCell<HashMap<Inode, BTreeSet<Pid>>>,
}

impl<'a> Holders<'a> {
    /// Holders of these sockets, not read yet.
    pub(super) fn of_all(listening: &'a HashSet<Inode>) -> Self {
        Self {
            listening,
            by_inode: OnceCell::new(),
        }
    }

    /// Processes that hold one of these, in the order of their numbers. This program's own is left out.
    pub(super) fn of(&self, inodes: &HashSet<Inode>) -> BTreeSet<Pid> {
        if inodes.is_empty() {
            return BTreeSet::new();
        }
        let by_inode = self.by_inode.get_or_init(|| self.read());
        let holders = inodes.iter().filter_map(|inode| by_inode.get(inode));
        holders.flatten().copied().collect()
    }

    fn read(&self) -> HashMap<Inode, BTreeSet<Pid>> {
        let mut by_inode: HashMap<Inode, BTreeSet<Pid>> = HashMap::new();
        let others = processes().unwrap_or_default().into_iter();
        for pid in others.filter(|pid| *pid != std::process::id()) {
            for fd in descriptors(pid).unwrap_or_default() {
                if let Some(Descriptor::Socket(inode)) = Descriptor::of(pid, fd)
                    && self.listening.contains(&inode)
                {
                    by_inode.entry(inode).or_default().insert(pid);
                }
            }
        }
        by_inode
    }
}

/// The processes that a target chooses.
pub(super) fn chosen(
    target: &Target,
    listening: &[TcpSocket],
    holders: &Holders<'_>,
) -> BTreeSet<Pid> {
    match target {
        Target::Pid(pid) => Stat::of_process(*pid).map(|_| *pid).into_iter().collect(),
        Target::Port(port) => {
            let on_port = |socket: &&TcpSocket| {
                socket.kind == SocketKind::Listens && socket.local.port() == *port
            };
            holders.of(&listening
                .iter()
                .filter(on_port)
                .map(|socket| socket.inode)
                .collect())
        }
        Target::Command(command) => {
            let pids = processes().unwrap_or_default().into_iter();
            let is_named = |pid: &Pid| {
                *pid != std::process::id()
                    && Stat::of_process(*pid)
                        .is_some_and(|stat| Target::is_command(command, &stat.comm))
            };
            pids.filter(is_named).collect()
        }
    }
}

/// These processes and their descendants.
/// `all_threads`: also children that threads other than the first have started.
pub(super) fn with_descendants(roots: &BTreeSet<Pid>, all_threads: bool) -> BTreeSet<Pid> {
    let mut found = BTreeSet::new();
    let mut left: Vec<Pid> = roots.iter().copied().collect();
    while let Some(pid) = left.pop() {
        if found.len() >= MOST_PROCESSES || !found.insert(pid) {
            continue;
        }
        if all_threads {
            let tids = threads(pid).unwrap_or_default();
            left.extend(tids.into_iter().flat_map(|tid| children(pid, tid)));
        } else {
            left.extend(children(pid, pid));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::os::unix::fs::MetadataExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_tree_has_children_and_their_children() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 30 & echo started; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 8];
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut line).unwrap();
        let this = std::process::id();
        // A test runs in a thread of its own, whose children are found with those of all threads only.
        let tree = with_descendants(&BTreeSet::from([this]), true);
        let sleep = children(shell.id(), shell.id())[0];
        assert!(tree.is_superset(&BTreeSet::from([this, shell.id(), sleep])));
        for pid in [sleep, shell.id()] {
            let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        shell.wait().unwrap();
        let none = HashSet::new();
        assert!(chosen(&Target::Pid(shell.id()), &[], &Holders::of_all(&none)).is_empty());
    }

    #[test]
    fn each_listening_socket_has_its_holders_but_this_process() {
        let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let inodes = sockets.each_ref().map(|socket| {
            let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
            std::fs::metadata(path).unwrap().ino()
        });
        let mut children = sockets.each_ref().map(|socket| {
            let mut sleep = Command::new("sleep");
            let held = Stdio::from(OwnedFd::from(socket.try_clone().unwrap()));
            sleep.arg("30").stdin(held).spawn().unwrap()
        });
        let all = HashSet::from(inodes);
        let holders = Holders::of_all(&all);
        let [first, second] = inodes.map(|inode| holders.of(&HashSet::from([inode])));
        let pids = children.each_ref().map(|child| child.id());
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(
            first.contains(&pids[0]) && !first.contains(&pids[1]),
            "{first:?}"
        );
        assert!(
            second.contains(&pids[1]) && !second.contains(&pids[0]),
            "{second:?}"
        );
        assert!(!first.contains(&std::process::id()));
    }
}
