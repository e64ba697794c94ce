//! A stack of containers that ends with its test.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::thread;

use serde_json::Value;

/// The part of the stack that can run anywhere.
const SERVICES: [&str; 5] = ["sync", "async", "nginx", "nginx-exporter", "prometheus"];
const DOWN: [&str; 4] = ["down", "--volumes", "--timeout", "5"];

/// Says so where it is not, past the test runner, which shows only what failing tests print.
static GRAFANA_IS_HERE: LazyLock<bool> = LazyLock::new(|| {
    let image = "grafana/grafana:13.2.3";
    let found = output("docker", &["image", "inspect", image])
        .status
        .success();
    if !found {
        let _ = writeln!(
            io::stderr(),
            "\nNOT TESTED: Grafana. There is no image {image} here."
        );
    }
    found
});

/// A Compose project with containers, networks and ports of its own.
pub struct Stack {
    project: String,
}

impl Stack {
    /// A project in which nothing runs yet.
    pub fn named(name: &str) -> Self {
        Self {
            project: format!("threadlab-test-{name}"),
        }
    }

    /// The whole stack, healthy.
    pub fn up() -> Self {
        let stack = Self::named("stack");
        // What a killed test left.
        stack.compose(&DOWN);
        stack.compose(
            &[
                &["up", "--build", "--detach", "--wait"][..],
                &stack.services(),
            ]
            .concat(),
        );
        stack
    }

    /// The services that run here.
    pub fn services(&self) -> Vec<&'static str> {
        let mut services = SERVICES.to_vec();
        if *GRAFANA_IS_HERE {
            services.push("grafana");
        }
        services
    }

    /// Runs `docker compose` and returns what it printed; its failure fails the test.
    pub fn compose(&self, arguments: &[&str]) -> String {
        succeed(self.command(arguments))
    }

    /// Runs experiments in the stack, one after the other, and returns their report.
    pub fn experiment(&self, arguments: &[&str]) -> Value {
        let run = ["run", "--rm", "-T", "experiment"];
        let mut command = self.command(&[&run, arguments, &["--format", "json"]].concat());
        // It fails where a prediction does, and that is in the report.
        let output = command.output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            let errors = String::from_utf8_lossy(&output.stderr);
            panic!("{arguments:?}: no report ({error}):\n{errors}")
        })
    }

    /// Whether a command succeeds in a service's container.
    pub fn exec(&self, service: &str, command: &[&str]) -> bool {
        let mut exec = self.command(&[&["exec", "-T", service], command].concat());
        exec.output().unwrap().status.success()
    }

    /// The address on this machine of a published port.
    pub fn url(&self, service: &str, port: u16) -> String {
        format!(
            "http://{}",
            self.compose(&["port", service, &port.to_string()]).trim()
        )
    }

    /// What the engine knows of these services' containers, running or not; of all if none is named.
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

    /// Where nginx sent the requests for this path, oldest first, by its access log.
    pub fn upstreams_of(&self, path: &str) -> Vec<String> {
        let log = self.compose(&["logs", "--no-log-prefix", "nginx"]);
        let requests = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ours = requests.filter(|request| request["uri"] == path);
        ours.map(|request| request["upstream_addr"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Prints what `docker compose` answers. Not compose(): to panic while unwinding would end all tests.
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

    /// A program that works on this project.
    pub fn script(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("COMPOSE_PROJECT_NAME", &self.project);
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
        // Free ports, and the article's setting whatever .env says.
        command.envs(["NGINX_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT"].map(|port| (port, "0")));
        command.envs(["SYNC_THREADS", "ASYNC_THREADS"].map(|threads| (threads, "1")));
        command
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if thread::panicking() {
            self.show(&["ps", "--all"]);
            self.show(&["logs", "--tail", "50"]);
        }
        self.show(&DOWN);
    }
}

/// Runs a program and returns what it printed; its failure fails the test.
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

fn output(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"))
}
