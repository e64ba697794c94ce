//! The `Server-Timing` header (W3C, <https://www.w3.org/TR/server-timing/>).

use std::array;
use std::sync::LazyLock;
use std::time::Duration;

use http::HeaderValue;

use super::measured_request::Spent;
use super::span::SpanTimes;
use crate::accounting::Nanos;

/// Bytes of the longest header: six names, and times of at most 20 digits.
const LONGEST: usize = 200;

/// Values of requests that ran for so many microseconds and did not wait, as most requests of a busy server. Each is made
/// once, because that takes a quarter of the time that the layer takes.
static SHORT: LazyLock<[HeaderValue; 64]> = LazyLock::new(|| {
    array::from_fn(|micros| {
        let mut times = SpanTimes::default();
        times.held.running = Nanos::from_micros(micros as u64);
        let text = String::from_utf8_lossy(Text::of(None, &times).as_bytes()).into_owned();
        // Static, so that clones on several threads share no reference count.
        HeaderValue::from_static(text.leak())
    })
});

/// Returns the header's value, in milliseconds: `queue` (waited for a thread; only if the front sent
/// the time of arrival), `run` (on CPU), `runnable` (held the thread, waited for a CPU), `block` (held the
/// thread, off CPU), `await` (waited without the thread, for something else), `ready` (waited for a
/// thread after that; only if it has awaited). They sum to the time up to now.
pub(super) fn header(spent: &Spent) -> Option<HeaderValue> {
    let Spent { queued, times } = spent;
    if let (None, Some(value)) = (queued, short(times)) {
        return Some(value);
    }
    HeaderValue::from_bytes(Text::of(*queued, times).as_bytes()).ok()
}

/// Returns the value of a request that only ran, for a short time.
fn short(times: &SpanTimes) -> Option<HeaderValue> {
    let running = times.held.running;
    let mut only_ran = SpanTimes::default();
    only_ran.held.running = running;
    let value = SHORT.get(usize::try_from(running.as_micros()).ok()?)?;
    (*times == only_ran).then(|| value.clone())
}

/// A value while it is written. Its parts have constant lengths where possible, so that each is a few stores.
struct Text {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Text {
    fn of(queued: Option<Duration>, times: &SpanTimes) -> Self {
        let mut text = Self {
            bytes: [0; LONGEST],
            length: 0,
        };
        if let Some(queued) = queued {
            text.push(b"queue;dur=");
            text.push_milliseconds(queued.into());
            text.push(b", ");
        }
        text.push(b"run;dur=");
        text.push_milliseconds(times.held.running);
        text.push(b", runnable;dur=");
        text.push_milliseconds(times.held.runnable);
        text.push(b", block;dur=");
        text.push_milliseconds(times.held.blocked);
        text.push(b", await;dur=");
        text.push_milliseconds(times.awaited);
        if times.ready > Nanos::ZERO {
            text.push(b", ready;dur=");
            text.push_milliseconds(times.ready);
        }
        text
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    #[inline]
    fn push<const N: usize>(&mut self, part: &[u8; N]) {
        if let Some(place) = self.bytes[self.length..].first_chunk_mut() {
            *place = *part;
            self.length += N;
        }
    }

    /// Writes milliseconds with three decimals.
    fn push_milliseconds(&mut self, time: Nanos) {
        let (whole, part) = (time.as_micros() / 1_000, time.as_micros() % 1_000);
        let digit = |value: u64| b'0' + (value % 10) as u8;
        if whole < 10 {
            self.push(&[digit(whole)]);
        } else {
            // At most 20 digits.
            for digit in itoa::Buffer::new().format(whole).bytes() {
                self.push(&[digit]);
            }
        }
        self.push(&[b'.', digit(part / 100), digit(part / 10), digit(part)]);
    }
}

#[cfg(test)]
mod tests {
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
    fn short_times_are_those_of_the_request() {
        for micros in [0, 1, 63, 64, 999] {
            let mut spent = Spent {
                queued: None,
                times: SpanTimes::default(),
            };
            spent.times.held.running = Nanos::from_nanos(1_000 * micros + 999);
            let running = format!("run;dur=0.{micros:03}, runnable;dur=0.000");
            let others = "block;dur=0.000, await;dur=0.000";
            assert_eq!(header(&spent).unwrap(), format!("{running}, {others}"));

            spent.times.awaited = Nanos::from_micros(5);
            let others = "block;dur=0.000, await;dur=0.005";
            assert_eq!(header(&spent).unwrap(), format!("{running}, {others}"));

            spent.queued = Some(Duration::from_micros(70));
            spent.times.awaited = Nanos::ZERO;
            let others = "block;dur=0.000, await;dur=0.000";
            let expected = format!("queue;dur=0.070, {running}, {others}");
            assert_eq!(header(&spent).unwrap(), expected);
        }
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
        let times = header(&spent).unwrap();
        // In nanoseconds, `u64` ends after 584 years.
        let longest = "18446744073709.551";
        let expected = ["queue", "run", "runnable", "block", "await", "ready"]
            .map(|name| format!("{name};dur={longest}"));
        assert_eq!(times, expected.join(", "));
    }
}
