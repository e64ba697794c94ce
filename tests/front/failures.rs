//! What a client is told when a server fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::backend::Backend;
use crate::client::request;
use crate::lab::{Behind, Front, Lab};
use crate::message::Message;

const SHORT: Duration = Duration::from_millis(700);

pub fn a_dead_server_is_a_bad_gateway(front: Front) {
    let lab = Lab::start(
        front,
        Behind {
            sync_threads: Backend::dead(),
            ..Behind::both(Backend::dead)
        },
    );
    for path in ["/sync/", "/async/dummy", "/live/sync"] {
        lab.ask(&format!("GET {path}")).assert_problem(502);
        lab.ask(&format!("POST {path}\nContent-Length: 0"))
            .assert_problem(502);
    }
    // The others go on.
    lab.echoed("GET /live/async");
}

pub fn garbage_is_a_bad_gateway(front: Front) {
    let garbage: &[&str] = match front {
        Front::Embedded => &[
            "HTTP/9.9 what\r\n\r\n",
            "\r\n\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ],
        // What does not begin as HTTP does, nginx takes for HTTP/0.9, and can't be told not to.
        Front::Nginx => &["HTTP/1.1 200 OK\r\nno colon\r\n\r\n"],
    };
    for &garbage in garbage {
        let lab = Lab::start(front, Behind::both(|| Backend::answering(garbage)));
        for path in ["/sync/", "/async/"] {
            lab.ask(&format!("GET {path}")).assert_problem(502);
        }
    }
}

pub fn an_early_close_is_a_bad_gateway(front: Front) {
    for beginning in ["", "HTTP/1.1 200 OK\r\nContent-"] {
        let lab = Lab::start(front, Behind::both(|| Backend::answering(beginning)));
        for path in ["/sync/", "/async/"] {
            lab.ask(&format!("GET {path}")).assert_problem(502);
        }
    }
}

/// A server that takes requests and never answers, and how many it took.
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
        lab.ask(&format!("GET {path}")).assert_problem(504);
        assert!(start.elapsed() >= SHORT, "{:?}", start.elapsed());
    }
}

pub fn a_slow_answer_is_not_asked_for_twice(front: Front) {
    let (backend, taken) = silent();
    let (other, _) = silent();
    let behind = Behind {
        sync: vec![backend],
        asynchronous: other,
        ..Behind::echo()
    };
    let lab = Lab::start(front, behind.with_upstream_timeout(SHORT));
    lab.ask("GET /sync/").assert_problem(504);
    thread::sleep(SHORT * 2);
    assert_eq!(taken.load(Ordering::SeqCst), 1);
}

pub fn errors_of_a_server_pass(front: Front) {
    for status in [400, 404, 405, 413, 422, 431, 500, 502, 503, 504] {
        let answer = format!(
            "HTTP/1.1 {status} Theirs\r\nContent-Type: application/problem+json\r\n\
             Retry-After: 7\r\nContent-Length: 15\r\n\r\n{{\"theirs\":true}}"
        );
        let lab = Lab::start(front, Behind::both(|| Backend::answering(answer.clone())));
        for path in ["/sync/", "/async/"] {
            let answer = lab.ask(&format!("GET {path}"));
            assert_eq!(answer.status(), status);
            assert_eq!(answer.text(), "{\"theirs\":true}");
            assert_eq!(answer.header("retry-after"), Some("7"));
        }
    }
}

pub fn a_server_that_takes_no_connection_is_a_gateway_timeout(front: Front) {
    let behind = Behind {
        sync: vec![Backend::full()],
        ..Behind::echo()
    };
    let lab = Lab::start(front, behind.with_connect_timeout(SHORT));
    lab.ask("GET /sync/").assert_problem(504);
}

/// Whether the client can tell that the answer is not whole.
fn is_cut_off(lab: &Lab, path: &str) -> bool {
    let mut client = lab.connect();
    client.send(request(&format!("GET {path}")));
    let start = Instant::now();
    let answer = Message::answer(&mut client.stream);
    assert!(
        start.elapsed() < PATIENCE,
        "the front holds on to a broken answer"
    );
    answer.is_err()
}

pub fn an_answer_that_breaks_off_is_not_completed(front: Front) {
    for begun in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
    ] {
        let lab = Lab::start(front, Behind::both(|| Backend::answering(begun)));
        assert!(is_cut_off(&lab, "/sync/"), "{begun}");
        assert!(is_cut_off(&lab, "/async/"), "{begun}");
    }
}

pub fn an_answer_that_stalls_is_not_completed(front: Front) {
    let stalling = || {
        Backend::start(|mut connection| {
            connection.request();
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
            assert!(
                connection.is_closed(),
                "the front holds on to a stalled answer"
            );
        })
    };
    let lab = Lab::start(front, Behind::both(stalling).with_upstream_timeout(SHORT));
    assert!(is_cut_off(&lab, "/sync/"));
    assert!(is_cut_off(&lab, "/async/"));
}
