//! `scripts/doctor` finds each fault that it is for. The programs that it calls are fakes, which describe a stack that
//! is healthy except for the fault of the test. `tests/compose` runs it on the real stack.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The parts of the repository that the script reads.
const MOUNTED: [&str; 5] = [
    "nginx",
    "src/live/page",
    "prometheus",
    "postgres",
    "grafana",
];

const CONFIG: &str = "name: threadlab
services:
  async:
    build:
      context: .
    image: threadlab-async
  grafana:
    image: grafana/grafana:1
    ports:
      - mode: ingress
        published: \"3000\"
  nginx:
    image: nginx:1
    ports:
      - mode: ingress
        published: \"8080\"
  sync:
    build:
      context: .
    image: threadlab-sync
networks:
  web:
";

const CONTAINERS: &str = "sync /lab-sync-1 running healthy 0 false 0 65536 null
async /lab-async-1 running healthy 0 false 0 65536 null
nginx /lab-nginx-1 running healthy 0 false 0 65536 null
nginx-exporter /lab-nginx-exporter-1 running healthy 0 false 0 65536 [\"NO_PROXY=*\"]
prometheus /lab-prometheus-1 running healthy 0 false 0 65536 null
postgres /lab-postgres-1 running healthy 0 false 0 65536 null
grafana /lab-grafana-1 running healthy 0 false 0 65536 [\"NO_PROXY=*\"]
";

/// Prints the file of the same name as what was asked for; a file `.fails` beside it is the exit code.
const DOCKER: &str = r#"#!/bin/sh
reply() {
    cat "$FAKES/$1" 2>/dev/null
    [ ! -e "$FAKES/$1.fails" ] || exit 1
    exit 0
}
case "$*" in
--version) reply command ;;
version) reply version ;;
"version "*) reply engine ;;
info*) reply info ;;
inspect*) reply containers ;;
"buildx version") reply buildx ;;
"compose version"*) reply compose ;;
*" config") reply config ;;
"compose ps"*) reply ids ;;
"compose port nginx"*) echo 127.0.0.1:8080 ;;
"compose port prometheus"*) echo 127.0.0.1:9090 ;;
*/etc/resolv.conf) reply nameserver ;;
*/tmp/resolver.conf) reply resolver ;;
*"getent hosts sync") reply names ;;
*"getent hosts async") echo 10.0.0.3 async ;;
*/health/sync) reply health ;;
*/health/async) ;;
*logs*nginx) reply nginx.log ;;
*logs*sync) reply server.log ;;
*) echo "unexpected: $*" >&2; exit 99 ;;
esac
"#;

const CURL: &str = r#"#!/bin/sh
for url; do :; done
case "$url" in
*/query) cat "$FAKES/sample" ;;
*/sync) printf 307 ;;
*/dummy) cat "$FAKES/status" ;;
*/database/*) cat "$FAKES/query" ;;
*) exit "$(cat "$FAKES/listener")" ;;
esac
"#;

/// The service manager of the user, which runs or does not.
const SYSTEMCTL: &str = r#"#!/bin/sh
exit "$(cat "$FAKES/systemd")"
"#;

/// Prints whether the user's processes stay after the end of the session.
const LOGINCTL: &str = r#"#!/bin/sh
cat "$FAKES/linger"
"#;

/// A healthy stack, as its programs describe it.
struct Stack {
    directory: PathBuf,
}

impl Stack {
    fn healthy(test: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("doctor")
            .join(test);
        let _ = fs::remove_dir_all(&directory);
        let stack = Self { directory };
        for (name, text) in [
            ("bin/docker", DOCKER),
            ("bin/curl", CURL),
            ("bin/systemctl", SYSTEMCTL),
            ("bin/loginctl", LOGINCTL),
        ] {
            stack.write(name, text);
            stack.chmod(name, 0o755);
        }
        for (name, text) in [
            ("command", "Docker version 28.5.2, build 9cc6dea"),
            ("version", "Server: Docker Engine - Community"),
            ("engine", "28.5.2"),
            ("info", " Security Options:\n  seccomp\n MemoryLimit=true"),
            ("systemd", "0"),
            ("linger", "yes"),
            ("compose", "2.40.3"),
            ("buildx", "github.com/docker/buildx 0.29.1 1"),
            ("config", CONFIG),
            ("containers", CONTAINERS),
            ("ids", "1\n2\n"),
            ("nameserver", "127.0.0.11"),
            ("resolver", "127.0.0.11"),
            ("names", "10.0.0.2 sync"),
            ("nginx.log", "start worker process 7"),
            ("server.log", "threadlab: sync on http://10.0.0.2:8000"),
            ("sample", r#"{"data":{"result":[{"value":[1.5,"0.9"]}]}}"#),
            ("status", "200"),
            ("query", "200"),
            ("listener", "7"),
        ] {
            stack.write(name, text);
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/doctor");
        stack.write("lab/scripts/doctor", &fs::read_to_string(script).unwrap());
        stack.chmod("lab/scripts/doctor", 0o755);
        for mounted in MOUNTED {
            stack.write(&format!("lab/{mounted}/file"), "");
            stack.chmod(&format!("lab/{mounted}/file"), 0o644);
            stack.chmod(&format!("lab/{mounted}"), 0o755);
        }
        stack
    }

    /// A healthy stack on a Podman without root.
    #[cfg(target_os = "linux")]
    fn podman(test: &str) -> Self {
        let stack = Self::healthy(test);
        stack.write("version", "Server: linux/amd64\n Podman Engine:");
        stack.write("engine", "5.8.6");
        stack.write(
            "info",
            " Security Options:\n  seccomp\n  rootless\n MemoryLimit=true",
        );
        stack
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn replace(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.directory.join(name)).unwrap();
        assert!(text.contains(from));
        self.write(name, &text.replace(from, to));
    }

    fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.directory.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }

    fn doctor(&self) -> Output {
        let path = format!(
            "{}:{}",
            self.directory.join("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let mut doctor = Command::new(self.directory.join("lab/scripts/doctor"));
        doctor.env("PATH", path).env("FAKES", &self.directory);
        doctor.output().unwrap()
    }

    /// Asserts that the script finds exactly one fault, which contains `text`.
    fn assert_fault(&self, text: &str) {
        let output = self.doctor();
        let printed = String::from_utf8(output.stdout).unwrap();
        let faults: Vec<&str> = printed
            .lines()
            .filter(|line| line.starts_with("FAULT"))
            .collect();
        assert!(
            faults.len() == 1 && faults[0].contains(text),
            "expected {text:?}:\n{printed}"
        );
        assert!(printed.contains("\n       -> "), "no advice:\n{printed}");
        assert_eq!(output.status.code(), Some(1), "{printed}");
    }

    fn assert_healthy(&self) -> String {
        let output = self.doctor();
        let printed = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{printed}{errors}");
        assert_eq!(errors, "", "{printed}");
        printed
    }
}

#[test]
fn a_healthy_stack_has_no_fault() {
    let printed = Stack::healthy("healthy").assert_healthy();
    assert!(printed.ends_with("Nothing is wrong.\n"), "{printed}");
}

#[test]
fn a_stack_that_is_not_running_has_no_fault() {
    let stack = Stack::healthy("stopped");
    stack.write("ids", "");
    let printed = stack.assert_healthy();
    assert!(printed.contains("port 8080 is free for nginx"), "{printed}");
}

#[test]
fn a_synchronous_server_that_is_busy_is_no_fault() {
    let stack = Stack::healthy("busy");
    stack.write("status", "000");
    stack.write(
        "bin/curl",
        &CURL.replace("*/dummy) cat", "*/async/dummy) printf 200 ;;\n*/dummy) cat"),
    );
    let printed = stack.assert_healthy();
    assert!(printed.contains("its threads are held"), "{printed}");
}

/// Puts back one fault: writes `text` to the file, and expects one fault with `expected`.
#[track_caller]
fn assert_found(test: &str, file: &str, text: &str, expected: &str) {
    let stack = Stack::healthy(test);
    stack.write(file, text);
    stack.assert_fault(expected);
}

/// As [`assert_found`], with a part of the file replaced.
#[track_caller]
fn assert_found_in(test: &str, file: &str, from: &str, to: &str, expected: &str) {
    let stack = Stack::healthy(test);
    stack.replace(file, from, to);
    stack.assert_fault(expected);
}

#[test]
fn old_versions_are_found() {
    assert_found("engine", "engine", "19.3.1", "engine 19.3.1 is older");
    assert_found("compose", "compose", "2.38.2", "Compose 2.38.2 is older");
    assert_found(
        "stopped-engine",
        "engine.fails",
        "",
        "the engine cannot be reached",
    );
}

#[test]
fn a_missing_buildx_is_found() {
    let stack = Stack::healthy("buildx");
    stack.write("buildx.fails", "");
    stack.write("buildx", "");
    stack.assert_healthy();
    stack.write("compose", "5.0.0");
    stack.assert_fault("--mount requires BuildKit");
}

#[test]
fn one_tag_for_two_services_is_found() {
    let (from, to) = ("threadlab-async", "threadlab-sync");
    assert_found_in(
        "tag",
        "config",
        from,
        to,
        "several services build the tag threadlab-sync",
    );
}

#[test]
fn a_taken_port_is_found() {
    let stack = Stack::healthy("port");
    stack.write("ids", "");
    stack.write("listener", "0");
    stack.replace(
        "config",
        "      - mode: ingress\n        published: \"3000\"\n",
        "",
    );
    stack.assert_fault("port 8080 of nginx is taken");
}

/// Only on Linux do the permissions of the checkout matter to the containers.
#[test]
#[cfg(target_os = "linux")]
fn a_checkout_under_umask_077_is_found() {
    for (test, file, mode) in [
        ("umask-file", "lab/nginx/file", 0o600),
        ("umask-directory", "lab/grafana", 0o700),
    ] {
        let stack = Stack::healthy(test);
        stack.chmod(file, mode);
        stack.assert_fault("umask 077");
    }
}

#[test]
fn proxy_settings_without_exceptions_are_found() {
    let (from, to) = (
        "grafana-1 running healthy 0 false 0 65536 [\"NO_PROXY=*\"]",
        "grafana-1 running healthy 0 false 0 65536 [\"HTTP_PROXY=http://proxy:3128\"]",
    );
    assert_found_in("proxy", "containers", from, to, "to the proxy");
}

#[test]
fn an_ipv6_listener_is_found() {
    let log = "threadlab: sync on http://[fd00::2]:8000";
    let stack = Stack::healthy("ipv6");
    stack.write("server.log", log);
    // The fake has one log for both servers.
    stack.write(
        "bin/docker",
        &DOCKER.replace("*logs*sync)", "*logs*async) ;;\n*logs*sync)"),
    );
    stack.assert_fault("sync listens on an IPv6 address");
}

#[test]
fn a_killed_worker_is_found() {
    let log = "2026/01/01 00:00:00 [alert] 1#1: worker process 20 exited on signal 9";
    assert_found("worker", "nginx.log", log, "a worker of nginx was killed");
}

#[test]
fn too_few_open_files_are_found() {
    let log = "2026/01/01 00:00:00 [alert] 20#20: setrlimit(RLIMIT_NOFILE, 65536) failed";
    assert_found("setrlimit", "nginx.log", log, "may not open as many files");
    let (from, to) = (
        "nginx-1 running healthy 0 false 0 65536",
        "nginx-1 running healthy 0 false 0 1024",
    );
    assert_found_in("files", "containers", from, to, "may open 1024 files");
}

#[test]
fn another_resolver_is_found() {
    let expected = "the DNS server of the containers is 10.89.0.1";
    assert_found("resolver", "nameserver", "10.89.0.1", expected);
}

#[test]
fn a_name_that_does_not_resolve_is_found() {
    assert_found("dns", "names", "", "nginx cannot resolve sync");
}

#[test]
fn unhealthy_dead_and_paused_containers_are_found() {
    let states = [
        (
            "unhealthy",
            "running unhealthy 0 false",
            "lab-async-1 is unhealthy",
        ),
        (
            "exited",
            "exited unhealthy 137 false",
            "lab-async-1 is exited with exit code 137",
        ),
        ("paused", "paused healthy 0 false", "lab-async-1 is paused"),
        ("oom", "running healthy 0 true", "reached its memory limit"),
    ];
    for (test, state, expected) in states {
        let to = format!("/lab-async-1 {state}");
        assert_found_in(
            test,
            "containers",
            "/lab-async-1 running healthy 0 false",
            &to,
            expected,
        );
    }
    let line = "async /lab-async-1 running healthy 0 false 0 65536 null\n";
    assert_found_in("missing", "containers", line, "", "async has no container");
}

/// The article's programs have none.
#[test]
fn a_container_without_a_health_check_is_no_fault() {
    let stack = Stack::healthy("no-check");
    let running = "flask /lab-flask-1 running none 0 false 0 65536 null\n";
    stack.write("containers", &(CONTAINERS.to_owned() + running));
    let printed = stack.assert_healthy();
    assert!(printed.contains("lab-flask-1 runs"), "{printed}");
}

#[test]
fn a_server_that_nginx_does_not_reach_is_found() {
    assert_found("unreached", "health.fails", "", "nginx does not reach sync");
}

#[test]
fn a_dead_published_port_is_found() {
    let stack = Stack::healthy("dead-port");
    stack.write("bin/curl", "#!/bin/sh\nfor url; do :; done\ncase \"$url\" in\n*/query) cat \"$FAKES/sample\" ;;\n*/async/dummy) printf 200 ;;\n*) printf 000; exit 7 ;;\nesac\n");
    stack.assert_fault("port 8080 does not respond, although nginx reaches sync");
}

#[test]
fn a_database_that_the_servers_do_not_reach_is_found() {
    assert_found(
        "query",
        "query",
        "503",
        "async gets no response from the database",
    );
}

#[test]
fn a_prometheus_that_cannot_write_is_found() {
    let old = r#"{"data":{"result":[{"value":[1.5,"95.2"]}]}}"#;
    assert_found(
        "old",
        "sample",
        old,
        "the newest sample of Prometheus is 95 s old",
    );
    let none = r#"{"data":{"result":[]}}"#;
    assert_found("none", "sample", none, "no sample of the last 5 minutes");
}

/// Requirements of Podman without root. They can be checked on Linux only; elsewhere it runs in a virtual machine.
#[cfg(target_os = "linux")]
mod podman {
    use super::*;

    #[test]
    fn a_healthy_stack_has_no_fault() {
        let stack = Stack::podman("podman");
        let printed = stack.assert_healthy();
        assert!(printed.contains("ok     Podman 5.8.6"), "{printed}");
        assert!(printed.contains("with DOCKER_BUILDKIT=0"), "{printed}");
        assert!(!printed.contains("enable-linger"), "{printed}");
        // The command `docker` is Podman itself.
        stack.write("command", "podman version 5.8.6");
        let printed = stack.assert_healthy();
        assert!(printed.contains("ok     Podman builds"), "{printed}");
    }

    #[test]
    fn containers_that_end_with_the_session_are_noted() {
        let stack = Stack::podman("linger");
        stack.write("linger", "no");
        let printed = stack.assert_healthy();
        assert!(printed.contains("loginctl enable-linger"), "{printed}");
    }

    #[test]
    fn missing_health_checks_are_found() {
        let stack = Stack::podman("systemd");
        stack.write("systemd", "1");
        stack.assert_fault("runs no health checks");
    }

    #[test]
    fn missing_limits_of_memory_are_found() {
        for (test, from, to) in [
            ("memory", "MemoryLimit=true", "MemoryLimit=false"),
            // Where the command `docker` is Podman.
            ("controllers", "seccomp", "cgroupControllers: []"),
        ] {
            let stack = Stack::podman(test);
            stack.replace("info", from, to);
            stack.assert_fault("Podman cannot limit the memory");
        }
    }

    #[test]
    fn more_open_files_than_the_user_may_have_are_found() {
        let stack = Stack::podman("user-files");
        let ulimits = "    image: nginx:1\n    ulimits:\n      nofile:\n        hard: 65536\n";
        stack.replace("config", "    image: nginx:1\n", ulimits);
        stack.replace("lab/scripts/doctor", "set -u\n", "set -u\nulimit -n 1000\n");
        stack.assert_fault("containers are to open 65536 files, and their user may open 1000");
    }

    #[test]
    fn containers_of_podman_compose_are_not_called_missing() {
        let stack = Stack::podman("podman-compose");
        stack.write("compose", "podman-compose version 1.6.0");
        stack.write("ids", "");
        let printed = stack.assert_healthy();
        assert!(printed.contains("podman-compose"), "{printed}");
        assert!(!printed.contains("not running"), "{printed}");
    }
}
