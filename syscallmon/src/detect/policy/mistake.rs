//! Mistakes in a policy file: all of them, up to a limit.

use std::fmt;

use super::{node::Position, spec::PolicyName};

/// Maximum mistakes that are reported of one file. The rest of the file is not read.
pub const MAX_MISTAKES: usize = 50;

/// Maximum characters of a message. It quotes the wrong text, which can be the whole file.
const MAX_MESSAGE: usize = 1000;

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Its position, if it is known.
    pub at: Option<Position>,
    /// One line.
    pub message: String,
}

/// The mistakes of one file.
#[derive(Clone, Debug, Default)]
pub struct Mistakes {
    found: Vec<Mistake>,
    /// Number of all mistakes, also of those that are not kept.
    count: usize,
    /// The policy that is being read.
    policy: Option<PolicyName>,
}

impl Mistakes {
    /// Adds a mistake.
    pub fn add(&mut self, at: impl Into<Option<Position>>, message: impl fmt::Display) {
        self.count += 1;
        if self.found.len() < MAX_MISTAKES {
            let message = in_one_line(&match &self.policy {
                Some(policy) => format!("policy {policy}: {message}"),
                None => message.to_string(),
            });
            self.found.push(Mistake { at: at.into(), message });
        }
    }

    /// Returns the number of mistakes so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether no more mistakes are kept, so that reading ends.
    #[must_use]
    pub fn are_too_many(&self) -> bool {
        self.count >= MAX_MISTAKES
    }

    /// Sets the policy that is being read.
    pub(super) fn within(&mut self, policy: Option<PolicyName>) {
        self.policy = policy;
    }

    /// Returns the mistakes, by position.
    #[must_use]
    pub fn into_found(mut self) -> Vec<Mistake> {
        self.found.sort_by_key(|mistake| mistake.at);
        if self.are_too_many() {
            let message = format!("has {MAX_MISTAKES} mistakes or more: the rest of the file is not read");
            self.found.push(Mistake { at: None, message });
        }
        self.found
    }
}

impl fmt::Display for Mistake {
    /// Begins with line and column, to follow the name of the file.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(formatter, "{at}: {}", self.message),
            None => write!(formatter, " {}", self.message),
        }
    }
}

/// Returns a message in one line. The parser of regular expressions has the cause in its last line.
fn in_one_line(message: &str) -> String {
    let mut lines = message.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let message = match lines.next_back() {
        Some(last) => format!("{first} {}", last.strip_prefix("error: ").unwrap_or(last)),
        None => first.to_owned(),
    };
    match message.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}...", &message[..end]),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_mistakes_are_bounded_and_counted() {
        let mut mistakes = Mistakes::default();
        for line in (1..=60).rev() {
            mistakes.add(Position { line, column: 1 }, "x\n  y\nerror: cause".to_owned() + &"z".repeat(5000));
        }
        assert_eq!((mistakes.count(), mistakes.are_too_many()), (60, true));
        let found = mistakes.into_found();
        assert_eq!(found.len(), MAX_MISTAKES + 1);
        assert!(found.iter().all(|mistake| mistake.message.len() <= MAX_MESSAGE + 3), "{found:?}");
        assert!(found[0].to_string().starts_with("11:1: x causez"), "{}", found[0]);
    }
}
