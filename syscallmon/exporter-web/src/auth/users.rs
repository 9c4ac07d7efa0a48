//! `basic_auth_users`: names and bcrypt hashes, checked when the file is read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use bcrypt::HashParts;

use crate::error::Error;

/// Costs that bcrypt has, up to the highest that answers within seconds: cost 31 would hash for days.
const COSTS: std::ops::RangeInclusive<u32> = 4..=18;

/// The cost of the toolkit's documentation, for a decoy without users to learn from.
const USUAL_COST: u32 = 10;

/// Salt and digest of the toolkit's decoy. Its password is public; a match does not count.
const DECOY_TAIL: &str = "QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// Who may read. Without users, everybody.
pub(crate) struct Users {
    hashes: BTreeMap<Vec<u8>, String>,
    decoy: String,
}

impl Users {
    /// Checks every hash. `path` is the web configuration file, for errors.
    pub(crate) fn validate(users: BTreeMap<String, String>, path: &Path) -> Result<Self, Error> {
        let mut costliest = None;
        for (user, hash) in &users {
            let cost = cost(hash).map_err(|why| Error::Setting {
                path: path.to_owned(),
                key: "basic_auth_users",
                why: format!("{user:?}: {why}; create a hash with: htpasswd -nBC 10 \"\""),
            })?;
            costliest = costliest.max(Some(cost));
        }
        let hashes = users.into_iter().map(|(user, hash)| (user.into_bytes(), hash)).collect();
        Ok(Self { hashes, decoy: decoy(costliest.unwrap_or(USUAL_COST)) })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The user's hash and true, or a hash of the same cost and false. (With users of several costs, the highest.)
    pub(super) fn hash_of(&self, user: &[u8]) -> (&str, bool) {
        self.hashes.get(user).map_or((&self.decoy, false), |hash| (hash, true))
    }
}

impl Default for Users {
    fn default() -> Self {
        Self { hashes: BTreeMap::new(), decoy: decoy(USUAL_COST) }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.hashes.len())
    }
}

pub(super) fn decoy(cost: u32) -> String {
    format!("$2y${cost:02}${DECOY_TAIL}")
}

fn cost(hash: &str) -> Result<u32, String> {
    let cost = hash.parse::<HashParts>().map_err(|_| "is not a bcrypt hash")?.get_cost();
    if COSTS.contains(&cost) {
        Ok(cost)
    } else {
        Err(format!("cost {cost} is not between {} and {}", COSTS.start(), COSTS.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(hash: &str) -> Result<Users, Error> {
        Users::validate(BTreeMap::from([("prometheus".to_owned(), hash.to_owned())]), Path::new("web.yml"))
    }

    #[test]
    fn unknown_user_costs_as_much_as_a_known_one() {
        let users = validate(&format!("$2b$12${DECOY_TAIL}")).unwrap();
        let (hash, known) = users.hash_of(b"nobody");
        assert!(!known);
        assert_eq!(cost(hash), Ok(12));
        assert!(bcrypt::verify("x", hash).is_ok());
    }

    #[test]
    fn plain_password_is_refused_without_being_shown() {
        let text = validate("hunter2").unwrap_err().to_string();
        assert!(text.contains("basic_auth_users") && text.contains("prometheus"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn cost_that_hashes_for_days_is_refused() {
        assert!(validate(&format!("$2y$31${DECOY_TAIL}")).is_err());
    }
}
