//! The stream of one connection as hyper sees it: it reports reads and writes to the [`ConnectionState`], passes on no
//! bytes that break the framing, yields to other connections, and closes so that the last response arrives.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;

use super::connection_state::ConnectionState;
use super::framing::{FramingPosition, FramingValidator};

/// How long a closing connection is still read, so that a reset does not destroy the last response (RFC 9112 §9.6).
const LINGER: Duration = if cfg!(test) { Duration::from_secs(600) } else { Duration::from_secs(2) };

/// Bytes that a connection may read before it yields to others. Frames that lead to no request, such as PRIORITY, would
/// otherwise keep its worker busy for tokio's whole budget, which counts reads and not bytes.
const TURN: usize = 64 * 1024;

/// A stream that reports reads and writes to its [`ConnectionState`].
#[derive(Debug)]
pub struct GuardedStream<S> {
    stream: S,
    state: Arc<ConnectionState>,
    /// For HTTP/1; HTTP/2 has frames.
    framing: Option<FramingValidator>,
    /// No more is read: the bytes are not a valid request, or not a valid body.
    ended: Ended,
    /// Read while the connection was parked, and not validated yet.
    first: Option<u8>,
    /// Bytes read since the last yield.
    read: usize,
    /// Set once the gateway's side is closed: how long the client may take to close its side.
    lingering: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    No,
    InHead,
    InBody,
}

impl<S> GuardedStream<S> {
    /// Wraps `stream`.
    pub fn new(stream: S, state: Arc<ConnectionState>, framing: Option<FramingValidator>) -> Self {
        Self { stream, state, framing, ended: Ended::No, first: None, read: 0, lingering: None }
    }

    /// Whether all bytes that were read belong to complete requests.
    pub fn is_between_requests(&self) -> bool {
        let at_rest = self.framing.as_ref().is_none_or(|framing| framing.place() == FramingPosition::Between);
        self.ended == Ended::No && self.first.is_none() && at_rest
    }

    /// The stream, for a last response or a tunnel.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if self.read >= TURN {
            self.read = 0;
            // Woken only after the runtime has polled the other tasks that are ready.
            return std::pin::pin!(tokio::task::yield_now()).poll(cx).map(Ok);
        }
        let before = buf.filled().len();
        if self.ended == Ended::No {
            match self.first.take_if(|_| buf.remaining() > 0) {
                Some(first) => buf.put_slice(&[first]),
                None => match Pin::new(&mut self.stream).poll_read(cx, buf) {
                    Poll::Ready(read) if is_end(&read, buf, before) && self.outlives_end(cx) => return Poll::Pending,
                    Poll::Ready(read) => read?,
                    Poll::Pending => {
                        self.state.no_more_bytes();
                        return Poll::Pending;
                    }
                },
            }
            let came = buf.filled().len().saturating_sub(before);
            self.read = self.read.saturating_add(came);
            if came > 0 {
                self.follow(buf, before);
            }
        }
        match self.ended {
            Ended::InHead | Ended::InBody if buf.filled().len() > before => Poll::Ready(Ok(())),
            Ended::No => Poll::Ready(Ok(())),
            // The connection's own task closes it, once all earlier requests are answered.
            Ended::InHead => Poll::Pending,
            Ended::InBody => Poll::Ready(Err(std::io::ErrorKind::InvalidData.into())),
        }
    }
}

/// Whether the client has closed its side. Over TLS, a client may do so without a close_notify: the framing shows whether
/// its request is complete (RFC 9112 §9.8).
fn is_end(read: &std::io::Result<()>, buf: &ReadBuf<'_>, before: usize) -> bool {
    match read {
        Ok(()) => buf.filled().len() == before,
        Err(error) => error.kind() == std::io::ErrorKind::UnexpectedEof,
    }
}

impl<S> GuardedStream<S> {
    /// Whether the end of the stream is kept from hyper, which would drop the requests in flight. In HTTP/2, each stream
    /// has an end of its own, and that of the connection ends them all.
    fn outlives_end(&self, cx: &Context<'_>) -> bool {
        self.framing.is_some() && self.state.outlives_end(cx.waker())
    }

    /// Passes on no bytes that break the framing.
    fn follow(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let Some(framing) = &mut self.framing else { return };
        let came = buf.filled().get(before..).unwrap_or_default();
        let followed = framing.follow(came);
        self.state.bytes_came(framing.place());
        let Err((good, framing_error)) = followed else { return };
        buf.set_filled(before + good);
        if framing.place() == FramingPosition::InBody {
            self.ended = Ended::InBody;
        } else {
            self.ended = Ended::InHead;
            self.state.record_framing_error(framing_error);
        }
    }
}

impl<S: AsyncRead + Unpin> GuardedStream<S> {
    /// Waits for a byte or the end of the stream, which the next read returns; false if the connection breaks.
    pub async fn something_comes(&mut self) -> bool {
        let mut first = [0];
        let came = self.stream.read(&mut first).await;
        if matches!(came, Ok(1)) {
            self.first = Some(first[0]);
        }
        came.is_ok()
    }

    fn watch_write<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_pending() {
            self.state.write_blocked();
        }
        polled
    }

    /// Reads and discards until the client closes its side too: unread data would make the kernel send a reset, which
    /// can destroy the last response.
    fn poll_until_closed(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut scratch = [0_u8; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, data);
        self.watch_write(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.watch_write(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        if polled.is_ready() {
            self.state.write_done();
        }
        self.watch_write(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.lingering.is_none() {
            // Bytes that arrive from now on are read and discarded.
            self.state.closes();
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.lingering = Some(Box::pin(tokio::time::sleep(LINGER)));
        }
        let given_up = self.lingering.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if given_up { Poll::Ready(Ok(())) } else { self.poll_until_closed(cx) }
    }
}

/// Sends a last response on a connection, and gives it time to arrive.
pub async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, word: &[u8]) {
    let saying = async {
        stream.write_all(word).await?;
        stream.shutdown().await?;
        tokio::io::copy(stream, &mut tokio::io::sink()).await
    };
    // Best effort: the client may not read it.
    let _ = tokio::time::timeout(LINGER, saying).await;
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// A PING or a WINDOW_UPDATE is no request, and must not keep the connection open.
    #[test]
    fn frames_of_http2_do_not_move_the_deadline() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut far, near) = tokio::io::duplex(64);
        let (state, limits) = (ConnectionState::new(Arc::default()), crate::snapshot::ListenerLimits::default());
        let before = state.deadline(&limits);
        let mut watched = GuardedStream::new(near, Arc::clone(&state), None);
        runtime.block_on(async {
            far.write_all(b"a frame").await.unwrap();
            watched.read_exact(&mut [0; 7]).await.unwrap();
        });
        assert_eq!(state.deadline(&limits), before);
    }

    /// Frames that lead to no request delay other connections no longer than 64 KiB take.
    #[test]
    fn a_connection_yields_to_others() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut far, near) = tokio::io::duplex(8 * TURN);
        runtime.block_on(far.write_all(&vec![0; 4 * TURN])).unwrap();
        let mut watched = GuardedStream::new(near, ConnectionState::new(Arc::default()), None);
        let mut context = Context::from_waker(Waker::noop());
        let mut turn = || {
            let (mut came, mut bytes) = (0, [0; 4096]);
            loop {
                let mut buf = ReadBuf::new(&mut bytes);
                match Pin::new(&mut watched).poll_read(&mut context, &mut buf) {
                    Poll::Ready(read) => read.unwrap(),
                    Poll::Pending => return came,
                }
                came += buf.filled().len();
            }
        };
        assert_eq!([turn(), turn(), turn()], [TURN; 3]);
    }
}
