//! Fetches memory into the CPU's caches before it is needed.

/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Has the CPU load all lines of `value` into its first-level cache, without waiting for them. Does nothing on CPUs
/// other than x86-64, for which stable Rust has no such intrinsic.
///
/// The CPU waits for the translation of the address, as for that of a load. It translates those of several loads at
/// once, so for many values, load a word of each first.
#[inline]
pub(super) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        let first = std::ptr::from_ref(value).cast::<i8>();
        for line in 0..size_of::<T>().div_ceil(LINE) {
            // SAFETY: a prefetch changes nothing that a program can see, whatever is at the address.
            #[expect(unsafe_code, reason = "an intrinsic of the CPU")]
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(line * LINE));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
