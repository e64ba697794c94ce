//! The `Server-Timing` header (W3C, <https://www.w3.org/TR/server-timing/>).

use std::io::{self, Write};

use http::HeaderValue;

use super::measured_request::Spent;
use crate::accounting::Nanos;

/// Bytes of the longest header: six names, and times of at most 20 digits.
const LONGEST: usize = 200;

/// Returns the header's value, in milliseconds: `queue` (waited for a thread; only if the front sent
/// the time of arrival), `run` (on CPU), `runnable` (held the thread, waited for a CPU), `block` (held the
/// thread, off CPU), `await` (waited without the thread, for something else), `ready` (waited for a
/// thread after that; only if it has awaited). They sum to the time up to now.
pub(super) fn header(spent: &Spent) -> Option<HeaderValue> {
    let mut buffer = [0; LONGEST];
    let mut rest = &mut buffer[..];
    write(&mut rest, spent).ok()?;
    let unused = rest.len();
    HeaderValue::from_bytes(&buffer[..LONGEST - unused]).ok()
}

fn write(out: &mut impl Write, spent: &Spent) -> io::Result<()> {
    if let Some(queued) = spent.queued {
        out.write_all(b"queue;dur=")?;
        write_milliseconds(out, u64::try_from(queued.as_micros()).unwrap_or(u64::MAX))?;
        out.write_all(b", ")?;
    }
    out.write_all(b"run;dur=")?;
    let times = &spent.times;
    write_milliseconds(out, times.held.running.as_micros())?;
    out.write_all(b", runnable;dur=")?;
    write_milliseconds(out, times.held.runnable.as_micros())?;
    out.write_all(b", block;dur=")?;
    write_milliseconds(out, times.held.blocked.as_micros())?;
    out.write_all(b", await;dur=")?;
    write_milliseconds(out, times.awaited.as_micros())?;
    if times.ready > Nanos::ZERO {
        out.write_all(b", ready;dur=")?;
        write_milliseconds(out, times.ready.as_micros())?;
    }
    Ok(())
}

/// Writes milliseconds with three decimals. `write!` would take a quarter of the time that the whole
/// accounting takes.
fn write_milliseconds(out: &mut impl Write, microseconds: u64) -> io::Result<()> {
    let (whole, part) = (microseconds / 1_000, microseconds % 1_000);
    out.write_all(itoa::Buffer::new().format(whole).as_bytes())?;
    let digit = |value: u64| b'0' + (value % 10) as u8;
    out.write_all(&[b'.', digit(part / 100), digit(part / 10), digit(part)])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::span::SpanTimes;
    use super::*;
    use crate::accounting::Held;

    #[test]
    fn times_are_in_milliseconds_and_unknown_ones_are_left_out() {
        let spent = |queued| Spent {
            queued,
            times: SpanTimes {
                held: Held {
                    running: Nanos::from_nanos(1_234_567),
                    runnable: Nanos::from_micros(90),
                    blocked: Nanos::from_secs(20),
                },
                awaited: Nanos::from_micros(50),
                ready: Nanos::ZERO,
            },
        };
        assert_eq!(
            header(&spent(None)).unwrap(),
            "run;dur=1.234, runnable;dur=0.090, block;dur=20000.000, await;dur=0.050"
        );
        let queued = Some(Duration::from_micros(7));
        assert_eq!(
            header(&spent(queued)).unwrap(),
            "queue;dur=0.007, run;dur=1.234, runnable;dur=0.090, block;dur=20000.000, await;dur=0.050"
        );
        let mut woken = spent(None);
        woken.times.ready = Nanos::from_millis(3);
        assert_eq!(
            header(&woken).unwrap(),
            "run;dur=1.234, runnable;dur=0.090, block;dur=20000.000, await;dur=0.050, ready;dur=3.000"
        );
    }

    #[test]
    fn the_longest_times_fit() {
        let spent = Spent {
            queued: Some(Duration::MAX),
            times: SpanTimes {
                held: Held {
                    running: Nanos::MAX,
                    runnable: Nanos::MAX,
                    blocked: Nanos::MAX,
                },
                awaited: Nanos::MAX,
                ready: Nanos::MAX,
            },
        };
        assert!(header(&spent).is_some());
    }
}
