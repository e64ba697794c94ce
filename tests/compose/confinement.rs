//! Privileges of the containers, and which of them can reach which.

use std::thread;

use serde_json::{Value, json};

use crate::stack::{Stack, build, run};

pub fn containers_are_healthy_and_confined(stack: &Stack) {
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
        assert!(
            host["PidsLimit"].as_i64() > Some(0),
            "{name} may start any number of processes"
        );
        let restart = json!({"Name": "on-failure", "MaximumRetryCount": 5});
        assert_eq!(host["RestartPolicy"], restart, "{name}");
        assert_eq!(host["LogConfig"]["Config"]["max-size"], "10m", "{name}");

        let user = container["Config"]["User"].as_str().unwrap();
        let uid = user.split(':').next().unwrap().parse::<u32>();
        assert!(uid.is_ok_and(|uid| uid > 0), "{name} runs as {user:?}");
    }
}

pub fn only_nginx_reaches_the_servers(stack: &Stack) {
    let wget = |service, url: &str| {
        stack.exec(service, &["wget", "-q", "-T", "3", "-O", "/dev/null", url])
    };
    let health = |url: &str| stack.exec("nginx-exporter", &["/threadlab", "health", url]);

    // Beside each attempt that has to fail one that succeeds, or a broken command would look like a closed port.
    let of_server = |server| {
        let dummy = format!("http://{server}:8000/dummy");
        let ready = format!("http://{server}:9100/readyz");
        assert!(wget("nginx", &dummy), "nginx does not reach {dummy}");
        assert!(
            wget("prometheus", &ready),
            "Prometheus does not reach {ready}"
        );
        assert!(!wget("prometheus", &dummy), "Prometheus reaches {dummy}");
        assert!(health(&ready), "the exporter does not reach {ready}");
        assert!(!health(&dummy), "the exporter reaches {dummy}");

        // Nor at the server's address on nginx's network.
        for address in stack.addresses(server, "web") {
            let dummy = format!("http://{address}:8000/dummy");
            assert!(wget("nginx", &dummy), "nginx does not reach {dummy}");
            assert!(!wget("prometheus", &dummy), "Prometheus reaches {dummy}");
        }
    };
    // At the same time: what is closed is noticed after 3 s.
    thread::scope(|scope| {
        scope.spawn(|| of_server("sync"));
        scope.spawn(|| of_server("async"));
    });
}

pub fn only_the_servers_reach_the_database_and_not_as_superuser(stack: &Stack) {
    let address = &stack.addresses("postgres", "database")[0];
    let psql = |user: &str| {
        let psql = ["psql", "--host", address, "--username", user, "--command"];
        stack.exec("postgres", &[&psql[..], &["SELECT 1", "lab"]].concat())
    };
    assert!(psql("lab"), "it does not listen at {address}");
    assert!(!psql("postgres"), "the superuser connects by the network");
    let may = "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = 'lab'";
    assert_eq!(stack.query(may), "f");

    let connects = |service, address: &str, port| {
        let nc = format!("busybox nc -w 3 {address} {port} </dev/null");
        stack.exec(service, &["sh", "-c", &nc])
    };
    let from = |service| {
        assert!(connects(service, "sync", "9100"), "{service}");
        assert!(!connects(service, address, "5432"), "{service}");
    };
    thread::scope(|scope| {
        scope.spawn(|| from("nginx"));
        scope.spawn(|| from("prometheus"));
    });
}

pub fn only_this_machine_reaches_the_stack(stack: &Stack) {
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

pub fn the_image_holds_one_program_and_nothing_else() {
    build();
    let container = run("docker", &["create", "threadlab-sync"]);
    let export = format!("docker export {} | tar -t", container.trim());
    let files = run("sh", &["-c", &export]);
    run("docker", &["rm", container.trim()]);

    // The engine adds mount points to every container.
    let added = ["dev/", "etc/", "proc/", "sys/", ".dockerenv"];
    let ours = |file: &&str| !added.iter().any(|prefix| file.starts_with(prefix));
    let ours: Vec<&str> = files.lines().filter(ours).collect();
    assert_eq!(ours, ["threadlab"]);
}
