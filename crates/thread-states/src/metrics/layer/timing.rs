//! The `Server-Timing` header (W3C, <https://www.w3.org/TR/server-timing/>).

use std::io::{self, Write};
use std::time::Duration;

use http::HeaderValue;

use crate::accounting::Held;

/// Bytes of the longest header: four names, and times of at most 20 digits.
const LONGEST: usize = 160;

/// Where the request's time went, in milliseconds: `queue` (waited for a thread; only if the
/// front said when it came), `run` (on CPU), `block` (held the thread, off CPU), `await` (waited
/// without the thread: here in nanoseconds).
pub(super) fn header(queued: Option<Duration>, held: &Held, awaited: u64) -> Option<HeaderValue> {
    let mut buffer = [0; LONGEST];
    let mut rest = &mut buffer[..];
    write(&mut rest, queued, held, awaited).ok()?;
    let unused = rest.len();
    HeaderValue::from_bytes(&buffer[..LONGEST - unused]).ok()
}

fn write(
    out: &mut impl Write,
    queued: Option<Duration>,
    held: &Held,
    awaited: u64,
) -> io::Result<()> {
    if let Some(queued) = queued {
        out.write_all(b"queue;dur=")?;
        write_milliseconds(out, u64::try_from(queued.as_micros()).unwrap_or(u64::MAX))?;
        out.write_all(b", ")?;
    }
    out.write_all(b"run;dur=")?;
    write_milliseconds(out, held.running / 1_000)?;
    out.write_all(b", block;dur=")?;
    write_milliseconds(out, held.blocked / 1_000)?;
    out.write_all(b", await;dur=")?;
    write_milliseconds(out, awaited / 1_000)
}

/// With three decimals. `write!` would take as long for this header as a quarter of the accounting.
fn write_milliseconds(out: &mut impl Write, microseconds: u64) -> io::Result<()> {
    let (whole, part) = (microseconds / 1_000, microseconds % 1_000);
    out.write_all(itoa::Buffer::new().format(whole).as_bytes())?;
    let digit = |value: u64| b'0' + (value % 10) as u8;
    out.write_all(&[b'.', digit(part / 100), digit(part / 10), digit(part)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_milliseconds_and_leaves_out_what_is_not_known() {
        let held = Held {
            running: 1_234_567,
            runnable: 0,
            blocked: 20_000_000_000,
        };
        let header = |queued| header(queued, &held, 50_000).unwrap();
        assert_eq!(
            header(None),
            "run;dur=1.234, block;dur=20000.000, await;dur=0.050"
        );
        let queued = Some(Duration::from_micros(7));
        assert_eq!(
            header(queued),
            "queue;dur=0.007, run;dur=1.234, block;dur=20000.000, await;dur=0.050"
        );
    }

    #[test]
    fn the_longest_times_have_room() {
        let held = Held {
            running: u64::MAX,
            runnable: u64::MAX,
            blocked: u64::MAX,
        };
        assert!(header(Some(Duration::MAX), &held, u64::MAX).is_some());
    }
}
