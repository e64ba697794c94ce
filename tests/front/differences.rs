//! Odd requests, and the status that each front responds with. Where the two differ, `docs/fronts.md` has
//! the reason.

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::net::Shutdown;

use crate::client::Client;
use crate::lab::{Front, Lab};

/// The front closes the connection without a response.
const CLOSED: u16 = 0;
/// A response without a head, as in HTTP/0.9.
const WITHOUT_HEAD: u16 = 9;

/// A request, and what the fronts respond with.
struct Case {
    name: &'static str,
    /// The bytes, with a line break for each `|`. `{host}` is a Host field.
    request: &'static str,
    embedded: u16,
    nginx: u16,
    /// Reason for a difference, empty if there is none.
    reason: &'static str,
}

const fn same(name: &'static str, request: &'static str, status: u16) -> Case {
    Case {
        name,
        request,
        embedded: status,
        nginx: status,
        reason: "",
    }
}

const fn differs(
    name: &'static str,
    request: &'static str,
    embedded: u16,
    nginx: u16,
    reason: &'static str,
) -> Case {
    Case {
        name,
        request,
        embedded,
        nginx,
        reason,
    }
}

const DECODES: &str =
    "nginx decodes paths before it routes them, and rejects what it cannot decode";
const OLD: &str = "nginx responds to a request line without a version as in HTTP/0.9";
const CONTROLS: &str =
    "nginx forwards control characters other than NUL, CR and LF; the servers reject them";
const MINOR: &str = "nginx processes any minor version as HTTP/1.1; hyper knows 1.0 and 1.1";

const CASES: &[Case] = &[
    // Paths.
    same(
        "encoded path of a page file",
        "GET /live/page%2Ejs HTTP/1.1|{host}||",
        404,
    ),
    same(
        "`//` before a page file",
        "GET //live/page.js HTTP/1.1|{host}||",
        404,
    ),
    same(
        "`//` in a page file's path",
        "GET /live//page.js HTTP/1.1|{host}||",
        404,
    ),
    same(
        "`/./` in a page file's path",
        "GET /live/./page.js HTTP/1.1|{host}||",
        404,
    ),
    same(
        "`..` in a page file's path",
        "GET /live/x/../page.js HTTP/1.1|{host}||",
        404,
    ),
    differs(
        "`..` above the root",
        "GET /../live/page.js HTTP/1.1|{host}||",
        404,
        400,
        DECODES,
    ),
    differs(
        "`%zz` in a path of the page",
        "GET /live/page.js%zz HTTP/1.1|{host}||",
        404,
        400,
        DECODES,
    ),
    differs(
        "`%zz` in a path of a server",
        "GET /sync/%zz HTTP/1.1|{host}||",
        200,
        400,
        DECODES,
    ),
    differs(
        "`%00` in a path of a server",
        "GET /sync/%00 HTTP/1.1|{host}||",
        200,
        400,
        DECODES,
    ),
    same(
        "`//` in a path of a server",
        "GET /sync//a HTTP/1.1|{host}||",
        200,
    ),
    same(
        "`..` in a path of a server",
        "GET /sync/../async/a HTTP/1.1|{host}||",
        200,
    ),
    same(
        "encoded prefix of a server",
        "GET /%73ync/a HTTP/1.1|{host}||",
        404,
    ),
    same(
        "`//` before the prefix of a server",
        "GET //sync/a HTTP/1.1|{host}||",
        404,
    ),
    same(
        "encoded `/` after the prefix",
        "GET /sync%2Fa HTTP/1.1|{host}||",
        404,
    ),
    same(
        "fragment in a path of a server",
        "GET /sync/a#b HTTP/1.1|{host}||",
        200,
    ),
    same(
        "quotes and braces in a target",
        "GET /sync/\"{a} HTTP/1.1|{host}||",
        200,
    ),
    differs(
        "`<` in a target",
        "GET /sync/<a> HTTP/1.1|{host}||",
        400,
        200,
        "hyper rejects characters that no URI has; nginx forwards them, and the servers reject them",
    ),
    // Request lines.
    differs(
        "two spaces in the request line",
        "GET  /sync/ HTTP/1.1|{host}||",
        400,
        200,
        "RFC 9112, section 3 lets a server accept them, and nginx does",
    ),
    same(
        "space in the target",
        "GET /sync/a b HTTP/1.1|{host}||",
        400,
    ),
    differs("no version", "GET /sync/||", 400, WITHOUT_HEAD, OLD),
    differs("no version, page", "GET /||", 400, WITHOUT_HEAD, OLD),
    same("no request line", "hello||", 400),
    differs(
        "lower-case method",
        "get /sync/ HTTP/1.1|{host}||",
        200,
        400,
        "a method may be any token; nginx accepts upper-case letters, `-` and `_`",
    ),
    same("unknown method", "BREW /sync/ HTTP/1.1|{host}||", 200),
    differs("HTTP/1.2", "GET /sync/ HTTP/1.2|{host}||", 505, 200, MINOR),
    differs(
        "HTTP/0.9 as the version",
        "GET /sync/ HTTP/0.9|{host}||",
        505,
        400,
        "nginx takes it for a malformed version",
    ),
    same("HTTP/2.0", "GET /sync/ HTTP/2.0|{host}||", 505),
    same("lower-case `http/1.1`", "GET /sync/ http/1.1|{host}||", 400),
    same(
        "empty lines before the request line",
        "||GET /sync/ HTTP/1.1|{host}||",
        200,
    ),
    differs(
        "`ftp:` as the scheme",
        "GET ftp://front.test/sync/ HTTP/1.1|{host}||",
        400,
        200,
        "nginx ignores the scheme of an absolute target",
    ),
    same(
        "`HTTP:` as the scheme",
        "GET HTTP://front.test/sync/ HTTP/1.1|{host}||",
        200,
    ),
    same("`OPTIONS *`", "OPTIONS * HTTP/1.1|{host}||", 400),
    same("OPTIONS for the page", "OPTIONS / HTTP/1.1|{host}||", 405),
    // Hosts.
    same("empty Host", "GET /sync/ HTTP/1.1|Host:||", 400),
    same("HTTP/1.0 without a Host", "GET /sync/ HTTP/1.0||", 200),
    same(
        "HTTP/1.0 with two Hosts",
        "GET /sync/ HTTP/1.0|Host: a|Host: b||",
        400,
    ),
    same("Host with a path", "GET /sync/ HTTP/1.1|Host: a/b||", 400),
    same(
        "Host with an empty label",
        "GET /sync/ HTTP/1.1|Host: a..b||",
        400,
    ),
    same(
        "Host with a port above 65535",
        "GET /sync/ HTTP/1.1|Host: a:99999||",
        400,
    ),
    same(
        "Host with an IPv6 address",
        "GET /sync/ HTTP/1.1|Host: [::1]:80||",
        200,
    ),
    // Fields.
    differs(
        "field without a colon",
        "GET /sync/ HTTP/1.1|{host}|NoColonHere||",
        400,
        200,
        "nginx takes it for an empty field, and forwards it as one; no setting changes that",
    ),
    same(
        "field without a name",
        "GET /sync/ HTTP/1.1|{host}|: x||",
        400,
    ),
    same(
        "space before a colon",
        "GET /sync/ HTTP/1.1|{host}|X : y||",
        400,
    ),
    same("folded field", "GET /sync/ HTTP/1.1|{host}|X: a| b||", 400),
    same(
        "NUL in a value",
        "GET /sync/ HTTP/1.1|{host}|X: a\0b||",
        400,
    ),
    differs(
        "`\\x01` in a value",
        "GET /sync/ HTTP/1.1|{host}|X: a\u{1}b||",
        400,
        200,
        CONTROLS,
    ),
    differs(
        "DEL in a value",
        "GET /sync/ HTTP/1.1|{host}|X: a\u{7f}b||",
        400,
        200,
        CONTROLS,
    ),
    differs(
        "Connection that names a field",
        "GET /sync/ HTTP/1.1|{host}|Connection: X-A|X-A: 1||",
        200,
        400,
        "nginx cannot drop the named field, and must not forward it",
    ),
    // Bodies.
    differs(
        "Content-Length beside chunked",
        "POST /async/ HTTP/1.1|{host}|Content-Length: 5|Transfer-Encoding: chunked||0||",
        200,
        400,
        "RFC 9112, section 6.3 allows both: hyper drops Content-Length before it can be seen, and closes the connection",
    ),
    differs(
        "the same Content-Length twice",
        "POST /async/ HTTP/1.1|{host}|Content-Length: 2|Content-Length: 2||hi",
        200,
        400,
        "RFC 9112, section 6.3 allows both; hyper forwards it once",
    ),
    same(
        "Content-Length as a list",
        "POST /async/ HTTP/1.1|{host}|Content-Length: 2, 2||hi",
        400,
    ),
    same(
        "signed Content-Length",
        "POST /async/ HTTP/1.1|{host}|Content-Length: +2||hi",
        400,
    ),
    same(
        "chunked in HTTP/1.0",
        "POST /async/ HTTP/1.0|{host}|Transfer-Encoding: chunked||0||",
        400,
    ),
    same(
        "upper-case chunked",
        "POST /async/ HTTP/1.1|{host}|Transfer-Encoding: CHUNKED||0||",
        200,
    ),
    differs(
        "chunked, chunked",
        "POST /async/ HTTP/1.1|{host}|Transfer-Encoding: chunked, chunked||0||",
        400,
        501,
        "nginx compares the whole value with `chunked`",
    ),
    same(
        "chunk with an extension",
        "POST /async/ HTTP/1.1|{host}|Transfer-Encoding: chunked||2;a=b|hi|0||",
        200,
    ),
    same(
        "chunk of an impossible size",
        "POST /async/ HTTP/1.1|{host}|Transfer-Encoding: chunked||fffffffffffffffff|",
        400,
    ),
    // Files of the page.
    same(
        "Range for the page",
        "GET / HTTP/1.1|{host}|Range: bytes=0-3||",
        200,
    ),
    same(
        "If-Match with another tag",
        "GET / HTTP/1.1|{host}|If-Match: \"x\"||",
        412,
    ),
    same(
        "If-Match with any tag",
        "GET / HTTP/1.1|{host}|If-Match: *||",
        200,
    ),
];

/// Requests that end early; the client closes its sending side after them.
const BROKEN_OFF: &[Case] = &[same("head broken off", "GET /sync/ HTTP/1.1|Hos", CLOSED)];

fn outcome(lab: &Lab, case: &Case, ends: bool) -> u16 {
    let request = case.request.replace("{host}", "Host: front.test");
    let mut client = Client::connect(lab.address);
    client.send(request.replace('|', "\r\n"));
    if ends {
        let stream = client.stream.get_ref();
        stream.shutdown(Shutdown::Write).unwrap();
    }
    let mut start = [0; 12];
    match client.stream.read_exact(&mut start) {
        Err(_) => CLOSED,
        Ok(()) if start.starts_with(b"HTTP/1.") => {
            let status = std::str::from_utf8(&start[9..]).unwrap();
            status.parse().unwrap()
        }
        Ok(()) => WITHOUT_HEAD,
    }
}

pub fn odd_requests_have_the_statuses_of_the_table(front: Front) {
    let lab = Lab::echo(front);
    let mut wrong = String::new();
    let all = CASES.iter().map(|case| (case, false));
    for (case, ends) in all.chain(BROKEN_OFF.iter().map(|case| (case, true))) {
        let expected = match front {
            Front::Embedded => case.embedded,
            Front::Nginx => case.nginx,
        };
        let outcome = outcome(&lab, case, ends);
        if outcome != expected {
            let _ = writeln!(wrong, "{}: {outcome}, not {expected}", case.name);
        }
    }
    assert!(wrong.is_empty(), "{front:?}:\n{wrong}");
}

#[test]
fn the_page_has_each_difference_with_its_reason() {
    let text = |status| match status {
        CLOSED => "no response".to_owned(),
        WITHOUT_HEAD => "a response without a head".to_owned(),
        status => status.to_string(),
    };
    let mut table = "| request | embedded | nginx | reason |\n|---|---|---|---|\n".to_owned();
    for case in CASES.iter().chain(BROKEN_OFF) {
        let is_different = case.embedded != case.nginx;
        assert_eq!(is_different, !case.reason.is_empty(), "{}", case.name);
        if is_different {
            let (embedded, nginx) = (text(case.embedded), text(case.nginx));
            let (name, reason) = (case.name, case.reason);
            let _ = writeln!(table, "| {name} | {embedded} | {nginx} | {reason} |");
        }
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/fronts.md");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains(&table), "docs/fronts.md should have\n{table}");
}
