//! One list of requests for the rules of HTTP/1.1, run against everything that parses a head: both gateways, the
//! embedded front, nginx and the metrics port. Where one of them deviates, `docs/conformance.md` has the reason.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test may fail, and nothing outside of it can reach in"
)]

mod cases;
#[path = "../common/fronts/mod.rs"]
mod fronts;
#[path = "../common/lab.rs"]
mod process;
mod server;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, Read};
use std::net::Shutdown;

use cases::{CASES, Case, Deviation, Outcome, Target};
use fronts::backend::SERVED;
use fronts::client::Client;
use fronts::message::Message;
use serde_json::Value;
use server::Server;

/// Returns the outcome of a case on this connection, in the form of [`expected`].
fn outcome(case: &Case, target: Target, mut client: Client, [path, post]: [&str; 2]) -> String {
    let request = case.request.replace('|', "\r\n");
    let request = request.replace("{host}", "Host: localhost");
    let request = request.replace("{path}", path).replace("{post}", post);
    client.send(&request);
    if case.ends {
        let stream = client.stream.get_ref();
        stream.shutdown(Shutdown::Write).unwrap();
    }
    match client.stream.fill_buf() {
        Err(error) => return error.to_string(),
        Ok([]) => return "closed".to_owned(),
        Ok(bytes) if !bytes.starts_with(b"HTTP/1.") => return "without a head".to_owned(),
        Ok(_) => {}
    }
    let response = client.response();
    let status = response.status();
    let outcome = match (response.header(SERVED), target) {
        (Some(_), _) => format!("served {}", response.text()),
        (None, Target::Metrics) if (200..300).contains(&status) => "served".to_owned(),
        (None, _) => status.to_string(),
    };
    let faults = [
        fault_of_form(&response, target),
        fault_of_end(&mut client, &response, &request, path),
    ];
    faults
        .into_iter()
        .flatten()
        .fold(outcome, |all, fault| format!("{all}, {fault}"))
}

fn expected(outcome: Outcome, target: Target) -> String {
    match outcome {
        Outcome::Served(_) if target == Target::Metrics => "served".to_owned(),
        Outcome::Served(text) => format!("served {text}"),
        Outcome::Status(status) => status.to_string(),
        Outcome::WithoutHead => "without a head".to_owned(),
        Outcome::Closed => "closed".to_owned(),
    }
}

/// Every response has a date (RFC 9110, section 6.6.1), and every error the form of RFC 9457. A front adds one request
/// ID.
fn fault_of_form(response: &Message, target: Target) -> Option<String> {
    let ids = usize::from(matches!(target, Target::Embedded | Target::Nginx));
    if response.header("date").is_none() || response.all("x-request-id").len() != ids {
        return Some(format!(
            "without a date or with another request ID: {response:?}"
        ));
    }
    let status = response.status();
    if status < 400 {
        return None;
    }
    let is_problem = response.header("content-type") == Some("application/problem+json");
    let problem: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let is_text = |member: &Value| member.as_str().is_some_and(|text| text.len() > 3);
    let is_whole =
        problem["status"] == status && is_text(&problem["title"]) && is_text(&problem["detail"]);
    (!is_problem || !is_whole).then(|| format!("in another form: {response:?}"))
}

/// After a response that announces its end, the connection closes without another response and without a reset.
/// Otherwise it serves the next request, so nothing of the first one was left (RFC 9112, sections 9.3 and 9.6).
fn fault_of_end(
    client: &mut Client,
    response: &Message,
    request: &str,
    path: &str,
) -> Option<String> {
    let connection = response.header("connection");
    if connection == Some("close")
        || request.contains("HTTP/1.0") && connection != Some("keep-alive")
    {
        let mut rest = Vec::new();
        let end = client.stream.read_to_end(&mut rest);
        let rest = String::from_utf8_lossy(&rest);
        (end.is_err() || !rest.is_empty()).then(|| format!("then {end:?}, {rest}"))
    } else {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let next = Message::response(&mut client.stream);
        let is_served = next.as_ref().is_ok_and(|next| next.status() == 200);
        (!is_served).then(|| format!("then {next:?} after {:?}", response.headers))
    }
}

fn conform(target: Target) {
    conform_on(target, &Server::start(target), |_| {});
}

/// Sends each request on a connection that was prepared.
fn conform_on(target: Target, server: &Server, prepare: impl Fn(&mut Client)) {
    let mut wrong = String::new();
    for case in CASES.iter().filter(|case| case.targets.contains(&target)) {
        let expected = expected(case.outcome_of(target), target);
        for paths in server.paths {
            let mut client = Client::connect(server.address);
            prepare(&mut client);
            let outcome = outcome(case, target, client, *paths);
            if outcome != expected {
                let Case { rule, name, .. } = case;
                let _ = writeln!(wrong, "{rule}: {name}: {outcome}; not {expected}");
            }
        }
    }
    assert!(wrong.is_empty(), "{target:?}:\n{wrong}");
}

#[test]
fn the_synchronous_gateway_conforms() {
    conform(Target::Synchronous);
}

/// Each request is the second one of its connection.
#[test]
fn the_synchronous_gateway_conforms_on_kept_connections() {
    conform_on(Target::Synchronous, &Server::keeping(), |client| {
        client.send("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(client.response().header("connection"), None);
    });
}

#[test]
fn the_asynchronous_gateway_conforms() {
    conform(Target::Asynchronous);
}

#[test]
fn the_embedded_front_conforms() {
    conform(Target::Embedded);
}

#[test]
#[ignore = "needs nginx 1.30: run make test"]
fn nginx_conforms() {
    conform(Target::Nginx);
}

#[test]
fn the_metrics_port_conforms() {
    conform(Target::Metrics);
}

#[test]
fn the_page_has_each_deviation_with_its_reason() {
    let mut table =
        "| rule | request | required | deviation | reason |\n|---|---|---|---|---|\n".to_owned();
    for case in CASES {
        for Deviation {
            target,
            outcome,
            reason,
        } in case.deviations
        {
            let Case { rule, name, .. } = case;
            assert!(
                case.targets.contains(target) && case.outcome != *outcome,
                "{name}"
            );
            let (required, found) = (described(case.outcome), described(*outcome));
            let target = described_target(*target);
            let _ = writeln!(
                table,
                "| {rule} | {name} | {required} | {target}: {found} | {reason} |"
            );
        }
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conformance.md");
    let page = fs::read_to_string(page).unwrap();
    assert!(
        page.contains(&table),
        "docs/conformance.md should have\n{table}"
    );
    let count = format!("{} requests", CASES.len());
    assert!(
        page.contains(&count),
        "docs/conformance.md should say {count}"
    );
}

fn described(outcome: Outcome) -> String {
    match outcome {
        Outcome::Served(_) => "served".to_owned(),
        Outcome::Status(status) => status.to_string(),
        Outcome::WithoutHead => "a response without a head".to_owned(),
        Outcome::Closed => "no response".to_owned(),
    }
}

fn described_target(target: Target) -> &'static str {
    match target {
        Target::Synchronous => "synchronous gateway",
        Target::Asynchronous => "asynchronous gateway",
        Target::Embedded => "embedded front",
        Target::Nginx => "nginx",
        Target::Metrics => "metrics port",
    }
}
