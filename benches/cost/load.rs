//! The load generator: one thread that is never asleep while it waits for an answer, so that no
//! server pays for waking it.

use std::hint;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::SockRef;

/// Requests in flight at saturation: enough that the server never has to wait for one.
const CONNECTIONS: usize = 32;
/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How requests come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    /// One after the other on the same connection.
    Kept,
    /// Each on a connection of its own.
    PerRequest,
}

/// How many requests come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// As many as are answered.
    Saturation,
    /// This many a second, each at its time.
    PerSecond(u32),
}

/// A client of one server, with its connections.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    connections: Connections,
    rate: Rate,
    /// In the order in which their answers are due.
    ring: Vec<Option<TcpStream>>,
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
        }
    }

    /// Sends requests for this long, and returns how many were answered when the last was.
    pub(crate) fn send_for(&mut self, time: Duration) -> anyhow::Result<u32> {
        let deadline = Instant::now() + time;
        match self.rate {
            Rate::Saturation => self.saturate(deadline),
            Rate::PerSecond(rate) => self.keep_pace(deadline, Duration::from_secs(1) / rate),
        }
    }

    fn saturate(&mut self, deadline: Instant) -> anyhow::Result<u32> {
        (0..self.ring.len()).try_for_each(|place| self.ask(place))?;
        let mut answered = 0;
        while Instant::now() < deadline {
            for place in 0..self.ring.len() {
                self.hear(place)?;
                self.ask(place)?;
            }
            answered += self.ring.len() as u32;
        }
        (0..self.ring.len()).try_for_each(|place| self.hear(place))?;
        Ok(answered + self.ring.len() as u32)
    }

    fn keep_pace(&mut self, deadline: Instant, interval: Duration) -> anyhow::Result<u32> {
        let (mut due, mut answered) = (Instant::now(), 0);
        while due < deadline {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.ask(0)?;
            self.hear(0)?;
            answered += 1;
            due += interval;
        }
        Ok(answered)
    }

    /// Sends a request, on a new connection if there is none.
    fn ask(&mut self, place: usize) -> anyhow::Result<()> {
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
            .context("a request cannot be sent")
    }

    /// Takes an answer, and the end of its connection if it is to end.
    fn hear(&mut self, place: usize) -> anyhow::Result<()> {
        let Some(stream) = &self.ring[place] else {
            bail!("no request was sent");
        };
        take_answer(stream)?;
        if self.connections == Connections::PerRequest {
            ensure!(
                receive(stream, &mut [0])? == 0,
                "there is more than an answer"
            );
            self.ring[place] = None;
        }
        Ok(())
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    // A connection that is closed leaves nothing behind: thousands of them a second would soon have
    // used up the ports.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    Ok(stream)
}

/// Takes one answer, which has to be a good one.
fn take_answer(stream: &TcpStream) -> anyhow::Result<()> {
    let mut buffer = [0; 2048];
    let mut filled = 0;
    loop {
        let received = receive(stream, &mut buffer[filled..])?;
        filled += received;
        let answer = &buffer[..filled];
        ensure!(
            received > 0,
            "an answer broke off: {}",
            answer.escape_ascii()
        );
        if let Some(length) = length(answer) {
            ensure!(
                answer.starts_with(b"HTTP/1.1 200 "),
                "refused: {}",
                answer.escape_ascii()
            );
            ensure!(
                filled <= length,
                "there is more than an answer: {}",
                answer.escape_ascii()
            );
            if filled == length {
                return Ok(());
            }
        }
    }
}

/// How long an answer is, once its head is complete.
fn length(answer: &[u8]) -> Option<usize> {
    const FIELD: &[u8] = b"content-length: ";
    let head = find(answer, b"\r\n\r\n")? + 4;
    let field = find(&answer[..head], FIELD)? + FIELD.len();
    let digits = answer[field..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let body = digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    Some(head + body)
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Receives bytes, without sleep.
fn receive(stream: &TcpStream, buffer: &mut [u8]) -> anyhow::Result<usize> {
    let begun = Instant::now();
    for attempt in 1_u32.. {
        match recv(stream, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((received, _)) => return Ok(received),
            // Each attempt takes the socket's lock, which the answer needs, too.
            Err(Errno::AGAIN) => (0..50).for_each(|_| hint::spin_loop()),
            Err(error) => return Err(error).context("an answer cannot be read"),
        }
        // Where there is but one CPU, the server needs it.
        if attempt.is_multiple_of(1_000) {
            thread::yield_now();
        }
        ensure!(begun.elapsed() < PATIENCE, "no answer within {PATIENCE:?}");
    }
    bail!("no answer")
}
