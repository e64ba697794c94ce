//! The minimum supported Rust version of the library: no dependency needs a newer one. Clippy's
//! `incompatible_msrv` lint checks the library's own code against the same field of its manifest.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

const LIBRARY: &str = "thread-states";

/// Parses `1.88` or `1.57.0`; a package without a `rust-version` supports any.
fn version(package: &Value) -> (u32, u32) {
    let text = package["rust_version"].as_str().unwrap_or("0.0");
    let mut parts = text.split('.').map(|part| part.parse().unwrap());
    (parts.next().unwrap(), parts.next().unwrap())
}

#[test]
fn no_dependency_of_the_library_needs_a_newer_rust() {
    let host = Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let host = String::from_utf8(host).unwrap();
    let host = host
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline", "--locked"])
        .args(["--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let by_id = |list: &Value| -> BTreeMap<String, Value> {
        let entries = list.as_array().unwrap().iter();
        let entry = |entry: &Value| (entry["id"].as_str().unwrap().to_owned(), entry.clone());
        entries.map(entry).collect()
    };
    let packages = by_id(&metadata["packages"]);
    let nodes = by_id(&metadata["resolve"]["nodes"]);
    let (root, library) = packages
        .iter()
        .find(|(_, package)| package["name"] == LIBRARY)
        .unwrap();
    let supported = version(library);
    assert!(supported > (1, 0), "{LIBRARY} declares no rust-version");

    let mut reached = BTreeMap::new();
    let mut open = vec![root.clone()];
    while let Some(id) = open.pop() {
        let package = &packages[&id];
        let name = format!("{} {}", package["name"], package["version"]);
        if reached.insert(name, version(package)).is_some() {
            continue;
        }
        // Development dependencies are not built by those who use the library.
        let is_built = |dependency: &&Value| {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            kinds.iter().any(|kind| kind["kind"] != "dev")
        };
        let dependencies = nodes[&id]["deps"].as_array().unwrap().iter();
        let ids = dependencies
            .filter(is_built)
            .map(|dependency| dependency["pkg"].as_str().unwrap().to_owned());
        open.extend(ids);
    }
    assert!(reached.len() > 20, "only {} packages", reached.len());
    reached.retain(|_, needed| *needed > supported);
    assert!(
        reached.is_empty(),
        "newer than {supported:?}, the rust-version of {LIBRARY}: {reached:?}"
    );
}
