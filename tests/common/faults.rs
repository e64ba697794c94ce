//! Faults, collected so that one run tells all of them.

use std::fmt::Display;

/// What was found wrong, and where.
#[derive(Default)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    /// Adds a fault.
    pub(crate) fn add(&mut self, place: impl Display, fault: impl Display) {
        self.0.push(format!("{place}: {fault}"));
    }

    /// Adds a fault unless all is fine.
    pub(crate) fn unless(&mut self, fine: bool, place: impl Display, fault: impl Display) {
        if !fine {
            self.add(place, fault);
        }
    }

    /// Fails the test if there are any.
    #[track_caller]
    pub(crate) fn none(self) {
        let faults = self.0.join("\n  ");
        assert!(faults.is_empty(), "{} faults:\n  {faults}", self.0.len());
    }
}
