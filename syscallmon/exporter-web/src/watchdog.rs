//! One deadline per connection, which activity of the connection moves.
//!
//! hyper's own header timeout also runs while a kept-alive connection waits for its next request, and would close
//! Prometheus' connection between scrapes; and it has none for a client that does not read. `connection` drops a
//! connection when [`Watchdog::expired`] returns, and `connections` asks for the [`Watchdog::rank`] of each when
//! it needs room.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{
    limits::Limits,
    request_line::{Beginning, Repair, refusal},
};

/// A connection without progress of its answer for this time counts as idle.
const STALLED: Duration = Duration::from_secs(10);

/// The activity of a connection, and its deadline.
pub(super) struct Watchdog {
    state: watch::Sender<State>,
    limits: Limits,
}

struct State {
    phase: Phase,
    deadline: Instant,
    /// When bytes were last read or written.
    active: Instant,
}

enum Phase {
    /// A request's headers are being read, or the connection is new.
    Head,
    /// Requests with responses that are not yet being written: their deadlines, in order. HTTP/2 has several.
    Busy(Vec<Instant>),
    /// The last response is taken over for writing, but its end may still wait for the client to read.
    Flushing,
    /// All is written, the next request has not begun.
    Idle,
}

impl Watchdog {
    /// For a connection that begins now.
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let now = Instant::now();
        let state = State { phase: Phase::Head, deadline: now + limits.header_timeout, active: now };
        Arc::new(Self { state: watch::Sender::new(state), limits })
    }

    /// A request's headers are complete; it is in flight until the returned value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        // Once for making the response, once for writing it to a slow reader.
        let deadline = Instant::now() + 2 * self.limits.request_timeout;
        self.state.send_modify(|state| match &mut state.phase {
            // The oldest deadline stays: further requests must not keep a response alive that the client does not read.
            Phase::Busy(deadlines) => deadlines.push(deadline),
            Phase::Head | Phase::Flushing | Phase::Idle => {
                (state.phase, state.deadline) = (Phase::Busy(vec![deadline]), deadline);
            }
        });
        InFlight { watchdog: Arc::clone(self), deadline }
    }

    fn end(&self, deadline: Instant) {
        self.state.send_modify(|state| match &mut state.phase {
            Phase::Busy(deadlines) if deadlines.len() > 1 => {
                if let Some(index) = deadlines.iter().position(|of| *of == deadline) {
                    deadlines.remove(index);
                }
                state.deadline = deadlines[0];
            }
            Phase::Head | Phase::Busy(_) | Phase::Flushing | Phase::Idle => state.phase = Phase::Flushing,
        });
    }

    /// Returns the rank for choosing the idlest connection: the smallest. Connections with an answer in progress rank
    /// higher.
    pub(super) fn rank(&self) -> (bool, Instant) {
        let state = self.state.borrow();
        let is_answered = matches!(state.phase, Phase::Busy(_)) && state.active.elapsed() < STALLED;
        (is_answered, state.active)
    }

    /// Whether a request's headers are awaited or being read.
    fn is_before_request(&self) -> bool {
        matches!(self.state.borrow().phase, Phase::Head | Phase::Idle)
    }

    fn is_active(&self) {
        self.state.send_if_modified(|state| {
            state.active = Instant::now();
            false
        });
    }

    fn flushed(&self) {
        self.state.send_if_modified(|state| {
            let ends = matches!(state.phase, Phase::Flushing);
            if ends {
                (state.phase, state.deadline) = (Phase::Idle, Instant::now() + self.limits.idle_timeout);
            }
            ends
        });
    }

    /// Notes that bytes arrived. Returns whether they begin a request after another one.
    fn bytes_arrived(&self) -> bool {
        self.state.send_if_modified(|state| {
            let begins = matches!(state.phase, Phase::Idle);
            if begins {
                (state.phase, state.deadline) = (Phase::Head, Instant::now() + self.limits.header_timeout);
            }
            begins
        })
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
pub(super) struct InFlight {
    watchdog: Arc<Watchdog>,
    deadline: Instant,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.watchdog.end(self.deadline);
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

/// A stream that informs the watchdog about activity.
pub(super) struct WatchedStream<S> {
    stream: S,
    watchdog: Arc<Watchdog>,
    /// With HTTP/1, bytes on an idle connection begin a request. With HTTP/2 they may be a ping.
    http1: Option<Http1>,
}

/// The layer between an HTTP/1 client and hyper.
#[derive(Default)]
struct Http1 {
    repair: Repair,
    beginning: Beginning,
    /// Repaired bytes that found no room yet.
    repaired: Vec<u8>,
    /// An answer in place of hyper's, and how much of it is written.
    refusal: Option<(Vec<u8>, usize)>,
}

impl<S> WatchedStream<S> {
    pub(super) fn http1(stream: S, watchdog: &Arc<Watchdog>) -> Self {
        Self { stream, watchdog: Arc::clone(watchdog), http1: Some(Http1::default()) }
    }

    pub(super) fn http2(stream: S, watchdog: &Arc<Watchdog>) -> Self {
        Self { stream, watchdog: Arc::clone(watchdog), http1: None }
    }

    /// Whether these bytes of hyper are replaced by an answer with a text.
    fn is_refused(&mut self, bytes: &[u8]) -> bool {
        let Some(http1) = &mut self.http1 else { return false };
        if http1.refusal.is_none() && self.watchdog.is_before_request() {
            let refusal = refusal(bytes, self.watchdog.limits.header_bytes, http1.beginning.is_api());
            http1.refusal = refusal.map(|answer| (answer, 0));
        }
        http1.refusal.is_some()
    }
}

impl Http1 {
    /// Hands out repaired bytes; false if there are none.
    fn fill(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let count = self.repaired.len().min(buf.remaining());
        buf.put_slice(&self.repaired[..count]);
        self.repaired.drain(..count);
        count > 0
    }
}

impl<S: AsyncWrite + Unpin> WatchedStream<S> {
    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((answer, written)) = self.http1.as_mut().and_then(|http1| http1.refusal.as_mut()) {
            if *written == answer.len() {
                break;
            }
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &answer[*written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += count;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(http1) = &mut this.http1 else {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            this.watchdog.is_active();
            return Poll::Ready(Ok(()));
        };
        if buf.remaining() == 0 || http1.fill(buf) {
            return Poll::Ready(Ok(()));
        }
        let mut bytes = [0; 4096];
        let mut raw = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut raw))?;
        if !raw.filled().is_empty() {
            this.watchdog.is_active();
            if this.watchdog.bytes_arrived() {
                http1.beginning.clear();
            }
            http1.beginning.push(raw.filled());
            http1.repair.push(raw.filled(), &mut http1.repaired);
            http1.fill(buf);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_refused(bytes) {
            ready!(this.poll_refusal(cx))?;
            return Poll::Ready(Ok(bytes.len()));
        }
        let count = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes))?;
        this.watchdog.is_active();
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(first) = slices.iter().find(|slice| !slice.is_empty())
            && this.is_refused(first)
        {
            ready!(this.poll_refusal(cx))?;
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let count = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, slices))?;
        this.watchdog.is_active();
        Poll::Ready(Ok(count))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn further_requests_do_not_keep_an_old_one_alive() {
        let request_timeout = Duration::from_millis(50);
        let watchdog = Watchdog::new(Limits { request_timeout, ..Limits::default() });
        let (start, first) = (Instant::now(), watchdog.begin());
        tokio::time::sleep(request_timeout).await;
        let second = watchdog.begin();
        watchdog.expired().await;
        assert!(start.elapsed() < 3 * request_timeout, "{:?}", start.elapsed());
        drop(first);
        assert!(watchdog.state.borrow().deadline >= start + 3 * request_timeout, "the second one's");
        drop(second);
        assert!(watchdog.is_before_request() || matches!(watchdog.state.borrow().phase, Phase::Flushing));
    }
}
