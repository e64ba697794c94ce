//! `deploy/swarm` is the stack of `docker-compose.yml`: each difference between the two files is listed here.
//! `tests/compose/swarm.rs` deploys it.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

/// Keys of a Compose service that Swarm does not have. `tests/compose/swarm.rs` asserts what follows from their absence.
const DROPPED: [&str; 5] = ["build", "depends_on", "develop", "ports", "security_opt"];

/// Keys whose values differ on purpose; the comments in `stack.yml` have the reasons.
const DIFFERENT: [(&str, &str); 5] = [
    ("sync", "/environment/THREADLAB_LISTEN"),
    ("sync", "/environment/THREADLAB_LINKS"),
    ("async", "/environment/THREADLAB_LISTEN"),
    ("async", "/environment/THREADLAB_LINKS"),
    ("nginx", "/healthcheck/test"),
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn file(path: &str) -> Value {
    yaml(&fs::read_to_string(repository().join(path)).unwrap())
}

/// Services that run without a Compose profile.
fn compose_services() -> Map<String, Value> {
    let Value::Object(services) = file("docker-compose.yml")["services"].take() else {
        panic!("no services");
    };
    let always = services
        .into_iter()
        .filter(|(_, service)| service.get("profiles").is_none());
    always.collect()
}

/// Replaces `${NAME:-DEFAULT}` by its default.
fn with_defaults(value: &Value) -> Value {
    let text = value.to_string();
    let mut parts = text.split("${");
    let mut resolved = parts.next().unwrap().to_owned();
    for part in parts {
        let (variable, rest) = part.split_once('}').unwrap();
        resolved += variable.split_once(":-").unwrap().1;
        resolved += rest;
    }
    serde_json::from_str(&resolved).unwrap()
}

/// Splits `./FOLDER:TARGET:ro`. Returns `None` for a named volume.
fn bind_mount(volume: &Value) -> Option<(&str, &str)> {
    let mut parts = volume.as_str()?.strip_prefix("./")?.split(':');
    Some((parts.next()?, parts.next()?))
}

fn list<'a>(service: &'a Value, key: &str) -> &'a [Value] {
    service
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Translates a Compose service into the terms of a Swarm.
fn translated(name: &str, service: &Value) -> Value {
    let mut result = service.as_object().unwrap().clone();
    for key in DROPPED {
        result.remove(key);
    }
    let networks: BTreeSet<String> = match result.remove("networks").unwrap() {
        Value::Array(names) => names
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect(),
        names => names.as_object().unwrap().keys().cloned().collect(),
    };
    result.insert("networks".to_owned(), json!(networks));

    let memory = result.remove("mem_limit").unwrap();
    let memory = memory.as_str().unwrap().to_uppercase();
    let limits = json!({"memory": memory, "pids": result.remove("pids_limit").unwrap()});
    result.insert("limits".to_owned(), limits);
    assert!(result.remove("restart").is_some(), "{name}");

    // A temporary file system has no options in a Swarm but its mode, which is that of /tmp.
    let tmpfs = list(service, "tmpfs").iter().map(|mount| {
        let path = mount.as_str().unwrap().split(':').next();
        json!({"type": "tmpfs", "target": path})
    });
    let volumes = list(service, "volumes").iter();
    let named = volumes
        .filter(|volume| bind_mount(volume).is_none())
        .cloned();
    let mounts: Vec<Value> = tmpfs.chain(named).collect();
    result.remove("tmpfs");
    result.insert("volumes".to_owned(), json!(mounts));
    Value::Object(result)
}

/// The service of a Swarm in the same terms.
fn plain(service: &Value) -> Value {
    let mut result = service.as_object().unwrap().clone();
    let deploy = result.remove("deploy").unwrap();
    result.insert("limits".to_owned(), deploy["resources"]["limits"].clone());
    let networks: BTreeSet<&str> = list(service, "networks")
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    result.insert("networks".to_owned(), json!(networks));
    result
        .entry("volumes".to_owned())
        .or_insert_with(|| json!([]));
    Value::Object(result)
}

/// Removes what differs on purpose, and fails if it does not differ.
fn without_differences(name: &str, compose: &mut Value, swarm: &mut Value) {
    for (_, pointer) in DIFFERENT.iter().filter(|(service, _)| *service == name) {
        assert_ne!(
            compose.pointer(pointer),
            swarm.pointer(pointer),
            "{name}{pointer}"
        );
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        for service in [&mut *compose, &mut *swarm] {
            let parent = service.pointer_mut(parent).unwrap();
            parent.as_object_mut().unwrap().remove(key);
        }
    }
}

#[test]
fn the_services_are_those_of_compose() {
    let swarm = with_defaults(&file("deploy/swarm/stack.yml"));
    let compose = compose_services();
    let swarm = swarm["services"].as_object().unwrap();
    let names = |services: &Map<String, Value>| services.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(swarm), names(&compose));
    for (name, service) in compose {
        let mut expected = with_defaults(&translated(&name, &service));
        let mut found = plain(&swarm[&name]);
        without_differences(&name, &mut expected, &mut found);
        let keys: BTreeSet<&String> = [&expected, &found]
            .iter()
            .flat_map(|service| service.as_object().unwrap().keys())
            .collect();
        for key in keys {
            assert_eq!(found.get(key), expected.get(key), "{name}: {key}");
        }
    }
}

#[test]
fn the_networks_and_volumes_are_those_of_compose() {
    let (compose, swarm) = (file("docker-compose.yml"), file("deploy/swarm/stack.yml"));
    let keys = |file: &Value, section: &str| -> Vec<String> {
        file[section].as_object().unwrap().keys().cloned().collect()
    };
    for section in ["networks", "volumes"] {
        assert_eq!(keys(&swarm, section), keys(&compose, section));
    }
    for (name, network) in swarm["networks"].as_object().unwrap() {
        let internal = |network: &Value| network.get("internal").cloned();
        assert_eq!(
            internal(network),
            internal(&compose["networks"][name]),
            "{name}"
        );
        assert_eq!(network["driver"], "overlay", "{name}");
    }
}

/// A published port of a Swarm is open on all addresses of all nodes.
#[test]
fn nothing_is_published_except_nginx_on_request() {
    let publishing = |path: &str| -> Vec<String> {
        let services = file(path)["services"].as_object().unwrap().clone();
        let publishing = services
            .into_iter()
            .filter(|(_, service)| service.get("ports").is_some());
        publishing.map(|(name, _)| name).collect()
    };
    assert_eq!(publishing("deploy/swarm/stack.yml"), [""; 0]);
    assert_eq!(publishing("deploy/swarm/publish.yml"), ["nginx"]);
}

#[test]
fn servers_are_replaced_only_when_the_new_one_is_healthy() {
    let swarm = file("deploy/swarm/stack.yml");
    for name in ["sync", "async", "nginx"] {
        let deploy = &swarm["services"][name]["deploy"];
        for config in ["update_config", "rollback_config"] {
            assert_eq!(deploy[config]["order"], "start-first", "{name}");
        }
        assert_eq!(deploy["update_config"]["failure_action"], "rollback");
    }
}

/// Files below a folder, relative to it.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let files = entries.flat_map(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files_below(&path),
            false => vec![path],
        }
    });
    files.collect()
}

#[test]
fn every_file_that_compose_mounts_is_a_config() {
    let output = Command::new(repository().join("deploy/swarm/deploy"))
        .arg("--print-configs")
        .output()
        .unwrap();
    assert!(output.status.success());
    let printed = yaml(&String::from_utf8(output.stdout).unwrap());
    let configs = printed["configs"].as_object().unwrap();
    let mut used = BTreeSet::new();
    for (name, service) in compose_services() {
        let mut expected = BTreeMap::new();
        for (folder, target) in list(&service, "volumes").iter().filter_map(bind_mount) {
            let folder = repository().join(folder);
            for file in files_below(&folder) {
                let target = Path::new(target).join(file.strip_prefix(&folder).unwrap());
                expected.insert(target, file);
            }
        }
        let mut found = BTreeMap::new();
        let service = printed["services"].get(&name).unwrap_or(&Value::Null);
        for config in list(service, "configs") {
            let source = config["source"].as_str().unwrap();
            let file = configs[source]["file"].as_str().unwrap();
            found.insert(
                PathBuf::from(config["target"].as_str().unwrap()),
                PathBuf::from(file),
            );
            used.insert(source.to_owned());
        }
        assert_eq!(found, expected, "{name}");
    }
    assert_eq!(
        configs.keys().cloned().collect::<BTreeSet<_>>(),
        used,
        "a config that no service has"
    );
    for name in used {
        assert!(name.len() <= 64, "Swarm's limit: {name}");
    }
}
