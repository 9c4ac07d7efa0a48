//! The connections that are open, and which one is closed when there are too many.
//!
//! A new connection always gets a permit: health probes come on new ones. `accept` asks for it; the idlest connection,
//! of the client that has most, makes room. A client with many connections so closes its own first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    client::{Addresses, Client},
    limits::Limits,
    watchdog::Watchdog,
};

/// Maximum connections that must end and have not yet. While there are more, none is accepted.
const MAX_ENDING: usize = 32;

/// The open connections, and their limits.
pub(super) struct Connections {
    table: Mutex<Table>,
    limits: Limits,
    ended: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    entries: BTreeMap<u64, TrackedConnection>,
}

struct TrackedConnection {
    client: Client,
    watchdog: Arc<Watchdog>,
    close: CancellationToken,
}

impl TrackedConnection {
    fn is_open(&self) -> bool {
        !self.close.is_cancelled()
    }
}

/// The right of one connection to be open, until it is dropped.
pub(super) struct ConnectionPermit {
    connections: Arc<Connections>,
    number: u64,
    /// The client.
    pub(super) client: Client,
    /// Its addresses, if it is of a socket.
    pub(super) addresses: Addresses,
    /// Activity of the connection.
    pub(super) watchdog: Arc<Watchdog>,
    /// Cancelled when the connection has to make room.
    pub(super) close: CancellationToken,
}

impl Connections {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { table: Mutex::default(), limits, ended: Notify::new() })
    }

    /// Waits until only a few connections that must end are left.
    pub(super) async fn room(&self) {
        while self.lock().entries.len() >= self.limits.connections.max(1) + MAX_ENDING {
            self.ended.notified().await;
        }
    }

    /// A permit for a new connection, and whether another one was closed for it.
    pub(super) fn admit(self: &Arc<Self>, client: Client) -> (ConnectionPermit, bool) {
        let mut table = self.lock();
        let victim = table.victim(client, &self.limits);
        if let Some(entry) = victim.and_then(|number| table.entries.get(&number)) {
            entry.close.cancel();
        }
        let (number, watchdog, close) = (table.next, Watchdog::new(self.limits.clone()), CancellationToken::new());
        table.next += 1;
        table
            .entries
            .insert(number, TrackedConnection { client, watchdog: Arc::clone(&watchdog), close: close.clone() });
        drop(table);
        let connections = Arc::clone(self);
        (ConnectionPermit { connections, number, client, addresses: None, watchdog, close }, victim.is_some())
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Returns the connection that must end for a new one of this client, if any.
    fn victim(&self, newcomer: Client, limits: &Limits) -> Option<u64> {
        let mut open = HashMap::<Client, usize>::new();
        for entry in self.entries.values().filter(|entry| entry.is_open()) {
            *open.entry(entry.client).or_default() += 1;
        }
        if open.get(&newcomer).is_some_and(|&count| count >= limits.connections_per_client.max(1)) {
            return self.idlest(newcomer);
        }
        if open.values().sum::<usize>() < limits.connections.max(1) {
            return None;
        }
        // On a tie, the newcomer's own: a client without the most connections loses none.
        let (&greatest, _) = open.iter().max_by_key(|&(&client, &count)| (count, client == newcomer))?;
        let most = open[&greatest];
        if most > 1 {
            return self.idlest(greatest);
        }
        // Each client has one: the idlest of all.
        self.entries
            .iter()
            .filter(|(_, entry)| entry.is_open())
            .min_by_key(|(_, entry)| entry.watchdog.rank())
            .map(|(&number, _)| number)
    }

    fn idlest(&self, client: Client) -> Option<u64> {
        let of_client = self.entries.iter().filter(|(_, entry)| entry.is_open() && entry.client == client);
        of_client.min_by_key(|(_, entry)| entry.watchdog.rank()).map(|(&number, _)| number)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.connections.lock().entries.remove(&self.number);
        self.connections.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8) -> Client {
        Client::of([10, 0, 0, number].into())
    }

    fn connections(connections: usize, connections_per_client: usize) -> Arc<Connections> {
        Connections::new(Limits { connections, connections_per_client, ..Limits::default() })
    }

    fn is_open(permit: &ConnectionPermit) -> bool {
        !permit.close.is_cancelled()
    }

    #[tokio::test]
    async fn a_client_at_its_limit_loses_its_own_idlest() {
        let connections = connections(10, 2);
        let (other, _) = connections.admit(client(2));
        let mut places = Vec::new();
        for _ in 0..3 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            places.push(connections.admit(client(1)).0);
        }
        assert_eq!(places.iter().map(is_open).collect::<Vec<_>>(), [false, true, true]);
        assert!(is_open(&other));
    }

    #[tokio::test]
    async fn the_client_with_most_makes_room_for_others() {
        let connections = connections(4, 4);
        let (probe, _) = connections.admit(client(2));
        let many: Vec<ConnectionPermit> = (0..3).map(|_| connections.admit(client(1)).0).collect();
        let (next, closed) = connections.admit(client(3));
        assert!(closed && is_open(&probe) && is_open(&next));
        assert_eq!(many.iter().filter(|permit| is_open(permit)).count(), 2);
    }

    #[tokio::test]
    async fn one_that_is_answered_outlives_an_idle_one() {
        let connections = connections(2, 2);
        let (busy, _) = connections.admit(client(1));
        let request = busy.watchdog.begin();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let (idle, _) = connections.admit(client(2));
        let (_next, closed) = connections.admit(client(3));
        assert!(closed && is_open(&busy) && !is_open(&idle));
        drop(request);
    }

    #[tokio::test]
    async fn places_are_free_again() {
        let connections = connections(1, 1);
        for _ in 0..3 {
            let (_place, closed) = connections.admit(client(1));
            assert!(!closed);
        }
        assert_eq!(connections.lock().entries.len(), 0);
    }
}
