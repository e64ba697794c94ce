//! A client that sends exactly what it is told to.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::PATIENCE;
use crate::message::Message;

/// A client's connection to the front.
pub struct Client {
    pub stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends these bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// The next answer.
    pub fn answer(&mut self) -> Message {
        Message::answer(&mut self.stream).unwrap()
    }

    /// The head of the next answer.
    pub fn head(&mut self) -> Message {
        Message::head(&mut self.stream).unwrap().expect("an answer")
    }

    /// Waits for the front to close the connection, and says whether it sent nothing before.
    pub fn is_closed_silently(&mut self) -> bool {
        match self.stream.read(&mut [0; 1]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

/// The answer to a request on a connection of its own. `head` is the request line without its
/// version, and fields if any, each after a line break.
pub fn ask(address: SocketAddr, head: &str) -> Message {
    let mut client = Client::connect(address);
    client.send(request(head));
    client.answer()
}

/// The bytes of a request without a body.
pub fn request(head: &str) -> String {
    let (line, fields) = head.split_once('\n').unwrap_or((head, ""));
    let mut text = format!("{line} HTTP/1.1\r\nHost: front.test\r\n");
    for field in fields.lines() {
        text += &format!("{}\r\n", field.trim());
    }
    text + "\r\n"
}
