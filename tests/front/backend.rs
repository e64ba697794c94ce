//! Scripted servers behind the front.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::PATIENCE;
use crate::message::Message;

/// A connection from the front.
pub struct Connection {
    /// Which one it is, counted from 1.
    pub number: usize,
    pub stream: BufReader<TcpStream>,
}

impl Connection {
    /// The next request; `None` when the front has closed the connection.
    pub fn request(&mut self) -> Option<Message> {
        Message::request(&mut self.stream).ok().flatten()
    }

    /// Sends these bytes, if the front still takes them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(self.stream.get_mut().write_all(bytes.as_ref()));
    }

    /// Sends a whole answer with this body.
    pub fn answer(&mut self, body: &str) {
        let length = body.len();
        self.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    }

    /// Waits until the front has closed the connection, and says whether it did.
    pub fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0; 1]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// A server that does what its script says with each connection, one thread each.
pub struct Backend {
    pub address: SocketAddr,
    /// What keeps the port of a server without a script as it is.
    _sockets: Vec<Socket>,
}

impl Backend {
    /// Starts a server with this script.
    pub fn start(script: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(script);
        thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_nodelay(true).unwrap();
                let connection = Connection {
                    number: index + 1,
                    stream: BufReader::new(stream),
                };
                let script = Arc::clone(&script);
                thread::spawn(move || script(connection));
            }
        });
        Self {
            address,
            _sockets: Vec::new(),
        }
    }

    /// Tells each request back as JSON, on connections that it never closes by itself.
    pub fn echo() -> Self {
        Self::start(|mut connection| {
            while let Some(request) = connection.request() {
                let told = json!({
                    "line": request.start,
                    "headers": request.headers,
                    "body": String::from_utf8_lossy(&request.body),
                    "connection": connection.number,
                });
                connection.answer(&told.to_string());
            }
        })
    }

    /// Answers each request with exactly these bytes and closes.
    pub fn answering(answer: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::start(move |mut connection| {
            if connection.request().is_some() {
                connection.send(&answer);
            }
        })
    }

    /// A server that has gone: its port refuses connections, and nobody else can take it.
    pub fn dead() -> Self {
        let (socket, address) = bound();
        Self {
            address,
            _sockets: vec![socket],
        }
    }

    /// A server whose queue of connections is full: it answers no attempt to connect.
    pub fn full() -> Self {
        let (socket, address) = bound();
        socket.listen(0).unwrap();
        let mut sockets = vec![socket];
        loop {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let connected = client.connect_timeout(&address.into(), Duration::from_millis(200));
            sockets.push(client);
            if connected.is_err() {
                break;
            }
        }
        Self {
            address,
            _sockets: sockets,
        }
    }
}

/// A socket with a port of its own.
fn bound() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}
