//! Remembers which passwords were right, so that a scrape every few seconds does not cost a bcrypt hash each; and the
//! last that were wrong.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use ring::hmac;
use ring::rand::SystemRandom;

use super::credentials::Credentials;

/// Far more than the users a file has. When full, it starts anew: the next request of each pays one hash.
const CAPACITY: usize = 128;

/// Wrong ones: for clients that send the same one again and again.
const WRONG_CAPACITY: usize = 256;

/// Passwords, as keyed digests.
pub(super) struct Verified {
    key: hmac::Key,
    marks: Mutex<HashSet<Mark>>,
    /// The newest last. No number of them pushes a right one out.
    wrong: Mutex<VecDeque<Mark>>,
}

/// A digest of user, bcrypt hash and password. With the hash in it, a changed password forgets the old one.
pub(super) type Mark = [u8; 32];

impl Verified {
    pub(super) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Self {
            key: key.expect("getrandom(2) does not fail on Linux"),
            marks: Mutex::default(),
            wrong: Mutex::default(),
        }
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

    /// Whether it was wrong lately.
    pub(super) fn is_wrong(&self, mark: &Mark) -> bool {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).contains(mark)
    }

    pub(super) fn insert_wrong(&self, mark: Mark) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= WRONG_CAPACITY {
            wrong.pop_front();
        }
        wrong.push_back(mark);
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
        let right = verified.mark(&credentials("right", "x"), "h");
        verified.insert(right);
        for index in 0..3 * WRONG_CAPACITY {
            let wrong = verified.mark(&credentials(&index.to_string(), "y"), "h");
            verified.insert_wrong(wrong);
            assert!(verified.is_wrong(&wrong) && verified.contains(&right) && !verified.is_wrong(&right));
            assert!(verified.wrong.lock().unwrap().len() <= WRONG_CAPACITY);
        }
    }
}
