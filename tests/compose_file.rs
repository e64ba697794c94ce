//! Settings of `docker-compose.yml` and the `Dockerfile` that machines other than that of the tests need:
//! SELinux, other processors, Grafana's memory.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use serde_json::Value;

const DOCKERFILE: &str = include_str!("../Dockerfile");
const COMPOSE_FILE: &str = include_str!("../docker-compose.yml");
const DATASOURCE: &str = include_str!("../grafana/provisioning/datasources/prometheus.yml");

fn services() -> serde_json::Map<String, Value> {
    let file: Value = serde_saphyr::from_str(COMPOSE_FILE).unwrap();
    file["services"].as_object().unwrap().clone()
}

#[test]
fn mounted_files_get_a_label_that_all_containers_may_read() {
    let mut mounted = 0;
    for (name, service) in services() {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let volume = volume.as_str().unwrap();
            // Sockets and named volumes are not files of this repository.
            if volume.starts_with("./") {
                let options: BTreeSet<&str> =
                    volume.rsplit(':').next().unwrap().split(',').collect();
                // Without `z`, SELinux denies a container the files of a home directory.
                assert_eq!(options, BTreeSet::from(["ro", "z"]), "{name}: {volume}");
                mounted += 1;
            }
        }
    }
    assert!(mounted > 4, "{mounted} mounts");
}

#[test]
fn the_image_is_built_for_the_processor_of_the_compiler() {
    // The output of `uname -m` is not a target of Rust on 32-bit ARM (armv7l), RISC-V (riscv64), POWER (ppc64le) and
    // 32-bit x86 (i686).
    assert!(DOCKERFILE.contains("rustc --print host-tuple"));
    for guess in ["uname", "TARGETARCH", "x86_64", "aarch64"] {
        assert!(!DOCKERFILE.contains(guess), "{guess}");
    }
}

#[test]
fn compose_watch_builds_again_for_each_path_that_the_image_is_built_from() {
    let file: Value = serde_saphyr::from_str(COMPOSE_FILE).unwrap();
    let watched = file["x-develop"]["watch"].as_array().unwrap().iter();
    let watched = watched.filter(|watch| watch["action"] == "rebuild");
    let watched: BTreeSet<&str> = watched
        .map(|watch| watch["path"].as_str().unwrap())
        .collect();
    let copies = DOCKERFILE
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|copy| !copy.starts_with("--from"));
    // The last word is the destination.
    let sources = copies.flat_map(|copy| {
        let words: Vec<&str> = copy.split(' ').collect();
        words[..words.len() - 1].to_vec()
    });
    assert_eq!(watched, sources.collect::<BTreeSet<_>>());
}

#[test]
fn grafana_fits_its_memory() {
    let grafana = &services()["grafana"];
    let environment = |name: &str| grafana["environment"][name].as_str().unwrap().to_owned();
    let disabled = environment("GF_PLUGINS_DISABLE_PLUGINS");
    let disabled: BTreeSet<&str> = disabled.split(',').map(str::trim).collect();
    // Those that Grafana 13.2.3 bundles, each a process of 22 to 38 MB, except for Prometheus.
    assert_eq!(disabled.len(), 17, "{disabled:?}");
    let used: Value = serde_saphyr::from_str(DATASOURCE).unwrap();
    for source in used["datasources"].as_array().unwrap() {
        let plugin = source["type"].as_str().unwrap();
        assert!(!disabled.contains(plugin), "{plugin} is used");
    }
    assert_eq!(environment("GF_SERVER_ENABLE_GZIP"), "false");
    assert_eq!(grafana["mem_limit"], "512m");
}

/// With only the root as search domain, which systemd-resolved writes, Prometheus would ask for `flask..`, and log an
/// error every few seconds.
#[test]
fn prometheus_has_no_search_domains_of_the_machine() {
    assert_eq!(services()["prometheus"]["dns_search"], ".");
}
