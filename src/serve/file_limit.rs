//! Limit on open files.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit on open files to the maximum allowed: each request in flight needs one.
pub(crate) fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(error = %std::io::Error::from(error), "could not raise the open-file limit");
    }
}
