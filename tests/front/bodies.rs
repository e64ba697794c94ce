//! Bodies are streamed in both directions.

use std::io::Read;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::TIMEOUT;
use crate::backend::Backend;
use crate::client::request;
use crate::lab::{Behind, Echoed, Front, Lab};
use crate::message::{Message, chunk};

const LARGEST: usize = 1024 * 1024;

/// Returns the response to a request with this head and body.
fn ask_with_body(lab: &Lab, head: &str, rest: &[u8]) -> Message {
    let mut client = lab.connect();
    client.send(request(head));
    client.send(rest);
    client.response()
}

pub fn a_body_with_a_length_is_forwarded(front: Front) {
    let lab = Lab::echo(front);
    for prefix in ["/sync", "/async"] {
        let response = ask_with_body(
            &lab,
            &format!("POST {prefix}/\nContent-Length: 5"),
            b"hello",
        );
        let echoed = Echoed::from(&response);
        assert_eq!(echoed.request.text(), "hello");
        assert_eq!(echoed.request.header("content-length"), Some("5"));
        assert!(echoed.request.all("transfer-encoding").is_empty());
    }
}

pub fn a_chunked_body_is_forwarded(front: Front) {
    let lab = Lab::echo(front);
    for prefix in ["/sync", "/async"] {
        let head = format!("POST {prefix}/\nTransfer-Encoding: chunked");
        let response = ask_with_body(&lab, &head, b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
        let echoed = Echoed::from(&response);
        assert_eq!(echoed.request.text(), "hello world");
        // nginx adds a length when it has already received the whole body.
        let lengths = echoed.request.all("content-length").len();
        let codings = echoed.request.all("transfer-encoding").len();
        assert_eq!(lengths + codings, 1, "{echoed:?}");
    }
}

pub fn a_get_may_have_a_body(front: Front) {
    let lab = Lab::echo(front);
    let response = ask_with_body(
        &lab,
        "GET /async/\nTransfer-Encoding: chunked",
        b"5\r\nhello\r\n0\r\n\r\n",
    );
    assert_eq!(Echoed::from(&response).request.text(), "hello");
    let response = ask_with_body(&lab, "GET /sync/\nContent-Length: 5", b"hello");
    assert_eq!(Echoed::from(&response).request.text(), "hello");
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
        let echoed = Echoed::from(&client.response());
        assert_eq!(echoed.request.text(), "hello");
        assert!(echoed.request.all("expect").is_empty());
    }
}

pub fn the_largest_allowed_body_is_forwarded(front: Front) {
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
                connection.respond("ok");
            }),
            ..Behind::echo()
        },
    );
    let mut client = lab.connect();
    client.send(request("POST /async/\nTransfer-Encoding: chunked"));
    // Each chunk arrives before the next one is sent.
    for text in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{text}\r\n", text.len()));
        assert_eq!(arrived.recv_timeout(TIMEOUT).unwrap(), text.as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), "ok");
}

pub fn a_response_is_streamed(front: Front) {
    let mut paths = vec!["/async/", "/live/sync", "/live/async"];
    match front {
        Front::Embedded => paths.push("/sync/"),
        // Buffers these; see `nginx_only`.
        Front::Nginx => {}
    }
    for path in paths {
        let (next, requested) = mpsc::channel();
        let requested = Mutex::new(requested);
        let script = move || {
            Backend::start(move |mut connection| {
                connection.request().unwrap();
                connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                for text in requested.lock().unwrap().iter() {
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
        // Each part arrives before the next one is sent.
        for text in ["one", "two", "three"] {
            next.send(text).unwrap();
            assert_eq!(chunk(&mut client.stream).unwrap().unwrap(), text.as_bytes());
        }
        drop(next);
        assert_eq!(chunk(&mut client.stream).unwrap(), None);
    }
}

pub fn a_response_without_a_length_is_forwarded(front: Front) {
    let lab = Lab::start(
        front,
        Behind::both(|| Backend::responding("HTTP/1.1 200 OK\r\n\r\nup to the end")),
    );
    assert_eq!(lab.response_to("GET /sync/").text(), "up to the end");
    assert_eq!(lab.response_to("GET /async/").text(), "up to the end");
}

pub fn a_head_response_has_no_body(front: Front) {
    let lab = Lab::start(
        front,
        Behind::both(|| Backend::responding("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")),
    );
    let mut client = lab.connect();
    for path in ["/sync/", "/async/", "/", "/nowhere"] {
        // The next response begins right after this head.
        client.send(request(&format!("HEAD {path}")));
        let response = client.head();
        assert_eq!(
            response.status(),
            if path == "/nowhere" { 404 } else { 200 }
        );
        let length: usize = response.header("content-length").unwrap().parse().unwrap();
        assert!(length >= 5, "{response:?}");
    }
}

pub fn a_missing_body_is_not_announced(front: Front) {
    let lab = Lab::start(
        front,
        Behind {
            asynchronous: Backend::responding("HTTP/1.1 204 No Content\r\n\r\n"),
            ..Behind::echo()
        },
    );
    let echoed = lab.echoed("GET /sync/");
    assert!(echoed.request.all("content-length").is_empty());
    assert!(echoed.request.all("transfer-encoding").is_empty());
    let response = lab.response_to("DELETE /async/");
    assert_eq!(response.status(), 204);
    assert!(response.all("transfer-encoding").is_empty());
}

pub fn http_1_0_clients_get_responses(front: Front) {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let lab = Lab::start(
        front,
        Behind {
            sync: vec![Backend::responding(chunked)],
            ..Behind::echo()
        },
    );
    let mut client = lab.connect();
    client.send("GET /sync/ HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.text(), "hello");
    assert!(response.all("transfer-encoding").is_empty());
    assert!(client.is_closed_silently());
    // The front uses HTTP/1.1 to the server, which requires a Host.
    let mut client = lab.connect();
    client.send("GET /async/dummy HTTP/1.0\r\n\r\n");
    let echoed = Echoed::from(&client.response());
    assert_eq!(echoed.line, "GET /dummy HTTP/1.1");
    assert_eq!(echoed.request.all("host").len(), 1);
}

pub fn a_large_response_is_forwarded(front: Front) {
    let body = "0123456789".repeat(1_000_000);
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let lab = Lab::start(
        front,
        Behind {
            sync: vec![Backend::responding(response)],
            ..Behind::echo()
        },
    );
    let mut client = lab.connect();
    client.send(request("GET /sync/"));
    // The client starts to read late; nothing may be lost or reordered.
    thread::sleep(Duration::from_millis(200));
    assert!(client.response().text() == body);
}

pub fn an_early_response_is_forwarded(front: Front) {
    let early = || {
        Backend::start(|mut connection| {
            Message::head(&mut connection.stream).unwrap().unwrap();
            let body = "no need to send it all";
            connection.send(format!(
                "HTTP/1.1 422 Unprocessable Entity\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ));
            // Reads on, so that the response is not lost to a reset.
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
        let response = client.response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.text(), "no need to send it all");
    }
}
