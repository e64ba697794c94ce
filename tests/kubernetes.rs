//! `deploy/kubernetes`, held to the Compose file, nginx's configuration and Prometheus' rules. The objects themselves are
//! checked against the schemas of Kubernetes by `make schema`.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

#[path = "../examples/autoscaler/model.rs"]
mod model;

/// Set in the environment, it makes the test of the rules update `prometheus-rule.yaml`.
const UPDATE: &str = "UPDATE_DOCS";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn kubernetes() -> PathBuf {
    root().join("deploy/kubernetes")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The objects of one file.
fn objects(name: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(&kubernetes().join(name)))
        .unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The only object of a kind in a file.
fn object(name: &str, kind: &str) -> Value {
    let mut found = objects(name)
        .into_iter()
        .filter(|object| object["kind"] == kind);
    let object = found.next().unwrap_or_else(|| panic!("{name}: no {kind}"));
    assert!(found.next().is_none(), "{name}: more than one {kind}");
    object
}

fn compose() -> Value {
    serde_saphyr::from_str(&read(&root().join("docker-compose.yml"))).unwrap()
}

fn strings(value: &Value) -> Vec<&str> {
    let values = value.as_array().into_iter().flatten();
    values.map(|value| value.as_str().unwrap()).collect()
}

fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let mut containers = pod["containers"].as_array().unwrap().iter();
    containers.find(|each| each["name"] == name).unwrap()
}

/// Environment variables of a container.
fn environment(container: &Value) -> BTreeMap<&str, &str> {
    let variables = container["env"].as_array().into_iter().flatten();
    variables
        .map(|variable| {
            let text = |key: &str| variable[key].as_str().unwrap();
            (text("name"), text("value"))
        })
        .collect()
}

/// Seconds of a Compose duration such as `35s`.
fn seconds(duration: &Value) -> u64 {
    let text = duration.as_str().unwrap();
    text.strip_suffix('s').unwrap().parse().unwrap()
}

/// The pods of a Deployment or Job with the file and the object's name.
fn pods() -> Vec<(String, Value)> {
    let mut pods = Vec::new();
    for name in [
        "base/sync.yaml",
        "base/async.yaml",
        "base/nginx.yaml",
        "base/postgres.yaml",
        "experiment/job.yaml",
    ] {
        for object in objects(name) {
            if ["Deployment", "Job"].contains(&object["kind"].as_str().unwrap()) {
                pods.push((name.to_owned(), object["spec"]["template"]["spec"].clone()));
            }
        }
    }
    assert_eq!(pods.len(), 5);
    pods
}

#[test]
fn servers_run_as_in_compose() {
    let compose = compose();
    for server in ["sync", "async"] {
        let there = &compose["services"][server];
        let pod = &object(&format!("base/{server}.yaml"), "Deployment")["spec"]["template"]["spec"];
        let here = container(pod, "server");
        assert_eq!(strings(&here["args"]), strings(&there["command"]));
        assert_eq!(memory(here), "512Mi");
        assert_eq!(there["mem_limit"], "512m");
        let here = environment(here);
        for same in ["THREADLAB_METRICS", "THREADLAB_DATABASE"] {
            assert_eq!(here[same], there["environment"][same], "{server}: {same}");
        }
        let (_, port) = here["THREADLAB_LISTEN"].split_once(':').unwrap();
        let listen = there["environment"]["THREADLAB_LISTEN"].as_str().unwrap();
        assert_eq!(port, listen.split_once(':').unwrap().1);
        assert_eq!(here["THREADLAB_THREADS"], "1");
    }
}

#[test]
fn postgresql_runs_as_in_compose() {
    let there = &compose()["services"]["postgres"];
    let pod = &object("base/postgres.yaml", "Deployment")["spec"]["template"]["spec"];
    let here = container(pod, "postgres");
    assert_eq!(here["image"], there["image"]);
    assert_eq!(strings(&here["args"]), strings(&there["command"]));
    let variables = there["environment"].as_object().unwrap();
    let variables = variables.iter();
    let variables = variables.map(|(name, value)| (name.as_str(), value.as_str().unwrap()));
    assert_eq!(environment(here), variables.collect());
    let check = strings(&there["healthcheck"]["test"]);
    for probe in ["readinessProbe", "livenessProbe"] {
        let command = strings(&here[probe]["exec"]["command"]);
        assert_eq!(command, check[1..], "{probe}");
    }
    assert_eq!(memory(here), "512Mi");
    assert_eq!(there["mem_limit"], "512m");
    let user = &pod["securityContext"];
    assert_eq!(
        there["user"],
        format!("{}:{}", user["runAsUser"], user["runAsGroup"])
    );

    // What Compose mounts from the repository or as a temporary file system is a volume, too.
    let volumes = [strings(&there["tmpfs"]), strings(&there["volumes"])].concat();
    let targets = volumes.iter().map(|volume| {
        let mut parts = volume.split(':');
        match parts.next().unwrap() {
            target if target.starts_with('/') => target,
            _ => parts.next().unwrap(),
        }
    });
    let mounts = here["volumeMounts"].as_array().unwrap().iter();
    let mounts: BTreeSet<&str> = mounts
        .map(|mount| mount["mountPath"].as_str().unwrap())
        .collect();
    assert_eq!(mounts, targets.collect());
    assert_eq!(generated("postgres"), repository_files("postgres"));
}

/// Files of a ConfigMap that kustomize generates, relative to `deploy/kubernetes/base`.
fn generated(name: &str) -> BTreeSet<String> {
    let kustomization = object("base/kustomization.yaml", "Kustomization");
    let mut maps = kustomization["configMapGenerator"]
        .as_array()
        .unwrap()
        .iter();
    let map = maps.find(|map| map["name"] == name).unwrap();
    let files = strings(&map["files"]).into_iter();
    files.map(str::to_owned).collect()
}

/// Files of a folder, relative to `deploy/kubernetes/base`.
fn repository_files(path: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(path)).unwrap();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    entries
        .map(|entry| format!("../../../{path}/{}", name(entry.unwrap())))
        .collect()
}

fn memory(container: &Value) -> &str {
    container["resources"]["limits"]["memory"].as_str().unwrap()
}

/// The two servers differ in their name only, so a change of one must be made to the other.
#[test]
fn the_servers_have_the_same_objects() {
    let text = |server: &str| read(&kubernetes().join(format!("base/{server}.yaml")));
    assert_eq!(text("async").replace("async", "sync"), text("sync"));
}

#[test]
fn images_have_the_versions_of_compose() {
    let compose = compose();
    let nginx = &object("base/nginx.yaml", "Deployment")["spec"]["template"]["spec"];
    assert_eq!(
        container(nginx, "nginx")["image"],
        compose["services"]["nginx"]["image"]
    );
    assert_eq!(memory(container(nginx, "nginx")), "512Mi");
    assert_eq!(compose["services"]["nginx"]["mem_limit"], "512m");
    let dockerfile = read(&root().join("Dockerfile"));
    let exporter = container(nginx, "exporter")["image"].as_str().unwrap();
    assert!(
        dockerfile.contains(&format!("FROM {exporter} AS nginx-exporter")),
        "{exporter}"
    );
}

/// Graceful shutdown has the time that the server allows itself, after the sleep before the signal.
#[test]
fn pods_have_time_to_finish_their_requests() {
    let compose = compose();
    for (server, main) in [("sync", "server"), ("async", "server"), ("nginx", "nginx")] {
        let grace = seconds(&compose["services"][server]["stop_grace_period"]);
        let pod = &object(&format!("base/{server}.yaml"), "Deployment")["spec"]["template"]["spec"];
        let sleep = &container(pod, main)["lifecycle"]["preStop"]["sleep"]["seconds"];
        let total = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
        assert!(
            total >= sleep.as_u64().unwrap() + grace,
            "{server}: {total} s"
        );
    }
}

/// Rules of the standard "restricted" (Kubernetes, "Pod Security Standards"), and what the Compose file restricts besides.
#[test]
fn pods_are_restricted() {
    let namespace = object("base/namespace.yaml", "Namespace");
    let labels = &namespace["metadata"]["labels"];
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    for (place, pod) in pods() {
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{place}");
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
            "{place}"
        );
        assert_eq!(pod["automountServiceAccountToken"], false, "{place}");
        for container in pod["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false, "{place}");
            assert_eq!(context["readOnlyRootFilesystem"], true, "{place}");
            assert_eq!(
                strings(&context["capabilities"]["drop"]),
                ["ALL"],
                "{place}"
            );
            assert!(
                container["resources"]["limits"]["memory"].is_string(),
                "{place}"
            );
        }
    }
}

/// A probe of a server's own port would wait for a thread, and would restart a server that is only busy.
#[test]
fn probes_of_servers_go_to_the_metrics_port() {
    for server in ["sync", "async"] {
        let pod = &object(&format!("base/{server}.yaml"), "Deployment")["spec"]["template"]["spec"];
        for (probe, path) in [("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")] {
            let request = &container(pod, "server")[probe]["httpGet"];
            assert_eq!(request["port"], "metrics", "{server}: {probe}");
            assert_eq!(request["path"], path, "{server}: {probe}");
        }
    }
}

/// nginx reads the files of Compose. Only the names of the servers and of the DNS service differ.
#[test]
fn nginx_has_the_files_of_compose() {
    let mut nginx = repository_files("nginx");
    assert!(nginx.remove("../../../nginx/upstreams.conf"));
    // It finds out the DNS server, whose name is known here.
    assert!(nginx.remove("../../../nginx/start.sh"));
    nginx.insert("upstreams.conf".to_owned());
    assert_eq!(generated("nginx"), nginx);
    assert_eq!(generated("page"), repository_files("src/live/page"));

    let directives = |path: PathBuf| -> Vec<String> {
        let text = read(&path);
        let lines = text
            .lines()
            .map(|line| line.split('#').next().unwrap().trim());
        lines
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let translated: Vec<String> = directives(root().join("nginx/upstreams.conf"))
        .into_iter()
        .map(|line| {
            let resolver = "resolver kube-dns.kube-system.svc.cluster.local valid=1s ipv6=off;";
            line.replace("include /tmp/resolver.conf;", resolver)
                .replace("server sync:", "server sync.threadlab.svc.cluster.local:")
                .replace("server async:", "server async.threadlab.svc.cluster.local:")
        })
        .collect();
    assert_eq!(
        directives(kubernetes().join("base/upstreams.conf")),
        translated
    );
}

/// The same connections are possible as between the services of the Compose file, and no others.
#[test]
fn policies_mirror_the_networks() {
    let policies: BTreeMap<String, Value> = objects("base/network-policies.yaml")
        .into_iter()
        .chain(objects("monitoring/network-policies.yaml"))
        .map(|policy| {
            let name = policy["metadata"]["name"].as_str().unwrap().to_owned();
            (name, policy["spec"].clone())
        })
        .collect();
    let deny = &policies["default-deny"];
    assert_eq!(deny["podSelector"], serde_json::json!({}));
    assert_eq!(strings(&deny["policyTypes"]), ["Ingress", "Egress"]);
    assert!(deny["ingress"].is_null() && deny["egress"].is_null());

    // Who may connect to what, by the rules for the side that accepts.
    let allowed = |policy: &str| -> BTreeSet<(String, String)> {
        let mut pairs = BTreeSet::new();
        for rule in policies[policy]["ingress"].as_array().unwrap() {
            for from in rule["from"].as_array().unwrap() {
                for port in rule["ports"].as_array().unwrap() {
                    let labels = &from["podSelector"]["matchLabels"];
                    let text = |value: &Value| value.as_str().unwrap().to_owned();
                    pairs.insert((text(&labels["app.kubernetes.io/name"]), text(&port["port"])));
                }
            }
        }
        pairs
    };
    let pairs = |expected: &[(&str, &str)]| -> BTreeSet<(String, String)> {
        let owned = |(from, port): &(&str, &str)| ((*from).to_owned(), (*port).to_owned());
        expected.iter().map(owned).collect()
    };
    let web = [
        ("nginx", "http"),
        ("nginx", "metrics"),
        ("experiment", "http"),
        ("experiment", "metrics"),
    ];
    assert_eq!(allowed("servers"), pairs(&web));
    assert_eq!(allowed("nginx"), pairs(&[("experiment", "http")]));
    let scraped = [
        ("prometheus", "metrics"),
        ("prometheus", "status"),
        ("prometheus", "exporter"),
    ];
    assert_eq!(allowed("prometheus"), pairs(&scraped));
    let servers = &policies["servers"]["egress"];
    assert_eq!(servers.as_array().unwrap().len(), 1, "{servers}");
    let database = &servers[0]["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"];
    assert_eq!(*database, "postgres");
    assert_eq!(
        policies["database"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"],
        serde_json::json!({"threadlab": "server"})
    );
    // PostgreSQL opens no connections.
    assert!(policies["database"]["egress"].is_null());
    let outside = &policies["prometheus"]["ingress"][0]["from"][0]["namespaceSelector"];
    assert_eq!(
        outside["matchLabels"]["kubernetes.io/metadata.name"],
        "monitoring"
    );
}

/// The Compose file's Prometheus scrapes every second, and its rules need that.
#[test]
fn pods_are_scraped_like_in_compose() {
    let prometheus: Value =
        serde_saphyr::from_str(&read(&root().join("prometheus/prometheus.yml"))).unwrap();
    let mut jobs = BTreeSet::new();
    for monitor in objects("monitoring/pod-monitors.yaml") {
        for endpoint in monitor["spec"]["podMetricsEndpoints"].as_array().unwrap() {
            assert_eq!(
                endpoint["interval"],
                prometheus["global"]["scrape_interval"]
            );
            assert_eq!(
                endpoint["scrapeTimeout"],
                prometheus["global"]["scrape_timeout"]
            );
        }
        // The value of this label of the pods becomes the label "job", unless a rule replaces it.
        let job = match monitor["spec"]["jobLabel"].as_str().unwrap() {
            "app.kubernetes.io/part-of" => "threadlab",
            "app.kubernetes.io/name" => monitor["metadata"]["name"].as_str().unwrap(),
            other => panic!("{other}"),
        };
        for endpoint in monitor["spec"]["podMetricsEndpoints"].as_array().unwrap() {
            let rules = endpoint["relabelings"].as_array().into_iter().flatten();
            let rules: Vec<_> = rules.collect();
            let replaced = rules.iter().find(|rule| rule["targetLabel"] == "job");
            let job = replaced.map_or(job, |rule| rule["replacement"].as_str().unwrap());
            jobs.insert(job.to_owned());
            if job == "threadlab" {
                let named = rules.iter().any(|rule| rule["targetLabel"] == "server");
                assert!(named && endpoint["honorLabels"] == true);
            }
        }
    }
    let there = prometheus["scrape_configs"].as_array().unwrap().iter();
    let there = there.map(|job| job["job_name"].as_str().unwrap().to_owned());
    let ours = |job: &String| job != "prometheus";
    assert_eq!(jobs, there.filter(ours).collect());
}

#[test]
fn dashboards_of_the_lab_are_config_maps() {
    let component = object("monitoring/kustomization.yaml", "Component");
    let maps = component["configMapGenerator"].as_array().unwrap().iter();
    let here: BTreeSet<&str> = maps.flat_map(|map| strings(&map["files"])).collect();
    let files = fs::read_dir(root().join("grafana/dashboards")).unwrap();
    let there = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    // For services of one's own.
    let there = there.filter(|name| name != "service.json");
    let there: BTreeSet<String> = there
        .map(|name| format!("../../../grafana/dashboards/{name}"))
        .collect();
    assert_eq!(here, there.iter().map(String::as_str).collect());
}

/// `kustomize` cannot put a file into another object's fields, so the rules are copied.
#[test]
fn the_prometheus_rule_has_the_rules_of_compose() {
    let mut wanted = String::from(
        "# prometheus/rules for the Prometheus Operator. `make docs` writes this file.\n\
         apiVersion: monitoring.coreos.com/v1\n\
         kind: PrometheusRule\n\
         metadata:\n\
         \x20 name: threadlab\n\
         \x20 # kube-prometheus-stack's Prometheus selects rules with the name of its release; change it to yours.\n\
         \x20 labels: {release: kube-prometheus-stack}\n\
         spec:\n\
         \x20 groups:\n",
    );
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("prometheus/rules"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    for file in &files {
        let text = read(file);
        let (_, groups) = text.split_once("groups:\n").unwrap();
        for line in groups
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
        {
            if line.is_empty() {
                continue;
            }
            wanted.push_str("  ");
            wanted.push_str(line);
            wanted.push('\n');
        }
    }
    let path = kubernetes().join("monitoring/prometheus-rule.yaml");
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    assert!(
        read(&path) == wanted,
        "prometheus/rules has changed; run `make docs`"
    );

    let groups = &object("monitoring/prometheus-rule.yaml", "PrometheusRule")["spec"]["groups"];
    let mut there = Vec::new();
    for file in &files {
        let rules: Value = serde_saphyr::from_str(&read(file)).unwrap();
        there.extend(rules["groups"].as_array().unwrap().clone());
    }
    assert_eq!(groups.as_array().unwrap(), &there);
}

/// Both autoscalers read the same two series, which the code exports, and have the same limits.
#[test]
fn autoscalers_agree() {
    let keda = object("autoscaling/keda/scaled-object.yaml", "ScaledObject");
    let hpa = object(
        "autoscaling/hpa/horizontal-pod-autoscaler.yaml",
        "HorizontalPodAutoscaler",
    );
    let adapter: Value = serde_saphyr::from_str(&read(
        &kubernetes().join("autoscaling/hpa/adapter-rules.yaml"),
    ))
    .unwrap();
    let rule = &adapter["rules"]["external"][0];
    let expression = keda["spec"]["triggers"][0]["metadata"]["query"]
        .as_str()
        .unwrap();
    assert_eq!(
        expression.replace("namespace=\"threadlab\"", "<<.LabelMatchers>>"),
        rule["metricsQuery"].as_str().unwrap()
    );
    assert!(promql_parser::parser::parse(expression).is_ok());
    assert_eq!(
        hpa["spec"]["metrics"][0]["external"]["metric"]["name"],
        rule["name"]["as"]
    );
    assert_eq!(hpa["spec"]["minReplicas"], keda["spec"]["minReplicaCount"]);
    assert_eq!(hpa["spec"]["maxReplicas"], keda["spec"]["maxReplicaCount"]);
    assert_eq!(
        hpa["spec"]["behavior"],
        keda["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    );
    let exported: BTreeSet<&str> = thread_states::metrics::list::ALL
        .iter()
        .chain(threadlab::metrics::list::ALL)
        .map(|metric| metric.name)
        .collect();
    for name in ["thread_state_seconds_total", "tcp_accept_queue_length"] {
        assert!(
            expression.contains(name) && exported.contains(name),
            "{name}"
        );
    }
}

/// CPU time never scales a server that waits; the threads that the load needs do. The table of the page is the program's.
#[test]
fn only_the_needed_threads_scale_a_server_that_waits() {
    let outcomes = model::outcomes();
    let outcome = |load, signal| {
        let mut rows = outcomes.iter();
        let row = rows.find(|row| row.0 == load && row.1 == signal);
        &row.unwrap().2
    };
    let (cpu, threads) = (
        outcome("waits", "CPU time"),
        outcome("waits", "threads needed"),
    );
    assert_eq!(cpu.most, 1);
    assert!(cpu.over_a_second() > 0.9);
    assert!(threads.most >= 6 && threads.over_a_second() < 0.15);
    assert!(cpu.quantile(0.5) > 100.0 * threads.quantile(0.5));
    // Work that computes is scaled by both.
    assert!(outcome("computes", "CPU time").over_a_second() < 0.15);
    assert!(outcome("computes", "threads needed").over_a_second() < 0.15);
    assert!(outcome("computes", "threads needed").replica_minutes > 0.0);

    let page = read(&kubernetes().join("README.md"));
    assert!(page.contains(&model::table()), "the page's table differs");
}
