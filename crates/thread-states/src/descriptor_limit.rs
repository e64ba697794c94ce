//! Limit on the file descriptors of this process.

/// Returns the soft limit on open file descriptors: `RLIMIT_NOFILE`. The kernel has no "unlimited" for it.
pub(crate) fn descriptor_limit() -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    #[expect(unsafe_code, reason = "std has no limits of resources")]
    // SAFETY: `limit` is valid for the write.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    (result == 0).then_some(limit.rlim_cur)
}
