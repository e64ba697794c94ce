//! Process trees: which processes a target has at the moment.

use std::collections::{BTreeSet, HashSet};

use thread_states::waits::Descriptor;

use super::diag::{SocketKind, TcpSocket};
use super::proc_files::{Inode, Pid, Stat, children, descriptors, processes, threads};
use super::target::Target;

/// The most processes of one server.
pub(super) const MOST_PROCESSES: usize = 1_024;

/// Processes that hold one of these sockets, in the order of their numbers. This program's own is left out.
pub(super) fn holders(inodes: &HashSet<Inode>) -> BTreeSet<Pid> {
    let holds = |pid: &Pid| {
        let fds = descriptors(*pid).unwrap_or_default();
        fds.into_iter().any(|fd| match Descriptor::of(*pid, fd) {
            Some(Descriptor::Socket(inode)) => inodes.contains(&inode),
            _ => false,
        })
    };
    let others = processes().unwrap_or_default().into_iter();
    let others = others.filter(|pid| *pid != std::process::id());
    if inodes.is_empty() {
        BTreeSet::new()
    } else {
        others.filter(holds).collect()
    }
}

/// The processes that a target chooses.
pub(super) fn chosen(target: &Target, listening: &[TcpSocket]) -> BTreeSet<Pid> {
    match target {
        Target::Pid(pid) => Stat::of_process(*pid).map(|_| *pid).into_iter().collect(),
        Target::Port(port) => {
            let on_port = |socket: &&TcpSocket| {
                socket.kind == SocketKind::Listens && socket.local.port() == *port
            };
            holders(
                &listening
                    .iter()
                    .filter(on_port)
                    .map(|socket| socket.inode)
                    .collect(),
            )
        }
        Target::Command(command) => {
            let pids = processes().unwrap_or_default().into_iter();
            let is_named = |pid: &Pid| {
                *pid != std::process::id()
                    && Stat::of_process(*pid).is_some_and(|stat| stat.comm == *command)
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
        assert!(chosen(&Target::Pid(shell.id()), &[]).is_empty());
    }
}
