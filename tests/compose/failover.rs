//! The experiment on replicas that are killed and restarted, as `scripts/failover` runs it.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::quiet::{becomes_quiet, not_verified, repeated};
use crate::stack::Stack;

pub fn a_restart_loses_no_request_and_an_outage_in_its_place_is_detected(stack: &Stack) {
    let path = env::var("PATH").unwrap();
    let Some(report) = failover(stack, &path) else {
        return;
    };
    assert_eq!(report["runs"][0]["verdict"], "confirmed", "{report:#}");

    let shim = shim();
    let Some(report) = failover(stack, &format!("{}:{path}", shim.display())) else {
        return;
    };
    let run = &report["runs"][0];
    assert_eq!(run["verdict"], "contradicted", "{report:#}");
    let findings = run["findings"].as_array().unwrap();
    let lost = findings
        .iter()
        .find(|finding| finding["quantity"] == "requests lost, one restarted");
    assert_eq!(lost.unwrap()["holds"], false, "{report:#}");
}

/// Runs the script and returns the report. Repeats a void run. Returns `None` if the machine stays busy.
fn failover(stack: &Stack, path: &str) -> Option<Value> {
    for attempt in 1..=3 {
        let mut script = stack.script("scripts/failover");
        script.args(["--seconds", "5", "--format", "json"]);
        let output = script.env("PATH", path).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let run = &report["runs"][0];
        if run["verdict"] != "void" {
            return Some(report);
        }
        let void = format!("failover is void: {}", run["notes"]);
        if attempt > 1 && !becomes_quiet() {
            not_verified(void);
            return None;
        }
        repeated(void);
    }
    panic!("void each time");
}

/// A directory with a `docker` that, instead of a graceful restart, kills all replicas and starts them again later.
fn shim() -> std::path::PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failover");
    fs::create_dir_all(&directory).unwrap();
    let docker = directory.join("docker");
    let text = "#!/bin/sh\nPATH=${PATH#*:}\n[ \"$1\" = restart ] || exec docker \"$@\"\n\
                docker compose kill async && sleep 8 && docker compose start async\n";
    fs::write(&docker, text).unwrap();
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}
