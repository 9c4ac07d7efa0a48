//! Selects workloads by their labels, in the notation of `PromQL`: `namespace="shop",pod=~"web-.*"`.
//!
//! <https://prometheus.io/docs/prometheus/latest/querying/basics/#instant-vector-selectors>. Regular expressions match
//! whole values. A label that a workload lacks is empty.

use std::{str::FromStr, sync::Arc};

use serde::Deserialize;

use super::{
    Label, LabelError, Labels,
    pattern::{Budget, Pattern, PatternError},
};

/// Maximum matchers of a selector.
const MAX_MATCHERS: usize = 100;

/// Matchers that must all match.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Selector {
    text: String,
    matchers: Vec<Matcher>,
}

#[derive(Clone, Debug)]
struct Matcher {
    label: Label,
    /// Whether the matcher negates its test.
    not: bool,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Equals(String),
    /// The text of a regular expression, and what it compiles to.
    Matches(String, Pattern),
}

/// Why a text is not a selector.
#[derive(Debug, thiserror::Error)]
pub enum SelectorError {
    /// It does not have the form of matchers.
    #[error("{text:?}: expected matchers such as namespace=\"shop\",pod=~\"web-.*\" (=, !=, =~, !~), at {rest:?}")]
    Syntax {
        /// The whole text.
        text: String,
        /// The rest of the text from the mistake on.
        rest: String,
    },
    /// It has a label that workloads do not have.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// A regular expression is not valid, or too large.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// Its text is too long.
    #[error("the selector is too long: {length} bytes (limit: {limit})")]
    TooLong {
        /// Its length, in bytes.
        length: usize,
        /// The maximum, in bytes.
        limit: usize,
    },
    /// It has too many matchers.
    #[error(
        "a selector can have at most {MAX_MATCHERS} matchers: combine them in a regular expression such as pod=~\"a|b\""
    )]
    TooMany,
}

impl Selector {
    /// Parses a selector, and compiles its regular expressions within a budget.
    ///
    /// # Errors
    ///
    /// When the text is not a selector, or exceeds the budget.
    pub fn parse(text: &str, budget: &Arc<Budget>) -> Result<Self, SelectorError> {
        if text.len() > budget.max_text() {
            return Err(SelectorError::TooLong { length: text.len(), limit: budget.max_text() });
        }
        let trimmed = text.trim();
        let mut rest = trimmed.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(trimmed).trim();
        let mut matchers = Vec::new();
        loop {
            let syntax = || SelectorError::Syntax { text: text.to_owned(), rest: rest.to_owned() };
            let (matcher, after) = matcher(rest, budget)?.ok_or_else(syntax)?;
            matchers.push(matcher);
            if matchers.len() > MAX_MATCHERS {
                return Err(SelectorError::TooMany);
            }
            rest = match after.trim_start() {
                "" | "," => return Ok(Self { text: text.to_owned(), matchers }),
                more => more.strip_prefix(',').ok_or_else(syntax)?.trim_start(),
            };
        }
    }

    /// Returns the bytes of its compiled regular expressions.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.matchers.iter().map(Matcher::memory).sum()
    }

    /// Returns the labels that it uses.
    pub fn labels(&self) -> impl Iterator<Item = Label> {
        self.matchers.iter().map(|matcher| matcher.label)
    }

    /// Returns its matchers: label, operator (`=`, `!=`, `=~`, `!~`), value.
    pub fn matchers(&self) -> impl Iterator<Item = (Label, &'static str, &str)> {
        self.matchers.iter().map(|matcher| match (&matcher.test, matcher.not) {
            (Test::Equals(value), false) => (matcher.label, "=", value.as_str()),
            (Test::Equals(value), true) => (matcher.label, "!=", value.as_str()),
            (Test::Matches(value, _), false) => (matcher.label, "=~", value.as_str()),
            (Test::Matches(value, _), true) => (matcher.label, "!~", value.as_str()),
        })
    }

    /// Returns its text, as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a workload with these labels is selected.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    /// Whether a workload with only some labels known is selected; `None` if the other labels decide.
    #[must_use]
    pub fn matches_known(&self, labels: &Labels, is_known: impl Fn(Label) -> bool) -> Option<bool> {
        let (known, unknown): (Vec<_>, Vec<_>) = self.matchers.iter().partition(|matcher| is_known(matcher.label));
        if known.iter().all(|matcher| matcher.matches(labels)) {
            unknown.is_empty().then_some(true)
        } else {
            Some(false)
        }
    }
}

impl Matcher {
    fn memory(&self) -> usize {
        match &self.test {
            Test::Equals(_) => 0,
            Test::Matches(_, pattern) => pattern.memory(),
        }
    }

    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(self.label).map_or("", AsRef::as_ref);
        let is_match = match &self.test {
            Test::Equals(expected) => expected == value,
            Test::Matches(_, pattern) => pattern.matches(value),
        };
        is_match != self.not
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    /// A selector of a file or a flag: see [`Budget::with_file`].
    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Self::parse(text, &Budget::current())
    }
}

impl TryFrom<String> for Selector {
    type Error = SelectorError;

    fn try_from(text: String) -> Result<Self, SelectorError> {
        text.parse()
    }
}

/// Splits the first matcher off a text; `None` if there is none.
fn matcher<'a>(text: &'a str, budget: &Arc<Budget>) -> Result<Option<(Matcher, &'a str)>, SelectorError> {
    let Some(end) = text.find(['=', '!']) else { return Ok(None) };
    let (label, rest) = (text[..end].trim_end(), &text[end..]);
    // Longer operators first.
    let operators = [("=~", false, true), ("!~", true, true), ("!=", true, false), ("=", false, false)];
    let Some((not, is_regex, rest)) =
        operators.iter().find_map(|&(operator, not, is_regex)| Some((not, is_regex, rest.strip_prefix(operator)?)))
    else {
        return Ok(None);
    };
    let Some((value, rest)) = quoted(rest.trim_start()) else { return Ok(None) };
    let compared = if is_regex {
        let pattern = Pattern::compile(&value, budget)?;
        Test::Matches(value, pattern)
    } else {
        Test::Equals(value)
    };
    Ok(Some((Matcher { label: label.parse()?, not, test: compared }, rest)))
}

/// Splits a quoted string off the beginning of a text.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                same @ ('\\' | '"' | '\'') => value.push(same),
                // Escapes of regular expressions stay.
                other => value.extend(['\\', other]),
            },
            end if end == quote => return Some((value, &text[at + 1..])),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn web() -> Labels {
        Labels::new([(Label::Namespace, "shop".into()), (Label::Pod, "web-1".into())])
    }

    fn selects(text: &str) -> bool {
        text.parse::<Selector>().unwrap().matches(&web())
    }

    #[test]
    fn matchers_mean_what_they_mean_in_promql() {
        for text in [
            r#"namespace="shop""#,
            r#"{namespace="shop", pod=~"web-.*"}"#,
            r#"namespace!="kube-system","#,
            r#"pod=~"web-[0-9]|db""#,
            r#"pod!~"web""#,
            r#"container="""#,
            r"pod=~'web-\d'",
        ] {
            assert!(selects(text), "{text}");
        }
        for text in
            [r#"namespace="Shop""#, r#"pod=~"web""#, r#"namespace="shop",pod="db""#, r#"cgroup!="""#, r#"pod!~"web.*""#]
        {
            assert!(!selects(text), "{text}");
        }
    }

    #[test]
    fn labels_that_are_not_known_leave_it_open_unless_others_decide() {
        for (text, expected) in [
            (r#"namespace="shop""#, Some(true)),
            (r#"namespace="db""#, Some(false)),
            (r#"pod="web-1""#, None),
            (r#"pod!="web-1""#, None),
            (r#"namespace="shop",pod="other""#, None),
            (r#"namespace="db",pod="web-1""#, Some(false)),
        ] {
            let selector: Selector = text.parse().unwrap();
            assert_eq!(selector.matches_known(&web(), |label| label == Label::Namespace), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_with_the_place() {
        for (text, expected) in [
            ("", r#"at """#),
            ("namespace", r#"at "namespace""#),
            ("namespace=shop", r#"at "namespace=shop""#),
            (r#"namespace="shop" pod="a""#, r#"at "namespace"#),
            (r#"namespace="shop"#, "at"),
            (r#"name="a""#, "namespace, pod, container"),
            (r#"pod=~"(""#, "invalid regular expression"),
            (r#"pod=~"web)|(db""#, "invalid regular expression"),
        ] {
            let error = text.parse::<Selector>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_request_chooses_neither_memory_nor_time() {
        let parse =
            |text: &str| Selector::parse(text, &Budget::of_request()).map(drop).map_err(|error| error.to_string());
        let large = vec![r#"pod=~"\w{100}""#; 60].join(",");
        let started = std::time::Instant::now();
        assert!(parse(&large).unwrap_err().contains("too large"));
        assert!(parse(&[r#"pod=~"web-.*""#; 8].join(",")).is_ok());
        assert!(parse(&vec![r#"pod="web""#; 101].join(",")).unwrap_err().contains("at most 100 matchers"));
        assert!(parse(&format!("pod=\"{}\"", "w".repeat(2048))).unwrap_err().contains("(limit: 2048)"));
        assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
    }

    #[test]
    fn matchers_are_returned_as_they_were_written() {
        let selector: Selector = r#"{namespace="shop", pod!="a", owner=~"w\\.b", image!~'x|"y"'}"#.parse().unwrap();
        let matchers: Vec<_> =
            selector.matchers().map(|(label, operator, value)| (label.name(), operator, value)).collect();
        let expected =
            [("namespace", "=", "shop"), ("pod", "!=", "a"), ("owner", "=~", "w\\.b"), ("image", "!~", "x|\"y\"")];
        assert_eq!(matchers, expected);
    }

    proptest! {
        #[test]
        fn any_value_can_be_selected(value in "\\PC{0,20}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let selector: Selector = format!("image=\"{quoted}\"").parse().unwrap();
            prop_assert!(selector.matches(&Labels::new([(Label::Image, value.into())])));
        }

        #[test]
        fn no_text_is_too_much(text in "\\PC{0,40}") {
            let _ = text.parse::<Selector>();
        }
    }
}
