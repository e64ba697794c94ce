//! Bodies pass as they come, both ways.

use std::io::Read;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::PATIENCE;
use crate::backend::Backend;
use crate::client::request;
use crate::lab::{Behind, Echoed, Front, Lab};
use crate::message::{Message, chunk};

const LARGEST: usize = 1024 * 1024;

/// The answer to a request with this head and what is sent after it.
fn ask_with_body(lab: &Lab, head: &str, rest: &[u8]) -> Message {
    let mut client = lab.connect();
    client.send(request(head));
    client.send(rest);
    client.answer()
}

pub fn a_body_with_a_length_passes(front: Front) {
    let lab = Lab::echo(front);
    for prefix in ["/sync", "/async"] {
        let answer = ask_with_body(
            &lab,
            &format!("POST {prefix}/\nContent-Length: 5"),
            b"hello",
        );
        let echoed = Echoed::from(&answer);
        assert_eq!(echoed.request.text(), "hello");
        assert_eq!(echoed.request.header("content-length"), Some("5"));
        assert!(echoed.request.all("transfer-encoding").is_empty());
    }
}

pub fn a_chunked_body_passes(front: Front) {
    let lab = Lab::echo(front);
    for prefix in ["/sync", "/async"] {
        let head = format!("POST {prefix}/\nTransfer-Encoding: chunked");
        let answer = ask_with_body(&lab, &head, b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
        let echoed = Echoed::from(&answer);
        assert_eq!(echoed.request.text(), "hello world");
        // nginx gives it a length when it has it whole already.
        let lengths = echoed.request.all("content-length").len();
        let codings = echoed.request.all("transfer-encoding").len();
        assert_eq!(lengths + codings, 1, "{echoed:?}");
    }
}

pub fn a_get_may_have_a_body(front: Front) {
    let lab = Lab::echo(front);
    let answer = ask_with_body(
        &lab,
        "GET /async/\nTransfer-Encoding: chunked",
        b"5\r\nhello\r\n0\r\n\r\n",
    );
    assert_eq!(Echoed::from(&answer).request.text(), "hello");
    let answer = ask_with_body(&lab, "GET /sync/\nContent-Length: 5", b"hello");
    assert_eq!(Echoed::from(&answer).request.text(), "hello");
}

pub fn a_body_waits_for_100_continue(front: Front) {
    let lab = Lab::echo(front);
    for prefix in ["/sync", "/async"] {
        let mut client = lab.connect();
        client.send(request(&format!(
            "POST {prefix}/\nExpect: 100-continue\nContent-Length: 5"
        )));
        assert_eq!(client.head().status(), 100);
        client.send("hello");
        let echoed = Echoed::from(&client.answer());
        assert_eq!(echoed.request.text(), "hello");
        assert!(echoed.request.all("expect").is_empty());
    }
}

pub fn the_largest_body_passes(front: Front) {
    let lab = Lab::echo(front);
    let body = vec![b'x'; LARGEST];
    let head = format!("POST /sync/\nContent-Length: {LARGEST}");
    let echoed = Echoed::from(&ask_with_body(&lab, &head, &body));
    assert_eq!(echoed.request.body.len(), LARGEST);
}

pub fn an_upload_is_streamed(front: Front) {
    let (sender, arrived) = mpsc::channel();
    let sender = Mutex::new(sender);
    let lab = Lab::start(
        front,
        Behind {
            asynchronous: Backend::start(move |mut connection| {
                let head = Message::head(&mut connection.stream).unwrap().unwrap();
                assert_eq!(head.header("transfer-encoding"), Some("chunked"));
                while let Some(data) = chunk(&mut connection.stream).unwrap() {
                    sender.lock().unwrap().send(data).unwrap();
                }
                connection.answer("ok");
            }),
            ..Behind::echo()
        },
    );
    let mut client = lab.connect();
    client.send(request("POST /async/\nTransfer-Encoding: chunked"));
    // Each chunk is there before the next one is sent.
    for text in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{text}\r\n", text.len()));
        assert_eq!(arrived.recv_timeout(PATIENCE).unwrap(), text.as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.answer().text(), "ok");
}

pub fn an_answer_is_streamed(front: Front) {
    for path in ["/sync/", "/async/", "/live/sync", "/live/async"] {
        let (next, asked) = mpsc::channel();
        let asked = Mutex::new(asked);
        let script = move || {
            Backend::start(move |mut connection| {
                connection.request().unwrap();
                connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                for text in asked.lock().unwrap().iter() {
                    let text: &str = text;
                    connection.send(format!("{:x}\r\n{text}\r\n", text.len()));
                }
                connection.send("0\r\n\r\n");
            })
        };
        let mut behind = Behind::echo();
        match path {
            "/sync/" => behind.sync = vec![script()],
            "/async/" => behind.asynchronous = script(),
            "/live/sync" => behind.sync_threads = script(),
            _ => behind.async_threads = script(),
        }
        let lab = Lab::start(front, behind);
        let mut client = lab.connect();
        client.send(request(&format!("GET {path}")));
        assert_eq!(client.head().status(), 200);
        // Each piece is there before the next one is made.
        for text in ["one", "two", "three"] {
            next.send(text).unwrap();
            assert_eq!(chunk(&mut client.stream).unwrap().unwrap(), text.as_bytes());
        }
        drop(next);
        assert_eq!(chunk(&mut client.stream).unwrap(), None);
    }
}

pub fn an_answer_without_a_length_passes(front: Front) {
    let lab = Lab::start(
        front,
        Behind::both(|| Backend::answering("HTTP/1.1 200 OK\r\n\r\nup to the end")),
    );
    assert_eq!(lab.ask("GET /sync/").text(), "up to the end");
    assert_eq!(lab.ask("GET /async/").text(), "up to the end");
}

pub fn head_has_no_body(front: Front) {
    let lab = Lab::start(
        front,
        Behind::both(|| Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")),
    );
    let mut client = lab.connect();
    for path in ["/sync/", "/async/", "/", "/nowhere"] {
        // The next answer begins where this one's head ends.
        client.send(request(&format!("HEAD {path}")));
        let answer = client.head();
        assert_eq!(answer.status(), if path == "/nowhere" { 404 } else { 200 });
        let length: usize = answer.header("content-length").unwrap().parse().unwrap();
        assert!(length >= 5, "{answer:?}");
    }
}

pub fn no_body_stays_none(front: Front) {
    let lab = Lab::start(
        front,
        Behind {
            asynchronous: Backend::answering("HTTP/1.1 204 No Content\r\n\r\n"),
            ..Behind::echo()
        },
    );
    let echoed = lab.echoed("GET /sync/");
    assert!(echoed.request.all("content-length").is_empty());
    assert!(echoed.request.all("transfer-encoding").is_empty());
    let answer = lab.ask("DELETE /async/");
    assert_eq!(answer.status(), 204);
    assert!(answer.all("transfer-encoding").is_empty());
}

pub fn http_1_0_gets_its_answer(front: Front) {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let lab = Lab::start(
        front,
        Behind {
            sync: vec![Backend::answering(chunked)],
            ..Behind::echo()
        },
    );
    let mut client = lab.connect();
    client.send("GET /sync/ HTTP/1.0\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.text(), "hello");
    assert!(answer.all("transfer-encoding").is_empty());
    assert!(client.is_closed_silently());
    // The server is spoken to in HTTP/1.1, which needs a Host.
    let mut client = lab.connect();
    client.send("GET /async/dummy HTTP/1.0\r\n\r\n");
    let echoed = Echoed::from(&client.answer());
    assert_eq!(echoed.line, "GET /dummy HTTP/1.1");
    assert_eq!(echoed.request.all("host").len(), 1);
}

pub fn a_large_answer_passes(front: Front) {
    let body = "0123456789".repeat(1_000_000);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let lab = Lab::start(
        front,
        Behind {
            sync: vec![Backend::answering(answer)],
            ..Behind::echo()
        },
    );
    let mut client = lab.connect();
    client.send(request("GET /sync/"));
    // A reader that begins late: what has not been taken yet is neither lost nor mixed up.
    thread::sleep(Duration::from_millis(200));
    assert!(client.answer().text() == body);
}

pub fn an_early_answer_passes(front: Front) {
    let early = || {
        Backend::start(|mut connection| {
            Message::head(&mut connection.stream).unwrap().unwrap();
            let body = "no need to send it all";
            connection.send(format!(
                "HTTP/1.1 422 Unprocessable Entity\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ));
            // As a server should: it reads on for a while, so that its answer is not lost.
            while connection
                .stream
                .read(&mut [0; 4096])
                .is_ok_and(|length| length > 0)
            {}
        })
    };
    let lab = Lab::start(front, Behind::both(early));
    for path in ["/sync/", "/async/"] {
        let mut client = lab.connect();
        client.send(request(&format!("POST {path}\nContent-Length: {LARGEST}")));
        client.send("only the beginning");
        let answer = client.answer();
        assert_eq!(answer.status(), 422);
        assert_eq!(answer.text(), "no need to send it all");
    }
}
