//! The request that a thread serves, counted as in flight.

use std::cell::Cell;

use thread_states::InFlight;

/// The request that a thread serves, counted as in flight until the thread has to wait for the next one.
///
/// A request that is there already takes the place of the one before it, and nothing is counted: at the highest rate the
/// thread always serves one.
#[derive(Debug)]
pub(super) struct CountedRequest<'a> {
    in_flight: Option<&'a InFlight>,
    is_counted: Cell<bool>,
}

impl<'a> CountedRequest<'a> {
    /// Counts nothing yet, and never if the thread is not accounted for.
    pub(super) fn new(in_flight: Option<&'a InFlight>) -> Self {
        Self {
            in_flight,
            is_counted: Cell::new(false),
        }
    }

    /// Counts a request, unless the one before it is counted still.
    pub(super) fn begin(&self) {
        if let Some(in_flight) = self.in_flight
            && !self.is_counted.replace(true)
        {
            in_flight.begin();
        }
    }

    /// Counts no request any more.
    pub(super) fn end(&self) {
        if let Some(in_flight) = self.in_flight
            && self.is_counted.replace(false)
        {
            in_flight.end();
        }
    }
}

impl Drop for CountedRequest<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_follows_another_one_takes_its_place() {
        let in_flight = InFlight::of_thread_per_request();
        let request = CountedRequest::new(Some(&in_flight));
        assert_eq!(in_flight.count(), 0);
        for _ in 0..2 {
            request.begin();
            request.begin();
            assert_eq!(in_flight.count(), 1);
            request.end();
            request.end();
            assert_eq!(in_flight.count(), 0);
        }
        request.begin();
        drop(request);
        assert_eq!(in_flight.count(), 0);
    }
}
