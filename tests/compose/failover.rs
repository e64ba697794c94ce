//! The experiment on replicas that are killed and restarted, as `scripts/failover` runs it.

use std::cell::RefCell;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::stack::Stack;
use crate::verdicts::as_expected;

pub fn a_restart_loses_no_request_and_an_outage_in_its_place_is_detected(stack: &Stack) {
    let path = env::var("PATH").unwrap();
    if failover(stack, &path, "confirmed").is_none() {
        return;
    }

    let shim = shim();
    let path = format!("{}:{path}", shim.display());
    let Some(report) = failover(stack, &path, "contradicted") else {
        return;
    };
    let run = &report["runs"][0];
    let findings = run["findings"].as_array().unwrap();
    let lost = findings
        .iter()
        .find(|finding| finding["quantity"] == "requests lost, one restarted");
    assert_eq!(lost.unwrap()["holds"], false, "{report:#}");
}

/// Runs the script and returns the report. Repeats a run without the expected verdict. Returns `None` if the machine stays
/// busy.
fn failover(stack: &Stack, path: &str, expected: &str) -> Option<Value> {
    let last = RefCell::new(Value::Null);
    let run = || {
        let report = report(stack, path);
        let run = report["runs"][0].clone();
        last.replace(report);
        Vec::from_iter((run["verdict"] != expected).then_some(run))
    };
    as_expected(run(), |_| run()).then(|| last.take())
}

fn report(stack: &Stack, path: &str) -> Value {
    let mut script = stack.script("scripts/failover");
    script.args(["--seconds", "5", "--format", "json"]);
    let output = script.env("PATH", path).output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
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
