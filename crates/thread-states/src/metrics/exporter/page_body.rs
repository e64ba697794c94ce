//! A page as the body of a response, which is written while it is sent.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::metrics::page::Page;

/// Bytes of a piece, more or less: as many as the kernel takes at once for a client that reads, since each write wakes
/// the client up. They stay in the second-level cache of the CPU until then.
const PIECE: usize = 252 * 1024;
/// Bytes of a piece with what it may have in excess: the lines of one thread.
const ROOM: usize = 256 * 1024;

/// A page whose next piece is written once the kernel has taken the ones before, which it does as the client reads.
pub(super) struct PageBody {
    page: Page,
    memory: PieceMemory,
    /// The first piece, until it is sent.
    first: Option<Bytes>,
    has_more: bool,
    /// Bytes of memory that a piece needs.
    room: usize,
    /// Time by which the last piece has to be asked for.
    deadline: Instant,
}

impl PageBody {
    /// Writes the first piece. The client has `time` to read the others.
    pub(super) fn new(page: Page, memory: PieceMemory, time: Duration) -> Self {
        let mut body = Self {
            room: page.size().min(ROOM),
            page,
            memory,
            first: None,
            has_more: true,
            deadline: Instant::now() + time,
        };
        body.first = Some(body.next_piece());
        body
    }

    fn next_piece(&mut self) -> Bytes {
        let mut text = self.memory.take(self.room);
        self.has_more = self.page.write(&mut text, PIECE);
        let memory = self.memory.clone();
        Bytes::from_owner(Piece { text, memory })
    }
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match self.first.take() {
            Some(first) => Ok(first),
            None if !self.has_more => return Poll::Ready(None),
            // Each piece has a time of its own to be read: without a limit for all, a client could take it each time.
            None if Instant::now() >= self.deadline => {
                self.has_more = false;
                Err(io::ErrorKind::TimedOut.into())
            }
            None => Ok(self.next_piece()),
        };
        Poll::Ready(Some(piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && !self.has_more
    }

    /// Exact of a page of one piece, so that it has a `Content-Length`. Others are sent in chunks.
    fn size_hint(&self) -> SizeHint {
        let known = self.first.as_ref().map_or(0, Bytes::len) as u64;
        match self.has_more {
            false => SizeHint::with_exact(known),
            true => {
                let mut hint = SizeHint::new();
                hint.set_lower(known);
                hint
            }
        }
    }
}

/// Memory of the last piece that was sent, for the next one of any page. Clones share it.
///
/// An allocation of this size would be given back to the kernel each time, and its pages cleared again.
#[derive(Debug, Clone, Default)]
pub(super) struct PieceMemory(Arc<Mutex<Option<String>>>);

impl PieceMemory {
    /// Takes the memory, or other memory of so many bytes if it is in use or smaller.
    fn take(&self, bytes: usize) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let kept = kept.filter(|text| text.capacity() >= bytes);
        kept.unwrap_or_else(|| String::with_capacity(bytes))
    }

    /// Keeps memory, but no more than that of a piece.
    fn keep(&self, mut text: String) {
        if text.capacity() <= ROOM {
            text.clear();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        }
    }
}

/// Text of a piece, whose memory is kept after it was sent.
struct Piece {
    text: String,
    memory: PieceMemory,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.memory.keep(mem::take(&mut self.text));
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::sync::Barrier;
    use std::task::Waker;
    use std::thread;

    use super::*;
    use crate::metrics::{Exposition, Metrics};

    const PLENTY: Duration = Duration::from_secs(60);

    /// Calls `check` with an exposition of so many threads.
    fn with_threads(threads: usize, check: impl FnOnce(&Exposition)) {
        let metrics = Metrics::new("shop");
        let (registered, checked) = (Barrier::new(threads + 1), Barrier::new(threads + 1));
        let run = || {
            let _registration = metrics.register_current_thread();
            registered.wait();
            checked.wait();
        };
        thread::scope(|scope| {
            for _ in 0..threads {
                let thread = thread::Builder::new().stack_size(64 * 1024);
                thread.spawn_scoped(scope, run).unwrap();
            }
            registered.wait();
            let exposition = Exposition::new([metrics.clone()]).unwrap();
            let result =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&exposition)));
            checked.wait();
            result.unwrap();
        });
    }

    fn body(exposition: &Exposition, memory: &PieceMemory, time: Duration) -> PageBody {
        PageBody::new(exposition.page().unwrap(), memory.clone(), time)
    }

    fn next(body: &mut PageBody) -> Option<io::Result<Bytes>> {
        let polled = Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(frame) = polled else {
            panic!("a page is never pending")
        };
        frame.map(|frame| frame.map(|frame| frame.into_data().unwrap()))
    }

    /// Lines without their values.
    fn series(text: &str) -> Vec<&str> {
        let series = |line| str::rsplit_once(line, ' ').map_or(line, |(series, _)| series);
        text.lines().map(series).collect()
    }

    #[test]
    fn the_pieces_of_a_page_have_the_lines_of_the_whole_text() {
        with_threads(400, |exposition| {
            let exposition = exposition.clone().append(|| "baskets 3\n".to_owned());
            let memory = PieceMemory::default();
            let mut body = body(&exposition, &memory, PLENTY);
            assert_eq!(body.size_hint().exact(), None);
            let (mut text, mut pieces) = (String::new(), 0);
            while let Some(piece) = next(&mut body) {
                let piece = piece.unwrap();
                assert!(piece.len() <= ROOM, "{}", piece.len());
                text.push_str(std::str::from_utf8(&piece).unwrap());
                pieces += 1;
            }
            assert!(body.is_end_stream() && pieces >= 3, "{pieces} pieces");
            assert_eq!(series(&text), series(&exposition.encode().unwrap()));
            let kept = memory.take(0);
            assert!(kept.is_empty() && kept.capacity() >= PIECE);
        });
    }

    #[test]
    fn a_page_of_one_piece_has_a_length() {
        with_threads(2, |exposition| {
            let mut body = body(exposition, &PieceMemory::default(), PLENTY);
            let length = body.size_hint().exact();
            let piece = next(&mut body).unwrap().unwrap();
            assert_eq!(length, Some(piece.len() as u64));
            assert!(body.is_end_stream() && next(&mut body).is_none());
        });
    }

    #[test]
    fn a_long_text_of_another_library_is_a_piece_of_its_own_and_its_memory_is_not_kept() {
        let long = "other_metric 1\n".repeat(100_000);
        let (text, memory) = (long.clone(), PieceMemory::default());
        let exposition = Exposition::default()
            .without_process()
            .append(move || text.clone());
        let mut body = body(&exposition, &memory, PLENTY);
        assert!(next(&mut body).unwrap().unwrap() == long);
        assert!(next(&mut body).is_none());
        assert_eq!(memory.take(0).capacity(), 0);
    }

    #[test]
    fn a_client_does_not_get_the_rest_of_a_page_after_its_time() {
        with_threads(400, |exposition| {
            let mut body = body(exposition, &PieceMemory::default(), Duration::ZERO);
            assert!(next(&mut body).unwrap().is_ok());
            let error = next(&mut body).unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(next(&mut body).is_none());
        });
    }
}
