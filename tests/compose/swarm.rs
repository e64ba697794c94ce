//! `deploy/swarm` on a Swarm of one node.

use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::eventually;
use crate::http::{first_event, get};
use crate::load::Load;
use crate::prometheus::Prometheus;
use crate::quiet::not_verified;
use crate::stack::{build, grafana_is_here, output, run, script};

const STACK: &str = "threadlab-test";
const SERVERS: [&str; 2] = ["sync", "async"];

/// The Swarm that a test has made of this machine, until [`leave`].
static MEMBERSHIP: Mutex<Option<Membership>> = Mutex::new(None);

struct Membership {
    /// True if the bridge by which tasks reach the outside existed before.
    had_bridge: bool,
}

/// Leaves the Swarm, if a test has made one. To be called when no other stack runs: an engine that leaves a Swarm no longer
/// resolves the names of any containers that run (<https://github.com/moby/moby/issues/45144>).
pub fn leave() {
    let membership = MEMBERSHIP
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(Membership { had_bridge }) = membership else {
        return;
    };
    output("docker", &["swarm", "leave", "--force"]);
    if !had_bridge {
        output("docker", &["network", "rm", "docker_gwbridge"]);
    }
}

/// The stack in a Swarm with this machine as its only node. It is removed when this is dropped.
struct Swarm;

impl Swarm {
    /// Returns `None` if this machine is already in a Swarm.
    fn init() -> Option<Self> {
        let state = run("docker", &["info", "--format", "{{.Swarm.LocalNodeState}}"]);
        if state.trim() != "inactive" {
            not_verified(format!("Swarm: this machine is in one ({})", state.trim()));
            return None;
        }
        let bridge = output("docker", &["network", "inspect", "docker_gwbridge"]);
        run(
            "docker",
            &["swarm", "init", "--advertise-addr", "127.0.0.1"],
        );
        *MEMBERSHIP.lock().unwrap() = Some(Membership {
            had_bridge: bridge.status.success(),
        });
        Some(Self)
    }

    /// Deploys the stack, or updates it, and waits until all tasks run.
    fn deploy(&self) {
        let mut deploy = Self::script("deploy/swarm/deploy");
        deploy.args(["--resolve-image", "never"]);
        if !grafana_is_here() {
            deploy.args(["-c", "tests/compose/swarm_without_grafana.yml"]);
        }
        let output = deploy.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        eventually("all tasks run", || {
            let services = run("docker", &["service", "ls", "--format", "{{.Replicas}}"]);
            services.lines().all(|replicas| {
                let (running, wanted) = replicas.split_once('/').unwrap();
                running == wanted
            })
        });
    }

    fn script(path: &str) -> Command {
        let mut command = script(path);
        command.env("STACK", STACK);
        command.env("WEB_SUBNET", "10.71.200.0/24");
        command.envs(["SYNC_REPLICAS", "ASYNC_REPLICAS"].map(|replicas| (replicas, "2")));
        command.env("SYNC_THREADS", "64");
        command
    }

    fn url(&self, service: &str, port: u16) -> String {
        let mut url = Self::script("deploy/swarm/url");
        let output = url.args([service, &port.to_string()]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Containers of all tasks that run.
    fn containers(&self) -> Vec<Value> {
        let filter = format!("label=com.docker.stack.namespace={STACK}");
        let ids = run("docker", &["ps", "--quiet", "--filter", &filter]);
        let ids: Vec<&str> = ids.lines().collect();
        serde_json::from_str(&run("docker", &[&["inspect"], &ids[..]].concat())).unwrap()
    }

    fn containers_of(&self, service: &str) -> Vec<String> {
        let filter = format!("label=com.docker.swarm.service.name={STACK}_{service}");
        let ids = run("docker", &["ps", "--quiet", "--filter", &filter]);
        ids.lines().map(str::to_owned).collect()
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        if thread::panicking() {
            let show = ["stack", "ps", "--no-trunc", STACK];
            eprint!(
                "{}",
                String::from_utf8_lossy(&output("docker", &show).stdout)
            );
        }
        // A Swarm that is left while tasks run can leave its overlay networks behind, with which the next one fails.
        output("docker", &["stack", "rm", STACK]);
        let filter = format!("label=com.docker.stack.namespace={STACK}");
        let is_empty = |list: [&str; 2]| {
            let filter = ["--quiet", "--filter", &filter];
            let list = output("docker", &[&list[..], &filter].concat());
            list.stdout.is_empty()
        };
        wait("the stack is removed", || {
            is_empty(["ps", "--all"]) && is_empty(["network", "ls"])
        });
        let volumes = ["prometheus", "postgres"].map(|volume| format!("{STACK}_{volume}"));
        let remove = ["volume", "rm", "--force", &volumes[0], &volumes[1]];
        wait("the volumes are removed", || {
            output("docker", &remove).status.success()
        });
    }
}

/// Waits until a condition holds. Unlike [`eventually`] it never panics: a panic while unwinding would abort all tests.
fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..100 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(300));
    }
    eprintln!("not within 30 s: {what}");
}

/// Starts the same load on both servers.
fn load(front: &str) -> [Load; 2] {
    let load = SERVERS.map(|server| Load::start(format!("{front}/{server}/?seconds=2"), 25.0));
    thread::sleep(Duration::from_secs(2));
    load
}

pub fn updates_and_a_killed_task_lose_no_request_in_a_swarm() {
    // A Swarm does not build.
    build();
    let Some(swarm) = Swarm::init() else {
        return;
    };
    swarm.deploy();
    tasks_are_confined_and_not_published(&swarm);
    let front = swarm.url("nginx", 8080);
    everything_is_reached(&swarm, &front);

    // What has not changed keeps its tasks.
    let before = swarm.containers_of("nginx");
    swarm.deploy();
    assert_eq!(swarm.containers_of("nginx"), before);

    let before = SERVERS.map(|server| swarm.containers_of(server));
    let running = load(&front);
    let updates = SERVERS.map(|server| {
        let update = ["service", "update", "--force", "--quiet", "--detach=false"];
        let service = format!("{STACK}_{server}");
        thread::spawn(move || run("docker", &[&update, &[&service[..]][..]].concat()))
    });
    for update in updates {
        update.join().unwrap();
    }
    thread::sleep(Duration::from_secs(2));
    for (server, load) in SERVERS.iter().zip(running) {
        assert_eq!(load.lost(), [""; 0], "{server}: rolling update");
    }
    for (server, before) in SERVERS.iter().zip(before) {
        let after = swarm.containers_of(server);
        assert!(after.len() == 2 && !after.iter().any(|task| before.contains(task)));
    }

    let running = load(&front);
    for server in SERVERS {
        run("docker", &["kill", &swarm.containers_of(server)[0]]);
    }
    // `docker ps` may still list a killed task.
    thread::sleep(Duration::from_secs(2));
    eventually("killed tasks are replaced", || {
        SERVERS
            .iter()
            .all(|server| swarm.containers_of(server).len() == 2)
    });
    // Until nginx uses the new tasks.
    thread::sleep(Duration::from_secs(3));
    for (server, load) in SERVERS.iter().zip(running) {
        assert_eq!(load.lost(), [""; 0], "{server}: a killed task");
    }
}

fn tasks_are_confined_and_not_published(swarm: &Swarm) {
    let containers = swarm.containers();
    assert!(containers.len() >= 8, "{}", containers.len());
    for container in &containers {
        let name = container["Name"].as_str().unwrap();
        let host = &container["HostConfig"];
        assert_eq!(host["ReadonlyRootfs"], true, "{name} has a writable root");
        assert_eq!(host["CapDrop"], json!(["ALL"]), "{name}");
        assert_ne!(host["Memory"], 0, "{name} has no memory limit");
        assert!(host["PidsLimit"].as_i64() > Some(0), "{name}");
        let ports = container["NetworkSettings"]["Ports"].as_object().unwrap();
        assert!(ports.values().all(Value::is_null), "{name}: {ports:?}");
    }
    let services = run("docker", &["service", "ls", "--format", "{{.Ports}}"]);
    assert_eq!(services.trim(), "", "published ports");
}

fn everything_is_reached(swarm: &Swarm, front: &str) {
    for server in SERVERS {
        // nginx resolves the name of the server once a second.
        eventually("nginx reaches the server", || {
            get(&format!("{front}/{server}/dummy")).status == 200
        });
        let query = format!("{front}/{server}/database/asynchronous?seconds=0");
        eventually("the server reaches the database", || {
            get(&query).status == 200
        });
        assert!(first_event(&format!("{front}/live/{server}"))["threads"].is_array());
    }
    let page = get(front);
    assert_eq!((page.status, &page.content_type[..9]), (200, "text/html"));

    let prometheus = Prometheus::at(swarm.url("prometheus", 9090));
    eventually("Prometheus scrapes both replicas of both servers", || {
        let scraped = "count(count by (instance) (thread_wall_seconds_total))";
        prometheus.number(scraped) == Some(4.0)
    });
    eventually("Prometheus scrapes nginx and its exporter", || {
        prometheus.number(r#"sum(up{instance=~"nginx:8081|nginx-exporter:9113"})"#) == Some(2.0)
    });

    // The network of the metrics does not reach the servers' own port.
    let server = &swarm.containers_of("sync")[0];
    let networks = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
    let addresses = run("docker", &["inspect", "--format", networks, server]);
    let from_nginx = |url: &str| {
        let nginx = &swarm.containers_of("nginx")[0];
        let wget = ["wget", "-q", "-T", "3", "-O", "/dev/null", url];
        output("docker", &[&["exec", &nginx[..]], &wget[..]].concat())
            .status
            .success()
    };
    let from_prometheus = |url: &str| {
        let prometheus = &swarm.containers_of("prometheus")[0];
        let wget = ["wget", "-q", "-T", "3", "-O", "/dev/null", url];
        output("docker", &[&["exec", &prometheus[..]], &wget[..]].concat())
            .status
            .success()
    };
    assert!(
        addresses
            .split_whitespace()
            .any(|address| from_nginx(&format!("http://{address}:8000/dummy")))
    );
    for address in addresses.split_whitespace() {
        assert!(
            !from_prometheus(&format!("http://{address}:8000/dummy")),
            "{address}"
        );
    }
    assert!(from_prometheus("http://sync:9100/readyz"));
}
