//! Remembers which passwords were right, so that a scrape every few seconds does not cost a bcrypt hash each.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use ring::hmac;
use ring::rand::SystemRandom;

use super::credentials::Credentials;

/// Far more than the users a file has. When full, it starts anew: the next request of each pays one hash.
const CAPACITY: usize = 128;

/// Right passwords, as keyed digests.
pub(super) struct Verified {
    key: hmac::Key,
    marks: Mutex<HashSet<Mark>>,
}

/// A digest of user, bcrypt hash and password. With the hash in it, a changed password forgets the old one.
pub(super) type Mark = [u8; 32];

impl Verified {
    pub(super) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Self { key: key.expect("getrandom(2) does not fail on Linux"), marks: Mutex::default() }
    }

    pub(super) fn mark(&self, credentials: &Credentials, hash: &str) -> Mark {
        let mut digest = hmac::Context::with_key(&self.key);
        for part in [&credentials.user, hash.as_bytes(), &credentials.password] {
            // The length keeps ("ab", "c") and ("a", "bc") apart.
            digest.update(&part.len().to_le_bytes());
            digest.update(part);
        }
        let tag = digest.sign();
        tag.as_ref().try_into().expect("an HMAC-SHA256 tag has 32 bytes")
    }

    pub(super) fn contains(&self, mark: &Mark) -> bool {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).contains(mark)
    }

    pub(super) fn insert(&self, mark: Mark) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if marks.len() >= CAPACITY {
            marks.clear();
        }
        marks.insert(mark);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.marks.lock().unwrap().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials { user: user.into(), password: password.into() }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let verified = Verified::new();
        assert_ne!(verified.mark(&credentials("ab", "x"), "c"), verified.mark(&credentials("a", "x"), "bc"));
        assert_eq!(verified.mark(&credentials("a", "x"), "c"), verified.mark(&credentials("a", "x"), "c"));
    }

    #[test]
    fn memory_is_bounded() {
        let verified = Verified::new();
        for index in 0..3 * CAPACITY {
            verified.insert(verified.mark(&credentials(&index.to_string(), "x"), "h"));
            assert!(verified.len() <= CAPACITY);
        }
    }
}
