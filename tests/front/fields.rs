//! Header fields that the front removes and adds.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::backend::Backend;
use crate::client::request;
use crate::lab::{Behind, Echoed, Front, Lab};
use crate::message::Message;

pub fn origin_fields_are_added(front: Front) {
    let lab = Lab::echo(front);
    for prefix in ["/sync", "/async"] {
        let echoed = lab.echoed(&format!("GET {prefix}/"));
        let header = |name| echoed.request.header(name);
        assert_eq!(header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(header("x-forwarded-proto"), Some("http"));
        assert_eq!(header("x-forwarded-host"), Some("front.test"));
        assert_eq!(header("x-forwarded-prefix"), Some(prefix));
        assert_eq!(echoed.request.all("host").len(), 1);
    }
}

pub fn origin_fields_of_the_client_are_replaced(front: Front) {
    let lab = Lab::echo(front);
    let echoed = lab.echoed(
        "GET /sync/
        X-Forwarded-For: 1.2.3.4
        X-Forwarded-For: 5.6.7.8
        X-Forwarded-Proto: https
        X-Forwarded-Host: other.test
        X-Forwarded-Prefix: /other
        Forwarded: for=1.2.3.4",
    );
    let header = |name| echoed.request.header(name);
    assert_eq!(header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header("x-forwarded-proto"), Some("http"));
    assert_eq!(header("x-forwarded-host"), Some("front.test"));
    assert_eq!(header("x-forwarded-prefix"), Some("/sync"));
    assert!(echoed.request.all("forwarded").is_empty());
}

/// Apps behind CGI or WSGI cannot tell `_` from `-` in a name.
pub fn other_spellings_of_the_fronts_fields_are_removed(front: Front) {
    let lab = Lab::echo(front);
    let names = [
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Prefix",
        "X-Forwarded-Proto",
    ];
    for name in names.into_iter().chain(["X-Request-ID", "X-Request-Start"]) {
        let (start, end) = name.rsplit_once('-').unwrap();
        let spellings = [
            name.replace('-', "_"),
            format!("{start}_{end}"),
            name.replacen('-', "_", 1),
        ];
        let sent = spellings.map(|name| format!("\n{name}: 1.2.3.4")).concat();
        let echoed = lab.echoed(&format!("GET /sync/{sent}\nX_Other: 1"));
        let seen = echoed
            .request
            .headers
            .iter()
            .filter(|(name, _)| name.contains('_'));
        assert_eq!(
            seen.map(|(name, _)| &**name).collect::<Vec<_>>(),
            ["x_other"]
        );
    }
}

/// Returns the seconds since 1970, now and in the front's `X-Request-Start`.
fn now_and_start(lab: &Lab, head: &str) -> (f64, f64) {
    let echoed = lab.echoed(head);
    let start = echoed.request.header("x-request-start").unwrap();
    let seconds = start.strip_prefix("t=").unwrap();
    assert_eq!(seconds.split_once('.').unwrap().1.len(), 3, "{start}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    (now.as_secs_f64(), seconds.parse().unwrap())
}

pub fn the_request_start_is_added(front: Front) {
    let lab = Lab::echo(front);
    let (now, start) = now_and_start(&lab, "GET /async/");
    assert!((now - 20.0..now + 1.0).contains(&start), "{start} at {now}");
}

pub fn a_request_start_of_the_client_is_replaced(front: Front) {
    let lab = Lab::echo(front);
    let (now, start) = now_and_start(
        &lab,
        "GET /sync/\nX-Request-Start: t=1.000\nX-Request-Start: t=2.000",
    );
    assert!((now - 20.0..now + 1.0).contains(&start), "{start} at {now}");
}

/// Returns the request ID that the client gets and the one that the server gets.
fn ids(lab: &Lab, head: &str) -> (String, String) {
    let response = lab.response_to(head);
    let echoed = Echoed::from(&response);
    let id = |message: &Message| message.header("x-request-id").unwrap().to_owned();
    (id(&response), id(&echoed.request))
}

pub fn a_missing_request_id_is_created(front: Front) {
    let lab = Lab::echo(front);
    let (first, seen) = ids(&lab, "GET /sync/");
    assert_eq!(first, seen);
    assert_eq!(first.len(), 32);
    assert!(
        first.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{first}"
    );
    let (second, _) = ids(&lab, "GET /sync/");
    assert_ne!(first, second);
    let (page, error) = (lab.response_to("GET /"), lab.response_to("GET /nowhere"));
    for response in [page, error] {
        assert_eq!(response.header("x-request-id").unwrap().len(), 32);
    }
}

pub fn a_valid_request_id_is_forwarded(front: Front) {
    let lab = Lab::echo(front);
    let longest = "x".repeat(128);
    for sane in ["a", "4bf92f35-77b3_4da6.a3ce!#$%&'*+^`|~", &longest] {
        let sent = sane.to_owned();
        assert_eq!(
            ids(&lab, &format!("GET /async/\nX-Request-ID: {sane}")),
            (sent.clone(), sent)
        );
        let rejected = lab.response_to(&format!("GET /nowhere\nX-Request-ID: {sane}"));
        assert_eq!(rejected.header("x-request-id"), Some(sane));
    }
}

pub fn an_invalid_request_id_is_replaced(front: Front) {
    let lab = Lab::echo(front);
    let too_long = "x".repeat(129);
    for insane in [
        "",
        "a b",
        "a,b",
        "a;b",
        "\"a\"",
        "{a}",
        "\u{e9}",
        &too_long,
        "a\nX-Request-ID: b",
    ] {
        let (start, seen) = ids(&lab, &format!("GET /sync/\nX-Request-ID: {insane}"));
        assert_eq!(start, seen);
        assert_eq!(start.len(), 32, "{insane:?} became {start:?}");
    }
}

pub fn the_request_id_is_returned_once(front: Front) {
    let response = "HTTP/1.1 200 OK\r\nX-Request-ID: theirs\r\nContent-Length: 0\r\n\r\n";
    let lab = Lab::start(front, Behind::both(|| Backend::responding(response)));
    for path in ["/sync/", "/async/"] {
        let response = lab.response_to(&format!("GET {path}\nX-Request-ID: ours"));
        assert_eq!(response.header("x-request-id"), Some("ours"));
    }
}

pub fn hop_by_hop_fields_of_requests_are_removed(front: Front) {
    let lab = Lab::echo(front);
    for prefix in ["/sync", "/async"] {
        let echoed = lab.echoed(&format!(
            "GET {prefix}/
            Connection: keep-alive, Upgrade, HTTP2-Settings, TE
            Keep-Alive: timeout=5
            Proxy-Connection: keep-alive
            Proxy-Authorization: Basic eDp5
            TE: trailers
            Trailer: Expires
            HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA
            Upgrade: h2c"
        ));
        for name in [
            "keep-alive",
            "proxy-connection",
            "proxy-authorization",
            "te",
            "trailer",
            "http2-settings",
            "upgrade",
        ] {
            assert!(echoed.request.all(name).is_empty(), "{name}: {echoed:?}");
        }
        let connection = echoed.request.header("connection").unwrap_or("keep-alive");
        assert_eq!(
            connection,
            if prefix == "/sync" {
                "close"
            } else {
                "keep-alive"
            }
        );
    }
}

pub fn hop_by_hop_fields_of_responses_are_removed(front: Front) {
    let response = "HTTP/1.1 200 OK\r\n\
        Connection: close, Upgrade\r\n\
        Keep-Alive: timeout=5\r\n\
        Proxy-Connection: keep-alive\r\n\
        Proxy-Authenticate: Basic\r\n\
        Trailer: Expires\r\n\
        Upgrade: h2c\r\n\
        Content-Length: 2\r\n\r\nok";
    let lab = Lab::start(front, Behind::both(|| Backend::responding(response)));
    for path in ["/sync/", "/async/"] {
        let response = lab.response_to(&format!("GET {path}"));
        assert_eq!(response.text(), "ok");
        for name in [
            "keep-alive",
            "proxy-connection",
            "proxy-authenticate",
            "trailer",
            "upgrade",
        ] {
            assert!(response.all(name).is_empty(), "{name}: {response:?}");
        }
        // The front's own Connection field describes the client's connection.
        assert_ne!(
            response.header("connection").unwrap_or_default(),
            "close, Upgrade"
        );
    }
}

pub fn fields_named_by_connection_are_not_forwarded(front: Front) {
    let lab = Lab::echo(front);
    for (named, name) in [
        ("close, X-Secret", "x-secret"),
        ("closeclose", "closeclose"),
        ("TE,,Trailers", "trailers"),
    ] {
        let response = lab.response_to(&format!("GET /sync/\nConnection: {named}\n{name}: 1"));
        // nginx cannot remove an arbitrary field, so it rejects the request.
        match front {
            Front::Embedded => assert!(Echoed::from(&response).request.all(name).is_empty()),
            Front::Nginx => response.assert_problem(400),
        }
    }
    for harmless in [
        "",
        "Close",
        "keep-alive , ,upgrade,\tTE",
        "Transfer-Encoding",
    ] {
        lab.echoed(&format!("GET /sync/\nConnection: {harmless}"));
    }
}

pub fn connection_cannot_remove_fields_of_the_front(front: Front) {
    let lab = Lab::echo(front);
    let mut client = lab.connect();
    client.send(request(
        "POST /sync/
        Connection: X-Forwarded-For, X-Request-ID, X-Request-Start, Content-Length
        Content-Length: 5",
    ));
    client.send("hello");
    let response = client.response();
    if let Front::Nginx = front {
        return response.assert_problem(400);
    }
    let echoed = Echoed::from(&response);
    for name in ["x-forwarded-for", "x-request-id", "x-request-start"] {
        assert!(echoed.request.header(name).is_some(), "{name}: {echoed:?}");
    }
    assert_eq!(echoed.request.text(), "hello");
}

pub fn other_fields_are_forwarded(front: Front) {
    let response = "HTTP/1.1 201 Created\r\n\
        Content-Type: text/plain\r\n\
        Server-Timing: run;dur=1.5\r\n\
        Set-Cookie: a=1\r\n\
        Set-Cookie: b=2\r\n\
        Retry-After: 1\r\n\
        Content-Length: 2\r\n\r\nok";
    let lab = Lab::start(
        front,
        Behind {
            asynchronous: Backend::responding(response),
            ..Behind::echo()
        },
    );
    let echoed = lab.echoed(
        "GET /sync/
        Accept: text/html
        Authorization: Basic eDp5
        Cookie: a=1; b=2
        If-None-Match: \"x\"
        Range: bytes=0-1
        User-Agent: test
        Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    );
    for (name, value) in [
        ("accept", "text/html"),
        ("authorization", "Basic eDp5"),
        ("cookie", "a=1; b=2"),
        ("if-none-match", "\"x\""),
        ("range", "bytes=0-1"),
        ("user-agent", "test"),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    ] {
        assert_eq!(echoed.request.header(name), Some(value));
    }
    let response = lab.response_to("GET /async/");
    assert_eq!(response.status(), 201);
    assert_eq!(response.header("content-type"), Some("text/plain"));
    assert_eq!(response.header("server-timing"), Some("run;dur=1.5"));
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.all("date").len(), 1);
}
