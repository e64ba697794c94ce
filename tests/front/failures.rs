//! Responses when a server fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::TIMEOUT;
use crate::backend::Backend;
use crate::client::request;
use crate::lab::{Behind, Front, Lab};
use crate::message::Message;

const SHORT: Duration = Duration::from_millis(300);

pub fn a_dead_server_is_a_bad_gateway(front: Front) {
    let lab = Lab::start(
        front,
        Behind {
            sync_threads: Backend::dead(),
            ..Behind::both(Backend::dead)
        },
    );
    for path in ["/sync/", "/async/dummy", "/live/sync"] {
        lab.response_to(&format!("GET {path}")).assert_problem(502);
        lab.response_to(&format!("POST {path}\nContent-Length: 0"))
            .assert_problem(502);
    }
    // Other servers are not affected.
    lab.echoed("GET /live/async");
}

pub fn garbage_is_a_bad_gateway(front: Front) {
    let garbage: &[&str] = match front {
        Front::Embedded => &[
            "HTTP/9.9 what\r\n\r\n",
            "\r\n\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ],
        // nginx treats other garbage as an HTTP/0.9 response, which cannot be configured.
        Front::Nginx => &["HTTP/1.1 200 OK\r\nno colon\r\n\r\n"],
    };
    for &garbage in garbage {
        let lab = Lab::start(front, Behind::both(|| Backend::responding(garbage)));
        for path in ["/sync/", "/async/"] {
            lab.response_to(&format!("GET {path}")).assert_problem(502);
        }
    }
}

pub fn an_early_close_is_a_bad_gateway(front: Front) {
    for beginning in ["", "HTTP/1.1 200 OK\r\nContent-"] {
        let lab = Lab::start(front, Behind::both(|| Backend::responding(beginning)));
        for path in ["/sync/", "/async/"] {
            lab.response_to(&format!("GET {path}")).assert_problem(502);
        }
    }
}

/// Starts a server that never responds, and returns its counter of requests.
pub fn silent() -> (Backend, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let backend = Backend::start(move |mut connection| {
        while connection.request().is_some() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (backend, taken)
}

pub fn a_slow_server_is_a_gateway_timeout(front: Front) {
    let behind = Behind {
        sync_threads: silent().0,
        ..Behind::both(|| silent().0)
    };
    let lab = Lab::start(front, behind.with_upstream_timeout(SHORT));
    for path in ["/sync/", "/async/", "/live/sync"] {
        let start = Instant::now();
        lab.response_to(&format!("GET {path}")).assert_problem(504);
        assert!(start.elapsed() >= SHORT, "{:?}", start.elapsed());
    }
}

pub fn a_slow_request_is_not_repeated(front: Front) {
    let (backend, taken) = silent();
    let (other, _) = silent();
    let behind = Behind {
        sync: vec![backend],
        asynchronous: other,
        ..Behind::echo()
    };
    let lab = Lab::start(front, behind.with_upstream_timeout(SHORT));
    lab.response_to("GET /sync/").assert_problem(504);
    thread::sleep(SHORT * 2);
    assert_eq!(taken.load(Ordering::SeqCst), 1);
}

pub fn error_responses_of_a_server_are_forwarded(front: Front) {
    for status in [400, 404, 405, 413, 422, 431, 500, 502, 503, 504] {
        let response = format!(
            "HTTP/1.1 {status} Theirs\r\nContent-Type: application/problem+json\r\n\
             Retry-After: 7\r\nContent-Length: 15\r\n\r\n{{\"theirs\":true}}"
        );
        let lab = Lab::start(
            front,
            Behind::both(|| Backend::responding(response.clone())),
        );
        for path in ["/sync/", "/async/"] {
            let response = lab.response_to(&format!("GET {path}"));
            assert_eq!(response.status(), status);
            assert_eq!(response.text(), "{\"theirs\":true}");
            assert_eq!(response.header("retry-after"), Some("7"));
        }
    }
}

pub fn a_full_accept_queue_is_a_gateway_timeout(front: Front) {
    let behind = Behind {
        sync: vec![Backend::full()],
        ..Behind::echo()
    };
    let lab = Lab::start(front, behind.with_connect_timeout(SHORT));
    lab.response_to("GET /sync/").assert_problem(504);
}

/// Returns whether the client can detect that the response is incomplete.
fn is_cut_off(lab: &Lab, path: &str) -> bool {
    let mut client = lab.connect();
    client.send(request(&format!("GET {path}")));
    let start = Instant::now();
    let response = Message::response(&mut client.stream);
    assert!(
        start.elapsed() < TIMEOUT,
        "the front holds on to a broken response"
    );
    response.is_err()
}

pub fn an_interrupted_response_is_not_completed(front: Front) {
    for begun in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
    ] {
        let lab = Lab::start(front, Behind::both(|| Backend::responding(begun)));
        assert!(is_cut_off(&lab, "/sync/"), "{begun}");
        assert!(is_cut_off(&lab, "/async/"), "{begun}");
    }
}

pub fn a_stalled_response_is_not_completed(front: Front) {
    let stalling = || {
        Backend::start(|mut connection| {
            connection.request();
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
            assert!(
                connection.is_closed(),
                "the front holds on to a stalled response"
            );
        })
    };
    let lab = Lab::start(front, Behind::both(stalling).with_upstream_timeout(SHORT));
    assert!(is_cut_off(&lab, "/sync/"));
    assert!(is_cut_off(&lab, "/async/"));
}
