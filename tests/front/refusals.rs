//! What the front refuses to take from a client.

use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::backend::Backend;
use crate::client::request;
use crate::lab::{Behind, Front, Lab};
use crate::message::Message;

const LARGEST: usize = 1024 * 1024;
const SHORT: Duration = Duration::from_millis(700);

pub fn a_large_body_is_refused(front: Front) {
    // The server is not even asked: it is dead.
    let lab = Lab::start(front, Behind::both(Backend::dead));
    for path in ["/sync/", "/async/"] {
        let length = LARGEST + 1;
        let mut client = lab.connect();
        client.send(request(&format!(
            "POST {path}\nContent-Length: {length}\nExpect: 100-continue"
        )));
        client.answer().assert_problem(413);
        lab.ask(&format!("POST {path}\nContent-Length: 99999999999999"))
            .assert_problem(413);
    }
}

pub fn a_large_body_without_a_length_is_refused(front: Front) {
    let lab = Lab::echo(front);
    for path in ["/sync/", "/async/"] {
        let mut client = lab.connect();
        client.send(request(&format!("POST {path}\nTransfer-Encoding: chunked")));
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        for _ in 0..LARGEST / 0x10000 {
            client.send(&chunk);
        }
        client.send("1\r\nx\r\n");
        client.answer().assert_problem(413);
    }
}

pub fn a_client_that_still_sends_gets_the_refusal(front: Front) {
    let lab = Lab::start(front, Behind::both(Backend::dead));
    let mut client = lab.connect();
    client.send(request("POST /sync/\nContent-Length: 20000000"));
    // Sends on, deaf to the answer, more than buffers can hold: all of it is taken.
    for _ in 0..160 {
        client.send(vec![b'x'; 64 * 1024]);
        thread::sleep(Duration::from_millis(2));
    }
    client.answer().assert_problem(413);
}

pub fn a_large_head_is_refused(front: Front) {
    let lab = Lab::echo(front);
    let field = format!("\nX-Large: {}", "x".repeat(7 * 1024));
    lab.echoed(&format!("GET /sync/{}", field.repeat(2)));
    lab.ask(&format!("GET /sync/{}", field.repeat(6)))
        .assert_problem(431);
    lab.ask(&format!("GET /\nX-Large: {}", "x".repeat(500_000)))
        .assert_problem(431);
}

pub fn too_many_fields_are_refused(front: Front) {
    let lab = Lab::echo(front);
    // With Host, which is there already.
    lab.echoed(&format!("GET /sync/{}", "\nX-Many: 1".repeat(99)));
    lab.ask(&format!("GET /sync/{}", "\nX-Many: 1".repeat(100)))
        .assert_problem(431);
}

pub fn a_long_target_is_refused(front: Front) {
    let lab = Lab::echo(front);
    lab.echoed(&format!("GET /sync/{}", "x".repeat(7 * 1024)));
    lab.ask(&format!("GET /sync/{}", "x".repeat(9 * 1024)))
        .assert_problem(414);
}

pub fn a_malformed_head_is_refused(front: Front) {
    let lab = Lab::echo(front);
    for malformed in [
        "GET\r\n\r\n",
        "GE(T /sync/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /sync/ HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        "GET /sync/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "GET /sync/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\r\n\r\n",
    ] {
        let mut client = lab.connect();
        client.send(malformed);
        client.answer().assert_problem(400);
        assert!(client.is_closed_silently(), "{malformed:?}");
    }
}

pub fn a_malformed_body_is_refused(front: Front) {
    let lab = Lab::echo(front);
    for path in ["/sync/", "/async/"] {
        let mut client = lab.connect();
        client.send(request(&format!("POST {path}\nTransfer-Encoding: chunked")));
        client.send("5\r\nhello\r\nno size\r\n");
        client.answer().assert_problem(400);
    }
}

pub fn a_host_is_needed(front: Front) {
    let lab = Lab::echo(front);
    for fields in ["", "Host: a\r\nHost: b\r\n"] {
        let mut client = lab.connect();
        client.send(format!("GET /sync/ HTTP/1.1\r\n{fields}\r\n"));
        client.answer().assert_problem(400);
    }
}

pub fn connect_and_trace_are_refused(front: Front) {
    let lab = Lab::echo(front);
    lab.ask("TRACE /sync/").assert_problem(405);
    lab.ask("CONNECT front.test:80").assert_problem(405);
}

pub fn two_lengths_are_one_request(front: Front) {
    let (sender, seen) = mpsc::channel();
    let sender = Mutex::new(sender);
    let lab = Lab::start(
        front,
        Behind {
            asynchronous: Backend::start(move |mut connection| {
                while let Some(request) = connection.request() {
                    sender.lock().unwrap().send(request).unwrap();
                    connection.answer("ok");
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
    let first = client.answer();
    assert!(matches!(first.status(), 200 | 400), "{first:?}");
    // What came after the end of the first is the client's own second request, or nothing.
    drop(client);
    thread::sleep(Duration::from_millis(300));
    for request in seen.try_iter() {
        assert!(!request.start.contains("smuggled"), "{request:?}");
        let framings = request.all("content-length").len() + request.all("transfer-encoding").len();
        assert!(framings <= 1, "{request:?}");
    }
}

pub fn a_client_that_sends_no_head_is_let_go(front: Front) {
    let lab = Lab::start(front, Behind::echo().with_client_timeout(SHORT));
    for beginning in ["", "GET /sync/ HTT"] {
        let mut client = lab.connect();
        client.send(beginning);
        let start = Instant::now();
        assert!(client.is_closed_silently());
        assert!(
            (SHORT..PATIENCE).contains(&start.elapsed()),
            "{:?}",
            start.elapsed()
        );
    }
}

pub fn a_client_that_sends_half_a_body_is_let_go(front: Front) {
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
        closed.recv_timeout(PATIENCE).unwrap(),
        "the server is not let go"
    );
    // nginx closes without a word.
    match front {
        Front::Embedded => client.answer().assert_problem(408),
        Front::Nginx => assert!(client.is_closed_silently()),
    }
}
