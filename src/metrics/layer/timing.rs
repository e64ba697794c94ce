//! The `Server-Timing` header (W3C, <https://www.w3.org/TR/server-timing/>).

use std::fmt::Write;
use std::time::Duration;

use http::HeaderValue;

use crate::thread_state::Held;

/// Where the request's time went, in milliseconds: `queue` (waited for a thread; only if the
/// front said when it came), `run` (on CPU), `block` (held the thread, off CPU), `await` (waited
/// without the thread).
pub(super) fn header(
    queued: Option<Duration>,
    held: &Held,
    awaited: Duration,
) -> Option<HeaderValue> {
    let mut text = String::with_capacity(80);
    if let Some(queued) = queued {
        add(&mut text, "queue", queued);
    }
    add(&mut text, "run", Duration::from_nanos(held.running));
    add(&mut text, "block", Duration::from_nanos(held.blocked));
    add(&mut text, "await", awaited);
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()
}

fn add(text: &mut String, name: &str, time: Duration) {
    let separator = if text.is_empty() { "" } else { ", " };
    let microseconds = time.as_micros();
    let (whole, part) = (microseconds / 1_000, microseconds % 1_000);
    // Writing to a String cannot fail.
    let _ = write!(text, "{separator}{name};dur={whole}.{part:03}");
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
        let header = |queued| header(queued, &held, Duration::ZERO).unwrap();
        assert_eq!(
            header(None),
            "run;dur=1.234, block;dur=20000.000, await;dur=0.000"
        );
        let queued = Some(Duration::from_micros(7));
        assert_eq!(
            header(queued),
            "queue;dur=0.007, run;dur=1.234, block;dur=20000.000, await;dur=0.000"
        );
    }
}
