//! One deadline per connection, moved by what the connection does.
//!
//! hyper's own header timeout also runs while a kept-alive connection waits for its next request, and would close
//! Prometheus' connection between scrapes; and it has none for a client that does not read. `connection` drops a
//! connection when [`Watchdog::expired`] returns.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::limits::Limits;

/// What a connection is doing and until when it may.
pub(super) struct Watchdog {
    state: watch::Sender<State>,
    limits: Limits,
}

#[derive(Clone, Copy)]
struct State {
    phase: Phase,
    deadline: Instant,
}

#[derive(Clone, Copy)]
enum Phase {
    /// A request's headers are being read, or the connection is new.
    Head,
    /// So many requests have come whose responses are not yet taken over for writing. More than one with HTTP/2.
    Busy(usize),
    /// The last response is taken over for writing, but its end may still wait for the client to read.
    Flushing,
    /// All is written, the next request has not begun.
    Idle,
}

impl Watchdog {
    /// For a connection that begins now.
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let state = State { phase: Phase::Head, deadline: Instant::now() + limits.header_timeout };
        Arc::new(Self { state: watch::Sender::new(state), limits })
    }

    /// A request's headers are complete; it is in flight until the returned value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        // Once for making the response, once for writing it to a slow reader.
        let deadline = Instant::now() + 2 * self.limits.request_timeout;
        self.state.send_modify(|state| {
            let before = if let Phase::Busy(requests) = state.phase { requests } else { 0 };
            *state = State { phase: Phase::Busy(before + 1), deadline };
        });
        InFlight(Arc::clone(self))
    }

    fn end(&self) {
        self.state.send_modify(|state| match state.phase {
            Phase::Busy(requests) if requests > 1 => state.phase = Phase::Busy(requests - 1),
            Phase::Head | Phase::Busy(_) | Phase::Flushing | Phase::Idle => state.phase = Phase::Flushing,
        });
    }

    fn flushed(&self) {
        self.state.send_if_modified(|state| {
            let ends = matches!(state.phase, Phase::Flushing);
            if ends {
                *state = State { phase: Phase::Idle, deadline: Instant::now() + self.limits.idle_timeout };
            }
            ends
        });
    }

    fn bytes_arrived(&self) {
        self.state.send_if_modified(|state| {
            let begins = matches!(state.phase, Phase::Idle);
            if begins {
                *state = State { phase: Phase::Head, deadline: Instant::now() + self.limits.header_timeout };
            }
            begins
        });
    }

    /// Shutdown was asked for: half a request is not worth waiting for.
    pub(super) fn hurry(&self) {
        self.state.send_modify(|state| {
            if matches!(state.phase, Phase::Head) {
                state.deadline = Instant::now();
            }
        });
    }

    /// Returns once the deadline has passed, however often it moved before.
    pub(super) async fn expired(&self) {
        let mut changes = self.state.subscribe();
        loop {
            let deadline = changes.borrow_and_update().deadline;
            tokio::select! {
                () = sleep_until(deadline) => return,
                // Fails only without a sender, and `self` is the sender.
                _ = changes.changed() => {}
            }
        }
    }
}

/// A request in flight.
pub(super) struct InFlight(Arc<Watchdog>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A response body that keeps its request in flight until hyper has taken the last of it.
pub(super) struct Tracked {
    body: axum::body::Body,
    _request: InFlight,
}

impl Tracked {
    pub(super) fn new(body: axum::body::Body, request: InFlight) -> Self {
        Self { body, _request: request }
    }
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that tells the watchdog when a request begins to arrive and when all is written.
pub(super) struct Heard<S> {
    stream: S,
    watchdog: Arc<Watchdog>,
    /// Whether bytes on an idle connection begin a request. With HTTP/2 they may be a ping.
    bytes_are_requests: bool,
}

impl<S> Heard<S> {
    pub(super) fn http1(stream: S, watchdog: &Arc<Watchdog>) -> Self {
        Self { stream, watchdog: Arc::clone(watchdog), bytes_are_requests: true }
    }

    pub(super) fn http2(stream: S, watchdog: &Arc<Watchdog>) -> Self {
        Self { stream, watchdog: Arc::clone(watchdog), bytes_are_requests: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if self.bytes_are_requests && buf.filled().len() > before {
            self.watchdog.bytes_arrived();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes the stream only once its own buffers are empty.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.watchdog.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
