//! Input from outside, as bytes: what a metrics port may send.
//!
//! The fuzzer (`fuzz/`) calls this function with bytes of its own, and `tests/fuzz.rs` with those that it has kept.

use super::LabServer;
use super::scrape::Scrape;
use crate::flavor::Flavor;

/// Parses a page in Prometheus' text format. Asserts that the samples which were read are read the same again, and
/// computes all totals.
pub fn metrics_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut scrape = Scrape::default();
    scrape.add(&text);
    let samples = scrape.lines();
    assert!(samples.len() <= text.lines().count());
    let mut again = Scrape::default();
    again.add(&samples.join("\n"));
    assert_eq!(again.lines(), samples);
    for flavor in [Flavor::Sync, Flavor::Async] {
        let server = LabServer::from(flavor);
        assert!(scrape.threads(server) <= samples.len());
        assert!(scrape.started(flavor).len() <= samples.len());
        let _ = (
            scrape.states(server).dominant(),
            scrape.pool(server),
            scrape.wall(flavor),
        );
    }
}
