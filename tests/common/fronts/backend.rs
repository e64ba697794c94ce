//! Scripted servers behind the front.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::uri::PathAndQuery;
use axum::response::IntoResponse;
use serde_json::json;
use socket2::{Domain, Socket, Type};
use thread_states::problem::Problem;
use threadlab::gateway::{GatewayConfig, RunningGateway, asynchronous, synchronous};

use super::TIMEOUT;
use super::message::Message;

/// A connection from the front.
pub struct Connection {
    /// Number of the connection, from 1.
    pub number: usize,
    pub stream: BufReader<TcpStream>,
}

impl Connection {
    /// Reads the next request; `None` when the front has closed the connection.
    pub fn request(&mut self) -> Option<Message> {
        Message::request(&mut self.stream).ok().flatten()
    }

    /// Sends these bytes, unless the front has closed the connection.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(self.stream.get_mut().write_all(bytes.as_ref()));
    }

    /// Sends a whole response with this body.
    pub fn respond(&mut self, body: &str) {
        let length = body.len();
        self.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    }

    /// Waits for the front to close the connection, and returns whether it did without sending more.
    pub fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0; 1]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// Server that runs a script for each connection, each on its own thread.
pub struct Backend {
    pub address: SocketAddr,
    /// Sockets that keep the port of a server without a script.
    _sockets: Vec<Socket>,
    gateway: Option<RunningGateway>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(gateway) = &self.gateway {
            gateway.shutdown();
        }
    }
}

fn gateway_config() -> GatewayConfig {
    GatewayConfig::new(([127, 0, 0, 1], 0).into())
}

/// Field of the responses of the gateways' app.
pub const SERVED: &str = "x-served";

/// Responds to every request with what it got: the method, the target and the body.
fn app() -> Router {
    Router::new().fallback(async |request: Request| {
        let (head, body) = request.into_parts();
        let target = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
        let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
            return Problem::new(StatusCode::BAD_REQUEST, "the body is malformed").into_response();
        };
        let text = format!(
            "{} {target} {}",
            head.method,
            String::from_utf8_lossy(&body)
        );
        ([(SERVED, "yes")], text.trim_end().to_owned()).into_response()
    })
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
                stream.set_read_timeout(Some(TIMEOUT)).unwrap();
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
            gateway: None,
        }
    }

    /// The synchronous gateway.
    pub fn synchronous() -> Self {
        Self::synchronous_with(&gateway_config())
    }

    /// The synchronous gateway, which keeps connections between two requests.
    pub fn keeping() -> Self {
        let mut config = gateway_config();
        config.keep_alive = true;
        Self::synchronous_with(&config)
    }

    fn synchronous_with(config: &GatewayConfig) -> Self {
        let bound = synchronous::bind(config).unwrap();
        Self::gateway(synchronous::spawn(bound, app(), None, "sync").unwrap())
    }

    /// The asynchronous gateway.
    pub fn asynchronous() -> Self {
        let bound = asynchronous::bind(&gateway_config()).unwrap();
        Self::gateway(asynchronous::spawn(bound, app(), None, "async").unwrap())
    }

    fn gateway(running: RunningGateway) -> Self {
        Self {
            address: running.local_addr(),
            _sockets: Vec::new(),
            gateway: Some(running),
        }
    }

    /// Returns each request as JSON, and never closes a connection first.
    pub fn echo() -> Self {
        Self::start(|mut connection| {
            while let Some(request) = connection.request() {
                let echo = json!({
                    "line": request.start,
                    "headers": request.headers,
                    "body": String::from_utf8_lossy(&request.body),
                    "connection": connection.number,
                });
                connection.respond(&echo.to_string());
            }
        })
    }

    /// Responds to each request with exactly these bytes and closes.
    pub fn responding(response: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::start(move |mut connection| {
            if connection.request().is_some() {
                connection.send(&response);
            }
        })
    }

    /// A stopped server: its port refuses connections, and no other process can take it.
    pub fn dead() -> Self {
        let (socket, address) = bound();
        Self {
            address,
            _sockets: vec![socket],
            gateway: None,
        }
    }

    /// A server with a full accept queue, to which `connect` does not return.
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
            gateway: None,
        }
    }
}

/// Returns a bound socket that does not listen.
fn bound() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}
