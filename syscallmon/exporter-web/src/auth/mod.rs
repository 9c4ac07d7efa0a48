//! Decides whether a request carries a user and password of `basic_auth_users`.
//!
//! Called by `service` for every request but the probes'. Never answers the request, never reads the file.

mod credentials;
mod turns;
mod users;
mod verified;

use std::{sync::Arc, time::Duration};

use axum::http::HeaderMap;

pub(super) use users::Users;

use super::client::Client;
use credentials::Credentials;
use turns::Turns;
use verified::Verified;

/// How long a request waits before the answer that too many others are being checked.
const BUSY_DELAY: Duration = Duration::from_secs(1);

/// Checks passwords, and remembers those that were right.
pub(super) struct Gate {
    /// One at a time, as in the toolkit: bcrypt is meant to cost a core, and the node needs the others.
    turns: Turns,
    verified: Verified,
}

/// Whether a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It may.
    Granted,
    /// It carries no user and password.
    Missing,
    /// They are wrong.
    Wrong,
    /// Too many others wait to be checked.
    Busy,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { turns: Turns::default(), verified: Verified::new() }
    }

    /// Whether a request with these headers may pass.
    pub(super) async fn admits(&self, users: &Users, headers: &HeaderMap, client: Client) -> Admission {
        if users.is_empty() {
            return Admission::Granted;
        }
        match Credentials::from_headers(headers) {
            Some(credentials) => self.verify(users, credentials, client).await,
            None => Admission::Missing,
        }
    }

    /// An unknown user's password is hashed too, so the time of the answer does not reveal which users exist.
    async fn verify(&self, users: &Users, credentials: Credentials, client: Client) -> Admission {
        let (hash, known) = users.hash_of(&credentials.user);
        let mark = self.verified.mark(&credentials, hash);
        let is_verified = || known && self.verified.contains(&mark);
        if is_verified() {
            return Admission::Granted;
        }
        if self.verified.is_wrong(&mark) {
            return Admission::Wrong;
        }
        let Some(turn) = self.turns.take(client).await else {
            // Clients that try passwords one after the other on many connections must lose time.
            tokio::time::sleep(BUSY_DELAY).await;
            return if is_verified() { Admission::Granted } else { Admission::Busy };
        };
        // Prometheus' first requests come together; the result of the first one serves the others.
        if is_verified() {
            return Admission::Granted;
        }
        if self.verified.is_wrong(&mark) {
            return Admission::Wrong;
        }
        let hash = hash.to_owned();
        let hashing = tokio::task::spawn_blocking(move || {
            // The work holds the turn, not the request: after a client has left, no second hash may start beside it.
            let _turn = turn;
            bcrypt::verify(&credentials.password, &hash).unwrap_or(false)
        });
        let Ok(is_right) = hashing.await else { return Admission::Wrong };
        if !(is_right && known) {
            self.verified.insert_wrong(mark);
            return Admission::Wrong;
        }
        self.verified.insert(mark);
        Admission::Granted
    }
}

/// Returns the name of the user in a request's headers, whether the password is right or not.
pub(super) fn user(headers: &HeaderMap) -> Option<Arc<str>> {
    let Credentials { user, .. } = Credentials::from_headers(headers)?;
    Some(String::from_utf8_lossy(&user).into())
}

/// For fuzz targets.
#[cfg(fuzzing)]
pub(super) fn has_credentials(headers: &HeaderMap) -> bool {
    Credentials::from_headers(headers).is_some()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use axum::http::header::AUTHORIZATION;

    use super::*;

    const COST: u32 = 4;

    async fn admits(gate: &Gate, users: &Users, headers: &HeaderMap) -> bool {
        gate.admits(users, headers, Client::of([10, 0, 0, 1].into())).await == Admission::Granted
    }

    fn users(name: &str, password: &str) -> Users {
        let hash = bcrypt::hash_with_salt(password, COST, [7; 16]).unwrap().to_string();
        Users::validate(BTreeMap::from([(name.to_owned(), hash)]), Path::new("web.yml")).unwrap()
    }

    fn basic(text: &str) -> HeaderMap {
        use base64::prelude::{BASE64_STANDARD, Engine};
        let value = format!("Basic {}", BASE64_STANDARD.encode(text));
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }

    #[tokio::test]
    async fn remembered_password_is_refused_once_the_users_hash_changed() {
        let gate = Gate::new();
        assert!(admits(&gate, &users("a", "old"), &basic("a:old")).await);
        assert!(!admits(&gate, &users("a", "new"), &basic("a:old")).await);
        assert!(!admits(&gate, &users("b", "old"), &basic("a:old")).await);
    }

    #[tokio::test]
    async fn only_a_right_password_is_remembered() {
        let gate = Gate::new();
        let users = users("a", "right");
        assert!(!admits(&gate, &users, &basic("a:wrong")).await);
        assert!(!admits(&gate, &users, &basic("b:right")).await);
        assert_eq!(gate.verified.len(), 0);
        assert!(admits(&gate, &users, &basic("a:right")).await);
        assert_eq!(gate.verified.len(), 1);
    }

    #[tokio::test]
    async fn unknown_user_is_refused_even_with_the_decoys_password() {
        let gate = Gate::new();
        let hash = users::decoy(10);
        let users = Users::validate(BTreeMap::from([("a".to_owned(), hash)]), Path::new("web.yml")).unwrap();
        assert!(admits(&gate, &users, &basic("a:fakepassword")).await);
        assert!(!admits(&gate, &users, &basic("b:fakepassword")).await);
    }

    #[tokio::test]
    async fn remembered_password_passes_while_hashing_is_busy() {
        let gate = Gate::new();
        let users = users("a", "right");
        assert!(admits(&gate, &users, &basic("a:right")).await);
        let _busy = gate.turns.take(Client::of([10, 0, 0, 1].into())).await.unwrap();
        assert!(admits(&gate, &users, &basic("a:right")).await);
    }
}
