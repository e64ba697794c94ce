//! Client that sends exact bytes.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::TIMEOUT;
use super::message::Message;

/// A client's connection to the front.
pub struct Client {
    pub stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends these bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Reads the next response.
    pub fn response(&mut self) -> Message {
        Message::response(&mut self.stream).unwrap()
    }

    /// Reads the head of the next response.
    pub fn head(&mut self) -> Message {
        Message::head(&mut self.stream)
            .unwrap()
            .expect("a response")
    }

    /// Waits for the front to close the connection, and returns whether it did without sending more.
    pub fn is_closed_silently(&mut self) -> bool {
        match self.stream.read(&mut [0; 1]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

/// Returns the response to a request on a new connection. `head` is the request line without its
/// version, then fields, if any, each after a line break.
pub fn response_to(address: SocketAddr, head: &str) -> Message {
    let mut client = Client::connect(address);
    client.send(request(head));
    client.response()
}

/// Returns the bytes of a request without a body.
pub fn request(head: &str) -> String {
    let (line, fields) = head.split_once('\n').unwrap_or((head, ""));
    let mut text = format!("{line} HTTP/1.1\r\nHost: front.test\r\n");
    for field in fields.lines() {
        text += &format!("{}\r\n", field.trim());
    }
    text + "\r\n"
}
