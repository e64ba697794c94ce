//! A stack of containers, removed when dropped.

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::SystemTime;

use serde_json::Value;

use crate::eventually;
use crate::times::Step;

/// The part of the stack that can run anywhere.
const SERVICES: [&str; 6] = [
    "postgres",
    "sync",
    "async",
    "nginx",
    "nginx-exporter",
    "prometheus",
];
const COMPOSE_FILE: &str = "docker-compose.yml";
/// Variable with another Compose file for every stack. `scripts/second-engine` sets it.
const EXTRA_FILE: &str = "THREADLAB_TEST_COMPOSE_FILE";
const DOWN: [&str; 6] = ["--profile", "*", "down", "--volumes", "--timeout", "0"];

/// The images of our program are built once, before the first stack starts.
static BUILT: LazyLock<()> = LazyLock::new(|| {
    let _step = Step::begin("build of the images");
    let up = ["--profile", "*", "up", "--build", "--no-start"];
    let services = ["sync", "async", "experiment", "nginx-exporter"];
    // Not `build`: without buildx, that does not build an image without provenance on an older engine.
    Stack::named("build").compose(&[&up[..], &services].concat());
});

/// Builds the images of our program, unless that has been done.
pub fn build() {
    LazyLock::force(&BUILT);
}

/// Prints the state and the logs of a stack if the test fails.
struct ShowOnPanic<'a>(&'a Stack);

impl Drop for ShowOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.show(&["ps", "--all"]);
            self.0.show(&["logs", "--tail", "50"]);
        }
    }
}

/// Returns whether Grafana's image is present, and prints a notice if it is not.
static GRAFANA_IS_HERE: LazyLock<bool> = LazyLock::new(|| {
    let image = "grafana/grafana:13.2.3";
    let found = output("docker", &["image", "inspect", image])
        .status
        .success();
    if !found {
        let _ = writeln!(
            io::stderr(),
            "\nNOT TESTED: Grafana. Its image {image} is not here."
        );
    }
    found
});

/// The number of open files of each container: the default of the stack, or less where this machine allows fewer.
static OPEN_FILES: LazyLock<u64> = LazyLock::new(|| {
    use rustix::process::{Resource, getrlimit};
    const DEFAULT: u64 = 65_536;
    let maximum = getrlimit(Resource::Nofile).maximum.unwrap_or(DEFAULT);
    if maximum < DEFAULT {
        let _ = writeln!(
            io::stderr(),
            "\nFEWER OPEN FILES: {maximum} per container. The stack's default is {DEFAULT}."
        );
    }
    maximum.min(DEFAULT)
});

/// Returns whether Grafana's image is present.
pub fn grafana_is_here() -> bool {
    *GRAFANA_IS_HERE
}

/// Returns the number of open files that each container may have.
pub fn open_files() -> u64 {
    *OPEN_FILES
}

/// A Compose project with containers, networks and ports of its own.
pub struct Stack {
    project: String,
    /// Compose files, separated as in the variable `COMPOSE_FILE`.
    files: String,
    /// The time of the last reset, in seconds since 1970.
    reset_at: AtomicU64,
}

impl Stack {
    /// A project in which nothing runs yet.
    pub fn named(name: &str) -> Self {
        Self {
            project: format!("threadlab-test-{name}"),
            files: files(),
            reset_at: AtomicU64::new(0),
        }
    }

    /// Starts the whole stack, and waits until it is healthy.
    pub fn up(name: &str) -> Self {
        let stack = Self::named(name);
        // What a killed test run left behind.
        stack.compose(&DOWN);
        build();
        let _step = Step::begin(&format!("start of the stack {name}"));
        stack.start(&[]);
        stack
    }

    /// Runs a test in the initial state, and prints the state and the logs if it fails.
    pub fn with(&self, test: fn(&Self)) {
        let _show = ShowOnPanic(self);
        self.reset();
        test(self);
    }

    /// Restores the initial state after any other test: all services healthy, one replica each.
    fn reset(&self) {
        let up = [
            "up", "--detach", "--wait", "--scale", "sync=1", "--scale", "async=1",
        ];
        let up = [&up, &self.services()[..]].concat();
        // `--wait` fails at once if nginx is unhealthy, which it is until the next check after a server was gone for long.
        eventually("all services are healthy", || {
            self.command(&up).output().unwrap().status.success()
        });
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.reset_at
            .store(now.unwrap().as_secs(), Ordering::Relaxed);
    }

    /// Starts another stack, with a second Compose file on top.
    pub fn up_with(name: &str, file: &str) -> Self {
        let mut stack = Self::named(name);
        stack.add_file(file);
        stack.start(&[]);
        stack
    }

    /// Puts another Compose file on top, and removes what a killed test run left behind.
    pub fn add_file(&mut self, file: &str) {
        self.files = format!("{}:{file}", self.files);
        self.compose(&DOWN);
    }

    /// Starts all services, and waits until they are healthy.
    pub fn start(&self, options: &[&str]) {
        build();
        let up = ["up", "--detach", "--wait"];
        self.compose(&[&up, options, &self.services()].concat());
    }

    /// The services that run here.
    pub fn services(&self) -> Vec<&'static str> {
        let mut services = SERVICES.to_vec();
        if grafana_is_here() {
            services.push("grafana");
        }
        services
    }

    /// Runs `docker compose` and returns its output. Panics if it fails.
    pub fn compose(&self, arguments: &[&str]) -> String {
        succeed(self.command(arguments))
    }

    /// Runs experiments in the stack, one after another, and returns their report.
    pub fn experiment(&self, arguments: &[&str]) -> Value {
        let run = ["run", "--rm", "-T", "experiment"];
        let mut command = self.command(&[&run, arguments, &["--format", "json"]].concat());
        // Its exit code also says whether the predictions held, which is in the report.
        let output = command.output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            let errors = String::from_utf8_lossy(&output.stderr);
            panic!("{arguments:?}: no report ({error}):\n{errors}")
        })
    }

    /// Runs experiments that cannot run, and returns what they print on stderr.
    pub fn experiment_errors(&self, arguments: &[&str]) -> String {
        let run = ["run", "--rm", "-T", "experiment"];
        let output = self.command(&[&run, arguments].concat()).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Returns the first column of a query of the database, as the superuser within its container.
    pub fn query(&self, sql: &str) -> String {
        let psql = ["exec", "-T", "postgres", "psql", "--username=postgres"];
        let query = ["--dbname=lab", "--no-align", "--tuples-only", "--command"];
        let output = self.compose(&[&psql[..], &query, &[sql]].concat());
        output.trim().to_owned()
    }

    /// Runs a command in a service's container and returns whether it succeeded.
    pub fn exec(&self, service: &str, command: &[&str]) -> bool {
        let mut exec = self.command(&[&["exec", "-T", service], command].concat());
        exec.output().unwrap().status.success()
    }

    /// The body of a URL as a service's container gets it; `None` if it gets none.
    pub fn fetch_from(&self, service: &str, url: &str) -> Option<String> {
        let wget = ["wget", "-Y", "off", "-qO-", url];
        let mut exec = self.command(&[&["exec", "-T", service], &wget[..]].concat());
        let output = exec.output().unwrap();
        let body = String::from_utf8(output.stdout).unwrap();
        output.status.success().then_some(body)
    }

    /// Watches a service from a container of its own, as docs/in-other-servers.md describes.
    pub fn watch(&self, service: &str, target: &str, metrics: &str) -> Watcher {
        let containers = self.containers(&[service]);
        let container = format!("container:{}", containers[0]["Id"].as_str().unwrap());
        let image = self.containers(&["sync"])[0]["Image"]
            .as_str()
            .unwrap()
            .to_owned();
        let options = [
            ["--pid", &container],
            ["--network", &container],
            ["--user", "0:0"],
            ["--cap-drop", "ALL"],
            ["--cap-add", "SYS_PTRACE"],
            ["--cap-add", "DAC_READ_SEARCH"],
        ];
        let watch = ["watch", "--name", target, "--metrics", metrics];
        let start = ["run", "--rm", "--detach", "--read-only"];
        let arguments = [&start[..], options.as_flattened(), &[&image], &watch[..]].concat();
        Watcher(run("docker", &arguments).trim().to_owned())
    }

    /// The URL, on this machine, of a published port.
    pub fn url(&self, service: &str, port: u16) -> String {
        format!(
            "http://{}",
            self.compose(&["port", service, &port.to_string()]).trim()
        )
    }

    /// The engine's description of these services' containers, running or not; of all containers if no service is named.
    pub fn containers(&self, services: &[&str]) -> Vec<Value> {
        let ids = self.compose(&[&["ps", "--all", "--quiet"], services].concat());
        let ids: Vec<&str> = ids.lines().collect();
        serde_json::from_str(&run("docker", &[&["inspect"], &ids[..]].concat())).unwrap()
    }

    /// The addresses of a service's replicas on one of the project's networks.
    pub fn addresses(&self, service: &str, network: &str) -> Vec<String> {
        let network = format!("{}_{network}", self.project);
        let address = |container: &Value| {
            container["NetworkSettings"]["Networks"][&network]["IPAddress"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        self.containers(&[service]).iter().map(address).collect()
    }

    /// The servers to which nginx has sent the requests for this path since the last reset, oldest first, by its
    /// access log.
    pub fn upstreams_of(&self, path: &str) -> Vec<String> {
        let since = self.reset_at.load(Ordering::Relaxed).to_string();
        let log = self.compose(&["logs", "--no-log-prefix", "--since", &since, "nginx"]);
        let requests = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ours = requests.filter(|request| request["uri"] == path);
        ours.map(|request| request["upstream_addr"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Prints the output of `docker compose`. Unlike [`Stack::compose`] it never panics: a panic while unwinding would
    /// abort all tests.
    fn show(&self, arguments: &[&str]) {
        match self.command(arguments).output() {
            Ok(output) if output.status.success() => {
                eprint!("{}", String::from_utf8_lossy(&output.stdout))
            }
            failed => eprintln!("docker compose {arguments:?}: {failed:?}"),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.script("docker");
        command
            .args(["compose", "--progress", "plain"])
            .args(arguments);
        command
    }

    /// A program that runs on this project.
    pub fn script(&self, program: &str) -> Command {
        let mut command = script(program);
        command.env("COMPOSE_PROJECT_NAME", &self.project);
        command.env("COMPOSE_FILE", &self.files);
        // Free ports, and one thread each, independent of .env.
        command.envs(["NGINX_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT"].map(|port| (port, "0")));
        command.envs(["SYNC_THREADS", "ASYNC_THREADS"].map(|threads| (threads, "1")));
        command.env("DATABASE_POOL", "20");
        command
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.show(&DOWN);
    }
}

/// A container that watches a service, removed when dropped.
pub struct Watcher(String);

impl Drop for Watcher {
    fn drop(&mut self) {
        let removed = output("docker", &["rm", "--force", &self.0]);
        assert!(thread::panicking() || removed.status.success());
    }
}

/// The version tag and the real version of the images that print theirs, by name.
pub fn versions() -> Vec<(String, String, String)> {
    let images = Stack::named("config").compose(&["config", "--images"]);
    let version = |image: &str| {
        let (name, tag) = image.rsplit_once(':')?;
        let (program, argument) = match name {
            "nginx" => ("nginx", "-v"),
            "prom/prometheus" => ("prometheus", "--version"),
            "postgres" => ("postgres", "--version"),
            _ => return None,
        };
        let output = output(
            "docker",
            &["run", "--rm", "--entrypoint", program, image, argument],
        );
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let pinned = tag.trim_start_matches('v').trim_end_matches("-alpine");
        // The first of a form like the tag's.
        let dots = |text: &str| text.matches('.').count();
        let is_version = |word: &&str| {
            dots(word) == dots(pinned) && word.chars().all(|c| c.is_ascii_digit() || c == '.')
        };
        let found = text.split([' ', '/', '\n', '+', ',']).find(is_version);
        Some((name.to_owned(), pinned.to_owned(), found?.to_owned()))
    };
    images.lines().filter_map(version).collect()
}

/// A program that runs in the repository.
pub fn script(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("OPEN_FILES", open_files().to_string());
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
    command
}

/// The engine that the tests run on: its version and image store, and those of buildx and Compose.
pub fn engine() -> String {
    let first_line = |arguments: &[&str]| {
        let output = output("docker", arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        match output.status.success() {
            true => text.lines().next().unwrap_or_default().to_owned(),
            false => "none".to_owned(),
        }
    };
    let store = match first_line(&["info", "--format", "{{.DriverStatus}}"]) {
        status if status.contains("io.containerd.snapshotter") => "containerd image store",
        _ => "image store of the engine",
    };
    format!(
        "Docker Engine {}, {store}, buildx: {}, Compose {}",
        first_line(&["version", "--format", "{{.Server.Version}}"]),
        first_line(&["buildx", "version"]),
        first_line(&["compose", "version", "--short"]),
    )
}

/// The Compose files of every stack.
fn files() -> String {
    match env::var(EXTRA_FILE) {
        Ok(file) => format!("{COMPOSE_FILE}:{file}"),
        Err(_) => COMPOSE_FILE.to_owned(),
    }
}

/// Runs a program and returns its output. Panics if it fails.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    succeed(command)
}

fn succeed(mut command: Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program and returns its output, also if it fails.
pub fn output(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"))
}
