//! Memory of answers in progress: one budget for all connections.
//!
//! A client that reads slowly keeps its answer in memory. The server can take this memory back: a body copies one piece
//! at a time out of a content that several bodies share, and loses the content when others need the memory. A shared
//! content counts once.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Error;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::Instant;

use super::client::Client;

/// Maximum bytes that a body gives to hyper at a time, which keeps little more. Answers up to this size are not
/// counted.
pub(super) const PIECE: usize = 16 * 1024;

/// After a second, a reader slower than this may lose its answer to a faster one of the same client.
const MIN_BYTES_PER_SECOND: f64 = 1024.0 * 1024.0;
/// Before this time, no answer counts as slow.
const MIN_AGE: Duration = Duration::from_secs(1);

/// Bytes of all answers in progress.
#[derive(Debug)]
pub(super) struct AnswerMemory {
    capacity: usize,
    answers: Mutex<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    next: u64,
    used: usize,
    sendings: BTreeMap<u64, Arc<Sending>>,
    /// Number of senders of the content at this address, which stays there meanwhile.
    readers: HashMap<usize, usize>,
}

/// An answer on its way to one client.
#[derive(Debug)]
struct Sending {
    client: Client,
    began: Instant,
    address: usize,
    length: usize,
    sent: AtomicUsize,
    content: Mutex<Option<Bytes>>,
}

/// There is no room.
#[derive(Debug)]
pub(super) struct NoRoom;

impl AnswerMemory {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity, answers: Mutex::default() })
    }

    /// Returns a body with this content, if there is room. Slow readers lose theirs for it. A content larger than the
    /// whole budget is accepted alone.
    pub(super) fn admit(self: &Arc<Self>, client: Client, content: Bytes) -> Result<Revocable, NoRoom> {
        let (address, length) = (content.as_ptr() as usize, content.len());
        let sending = Sending {
            client,
            began: Instant::now(),
            address,
            length,
            sent: AtomicUsize::new(0),
            content: Mutex::new(Some(content)),
        };
        let sending = Arc::new(sending);
        let mut answers = self.answers();
        if !answers.readers.contains_key(&address) {
            while answers.used > 0 && answers.used + length > self.capacity {
                let victim = answers.victim(client, length).ok_or(NoRoom)?;
                answers.revoke(victim);
            }
            answers.used += length;
        }
        *answers.readers.entry(address).or_default() += 1;
        let number = answers.next;
        answers.next += 1;
        answers.sendings.insert(number, Arc::clone(&sending));
        drop(answers);
        Ok(Revocable { memory: Arc::clone(self), number, sending })
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    /// Returns the answer to take back for `length` bytes of a newcomer: of a slow reader of the client with most
    /// bytes, unless that is the newcomer itself without a slow reader.
    fn victim(&self, newcomer: Client, length: usize) -> Option<u64> {
        let mut bytes = HashMap::from([(newcomer, length)]);
        for sending in self.sendings.values() {
            *bytes.entry(sending.client).or_default() += sending.length;
        }
        let (&greatest, _) = bytes.iter().max_by_key(|&(&client, &bytes)| (bytes, client == newcomer))?;
        let of_it = || self.sendings.iter().filter(|(_, sending)| sending.client == greatest);
        let slow =
            of_it().filter(|(_, sending)| sending.is_slow()).min_by(|(_, a), (_, b)| a.rate().total_cmp(&b.rate()));
        let oldest = || of_it().next().filter(|_| greatest != newcomer);
        slow.or_else(oldest).map(|(&number, _)| number)
    }

    fn revoke(&mut self, number: u64) {
        if let Some(sending) = self.remove(number) {
            sending.take();
        }
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Sending>> {
        let sending = self.sendings.remove(&number)?;
        let readers = self.readers.get_mut(&sending.address)?;
        *readers -= 1;
        if *readers == 0 {
            self.readers.remove(&sending.address);
            self.used -= sending.length;
        }
        Some(sending)
    }
}

impl Sending {
    fn rate(&self) -> f64 {
        self.sent.load(Ordering::Relaxed) as f64 / self.began.elapsed().as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn is_slow(&self) -> bool {
        self.began.elapsed() > MIN_AGE && self.rate() < MIN_BYTES_PER_SECOND
    }

    fn take(&self) -> Option<Bytes> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns a copy of the next piece; `None` if the content was taken back.
    fn piece(&self) -> Option<Bytes> {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let from = self.sent.load(Ordering::Relaxed);
        let piece = Bytes::copy_from_slice(&content.as_ref()?[from..self.length.min(from + PIECE)]);
        self.sent.store(from + piece.len(), Ordering::Relaxed);
        Some(piece)
    }

    fn left(&self) -> usize {
        self.length - self.sent.load(Ordering::Relaxed)
    }
}

/// A response body whose content can be taken back. Then the connection ends in the middle of it.
#[derive(Debug)]
pub(super) struct Revocable {
    memory: Arc<AnswerMemory>,
    number: u64,
    sending: Arc<Sending>,
}

impl Drop for Revocable {
    fn drop(&mut self) {
        self.memory.answers().revoke(self.number);
    }
}

impl Body for Revocable {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        let taken_back =
            || Error::new(io::Error::other("the client was too slow, and other clients required the memory"));
        Poll::Ready(Some(self.sending.piece().map(Frame::data).ok_or_else(taken_back)))
    }

    fn is_end_stream(&self) -> bool {
        self.sending.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.sending.left() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const CAPACITY: usize = 100 * PIECE;

    fn client(number: u8) -> Client {
        Client::of([10, 0, 0, number].into())
    }

    fn content(pieces: usize) -> Bytes {
        vec![b'x'; pieces * PIECE].into()
    }

    #[tokio::test]
    async fn a_body_is_what_was_put_in() {
        let memory = AnswerMemory::new(CAPACITY);
        let content: Bytes = (0..3 * PIECE + 7).map(|byte| byte.to_le_bytes()[0]).collect::<Vec<_>>().into();
        let body = memory.admit(client(1), content.clone()).unwrap();
        assert_eq!(body.size_hint().exact(), Some(content.len() as u64));
        assert_eq!(body.collect().await.unwrap().to_bytes(), content);
        assert_eq!(memory.answers().used, 0);
    }

    #[tokio::test]
    async fn the_same_content_counts_once() {
        let memory = AnswerMemory::new(CAPACITY);
        let exposition = content(60);
        let bodies: Vec<_> = (0..50).map(|_| memory.admit(client(1), exposition.clone()).unwrap()).collect();
        assert_eq!(memory.answers().used, 60 * PIECE);
        assert!(memory.admit(client(1), content(60)).is_err());
        drop(bodies);
        assert_eq!(memory.answers().used, 0);
        assert!(memory.admit(client(1), content(60)).is_ok());
    }

    #[tokio::test]
    async fn a_slow_reader_makes_room_and_its_memory_is_free_at_once() {
        let memory = AnswerMemory::new(CAPACITY);
        let pinned = content(60);
        let mut slow = memory.admit(client(1), pinned.clone()).unwrap();
        assert!(slow.frame().await.unwrap().is_ok());
        assert!(memory.admit(client(1), content(60)).is_err(), "it has had no time yet");
        tokio::time::sleep(MIN_AGE + Duration::from_millis(10)).await;
        let next = memory.admit(client(1), content(60)).unwrap();
        assert!(pinned.is_unique(), "given back before the slow reader reads again");
        assert!(slow.frame().await.unwrap().is_err());
        drop((slow, next));
        assert_eq!(memory.answers().used, 0);
        assert_eq!(memory.answers().sendings.len(), 0);
    }

    #[tokio::test]
    async fn who_has_most_makes_room_for_others_at_once() {
        let memory = AnswerMemory::new(CAPACITY);
        let most: Vec<_> = (0..9).map(|_| memory.admit(client(1), content(10)).unwrap()).collect();
        let mut other = memory.admit(client(2), content(10)).unwrap();
        assert!(
            memory.admit(client(1), content(10)).is_err(),
            "not at the cost of others, nor of its own that are not slow"
        );
        let _third = memory.admit(client(3), content(20)).unwrap();
        assert!(other.frame().await.unwrap().is_ok());
        let lost = most.iter().filter(|body| body.sending.content.lock().unwrap().is_none()).count();
        assert_eq!(lost, 2);
    }

    #[tokio::test]
    async fn one_that_is_larger_than_all_is_let_in_alone() {
        let memory = AnswerMemory::new(CAPACITY);
        let large = memory.admit(client(1), content(150)).unwrap();
        assert!(memory.admit(client(1), content(1)).is_err());
        drop(large);
        assert!(memory.admit(client(1), content(1)).is_ok());
    }
}
