//! Turns to hash a password: one at a time, fair among clients, with a bounded queue.
//!
//! A hash takes a core for a while on purpose. A client with thousands of wrong passwords gets few turns: when too many
//! requests wait, the oldest one of the client with most is refused, and clients take turns.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::client::Client;

/// Maximum waiting requests of one client and of all: a turn takes about 50 ms at the usual cost, and no request should
/// wait much longer than a second.
const MAX_WAITING_PER_CLIENT: usize = 4;
const MAX_WAITING: usize = 16;

/// Turns of clients for checks of passwords. Each client waits for its own turn.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    is_busy: bool,
    /// The client that had the last turn.
    last: Option<Client>,
    /// In order of arrival.
    waiting: VecDeque<(Client, oneshot::Sender<Turn>)>,
}

/// The right to hash one password. Dropping it ends the turn.
pub(super) struct Turn(Turns);

impl Turns {
    /// Returns a turn, or `None` if too many requests wait.
    pub(super) async fn take(&self, client: Client) -> Option<Turn> {
        let turn = {
            let mut queue = self.lock();
            if !queue.is_busy {
                (queue.is_busy, queue.last) = (true, Some(client));
                drop(queue);
                return Some(Turn(self.clone()));
            }
            let (sender, turn) = oneshot::channel();
            queue.waiting.push_back((client, sender));
            queue.drop_excess(client);
            turn
        };
        // An error means that the sender was dropped.
        turn.await.ok()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn drop_excess(&mut self, newcomer: Client) {
        self.waiting.retain(|(_, sender)| !sender.is_closed());
        let mut waiting = HashMap::<Client, usize>::new();
        for (client, _) in &self.waiting {
            *waiting.entry(*client).or_default() += 1;
        }
        let count = |client: &Client| waiting.get(client).copied().unwrap_or_default();
        let excess = if count(&newcomer) > MAX_WAITING_PER_CLIENT {
            self.waiting.iter().position(|(client, _)| *client == newcomer)
        } else if self.waiting.len() > MAX_WAITING {
            // Of clients with equally many, the one that has waited longest: never the newcomer.
            let most = waiting.values().max().copied();
            self.waiting.iter().position(|(client, _)| Some(count(client)) == most)
        } else {
            None
        };
        if let Some(index) = excess {
            self.waiting.remove(index);
        }
    }

    /// Returns the next request: the first of another client than the last one, if there is one.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let is_another = |(client, _): &(Client, _)| Some(*client) != self.last;
        let index = self.waiting.iter().position(is_another).unwrap_or(0);
        let next = self.waiting.remove(index);
        self.is_busy = next.is_some();
        next.map(|(client, sender)| {
            self.last = Some(client);
            sender
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = self.0.lock().next();
        if let Some(sender) = next {
            // A request that was cancelled returns its turn here, and the next one gets it.
            let _ = sender.send(Self(self.0.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::task::unconstrained;

    use super::*;

    fn client(number: u8) -> Client {
        Client::of([10, 0, 0, number].into())
    }

    #[tokio::test]
    async fn clients_take_turns_and_the_newest_of_many_are_kept() {
        let turns = Turns::default();
        let first = turns.take(client(1)).await.unwrap();
        let mut many: Vec<_> = (0..1200).map(|_| Box::pin(turns.take(client(1)))).collect();
        for waiting in &mut many {
            assert!(unconstrained(waiting).now_or_never().is_none());
        }
        let mut right = Box::pin(turns.take(client(2)));
        assert!((&mut right).now_or_never().is_none());
        drop(first);
        let turn = (&mut right).now_or_never().expect("at once").expect("a turn");
        drop(turn);
        let outcomes: Vec<bool> =
            many.into_iter().map(|waiting| unconstrained(waiting).now_or_never().flatten().is_some()).collect();
        let got: Vec<usize> = (0..outcomes.len()).filter(|&index| outcomes[index]).collect();
        assert_eq!(got, [1196, 1197, 1198, 1199]);
        assert!(!turns.lock().is_busy);
    }

    #[tokio::test]
    async fn few_wait_of_many_clients() {
        let turns = Turns::default();
        let first = turns.take(client(0)).await.unwrap();
        let mut many: Vec<_> = (1..=200).map(|number| Box::pin(turns.take(client(number)))).collect();
        for waiting in &mut many {
            let _ = unconstrained(waiting).now_or_never();
        }
        assert_eq!(turns.lock().waiting.len(), MAX_WAITING);
        assert!(unconstrained(&mut many[199]).now_or_never().is_none(), "the newest waits");
        drop(first);
    }

    #[tokio::test]
    async fn requests_that_were_given_up_hold_nobody_up() {
        let turns = Turns::default();
        let first = turns.take(client(1)).await.unwrap();
        let mut given_up = Box::pin(turns.take(client(2)));
        let mut next = Box::pin(turns.take(client(1)));
        assert!((&mut given_up).now_or_never().is_none() && (&mut next).now_or_never().is_none());
        drop(given_up);
        drop(first);
        assert!(next.now_or_never().flatten().is_some());
        assert!(turns.take(client(3)).now_or_never().flatten().is_some());
    }
}
