//! A PostgreSQL server of its own for a test or a benchmark, which ends with it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::address::free_address;

/// Programs of PostgreSQL that the tests start.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "psql"];

/// PostgreSQL refuses to run as root, so a test that does runs it as nobody.
const NOBODY: u32 = 65534;

/// A PostgreSQL server, killed and deleted when dropped.
pub(crate) struct Postgres {
    programs: PathBuf,
    directory: PathBuf,
    address: SocketAddr,
    postmaster: Child,
}

impl Postgres {
    /// Creates a database cluster and starts its server.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// As [`Postgres::start`], with settings such as `max_connections=10`.
    pub(crate) fn start_with(settings: &[&str]) -> Self {
        Self::start_if_installed(settings)
            .expect("PostgreSQL is not installed: run `make database`")
    }

    /// As [`Postgres::start_with`]; `None` if PostgreSQL is not installed.
    pub(crate) fn start_if_installed(settings: &[&str]) -> Option<Self> {
        let programs = programs()?;
        let address = free_address();
        let name = format!("threadlab-test-{}-{}", std::process::id(), address.port());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        if is_root() {
            chown(&directory, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let made = command(&programs.join("initdb"))
            .args(["--username=lab", "--auth=trust", "--no-sync", "--locale=C"])
            .arg("--pgdata")
            .arg(directory.join("data"))
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let configuration = directory.join("data/postgresql.auto.conf");
        let settings = [settings, &["fsync=off"]].concat().join("\n");
        fs::write(configuration, settings + "\n").unwrap();
        let postmaster = start_server(&programs, &directory, address);
        let postgres = Self {
            programs,
            directory,
            address,
            postmaster,
        };
        postgres.wait();
        Some(postgres)
    }

    /// Returns the URL of its database.
    pub(crate) fn url(&self) -> String {
        format!("postgresql://lab@{}/postgres", self.address)
    }

    /// Returns the address that it listens on.
    #[allow(dead_code, reason = "not every program of tests connects by itself")]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the result of a query as text; `None` if it failed.
    pub(crate) fn try_query(&self, sql: &str) -> Option<String> {
        let output = Command::new(self.programs.join("psql"))
            .args([
                "--no-psqlrc",
                "--tuples-only",
                "--no-align",
                "--command",
                sql,
            ])
            .arg(self.url())
            .stderr(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        output.status.success().then(|| text.trim().to_owned())
    }

    /// Returns the number that a query results in.
    pub(crate) fn count(&self, sql: &str) -> usize {
        self.try_query(sql).unwrap().parse().unwrap()
    }

    /// Kills the server as a crash of its machine would: without a farewell.
    pub(crate) fn kill(&mut self) {
        let backends = self.processes();
        self.postmaster.kill().unwrap();
        self.postmaster.wait().unwrap();
        for process in &backends {
            // Some have ended already with the postmaster.
            send("KILL", *process);
        }
        within(Duration::from_secs(10), "its processes end", || {
            !backends.iter().any(|pid| is_alive(*pid))
        });
    }

    /// Starts the server again.
    pub(crate) fn restart(&mut self) {
        self.postmaster = start_server(&self.programs, &self.directory, self.address);
        self.wait();
    }

    /// Sends a signal to all processes of the server.
    pub(crate) fn signal(&self, name: &str) {
        for process in self.processes() {
            send(name, process);
        }
    }

    /// The postmaster and its children.
    fn processes(&self) -> Vec<u32> {
        let postmaster = self.postmaster.id();
        let is_child = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // After the name in parentheses: the state, then the parent.
            let parent = stat
                .rsplit(") ")
                .next()
                .and_then(|rest| rest.split(' ').nth(1));
            parent == Some(&postmaster.to_string())
        };
        let all = fs::read_dir("/proc").unwrap();
        let all = all.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        [postmaster]
            .into_iter()
            .chain(all.filter(is_child))
            .collect()
    }

    fn wait(&self) {
        within(Duration::from_secs(60), "PostgreSQL responds", || {
            self.try_query("SELECT 1").is_some()
        });
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.signal("KILL");
        let _ = self.postmaster.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Waits until a condition holds, and panics if it does not in time.
pub(crate) fn within(time: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {time:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn start_server(programs: &Path, directory: &Path, address: SocketAddr) -> Child {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join("log"))
        .unwrap();
    command(&programs.join("postgres"))
        .arg("-D")
        .arg(directory.join("data"))
        .arg("-k")
        .arg(directory)
        .args([
            "-h",
            &address.ip().to_string(),
            "-p",
            &address.port().to_string(),
        ])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A command that runs as nobody if the test runs as root.
fn command(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            &format!("--reuid={NOBODY}"),
            &format!("--regid={NOBODY}"),
            "--clear-groups",
        ])
        .arg(program)
        .current_dir("/");
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns whether a process runs. In a container without an init process, those that have ended stay as zombies.
fn is_alive(pid: u32) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state != "Z")
}

/// State and parent of a process: the fields of its `stat` file that follow the name in parentheses.
fn state_and_parent(pid: u32) -> Option<(String, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit(") ").next()?.split(' ').map(str::to_owned);
    Some((fields.next()?, fields.next()?))
}

fn send(signal: &str, pid: u32) {
    let _ = Command::new("kill")
        .args([&format!("-{signal}"), &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// The directory of PostgreSQL's programs, if it is installed. Debian does not put it on the path.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let debian = debian.map(|version| version.unwrap().path().join("bin"));
    std::env::split_paths(&path)
        .chain(debian)
        .find(|directory| {
            PROGRAMS
                .iter()
                .all(|program| directory.join(program).exists())
        })
}
