//! Destinations of paths.

use std::io::Read;

use crate::PAGE;
use crate::backend::Backend;
use crate::lab::{Behind, Front, Lab};

pub fn only_the_prefix_is_removed(front: Front) {
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

pub fn a_missing_slash_is_added_by_redirect(front: Front) {
    let lab = Lab::echo(front);
    for (path, location) in [
        ("/sync", "/sync/"),
        ("/async?seconds=2", "/async/?seconds=2"),
    ] {
        let response = lab.response_to(&format!("GET {path}"));
        assert_eq!(response.status(), 307);
        assert_eq!(response.header("location"), Some(location));
    }
}

pub fn thread_states_come_from_the_metrics_port(front: Front) {
    let lab = Lab::start(
        front,
        Behind {
            sync_threads: Backend::responding(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n",
            ),
            ..Behind::echo()
        },
    );
    let response = lab.response_to("GET /live/sync");
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    assert_eq!(response.text(), "data: 1\n\n");
    // A client cannot reach any other path of the metrics port.
    for path in ["/live/async", "/live/async?path=/metrics"] {
        let echoed = lab.echoed(&format!("GET {path}"));
        assert_eq!(echoed.line, "GET /threads/stream HTTP/1.1");
        assert_eq!(echoed.request.header("connection"), Some("close"));
    }
}

pub fn the_documentation_comes_from_the_metrics_port(front: Front) {
    let lab = Lab::start(
        front,
        Behind {
            async_threads: Backend::responding(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1\r\n\r\na",
            ),
            ..Behind::echo()
        },
    );
    let response = lab.response_to("GET /docs/labs/article.md");
    assert_eq!(response.header("content-type"), Some("text/html"));
    assert_eq!(response.text(), "a");

    let lab = Lab::echo(front);
    let echoed = lab.echoed("GET /docs/labs/a%20b.md?c");
    assert_eq!(echoed.line, "GET /docs/labs/a%20b.md?c HTTP/1.1");
    assert_eq!(echoed.request.header("connection"), Some("close"));
    let response = lab.response_to("GET /docs?a");
    assert_eq!(response.status(), 307);
    assert_eq!(response.header("location"), Some("/docs/?a"));
}

pub fn the_page_is_served(front: Front) {
    let lab = Lab::echo(front);
    for (path, _, content_type, text) in PAGE {
        let response = lab.response_to(&format!("GET {path}"));
        assert_eq!(response.status(), 200);
        assert_eq!(response.text(), text);
        assert_eq!(response.header("content-type"), Some(content_type));
        assert_eq!(response.header("cache-control"), Some("no-cache"));
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        let policy = response.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}

pub fn the_page_is_compressed_if_the_client_accepts_it(front: Front) {
    let lab = Lab::echo(front);
    for (path, _, content_type, text) in PAGE {
        let compressed =
            |codings: &str| lab.response_to(&format!("GET {path}\nAccept-Encoding: {codings}"));
        let response = compressed("br, gzip;q=0.5");
        assert_eq!(response.status(), 200);
        assert_eq!(response.header("content-encoding"), Some("gzip"));
        assert_eq!(response.header("content-type"), Some(content_type));
        let mut plain = String::new();
        let mut decoder = flate2::read::GzDecoder::new(&*response.body);
        decoder.read_to_string(&mut plain).unwrap();
        assert_eq!(plain, text);
        let etag = response.header("etag").unwrap();
        let again = lab.response_to(&format!(
            "GET {path}\nAccept-Encoding: gzip\nIf-None-Match: {etag}"
        ));
        assert_eq!(again.status(), 304);

        for codings in ["br", "gzip;q=0"] {
            let response = compressed(codings);
            assert_eq!(response.header("content-encoding"), None, "{codings}");
            assert_eq!(response.header("vary"), Some("Accept-Encoding"));
            assert_eq!(response.text(), text);
        }
    }
}

pub fn an_unchanged_page_gets_304(front: Front) {
    let lab = Lab::echo(front);
    for (path, ..) in PAGE {
        let etag = lab
            .response_to(&format!("GET {path}"))
            .header("etag")
            .unwrap()
            .to_owned();
        let again = |tag: &str| lab.response_to(&format!("GET {path}\nIf-None-Match: {tag}"));
        let response = again(&etag);
        assert_eq!(response.status(), 304);
        assert_eq!(response.header("etag"), Some(&*etag));
        assert_eq!(again(&format!("\"other\", W/{etag}")).status(), 304);
        assert_eq!(again("\"other\"").status(), 200);
    }
}

pub fn the_page_allows_only_get_and_head(front: Front) {
    let lab = Lab::echo(front);
    for (path, ..) in PAGE {
        for method in ["POST", "PUT", "DELETE"] {
            let response = lab.response_to(&format!("{method} {path}\nContent-Length: 0"));
            response.assert_problem(405);
            assert_eq!(response.header("allow"), Some("GET, HEAD"));
        }
    }
}

pub fn other_paths_get_404(front: Front) {
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
            lab.response_to(&format!("{method} {path}\nContent-Length: 0"))
                .assert_problem(404);
        }
    }
}
