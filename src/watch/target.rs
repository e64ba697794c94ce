//! Targets: which processes a watched server has.

use std::str::FromStr;

use super::proc_files::Pid;

/// The processes to watch. Each of them is watched with all of its descendants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The process with this number.
    Pid(Pid),
    /// Every process that listens on this TCP port.
    Port(u16),
    /// Every process whose command has this name, as `ps -o comm` shows it: of a longer one, the first 15 bytes.
    Command(String),
}

/// A server to watch, under a name of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTarget {
    /// The label `server` of its metrics.
    pub name: String,
    /// Its processes.
    pub target: Target,
}

impl FromStr for NamedTarget {
    type Err = String;

    /// Parses `NAME=PID`, `NAME=port:PORT` or `NAME=comm:COMMAND`.
    fn from_str(text: &str) -> Result<Self, String> {
        let rule = "expected NAME=TARGET, where TARGET is a process number, port:PORT or comm:COMMAND, \
                    e.g. shop=port:5000";
        let port_rule = "expected a TCP port from 1 to 65535 after port:, e.g. shop=port:5000";
        let (name, target) = text.split_once('=').ok_or(rule)?;
        if name.is_empty() {
            return Err(rule.into());
        }
        let target = if let Some(port) = target.strip_prefix("port:") {
            Target::Port(
                port.parse()
                    .ok()
                    .filter(|port| *port > 0)
                    .ok_or(port_rule)?,
            )
        } else if let Some(command) = target.strip_prefix("comm:") {
            Target::Command(
                Some(command)
                    .filter(|command| !command.is_empty())
                    .ok_or(rule)?
                    .to_owned(),
            )
        } else {
            Target::Pid(target.parse().ok().filter(|pid| *pid > 0).ok_or(rule)?)
        };
        Ok(Self {
            name: name.to_owned(),
            target,
        })
    }
}

impl Target {
    /// Returns true if a process of this name, as the kernel has it, is among those that the command chooses.
    pub(super) fn is_command(command: &str, comm: &str) -> bool {
        // TASK_COMM_LEN of the kernel, without the final 0.
        const LONGEST: usize = 15;
        comm.as_bytes()
            == command
                .as_bytes()
                .get(..LONGEST)
                .unwrap_or(command.as_bytes())
    }

    /// The target in words, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Pid(pid) => format!("process {pid}"),
            Self::Port(port) => format!("a process that listens on port {port}"),
            Self::Command(command) => format!("a process named {command}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_pids_ports_and_commands() {
        for (text, expected) in [
            ("a=42", Target::Pid(42)),
            ("a=port:5000", Target::Port(5000)),
            ("a=comm:gunicorn", Target::Command("gunicorn".to_owned())),
        ] {
            let parsed: NamedTarget = text.parse().unwrap();
            assert_eq!(
                (parsed.name.as_str(), parsed.target),
                ("a", expected),
                "{text}"
            );
        }
        for bad in [
            "",
            "a",
            "=1",
            "a=",
            "a=0",
            "a=-1",
            "a=port:0",
            "a=port:70000",
            "a=comm:",
            "a=gunicorn",
        ] {
            assert!(bad.parse::<NamedTarget>().is_err(), "{bad}");
        }
        let error = "a=port:70000".parse::<NamedTarget>().unwrap_err();
        assert!(error.contains("1 to 65535"), "{error}");
    }

    #[test]
    fn a_command_is_compared_with_what_the_kernel_keeps_of_a_name() {
        for (command, comm, is) in [
            ("gunicorn", "gunicorn", true),
            ("gunicorn", "gunicorn3", false),
            ("order-service-http", "order-service-h", true),
            ("order-service-h", "order-service-h", true),
            ("order-service-http", "order-service", false),
        ] {
            assert_eq!(Target::is_command(command, comm), is, "{command} {comm}");
        }
    }
}
