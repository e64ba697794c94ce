//! Search in the sources of an error.

use std::error::Error;
use std::iter::successors;

/// Returns the first error of type `E` among `error` and its sources.
pub(crate) fn find_cause<'a, E: Error + 'static>(
    error: &'a (dyn Error + 'static),
) -> Option<&'a E> {
    successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}
