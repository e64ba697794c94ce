//! The load generator: one thread that does not sleep while it waits for a response, so that no server pays for waking
//! it up.

use std::hint;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::SockRef;

use crate::hold::Hold;

/// Requests in flight at saturation: enough that the server never waits for one.
const CONNECTIONS: usize = 32;
/// Connections with a request each that queue at a server: fewer than the accept queue of [`std::net::TcpListener`] has.
const QUEUED: usize = 96;
/// Limit of the wait for a response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Use of connections by requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    /// One after another on the same connection.
    Kept,
    /// Each on a new connection.
    PerRequest,
}

/// The rate of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// As many as the server responds to.
    Saturation,
    /// This many per second, at equal intervals.
    PerSecond(u32),
}

/// A client of one server, with its connections.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    connections: Connections,
    rate: Rate,
    /// In the order in which their responses are due.
    ring: Vec<Option<TcpStream>>,
    /// Holds the server while its requests queue.
    hold: Option<Hold>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, connections: Connections, rate: Rate) -> Self {
        let length = match rate {
            Rate::Saturation => CONNECTIONS,
            Rate::PerSecond(_) => 1,
        };
        let ring = (0..length).map(|_| None).collect();
        Self {
            address,
            connections,
            rate,
            ring,
            hold: None,
        }
    }

    /// Has requests queue at the server before it gets its CPU. For a server that would otherwise be faster than this load
    /// generator, and so sleep and wake up between two requests. Its threads have to [give way](crate::server::Server).
    pub(crate) fn queueing(mut self, hold: &Hold) -> Self {
        self.ring = (0..QUEUED).map(|_| None).collect();
        self.hold = Some(hold.clone());
        self
    }

    /// Sends requests for this long, and returns the number of responses after the last of them.
    pub(crate) fn send_for(&mut self, time: Duration) -> anyhow::Result<u32> {
        let deadline = Instant::now() + time;
        match self.rate {
            Rate::Saturation => match self.hold.clone() {
                Some(hold) => self.send_in_queues(&hold, deadline),
                None => self.saturate(deadline),
            },
            Rate::PerSecond(rate) => self.keep_pace(deadline, Duration::from_secs(1) / rate),
        }
    }

    fn saturate(&mut self, deadline: Instant) -> anyhow::Result<u32> {
        (0..self.ring.len()).try_for_each(|place| self.send(place))?;
        let mut responses = 0;
        while Instant::now() < deadline {
            for place in 0..self.ring.len() {
                self.receive(place)?;
                self.send(place)?;
            }
            responses += self.ring.len() as u32;
        }
        (0..self.ring.len()).try_for_each(|place| self.receive(place))?;
        Ok(responses + self.ring.len() as u32)
    }

    fn send_in_queues(&mut self, hold: &Hold, deadline: Instant) -> anyhow::Result<u32> {
        let mut responses = 0;
        while Instant::now() < deadline {
            hold.during(|| (0..self.ring.len()).try_for_each(|place| self.send(place)))?;
            (0..self.ring.len()).try_for_each(|place| self.receive(place))?;
            responses += self.ring.len() as u32;
        }
        Ok(responses)
    }

    fn keep_pace(&mut self, deadline: Instant, interval: Duration) -> anyhow::Result<u32> {
        let (mut due, mut responses) = (Instant::now(), 0);
        while due < deadline {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.send(0)?;
            self.receive(0)?;
            responses += 1;
            due += interval;
        }
        Ok(responses)
    }

    /// Sends a request, on a new connection if none is open.
    fn send(&mut self, place: usize) -> anyhow::Result<()> {
        let place = &mut self.ring[place];
        let stream = match place {
            Some(stream) => stream,
            None => place.insert(connect(self.address)?),
        };
        let request: &[u8] = match self.connections {
            Connections::Kept => b"GET /dummy HTTP/1.1\r\nhost: lab\r\n\r\n",
            Connections::PerRequest => {
                b"GET /dummy HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n"
            }
        };
        stream
            .write_all(request)
            .context("could not send a request")
    }

    /// Receives a response, and the end of its connection if it was the only one on it.
    fn receive(&mut self, place: usize) -> anyhow::Result<()> {
        let Some(stream) = &self.ring[place] else {
            bail!("no request was sent on this connection");
        };
        receive_response(stream)?;
        if self.connections == Connections::PerRequest {
            ensure!(
                spin_receive(stream, &mut [0])? == 0,
                "data after the response"
            );
            self.ring[place] = None;
        }
        Ok(())
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    // Close by a reset, which leaves no TIME_WAIT behind: thousands of closed connections per second would soon use up
    // the ports.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    Ok(stream)
}

/// Receives one response, whose status has to be 200.
fn receive_response(stream: &TcpStream) -> anyhow::Result<()> {
    let mut buffer = [0; 2048];
    let mut filled = 0;
    loop {
        let received = spin_receive(stream, &mut buffer[filled..])?;
        filled += received;
        let response = &buffer[..filled];
        ensure!(
            received > 0,
            "an incomplete response: {}",
            response.escape_ascii()
        );
        if let Some(length) = length(response) {
            ensure!(
                response.starts_with(b"HTTP/1.1 200 "),
                "an error response: {}",
                response.escape_ascii()
            );
            ensure!(
                filled <= length,
                "data after the response: {}",
                response.escape_ascii()
            );
            if filled == length {
                return Ok(());
            }
        }
    }
}

/// Length of a response in bytes, once its head is complete.
fn length(response: &[u8]) -> Option<usize> {
    const FIELD: &[u8] = b"content-length: ";
    let head = find(response, b"\r\n\r\n")? + 4;
    // nginx writes it with capitals.
    let mut fields = response[..head].windows(FIELD.len());
    let field = fields.position(|part| part.eq_ignore_ascii_case(FIELD))? + FIELD.len();
    let digits = response[field..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let body = digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    Some(head + body)
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Receives bytes without sleeping.
fn spin_receive(stream: &TcpStream, buffer: &mut [u8]) -> anyhow::Result<usize> {
    let begun = Instant::now();
    for attempt in 1_u32.. {
        match recv(stream, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((received, _)) => return Ok(received),
            // Each attempt takes the socket's lock, which the kernel needs to deliver the response.
            Err(Errno::AGAIN) => (0..50).for_each(|_| hint::spin_loop()),
            Err(error) => return Err(error).context("could not receive a response"),
        }
        // With one CPU only, the server needs it.
        if attempt.is_multiple_of(1_000) {
            thread::yield_now();
        }
        ensure!(begun.elapsed() < TIMEOUT, "no response within {TIMEOUT:?}");
    }
    bail!("no response")
}
