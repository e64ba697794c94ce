//! The experiment about replicas that die, as `scripts/failover` runs it.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::stack::Stack;

#[test]
#[ignore = "needs Docker: run make test"]
fn a_restart_loses_nothing_and_a_kill_in_its_place_is_noticed() {
    let stack = Stack::up();
    let path = env::var("PATH").unwrap();
    let report = failover(&stack, &path);
    assert_eq!(report["runs"][0]["verdict"], "confirmed", "{report:#}");

    let shim = shim();
    let report = failover(&stack, &format!("{}:{path}", shim.display()));
    let run = &report["runs"][0];
    assert_eq!(run["verdict"], "contradicted", "{report:#}");
    let findings = run["findings"].as_array().unwrap();
    let lost = findings
        .iter()
        .find(|finding| finding["quantity"] == "requests lost, one restarted");
    assert_eq!(lost.unwrap()["holds"], false, "{report:#}");
}

/// Repeated where the machine had no CPU for it.
fn failover(stack: &Stack, path: &str) -> Value {
    for _ in 0..3 {
        let mut script = stack.script("scripts/failover");
        script.args(["--seconds", "5", "--format", "json"]);
        let output = script.env("PATH", path).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        if report["runs"][0]["verdict"] != "void" {
            return report;
        }
    }
    panic!("void each time");
}

/// A directory with a `docker` that kills, and starts again later, what it is to restart.
fn shim() -> std::path::PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failover");
    fs::create_dir_all(&directory).unwrap();
    let docker = directory.join("docker");
    let text = "#!/bin/sh\nPATH=${PATH#*:}\n[ \"$1\" = restart ] || exec docker \"$@\"\n\
                docker kill \"$2\" && sleep 8 && docker start \"$2\"\n";
    fs::write(&docker, text).unwrap();
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}
