//! A list of defects, so that one run reports all of them.

use std::fmt::Display;

/// The defects found, each with its place.
#[derive(Default)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    /// Adds a fault.
    pub(crate) fn add(&mut self, place: impl Display, fault: impl Display) {
        self.0.push(format!("{place}: {fault}"));
    }

    /// Adds a fault if `fine` is false.
    pub(crate) fn unless(&mut self, fine: bool, place: impl Display, fault: impl Display) {
        if !fine {
            self.add(place, fault);
        }
    }

    /// Panics if there are any faults.
    #[track_caller]
    pub(crate) fn none(self) {
        let faults = self.0.join("\n  ");
        assert!(faults.is_empty(), "{} faults:\n  {faults}", self.0.len());
    }
}
