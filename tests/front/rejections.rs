//! Requests that the front rejects.

use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::TIMEOUT;
use crate::backend::Backend;
use crate::client::request;
use crate::lab::{Behind, Front, Lab};
use crate::message::Message;

const LARGEST: usize = 1024 * 1024;
const SHORT: Duration = Duration::from_millis(300);

pub fn a_large_body_gets_413(front: Front) {
    // The server is dead, so the request was not forwarded.
    let lab = Lab::start(front, Behind::both(Backend::dead));
    for path in ["/sync/", "/async/"] {
        let length = LARGEST + 1;
        let mut client = lab.connect();
        client.send(request(&format!(
            "POST {path}\nContent-Length: {length}\nExpect: 100-continue"
        )));
        client.response().assert_problem(413);
        lab.response_to(&format!("POST {path}\nContent-Length: 99999999999999"))
            .assert_problem(413);
    }
}

pub fn a_large_chunked_body_gets_413(front: Front) {
    let lab = Lab::echo(front);
    for path in ["/sync/", "/async/"] {
        let mut client = lab.connect();
        client.send(request(&format!("POST {path}\nTransfer-Encoding: chunked")));
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        for _ in 0..LARGEST / 0x10000 {
            client.send(&chunk);
        }
        client.send("1\r\nx\r\n");
        client.response().assert_problem(413);
    }
}

pub fn a_client_that_still_sends_gets_the_413(front: Front) {
    let lab = Lab::start(front, Behind::both(Backend::dead));
    let mut client = lab.connect();
    client.send(request("POST /sync/\nContent-Length: 20000000"));
    // Continues to send more than the buffers can hold, without reading the response.
    for _ in 0..160 {
        client.send(vec![b'x'; 64 * 1024]);
        thread::sleep(Duration::from_millis(2));
    }
    client.response().assert_problem(413);
}

/// A client that sends its next request on a connection that the front closes would lose it.
pub fn a_close_after_an_unread_body_is_announced(front: Front) {
    let lab = Lab::echo(front);
    for (path, length) in [
        ("/nowhere", 5),
        ("/", 5),
        ("/sync", 5),
        ("/sync/dummy", 2 * LARGEST),
        ("/async/dummy", 2 * LARGEST),
    ] {
        let mut client = lab.connect();
        client.send(request(&format!("POST {path}\nContent-Length: {length}")));
        // Many clients send head and body apart.
        thread::sleep(Duration::from_millis(30));
        client.send(vec![b'x'; length]);
        let response = client.response();
        assert!((300..500).contains(&response.status()), "{response:?}");
        if response.header("connection") != Some("close") {
            client.send(request("GET /"));
            assert_eq!(client.response().status(), 200, "{path}");
        }
    }
}

pub fn a_large_head_gets_431(front: Front) {
    let lab = Lab::echo(front);
    let field = format!("\nX-Large: {}", "x".repeat(7 * 1024));
    lab.echoed(&format!("GET /sync/{}", field.repeat(2)));
    lab.response_to(&format!("GET /sync/{}", field.repeat(6)))
        .assert_problem(431);
    lab.response_to(&format!("GET /\nX-Large: {}", "x".repeat(500_000)))
        .assert_problem(431);
}

pub fn more_than_90_fields_get_431(front: Front) {
    let lab = Lab::echo(front);
    // 90 with Host, which is already there.
    lab.echoed(&format!("GET /sync/{}", "\nX-Many: 1".repeat(89)));
    lab.response_to(&format!("GET /sync/{}", "\nX-Many: 1".repeat(90)))
        .assert_problem(431);
}

/// The front adds fields, so its limits are below those of the servers.
pub fn what_the_front_accepts_is_accepted_by_the_servers(front: Front) {
    let lab = Lab::start(front, Behind::gateways());
    for path in ["/sync/", "/async/"] {
        let many = format!(
            "GET {path}\nX-Request-ID: {}{}",
            "x".repeat(128),
            "\nX-Many: 1".repeat(88)
        );
        assert_eq!(lab.response_to(&many).status(), 200, "{path}");
        // As large as the front accepts, in steps of 256 bytes.
        let largest = |size: usize| {
            let field = |index| format!("\nX-Large-{index}: {}", "x".repeat(size / 4));
            lab.response_to(&format!(
                "GET {path}{}",
                (0..4).map(field).collect::<String>()
            ))
        };
        let sizes = (28 * 1024..34 * 1024).step_by(256);
        let rejected: Vec<_> = sizes
            .map(largest)
            .filter(|response| response.status() != 200)
            .collect();
        assert!(!rejected.is_empty());
        for response in rejected {
            response.assert_problem(431);
            // The servers' detail names their own limit.
            assert!(!response.text().contains("32768"), "{}", response.text());
        }
    }
}

/// RFC 9110, section 5.1.
pub fn lawful_field_names_are_forwarded(front: Front) {
    let lab = Lab::echo(front);
    for name in ["X!#$%&'*+.^`|~a", "X_b", "9"] {
        let echoed = lab.echoed(&format!("GET /sync/\n{name}: 1"));
        assert_eq!(
            echoed.request.header(&name.to_lowercase()),
            Some("1"),
            "{name}"
        );
    }
}

pub fn a_long_target_gets_414(front: Front) {
    let lab = Lab::echo(front);
    lab.echoed(&format!("GET /sync/{}", "x".repeat(7 * 1024)));
    lab.response_to(&format!("GET /sync/{}", "x".repeat(9 * 1024)))
        .assert_problem(414);
}

/// RFC 9112, section 3.2.2.
pub fn an_absolute_target_is_forwarded(front: Front) {
    let lab = Lab::echo(front);
    let echoed = lab.echoed("GET http://other.test/sync/dummy?a=b");
    assert_eq!(echoed.line, "GET /dummy?a=b HTTP/1.1");
    let host = echoed.request.header("x-forwarded-host");
    assert_eq!(host, Some("other.test"));
    let echoed = lab.echoed("GET http://other.test:81/sync/");
    let host = echoed.request.header("x-forwarded-host");
    assert_eq!(host, Some("other.test:81"));
}

pub fn two_body_lengths_cannot_hide_a_request(front: Front) {
    let (sender, seen) = mpsc::channel();
    let sender = Mutex::new(sender);
    let lab = Lab::start(
        front,
        Behind {
            asynchronous: Backend::start(move |mut connection| {
                while let Some(request) = connection.request() {
                    sender.lock().unwrap().send(request).unwrap();
                    connection.respond("ok");
                }
            }),
            ..Behind::echo()
        },
    );
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut client = lab.connect();
    client.send(request(&format!(
        "POST /async/first\nContent-Length: {}\nTransfer-Encoding: chunked",
        5 + smuggled.len()
    )));
    client.send(format!("0\r\n\r\n{smuggled}"));
    let first = client.response();
    assert!(matches!(first.status(), 200 | 400), "{first:?}");
    // The bytes after the first request are the client's own second request, or are discarded.
    drop(client);
    thread::sleep(Duration::from_millis(300));
    for request in seen.try_iter() {
        assert!(!request.start.contains("smuggled"), "{request:?}");
        let framings = request.all("content-length").len() + request.all("transfer-encoding").len();
        assert!(framings <= 1, "{request:?}");
    }
}

pub fn a_client_without_a_head_is_disconnected(front: Front) {
    let lab = Lab::start(front, Behind::echo().with_client_timeout(SHORT));
    for beginning in ["", "GET /sync/ HTT"] {
        let mut client = lab.connect();
        client.send(beginning);
        let start = Instant::now();
        assert!(client.is_closed_silently());
        assert!(
            (SHORT..TIMEOUT).contains(&start.elapsed()),
            "{:?}",
            start.elapsed()
        );
    }
}

pub fn a_client_with_half_a_body_is_disconnected(front: Front) {
    let (sender, closed) = mpsc::channel();
    let sender = Mutex::new(sender);
    let behind = Behind {
        sync: vec![Backend::start(move |mut connection| {
            Message::head(&mut connection.stream).unwrap().unwrap();
            let mut half = [0; 5];
            std::io::Read::read_exact(&mut connection.stream, &mut half).unwrap();
            sender.lock().unwrap().send(connection.is_closed()).unwrap();
        })],
        ..Behind::echo()
    };
    let lab = Lab::start(front, behind.with_client_timeout(SHORT));
    let mut client = lab.connect();
    client.send(request("POST /sync/\nContent-Length: 10"));
    client.send("12345");
    assert!(
        closed.recv_timeout(TIMEOUT).unwrap(),
        "the server is not let go"
    );
    // nginx closes without a response.
    match front {
        Front::Embedded => client.response().assert_problem(408),
        Front::Nginx => assert!(client.is_closed_silently()),
    }
}
