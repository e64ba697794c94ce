//! Decision for a lingering close, see [`close`](super::close).

use std::os::fd::AsFd;

use bytes::Bytes;
use rustix::net::{RecvFlags, recv};

/// Returns whether an immediate close of `socket` could lose the last response: when there is a
/// `reply` to a request that was not read to its end, when other request bytes were left `unread`, or
/// when the kernel has received bytes that have not been read.
pub(crate) fn must_linger(socket: impl AsFd, reply: Option<&Bytes>, unread: bool) -> bool {
    let has_bytes = || {
        let mut byte = [0];
        let peek = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        matches!(recv(socket, &mut byte, peek), Ok((_, 1..)))
    };
    reply.is_some() || unread || has_bytes()
}
