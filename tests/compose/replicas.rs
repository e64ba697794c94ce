//! Servers that are scaled up, stopped and restarted: nginx and Prometheus find them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::http::{first_event, get};
use crate::prometheus::Prometheus;
use crate::stack::Stack;
use crate::{WAIT, dummy_behind_waits, eventually};

pub fn replicas_are_found_by_nginx_and_prometheus(stack: &Stack) {
    let front = stack.url("nginx", 8080);
    let prometheus = Prometheus::at(stack.url("prometheus", 9090));

    stack.compose(&[
        "up",
        "--detach",
        "--no-recreate",
        "--scale",
        "sync=3",
        "sync",
    ]);
    let scraped = r#"count(up == 1 and on (instance) thread_wall_seconds_total{server="sync"})"#;
    eventually("Prometheus scrapes three replicas", || {
        prometheus.number(scraped) == Some(3.0)
    });
    eventually("nginx uses three replicas", || {
        get(&format!("{front}/sync/dummy"));
        BTreeSet::from_iter(stack.upstreams_of("/sync/dummy")).len() == 3
    });

    let live = format!("{front}/live/sync");
    eventually("the event stream has three replicas", || {
        first_event(&live)["replicas"] == 3
    });

    let behind_two = dummy_behind_waits(&front, "sync", 2);
    let behind_three = dummy_behind_waits(&front, "sync", 3);
    assert!(
        behind_two < Duration::from_secs(WAIT - 3),
        "a replica was free, yet it took {behind_two:?}"
    );
    assert!(
        behind_three > Duration::from_secs(WAIT - 2),
        "no replica was free, yet it took only {behind_three:?}"
    );
}

pub fn restarted_servers_are_found_at_their_new_addresses(stack: &Stack) {
    const SERVERS: [&str; 2] = ["sync", "async"];
    let front = stack.url("nginx", 8080);
    let before = SERVERS.map(|server| stack.addresses(server, "web"));

    stack.compose(&["stop", "sync", "async"]);
    for container in stack.containers(&SERVERS) {
        assert_eq!(container["State"]["ExitCode"], 0, "{}", container["Name"]);
    }
    eventually("nginx responds that the server is unavailable", || {
        let response = get(&format!("{front}/sync/dummy"));
        response.status == 502 && response.content_type == "application/problem+json"
    });

    // Docker assigns the lowest free address first: in this order each server gets another address than before.
    let mut order = SERVERS;
    if before[0] < before[1] {
        order.reverse();
    }
    stack.compose(&["rm", "--force", "sync", "async"]);
    for server in order {
        stack.compose(&["up", "--detach", server]);
    }
    let after = SERVERS.map(|server| stack.addresses(server, "web"));
    assert_ne!(
        before, after,
        "no address has changed, so this would show nothing"
    );

    for (server, addresses) in SERVERS.iter().zip(after) {
        let path = format!("/{server}/dummy");
        let expected = format!("{}:8000", addresses[0]);
        eventually("nginx finds the server again", || {
            let response = get(&format!("{front}{path}"));
            response.status == 200 && stack.upstreams_of(&path).last() == Some(&expected)
        });
    }
}
