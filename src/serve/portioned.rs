//! A connection whose incoming bytes are read in portions.
//!
//! actix reads up to 128 KiB and decodes all of it before the handler runs. In chunks of one byte, that is 21,800 pieces
//! of a body before `inbound::body` counts the first, and 2.4 ms of work for an unauthenticated client. After each
//! portion this connection reports no bytes once, so the handler runs between two portions.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes that are read before the handler runs. As much as actix reads at once with its smallest buffer.
const PORTION_BYTES: usize = 8 << 10;

pub(super) struct Portioned<S> {
    stream: S,
    left: usize,
}

impl<S> Portioned<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, left: PORTION_BYTES }
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Portioned<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            self.left = PORTION_BYTES;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let most = buffer.remaining().min(self.left);
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        let read = Pin::new(&mut self.stream).poll_read(context, &mut part);
        let count = part.filled().len();
        buffer.advance(count);
        self.left = if read.is_pending() { PORTION_BYTES } else { self.left.saturating_sub(count) };
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Portioned<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// As actix does: reads until no more bytes are there.
    fn read_all_there(stream: &mut Portioned<&[u8]>, room: usize) -> (usize, bool) {
        let mut context = Context::from_waker(Waker::noop());
        let (mut total, mut bytes) = (0, vec![0; room]);
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut *stream).poll_read(&mut context, &mut buffer) {
                Poll::Pending => return (total, false),
                Poll::Ready(read) => {
                    read.expect("memory does not fail");
                    total += buffer.filled().len();
                    if buffer.filled().is_empty() {
                        return (total, true);
                    }
                }
            }
        }
    }

    #[test]
    fn bytes_that_are_all_there_are_read_in_portions_and_none_is_lost() {
        for room in [1, 1000, PORTION_BYTES, 1 << 20] {
            let bytes = vec![7; 3 * PORTION_BYTES + 5];
            let mut stream = Portioned::new(bytes.as_slice());
            for _ in 0..3 {
                assert_eq!(read_all_there(&mut stream, room), (PORTION_BYTES, false), "{room}");
            }
            assert_eq!(read_all_there(&mut stream, room), (5, true), "{room}");
        }
    }
}
