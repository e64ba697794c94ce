//! CPU pressure of the machine: whether it is the machine that is slow, and not the server.

use std::fs;

/// Returns the share of the last 10 s in which at least one thread of this machine waited for a CPU, from 0 to 1
/// (Linux's pressure stall information). `None` where the kernel does not keep it.
#[must_use]
pub fn cpu_pressure() -> Option<f64> {
    parse(&fs::read_to_string("/proc/pressure/cpu").ok()?)
}

fn parse(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let mut fields = some.split_ascii_whitespace();
    let percent: f64 = fields
        .find_map(|field| field.strip_prefix("avg10="))?
        .parse()
        .ok()?;
    percent.is_finite().then_some(percent / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_over_ten_seconds_is_a_share() {
        let text = "some avg10=97.50 avg60=61.20 avg300=30.00 total=8315277\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(parse(text), Some(0.975));
        for bad in [
            "",
            "full avg10=1.00",
            "some avg60=1.00",
            "some avg10=NaN",
            "some avg10=",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
