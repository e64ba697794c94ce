//! The time that a request waited for a thread, by its `X-Request-Start` header.

use std::time::{Duration, SystemTime};

use http::HeaderValue;

/// Longest time in a queue that is plausible: fronts give up after minutes, so a header with a longer
/// one means something else.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Largest difference by which the front's clock may be ahead. Fronts send milliseconds, some of them
/// rounded up.
const AHEAD: Duration = Duration::from_millis(1);

/// `X-Request-Start` header that is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rejected;

/// Returns how long a request waited, given its `X-Request-Start`.
///
/// The header is the time of arrival since 1970, after an optional `t=`, in the unit that its magnitude
/// implies: seconds (nginx: `t=${msec}`), milliseconds (Heroku), microseconds (Apache: `t=%t`) or
/// nanoseconds, each with or without decimals.
///
/// # Errors
///
/// If it is not such a number, or if it is in the future or more than an hour ago.
pub(super) fn queued(start: &HeaderValue) -> Result<Duration, Rejected> {
    // Clocks before 1970 are not plausible, either.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_err(|_| Rejected)?;
    let waited = since_1970(start.as_bytes()).and_then(|start| wait(start, now));
    waited.ok_or(Rejected)
}

/// Returns the time between `start` and `now`, if it is plausible.
fn wait(start: Duration, now: Duration) -> Option<Duration> {
    let is_plausible = start <= now + AHEAD && now.saturating_sub(start) <= LONGEST;
    is_plausible.then(|| now.saturating_sub(start))
}

/// Parses the value of the header.
fn since_1970(value: &[u8]) -> Option<Duration> {
    const NANOS: u128 = 1_000_000_000;

    let number = value.strip_prefix(b"t=").unwrap_or(value);
    let point = number.iter().position(|&byte| byte == b'.');
    let (whole, decimals) = number.split_at(point.unwrap_or(number.len()));
    let whole = integer(whole)?;
    // Seconds up to the year 5138. The other units end there, too.
    let unit = match whole {
        0..100_000_000_000 => NANOS,
        100_000_000_000..100_000_000_000_000 => NANOS / 1_000,
        100_000_000_000_000..100_000_000_000_000_000 => NANOS / 1_000_000,
        _ => 1,
    };
    let mut nanos = u128::from(whole) * unit;
    if let [_, decimals @ ..] = decimals {
        // Digits after the ninth are less than a nanosecond.
        let (used, rest) = decimals.split_at(decimals.len().min(9));
        let padding = 10_u128.pow(9 - used.len() as u32);
        nanos += u128::from(integer(used)?) * padding * unit / NANOS;
        rest.iter().all(u8::is_ascii_digit).then_some(())?;
    }
    let seconds = u64::try_from(nanos / NANOS).ok()?;
    Some(Duration::new(seconds, (nanos % NANOS) as u32))
}

/// Parses a number of 1 to 19 digits, without a sign.
fn integer(digits: &[u8]) -> Option<u64> {
    let is_number = (1..=19).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_magnitude_implies_the_unit() {
        let expected = Duration::new(1_795_626_105, 989_000_000);
        for value in [
            "t=1795626105.989",
            "1795626105.989",
            "t=1795626105989",
            "t=1795626105989.000",
            "t=1795626105989000",
            "1795626105989000.0",
            "t=1795626105989000000",
            "t=1795626105.9890000000000001",
        ] {
            assert_eq!(since_1970(value.as_bytes()), Some(expected), "{value}");
        }
        let micros = since_1970(b"1795626105989.25");
        assert_eq!(micros, Some(expected + Duration::from_micros(250)));
    }

    #[test]
    fn other_values_are_not_times() {
        for value in [
            "",
            "t=",
            "t=-1",
            "t=+1",
            "t=1e9",
            "t=NaN",
            "t=inf",
            "t=1795626105.",
            "t=.5",
            "t=1795626105,989",
            "t=1795626105.9x",
            "t=1795626105.98900000000x",
            " t=1795626105",
            "t=18446744073709551616",
            "t=99999999999999999999",
            "yesterday",
        ] {
            assert_eq!(since_1970(value.as_bytes()), None, "{value:?}");
        }
    }

    #[test]
    fn implausible_times_are_rejected() {
        let now = Duration::from_secs(1_795_626_105);
        let (ms, hour) = (Duration::from_millis(1), Duration::from_secs(3_600));
        assert_eq!(wait(now - 250 * ms, now), Some(250 * ms));
        assert_eq!(wait(now + ms, now), Some(Duration::ZERO));
        assert_eq!(wait(now + 2 * ms, now), None);
        assert_eq!(wait(now - hour, now), Some(hour));
        assert_eq!(wait(now - hour - ms, now), None);
    }

    #[test]
    fn a_request_waited_since_its_start() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let start = now.unwrap() - Duration::from_secs(5);
        let start = format!("t={}", start.as_millis()).parse().unwrap();
        let waited = queued(&start).unwrap();
        assert!((5..60).contains(&waited.as_secs()), "{waited:?}");
        assert_eq!(queued(&HeaderValue::from_static("t=1")), Err(Rejected));
    }
}
