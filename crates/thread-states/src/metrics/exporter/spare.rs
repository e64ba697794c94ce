//! File descriptors that are kept for a scrape when the process has no others left.

use std::fs::File;

/// One for the connection, the others for the files in `/proc` that a scrape reads.
const COUNT: usize = 4;

/// Open files whose descriptors can be released.
#[derive(Debug)]
pub(super) struct Spare {
    files: Vec<File>,
    released: bool,
}

impl Spare {
    pub(super) fn new() -> Self {
        let mut spare = Self {
            files: Vec::new(),
            released: false,
        };
        spare.refill();
        spare
    }

    /// Releases the descriptors. Returns whether there were any.
    pub(super) fn release(&mut self) -> bool {
        self.released = !self.files.is_empty();
        self.files.clear();
        self.released
    }

    /// Returns whether the descriptors are in use.
    pub(super) fn is_released(&self) -> bool {
        self.released
    }

    /// Opens the files again, as far as there are descriptors.
    pub(super) fn refill(&mut self) {
        self.released = false;
        let missing = COUNT - self.files.len();
        let null = |_| File::open("/dev/null").ok();
        self.files.extend((0..missing).map_while(null));
    }
}
