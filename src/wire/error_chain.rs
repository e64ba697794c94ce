//! Search in the sources of an error.

use std::error::Error;

use anyhow::Chain;

/// Returns the first error of type `E` among `error` and its sources.
pub(crate) fn find_cause<'a, E: Error + 'static>(
    error: &'a (dyn Error + 'static),
) -> Option<&'a E> {
    Chain::new(error).find_map(|error| error.downcast_ref())
}
