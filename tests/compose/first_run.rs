//! Conditions that a first `docker compose up` meets on other machines: IPv6, a second build, busy or stopped servers.

use std::thread;
use std::time::Duration;

use crate::eventually;
use crate::http::get;
use crate::stack::{Stack, output, versions};

/// Path of nginx's status port that probes the way to a server.
const PROBES: [&str; 2] = ["/health/sync", "/health/async"];

fn probe_succeeds(stack: &Stack, path: &str) -> bool {
    let url = format!("http://127.0.0.1:8081{path}");
    let wget = ["wget", "-q", "-T", "3", "-O", "/dev/null", &url];
    stack.exec("nginx", &wget)
}

pub fn the_health_check_of_nginx_fails_if_a_server_is_gone_but_not_if_it_is_blocked(stack: &Stack) {
    let front = stack.url("nginx", 8080);
    let blocked = ["sync", "async"].map(|server| {
        let url = format!("{front}/{server}/blocking?seconds=5");
        thread::spawn(move || get(&url).status)
    });
    thread::sleep(Duration::from_millis(500));
    for path in PROBES {
        assert!(probe_succeeds(stack, path), "{path} of a blocked server");
    }
    for request in blocked {
        assert_eq!(request.join().unwrap(), 200);
    }
    for (server, path) in ["sync", "async"].into_iter().zip(PROBES) {
        stack.compose(&["kill", server]);
        // nginx caches an address for a second.
        eventually("the probe of a killed server fails", || {
            !probe_succeeds(stack, path)
        });
        stack.compose(&["up", "--detach", server]);
        eventually("the probe of a restarted server succeeds", || {
            probe_succeeds(stack, path)
        });
    }
}

pub fn the_doctor_finds_a_killed_server(stack: &Stack) {
    let faults = || {
        let output = stack.script("scripts/doctor").output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        // Grafana is missing where its image is. Where the engine has few open files, that is no fault of the stack.
        let ours = |line: &&str| {
            line.starts_with("FAULT") && !line.contains("grafana") && !line.contains("open")
        };
        let faults: Vec<String> = printed.lines().filter(ours).map(str::to_owned).collect();
        (faults, output.status.code())
    };
    assert_eq!(faults().0, [""; 0]);
    stack.compose(&["kill", "sync"]);
    let (found, code) = faults();
    assert_eq!(code, Some(1), "{found:?}");
    for expected in ["is exited with exit code 137", "nginx does not reach sync"] {
        assert!(
            found.iter().any(|fault| fault.contains(expected)),
            "{found:?}"
        );
    }
}

pub fn requests_reach_the_servers_in_networks_with_ipv6() {
    let stack = Stack::up_with("ipv6", "tests/compose/ipv6.yml");
    let front = stack.url("nginx", 8080);
    for server in ["sync", "async"] {
        for path in [
            "dummy",
            "database/synchronous?seconds=0",
            "database/asynchronous?seconds=0",
        ] {
            let response = get(&format!("{front}/{server}/{path}"));
            assert_eq!(response.status, 200, "{server}/{path}: {}", response.body);
        }
    }
}

/// Services with an image of our program, with tags of their own in `first_build.yml`.
const BUILT: [&str; 4] = ["sync", "async", "experiment", "nginx-exporter"];

/// A stack whose images no other one uses, so that they can be built and removed while others run.
fn first_build() -> Stack {
    let mut stack = Stack::named("first-build");
    stack.add_file("tests/compose/first_build.yml");
    stack
}

/// Runs `docker image` with all images of [`first_build`].
fn with_images(command: &[&str]) -> bool {
    let images = BUILT.map(|service| format!("threadlab-first-build-{service}"));
    let images = images.each_ref().map(String::as_str);
    output("docker", &[&["image"], command, &images].concat())
        .status
        .success()
}

pub fn a_build_without_changes_recreates_no_container() {
    let stack = first_build();
    stack.start(&["--build"]);
    let ids = || stack.compose(&["ps", "--all", "--quiet"]);
    let before = ids();
    stack.start(&["--build"]);
    assert_eq!(ids(), before);
    drop(stack);
    with_images(&["rm", "--force"]);
}

/// The first build of a user: no image is there, and Compose builds all of them at once. With one tag for several services
/// most rounds failed in the containerd image store.
pub fn builds_of_all_services_at_once_succeed() {
    let stack = first_build();
    for _ in 0..5 {
        with_images(&["rm", "--force"]);
        // Not `build`: without buildx, that does not build an image without provenance on an older engine.
        let up = ["--profile", "*", "up", "--build", "--no-start"];
        stack.compose(&[&up, &BUILT[..]].concat());
        assert!(with_images(&["inspect"]), "an image is missing");
    }
    drop(stack);
    with_images(&["rm", "--force"]);
}

/// Images that are exported under one tag at the same time fail in Docker's containerd image store.
pub fn no_two_services_build_one_tag() {
    let stack = Stack::named("config");
    let config = stack.compose(&["--profile", "*", "config", "--format", "json"]);
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let services = config["services"].as_object().unwrap().values();
    let mut tags: Vec<&str> = services
        .filter(|service| service["build"].is_object())
        .map(|service| service["image"].as_str().unwrap())
        .collect();
    assert!(tags.len() > 3, "{tags:?}");
    tags.sort_unstable();
    let all = tags.len();
    tags.dedup();
    assert_eq!(tags.len(), all, "{tags:?}");
}

/// A difference is printed and is no failure: stand-ins have the versions of Debian's packages.
pub fn images_have_the_pinned_versions_or_the_difference_is_printed() {
    let versions = versions();
    assert_eq!(versions.len(), 3, "{versions:?}");
    for (image, pinned, found) in versions {
        if pinned != found {
            eprintln!("\nNOT THE PINNED VERSION: {image} {pinned} contains {found}.");
        }
    }
}
