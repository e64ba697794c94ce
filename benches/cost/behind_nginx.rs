//! Servers behind nginx, which keeps its connections to them or opens one for each request: the CPU time of both.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use threadlab::flavor::Flavor;

use crate::address::free_address;
use crate::comparison::{SETTLE, quartiles};
use crate::cpu::{Cpus, per_response};
use crate::goal::Goals;
use crate::load::{Client, Connections, Rate};
use crate::program::Program;
use crate::server::{self, Accounting, Server};

pub(crate) const TITLE: &str = "behind nginx";

const ASYNC: &str = "async, kept";
const AXUM: &str = "axum::serve, the same app, kept";
/// Goal: CPU time of the asynchronous gateway, in that of `axum::serve`.
const AT_MOST: f64 = 1.05;

/// A server, and what nginx does with its connections to it.
struct Upstream {
    name: &'static str,
    server: Server,
    /// Use of connections by nginx.
    connections: Connections,
    /// Address at which nginx forwards to it.
    front: SocketAddr,
}

impl Upstream {
    fn new(name: &'static str, server: Server, connections: Connections) -> Self {
        Self {
            name,
            server,
            connections,
            front: free_address(),
        }
    }

    /// The part of nginx's configuration about it, which is the `index`-th.
    fn configuration(&self, index: usize) -> String {
        let (front, server) = (self.front, self.server.address);
        let (keepalive, header) = match self.connections {
            Connections::Kept => ("keepalive 64; keepalive_requests 1000000000;", r#""""#),
            Connections::PerRequest => ("", "close"),
        };
        format!(
            "upstream u{index} {{ server {server}; {keepalive} }}
             server {{
                 listen {front};
                 location / {{
                     proxy_pass http://u{index};
                     proxy_http_version 1.1;
                     proxy_set_header Connection {header};
                 }}
             }}\n"
        )
    }
}

/// A directory that is removed when it is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("threadlab-cost-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Starts nginx in one process on the CPU of the servers, with its files in this directory; `None` if it is not
/// installed.
fn start_nginx(
    upstreams: &[Upstream],
    directory: &Path,
    cpus: &Cpus,
) -> anyhow::Result<Option<Program>> {
    let all = upstreams.iter().enumerate();
    let all: String = all.map(|(index, one)| one.configuration(index)).collect();
    let path = |name: &str| directory.join(name).display().to_string();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {};", path(kind)))
        .concat();
    let configuration = format!(
        "daemon off; master_process off; pid {}; error_log stderr emerg;
         events {{}}
         http {{ access_log off; keepalive_requests 1000000000; {temporary} {all} }}\n",
        path("pid"),
    );
    let file = path("nginx.conf");
    fs::write(&file, configuration)?;
    let mut command = Command::new("nginx");
    command.args(["-c", &file, "-e", "stderr"]);
    Program::start(&mut command, upstreams[0].front, cpus)
}

/// Microseconds of CPU time per request.
#[derive(Debug, Clone, Copy)]
struct Turn {
    server: f64,
    nginx: f64,
}

/// Gives each server this many turns, in a different order in each round, and writes a table in Markdown.
pub(crate) fn measure(
    turns: usize,
    slice: Duration,
    cpus: &Cpus,
    goals: &mut Goals,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    use Connections::{Kept, PerRequest};
    let gateway =
        |flavor, connections| server::gateway(flavor, connections, Accounting::Requests, cpus);
    let upstreams = [
        Upstream::new(
            "sync, a connection per request",
            gateway(Flavor::Sync, PerRequest)?,
            PerRequest,
        ),
        Upstream::new(
            "sync with --keep-alive, kept",
            gateway(Flavor::Sync, Kept)?,
            Kept,
        ),
        Upstream::new(
            "sync with --keep-alive, a connection per request",
            gateway(Flavor::Sync, Kept)?,
            PerRequest,
        ),
        Upstream::new(ASYNC, gateway(Flavor::Async, Kept)?, Kept),
        Upstream::new(AXUM, server::axum_with_the_app(cpus)?, Kept),
    ];
    writeln!(out, "## {TITLE}\n")?;
    let directory = Directory::new()?;
    let Some(nginx) = start_nginx(&upstreams, &directory.0, cpus)? else {
        writeln!(out, "Not measured: nginx is not installed.\n")?;
        return Ok(());
    };
    let mut clients: Vec<_> = upstreams
        .iter()
        .map(|upstream| Client::new(upstream.front, Kept, Rate::Saturation))
        .collect();
    let mut measured = vec![Vec::new(); upstreams.len()];
    let mut order: Vec<usize> = (0..upstreams.len()).collect();
    // The first turn is a warm-up.
    for turn in 0..=turns {
        fastrand::shuffle(&mut order);
        for &index in &order {
            let result = self::turn(&upstreams[index], &nginx, &mut clients[index], slice)?;
            if turn > 0 {
                measured[index].push(result);
            }
        }
    }
    write(&upstreams, &measured, goals, out)?;
    Ok(())
}

fn turn(
    upstream: &Upstream,
    nginx: &Program,
    client: &mut Client,
    slice: Duration,
) -> anyhow::Result<Turn> {
    let before = (upstream.server.cpu_time()?, nginx.cpu_time()?);
    let responses = client.send_for(slice)?;
    thread::sleep(SETTLE);
    Ok(Turn {
        server: per_response(upstream.server.cpu_time()? - before.0, responses),
        nginx: per_response(nginx.cpu_time()? - before.1, responses),
    })
}

fn write(
    upstreams: &[Upstream],
    measured: &[Vec<Turn>],
    goals: &mut Goals,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(
        out,
        "| connections to the server | server, µs | nginx, µs | both, µs | ratio to the first |\n|---|--:|--:|--:|--:|"
    )?;
    let both = |turn: &Turn| turn.server + turn.nginx;
    for (upstream, turns) in upstreams.iter().zip(measured) {
        let cell = |value: fn(&Turn) -> f64| {
            let [low, median, high] = quartiles(turns.iter().map(value));
            format!("{median:.1} ({low:.1} to {high:.1})")
        };
        // Paired by round, as in the comparisons.
        let pairs = turns.iter().zip(&measured[0]);
        let [_, ratio, _] = quartiles(pairs.map(|(one, first)| both(one) / both(first)));
        writeln!(
            out,
            "| {} | {} | {} | {} | {ratio:.2} |",
            upstream.name,
            cell(|turn| turn.server),
            cell(|turn| turn.nginx),
            cell(both),
        )?;
    }
    let turns_of = |name| {
        let named = upstreams.iter().position(|upstream| upstream.name == name);
        named.map_or(&[][..], |index| &measured[index])
    };
    let pairs = turns_of(ASYNC).iter().zip(turns_of(AXUM));
    let [low, ratio, high] = quartiles(pairs.map(|(one, other)| one.server / other.server));
    let goal = goals.check(&format!("{TITLE}: {ASYNC} / {AXUM}"), ratio, Some(AT_MOST));
    writeln!(
        out,
        "\n| ratio of the servers | median (quartiles) | goal | |\n|---|--:|--:|---|\n\
         | {ASYNC} / {AXUM} | {ratio:.3} ({low:.3} to {high:.3}) | {goal} |\n"
    )
}
