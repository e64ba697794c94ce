//! The parts of a response, such as its head and its body, as bytes to send.

use std::io::IoSlice;
use std::mem::MaybeUninit;

use tokio::io::ReadBuf;

/// Most bytes of several parts that are copied to be sent as one.
const LONGEST_COPY: usize = 1024;

/// Calls `send` with the parts as one, which are copied for that unless there is only one. Returns `None` if they are
/// too long: up to there, the kernel takes more time for a vector than it takes to copy its parts.
pub(super) fn as_one<R>(parts: &[IoSlice<'_>], send: impl FnOnce(&[u8]) -> R) -> Option<R> {
    if let [part] = parts {
        return Some(send(part));
    }
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length > LONGEST_COPY {
        return None;
    }
    let mut bytes = [MaybeUninit::uninit(); LONGEST_COPY];
    let mut copy = ReadBuf::uninit(&mut bytes);
    parts.iter().for_each(|part| copy.put_slice(part));
    Some(send(copy.filled()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_parts_and_a_single_one_are_sent_as_one() {
        let one = |lengths: &[usize]| {
            let parts: Vec<_> = (b'a'..).zip(lengths).collect();
            let parts: Vec<_> = parts
                .into_iter()
                .map(|(byte, length)| vec![byte; *length])
                .collect();
            let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
            let sent = as_one(&slices, <[u8]>::to_vec);
            sent.map(|sent| sent == parts.concat())
        };
        assert_eq!(one(&[0, 3, 2]), Some(true));
        assert_eq!(one(&[LONGEST_COPY - 1, 1]), Some(true));
        assert_eq!(one(&[LONGEST_COPY, 1]), None);
        assert_eq!(one(&[LONGEST_COPY + 1]), Some(true));
        assert_eq!(one(&[]), Some(true));
    }
}
