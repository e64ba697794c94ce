//! What a container may do, and who can talk to whom.

use serde_json::{Value, json};

use crate::stack::{Stack, run};

#[test]
#[ignore = "needs Docker: run make test"]
fn containers_are_healthy_and_confined() {
    let stack = Stack::up();
    let containers = stack.containers(&[]);
    assert_eq!(containers.len(), stack.services().len());
    for container in &containers {
        let name = container["Name"].as_str().unwrap();
        let host = &container["HostConfig"];
        assert_eq!(container["State"]["Health"]["Status"], "healthy", "{name}");
        assert_eq!(host["ReadonlyRootfs"], true, "{name} has a writable root");
        assert_eq!(host["CapDrop"], json!(["ALL"]), "{name}");
        assert_eq!(host["CapAdd"], Value::Null, "{name}");
        assert_eq!(host["Privileged"], false, "{name}");
        assert_eq!(
            host["SecurityOpt"],
            json!(["no-new-privileges:true"]),
            "{name}"
        );
        assert_ne!(host["Memory"], 0, "{name} has no memory limit");
        assert_eq!(host["LogConfig"]["Config"]["max-size"], "10m", "{name}");

        let user = container["Config"]["User"].as_str().unwrap();
        let uid = user.split(':').next().unwrap().parse::<u32>();
        assert!(uid.is_ok_and(|uid| uid > 0), "{name} runs as {user:?}");
    }
}

#[test]
#[ignore = "needs Docker: run make test"]
fn only_nginx_reaches_the_servers() {
    let stack = Stack::up();
    let wget = |service, url: &str| {
        stack.exec(service, &["wget", "-q", "-T", "3", "-O", "/dev/null", url])
    };
    let health = |url: &str| stack.exec("nginx-exporter", &["/threadlab", "health", url]);

    // Each refusal beside an attempt that succeeds, or a broken command would pass for a closed port.
    for server in ["sync", "async"] {
        let dummy = format!("http://{server}:8000/dummy");
        let ready = format!("http://{server}:9100/readyz");
        assert!(wget("nginx", &dummy), "nginx has to reach {dummy}");
        assert!(
            wget("prometheus", &ready),
            "Prometheus has to reach {ready}"
        );
        assert!(!wget("prometheus", &dummy), "Prometheus reaches {dummy}");
        assert!(health(&ready), "the exporter has to reach {ready}");
        assert!(!health(&dummy), "the exporter reaches {dummy}");

        // Nor by the address that it has among nginx's neighbours.
        for address in stack.addresses(server, "web") {
            let dummy = format!("http://{address}:8000/dummy");
            assert!(wget("nginx", &dummy), "nginx has to reach {dummy}");
            assert!(!wget("prometheus", &dummy), "Prometheus reaches {dummy}");
        }
    }
}

#[test]
#[ignore = "needs Docker: run make test"]
fn only_this_machine_reaches_the_stack() {
    let stack = Stack::up();
    let containers = stack.containers(&[]);
    let published: Vec<&Value> = containers
        .iter()
        .filter_map(|container| container["NetworkSettings"]["Ports"].as_object())
        .flat_map(|ports| ports.values())
        .filter_map(Value::as_array)
        .flatten()
        .collect();
    assert!(!published.is_empty());
    for port in published {
        assert_eq!(port["HostIp"], "127.0.0.1");
    }
}

#[test]
#[ignore = "needs Docker: run make test"]
fn the_image_holds_one_program_and_nothing_else() {
    let stack = Stack::named("image");
    stack.compose(&["build", "sync"]);
    let container = run("docker", &["create", "threadlab"]);
    let export = format!("docker export {} | tar -t", container.trim());
    let files = run("sh", &["-c", &export]);
    run("docker", &["rm", container.trim()]);

    // The engine adds mount points to every container.
    let added = ["dev/", "etc/", "proc/", "sys/", ".dockerenv"];
    let ours = |file: &&str| !added.iter().any(|prefix| file.starts_with(prefix));
    let ours: Vec<&str> = files.lines().filter(ours).collect();
    assert_eq!(ours, ["threadlab"]);
}
