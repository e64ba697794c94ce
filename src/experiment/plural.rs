//! Counts with their noun in the right number.

use std::fmt::Display;

/// Formats `count` and `noun`, with an `s` appended unless the count is 1: `1 request`, `2 requests`.
pub(super) fn plural(count: impl Display, noun: &str) -> String {
    let count = count.to_string();
    let suffix = if count == "1" { "" } else { "s" };
    format!("{count} {noun}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        assert_eq!(plural(0_u64, "request"), "0 requests");
        assert_eq!(plural(1_u64, "request"), "1 request");
        assert_eq!(plural(1.0, "request"), "1 request");
        assert_eq!(plural(2_usize, "thread"), "2 threads");
    }
}
