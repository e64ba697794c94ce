//! Which path goes where.

use std::io::Read;

use crate::PAGE;
use crate::backend::Backend;
use crate::lab::{Behind, Front, Lab};

pub fn a_prefix_is_removed_and_nothing_else(front: Front) {
    let lab = Lab::echo(front);
    for (path, seen) in [
        ("/sync/", "/"),
        ("/async/", "/"),
        ("/sync/dummy", "/dummy"),
        ("/async/?seconds=20", "/?seconds=20"),
        (
            "/sync/a%2Fb%20c//d?e=%20f&g=/h",
            "/a%2Fb%20c//d?e=%20f&g=/h",
        ),
        ("/async/sync/", "/sync/"),
    ] {
        assert_eq!(
            lab.echoed(&format!("GET {path}")).line,
            format!("GET {seen} HTTP/1.1")
        );
    }
    assert_eq!(lab.echoed("DELETE /sync/x").line, "DELETE /x HTTP/1.1");
}

pub fn a_slash_is_added(front: Front) {
    let lab = Lab::echo(front);
    for (path, location) in [
        ("/sync", "/sync/"),
        ("/async?seconds=2", "/async/?seconds=2"),
    ] {
        let answer = lab.ask(&format!("GET {path}"));
        assert_eq!(answer.status(), 307);
        assert_eq!(answer.header("location"), Some(location));
    }
}

pub fn thread_states_come_from_the_metrics_port(front: Front) {
    let lab = Lab::start(
        front,
        Behind {
            sync_threads: Backend::answering(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n",
            ),
            ..Behind::echo()
        },
    );
    let answer = lab.ask("GET /live/sync");
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.text(), "data: 1\n\n");
    // Whatever a client asks of the metrics port, it gets this one path.
    for path in ["/live/async", "/live/async?path=/metrics"] {
        let echoed = lab.echoed(&format!("GET {path}"));
        assert_eq!(echoed.line, "GET /threads/stream HTTP/1.1");
        assert_eq!(echoed.request.header("connection"), Some("close"));
    }
}

pub fn the_page_is_served(front: Front) {
    let lab = Lab::echo(front);
    for (path, _, content_type, text) in PAGE {
        let answer = lab.ask(&format!("GET {path}"));
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text(), text);
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}

pub fn the_page_is_compressed_for_who_takes_it(front: Front) {
    let lab = Lab::echo(front);
    for (path, _, content_type, text) in PAGE {
        let ask = |codings: &str| lab.ask(&format!("GET {path}\nAccept-Encoding: {codings}"));
        let answer = ask("br, gzip;q=0.5");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        assert_eq!(answer.header("content-type"), Some(content_type));
        let mut plain = String::new();
        let mut decoder = flate2::read::GzDecoder::new(&*answer.body);
        decoder.read_to_string(&mut plain).unwrap();
        assert_eq!(plain, text);
        let etag = answer.header("etag").unwrap();
        let again = lab.ask(&format!(
            "GET {path}\nAccept-Encoding: gzip\nIf-None-Match: {etag}"
        ));
        assert_eq!(again.status(), 304);

        for codings in ["br", "gzip;q=0"] {
            let answer = ask(codings);
            assert_eq!(answer.header("content-encoding"), None, "{codings}");
            assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
            assert_eq!(answer.text(), text);
        }
    }
}

pub fn the_page_is_not_sent_twice(front: Front) {
    let lab = Lab::echo(front);
    for (path, ..) in PAGE {
        let etag = lab
            .ask(&format!("GET {path}"))
            .header("etag")
            .unwrap()
            .to_owned();
        let again = |tag: &str| lab.ask(&format!("GET {path}\nIf-None-Match: {tag}"));
        let answer = again(&etag);
        assert_eq!(answer.status(), 304);
        assert_eq!(answer.header("etag"), Some(&*etag));
        assert_eq!(again(&format!("\"other\", W/{etag}")).status(), 304);
        assert_eq!(again("\"other\"").status(), 200);
    }
}

pub fn the_page_is_only_read(front: Front) {
    let lab = Lab::echo(front);
    for (path, ..) in PAGE {
        for method in ["POST", "PUT", "DELETE"] {
            let answer = lab.ask(&format!("{method} {path}\nContent-Length: 0"));
            answer.assert_problem(405);
            assert_eq!(answer.header("allow"), Some("GET, HEAD"));
        }
    }
}

pub fn nothing_else_is_reachable(front: Front) {
    let lab = Lab::echo(front);
    for path in [
        "/metrics",
        "/healthz",
        "/readyz",
        "/threads",
        "/threads/stream",
        "/nginx_status",
        "/problem",
        "/index.html",
        "/page.js",
        "/live",
        "/live/",
        "/live/sync/",
        "/live/sync/metrics",
        "/live/other",
        "/live/page.html",
        "/syncs",
        "/Sync/",
        "/%73ync/dummy",
        "//sync/dummy",
        "/live/%73ync",
        "/.git/config",
    ] {
        for method in ["GET", "POST"] {
            lab.ask(&format!("{method} {path}\nContent-Length: 0"))
                .assert_problem(404);
        }
    }
}
