//! HTTP/1.1 messages, read byte by byte, so that no library hides a mistake.

use std::io::{self, BufRead, Read};

use serde_json::Value;

/// A request or a response.
#[derive(Debug)]
pub struct Message {
    /// The request line or the status line.
    pub start: String,
    /// The fields in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, its chunks put together.
    pub body: Vec<u8>,
}

impl Message {
    /// Reads a request; `None` when the connection ends before one.
    pub fn request(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(mut message) = Self::head(from)? else {
            return Ok(None);
        };
        let framed = message.header("transfer-encoding").is_some()
            || message.header("content-length").is_some();
        if framed {
            message.read_body(from)?;
        }
        Ok(Some(message))
    }

    /// Reads a response to a request that was not HEAD.
    pub fn response(from: &mut impl BufRead) -> io::Result<Self> {
        let mut message = Self::head(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if !matches!(message.status(), 100..200 | 204 | 304) {
            message.read_body(from)?;
        }
        Ok(message)
    }

    /// Reads a head; `None` when the connection ends before one.
    pub fn head(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(start) = line(from)? else {
            return Ok(None);
        };
        let mut headers = Vec::new();
        while let Some(text) = line(from)?.filter(|text| !text.is_empty()) {
            let (name, value) = text.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        Ok(Some(Self {
            start,
            headers,
            body: Vec::new(),
        }))
    }

    fn read_body(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        if self.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = chunk(from)? {
                self.body.extend(chunk);
            }
            // The end of the (empty) trailer section.
            line(from)?;
        } else if let Some(length) = self.header("content-length") {
            let length = length.parse().map_err(|_| io::ErrorKind::InvalidData)?;
            self.body.resize(length, 0);
            from.read_exact(&mut self.body)?;
        } else {
            from.read_to_end(&mut self.body)?;
        }
        Ok(())
    }

    /// The status code of a response.
    pub fn status(&self) -> u16 {
        let code = self.start.split(' ').nth(1).unwrap_or_default();
        code.parse()
            .unwrap_or_else(|_| panic!("no status line: {:?}", self.start))
    }

    /// The value of the field if there is exactly one of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        match self.all(name)[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    /// The values of all fields of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(other, _)| other == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that this is an error response of the front with a problem body.
    pub fn assert_problem(&self, status: u16) {
        assert_eq!(self.status(), status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        assert_eq!(self.all("x-request-id").len(), 1, "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        for member in ["title", "detail"] {
            assert!(
                problem[member].as_str().is_some_and(|text| text.len() > 3),
                "{problem}"
            );
        }
    }
}

/// Reads one chunk of a chunked body; `None` for the last one.
pub fn chunk(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let size = line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let size = usize::from_str_radix(&size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
    if size == 0 {
        return Ok(None);
    }
    let mut data = vec![0; size];
    from.read_exact(&mut data)?;
    line(from)?;
    Ok(Some(data))
}

/// Reads a line without its end; `None` at the end of the connection.
fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    match from.take(1 << 20).read_line(&mut line)? {
        0 => Ok(None),
        _ if !line.ends_with('\n') => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned())),
    }
}
