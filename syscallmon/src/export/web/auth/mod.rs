//! Decides whether a request carries a user and password of `basic_auth_users`.
//!
//! Called by `service` for every request but the probes'. Never answers the request, never reads the file.

mod credentials;
mod users;
mod verified;

use std::sync::Arc;

use axum::http::HeaderMap;
use tokio::sync::Semaphore;

pub(super) use users::Users;

use credentials::Credentials;
use verified::Verified;

/// bcrypt runs at once. One, as in the toolkit: it is meant to cost a core, and the node needs the others.
const CONCURRENT_HASHES: usize = 1;

/// Checks passwords, and remembers those that were right.
pub(super) struct Gate {
    turns: Arc<Semaphore>,
    verified: Verified,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(CONCURRENT_HASHES)), verified: Verified::new() }
    }

    /// Whether a request with these headers may pass.
    pub(super) async fn admits(&self, users: &Users, headers: &HeaderMap) -> bool {
        if users.is_empty() {
            return true;
        }
        match Credentials::from_headers(headers) {
            Some(credentials) => self.verify(users, credentials).await,
            None => false,
        }
    }

    /// An unknown user's password is hashed too: the answer's time must not tell which users exist.
    async fn verify(&self, users: &Users, credentials: Credentials) -> bool {
        let (hash, known) = users.hash_of(&credentials.user);
        let mark = self.verified.mark(&credentials, hash);
        let is_verified = || known && self.verified.contains(&mark);
        if is_verified() {
            return true;
        }
        let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else {
            return false;
        };
        // Prometheus' first requests come together; the first one's result serves the rest.
        if is_verified() {
            return true;
        }
        let hash = hash.to_owned();
        let hashing = tokio::task::spawn_blocking(move || {
            // Held here, not by the request: a request that gives up must not let a second hash start.
            let _turn = turn;
            bcrypt::verify(&credentials.password, &hash).unwrap_or(false)
        });
        let admitted = hashing.await.unwrap_or(false) && known;
        if admitted {
            self.verified.insert(mark);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use axum::http::header::AUTHORIZATION;

    use super::*;

    const COST: u32 = 4;

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
        assert!(gate.admits(&users("a", "old"), &basic("a:old")).await);
        assert!(!gate.admits(&users("a", "new"), &basic("a:old")).await);
        assert!(!gate.admits(&users("b", "old"), &basic("a:old")).await);
    }

    #[tokio::test]
    async fn only_a_right_password_is_remembered() {
        let gate = Gate::new();
        let users = users("a", "right");
        assert!(!gate.admits(&users, &basic("a:wrong")).await);
        assert!(!gate.admits(&users, &basic("b:right")).await);
        assert_eq!(gate.verified.len(), 0);
        assert!(gate.admits(&users, &basic("a:right")).await);
        assert_eq!(gate.verified.len(), 1);
    }

    #[tokio::test]
    async fn unknown_user_is_refused_even_with_the_decoys_password() {
        let gate = Gate::new();
        let hash = users::decoy(10);
        let users = Users::validate(BTreeMap::from([("a".to_owned(), hash)]), Path::new("web.yml")).unwrap();
        assert!(gate.admits(&users, &basic("a:fakepassword")).await);
        assert!(!gate.admits(&users, &basic("b:fakepassword")).await);
    }

    #[tokio::test]
    async fn remembered_password_passes_while_hashing_is_busy() {
        let gate = Gate::new();
        let users = users("a", "right");
        assert!(gate.admits(&users, &basic("a:right")).await);
        let _busy = gate.turns.acquire().await.unwrap();
        assert!(gate.admits(&users, &basic("a:right")).await);
    }
}
