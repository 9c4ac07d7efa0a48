//! Selectors of policies.

use std::collections::BTreeMap;

use regex::escape;
use serde::{Deserialize, Deserializer};

use super::{
    mistake::Mistakes,
    node::{Node, Position, Value},
    reading::read_whole,
};
use crate::{
    syscalls::names::suggestion,
    workload::{Label, Labels, Selector, SelectorError},
};

/// Selectors, one of which must match; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Match(Vec<Selector>);

impl Match {
    /// Whether a workload with these metadata is selected.
    #[must_use]
    pub fn selects(&self, metadata: &Labels) -> bool {
        self.0.iter().any(|selector| selector.matches(metadata))
    }

    /// Returns the bytes of its compiled regular expressions.
    pub(super) fn memory(&self) -> usize {
        self.0.iter().map(Selector::memory).sum()
    }

    /// Returns the labels that it uses.
    pub fn labels(&self) -> impl Iterator<Item = Label> {
        self.0.iter().flat_map(Selector::labels)
    }
}

impl Match {
    /// Reads a list of selectors, and reports every mistake in it.
    pub(super) fn read(node: &Node, mistakes: &mut Mistakes) -> Option<Self> {
        let Value::List(written) = &node.value else {
            mistakes.add(
                node.at,
                format_args!(
                    "match: expected a list of selectors, such as [{{namespace: shop}}], not {}",
                    node.describe()
                ),
            );
            return None;
        };
        if written.is_empty() {
            mistakes.add(node.at, "match requires a selector, such as 'container_id!=\"\"' for every container");
            return None;
        }
        let mut selectors = Vec::new();
        for selector in written {
            if mistakes.are_too_many() {
                return None;
            }
            selectors.extend(selector_of(selector, mistakes));
        }
        (selectors.len() == written.len()).then_some(Self(selectors))
    }
}

impl<'de> Deserialize<'de> for Match {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        read_whole(|mistakes| Self::read(&node, mistakes))
    }
}

/// Reads a selector in either notation.
fn selector_of(node: &Node, mistakes: &mut Mistakes) -> Option<Selector> {
    match &node.value {
        Value::Text(text) => parse(text, node.at, mistakes),
        Value::Map(labels) if labels.is_empty() => {
            mistakes.add(node.at, "a selector requires a label, such as {namespace: shop}");
            None
        }
        Value::Map(labels) => labels_of(labels, node.at, mistakes),
        Value::Null | Value::Other(_) | Value::List(_) => {
            let expected = "expected a selector such as 'namespace=\"shop\"', or labels such as {namespace: shop}";
            mistakes.add(node.at, format_args!("match: {expected}, not {}", node.describe()));
            None
        }
    }
}

fn parse(text: &str, at: Position, mistakes: &mut Mistakes) -> Option<Selector> {
    text.parse().map_err(|error: SelectorError| mistakes.add(at, format_args!("match: {error}"))).ok()
}

/// Reads a map from labels to patterns.
fn labels_of(labels: &[(Node, Node)], at: Position, mistakes: &mut Mistakes) -> Option<Selector> {
    let before = mistakes.count();
    let mut matchers: BTreeMap<Label, (String, Position)> = BTreeMap::new();
    for (key, pattern) in labels {
        let label = key.text().unwrap_or_default().parse::<Label>();
        let label = label.map_err(|error| mistakes.add(key.at, format_args!("match: {error}"))).ok();
        let pattern_of = LabelPattern::read(pattern, mistakes);
        let Some((label, read)) = label.zip(pattern_of) else { continue };
        if matchers.insert(label, (read.matcher(label), pattern.at)).is_some() {
            mistakes.add(key.at, format_args!("match: the label {} is there twice", label.name()));
        }
    }
    if mistakes.count() > before {
        return None;
    }
    let text = matchers.values().map(|(matcher, _)| matcher.as_str()).collect::<Vec<_>>().join(",");
    if let Ok(selector) = text.parse() {
        return Some(selector);
    }
    // Each pattern alone shows which one is wrong.
    for (matcher, at) in matchers.values() {
        parse(matcher, *at, mistakes);
    }
    if mistakes.count() == before {
        parse(&text, at, mistakes);
    }
    None
}

/// Pattern for a label's value.
enum LabelPattern {
    Glob(String),
    NotGlob(String),
    Regex(String),
}

impl LabelPattern {
    fn read(node: &Node, mistakes: &mut Mistakes) -> Option<Self> {
        match &node.value {
            Value::Text(glob) => return Some(Self::Glob(glob.clone())),
            Value::Other(number) => {
                mistakes
                    .add(node.at, format_args!("match: expected a name or glob in quotes (did you mean {number:?}?)"));
                return None;
            }
            Value::Map(forms) => return Self::of_form(node, forms, mistakes),
            Value::Null | Value::List(_) => {}
        }
        let expected = "expected a name or glob in quotes, {regex: ...} or {not: ...}";
        mistakes.add(node.at, format_args!("match: {expected}, not {}", node.describe()));
        None
    }

    /// Reads `{regex: ...}` or `{not: ...}`.
    fn of_form(node: &Node, forms: &[(Node, Node)], mistakes: &mut Mistakes) -> Option<Self> {
        let [(key, value)] = forms else {
            mistakes.add(node.at, "match: expected either regex or not");
            return None;
        };
        match (key.text(), value.text()) {
            (Some("regex"), Some(regex)) => return Some(Self::Regex(regex.to_owned())),
            (Some("not"), Some(glob)) => return Some(Self::NotGlob(glob.to_owned())),
            (Some("regex" | "not"), None) => {
                mistakes.add(value.at, format_args!("match: expected text, not {}", value.describe()));
            }
            _ => {
                let suggestion = suggestion(key.text().unwrap_or_default(), ["regex", "not"]);
                let unknown = key.describe();
                mistakes.add(key.at, format_args!("match: unknown key {unknown}{suggestion}: expected regex or not"));
            }
        }
        None
    }

    /// Returns it as a matcher of `PromQL`.
    fn matcher(&self, label: Label) -> String {
        let (operator, value) = match self {
            Self::Glob(glob) if is_exact(glob) => ("=", glob.clone()),
            Self::Glob(glob) => ("=~", regex(glob)),
            Self::NotGlob(glob) if is_exact(glob) => ("!=", glob.clone()),
            Self::NotGlob(glob) => ("!~", regex(glob)),
            Self::Regex(regex) => ("=~", regex.clone()),
        };
        format!("{}{operator}\"{}\"", label.name(), value.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// Whether a glob has no special characters.
fn is_exact(glob: &str) -> bool {
    !glob.contains(['*', '?', '['])
}

/// Returns the regular expression of a glob: `*` is any text, `?` any character, `[a-f]` one of these, and `[!a-f]`
/// none of these.
fn regex(glob: &str) -> String {
    let mut regex = String::new();
    let mut rest = glob;
    while let Some(char) = rest.chars().next() {
        let after = &rest[char.len_utf8()..];
        rest = match char {
            '*' => {
                regex.push_str(".*");
                after
            }
            '?' => {
                regex.push('.');
                after
            }
            '[' => {
                let (class, after) = class(after).unwrap_or_else(|| (r"\[".to_owned(), after));
                regex.push_str(&class);
                after
            }
            _ => {
                regex.push_str(&escape(&rest[..char.len_utf8()]));
                after
            }
        };
    }
    regex
}

/// Parses a class after its `[`. Returns it and the rest of the text; `None` without an end, for a literal bracket.
fn class(text: &str) -> Option<(String, &str)> {
    let (negation, inner) = match text.strip_prefix(['!', '^']) {
        Some(inner) => ("^", inner),
        None => ("", text),
    };
    // A bracket in the first position belongs to the class.
    let end = inner.char_indices().skip(1).find(|&(_, char)| char == ']')?.0;
    let escaped: String = inner[..end]
        .chars()
        .map(|char| if char == '-' || char.is_alphanumeric() { char.to_string() } else { format!("\\{char}") })
        .collect();
    Some((format!("[{negation}{escaped}]"), &inner[end + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selects(yaml: &str, namespace: &str, container: &str) -> bool {
        let labels = [(Label::Namespace, namespace.into()), (Label::Container, container.into())];
        serde_saphyr::from_str::<Match>(yaml).unwrap().selects(&Labels::new(labels))
    }

    fn error(yaml: &str) -> String {
        serde_saphyr::from_str::<Match>(yaml).unwrap_err().to_string()
    }

    #[test]
    fn any_selector_in_any_form_is_enough() {
        let yaml = "['namespace=\"shop\",container=~\"web-.*\"', {namespace: pay, container: 'db-*'}]";
        assert!(selects(yaml, "shop", "web-1") && selects(yaml, "pay", "db-1"));
        assert!(!selects(yaml, "shop", "db-1") && !selects(yaml, "pay", "web-1"));
    }

    #[test]
    fn names_globs_and_regular_expressions_match_whole_values() {
        for (pattern, value, expected) in [
            ("web.1", "web.1", true),
            ("web.1", "web-1", false),
            ("'web.*'", "web.1", true),
            ("'web.*'", "web-1", false),
            ("'*'", "", true),
            ("'web-?'", "web-12", false),
            ("'web-[0-9a]'", "web-a", true),
            ("'web-[!0-9]'", "web-7", false),
            ("'[]x]'", "]", true),
            ("'web-[0'", "web-[0", true),
            ("{regex: 'web-(1|2)'}", "web-2", true),
            ("{regex: 'web'}", "web-2", false),
            ("{not: web}", "web", false),
            ("{not: 'web-*'}", "db", true),
            ("{not: 'web-*'}", "web-1", false),
        ] {
            assert_eq!(selects(&format!("[{{container: {pattern}}}]"), "shop", value), expected, "{pattern} {value}");
        }
    }

    #[test]
    fn what_selects_nothing_is_refused() {
        for (yaml, expected) in [
            ("[]", "match requires a selector"),
            ("[{}]", "a selector requires a label"),
            ("[{name: web}]", "\"name\" is not a workload label"),
            ("['namespace']", "expected matchers such as"),
            ("[{container: {regex: '('}}]", "invalid regular expression"),
            ("[{container: {glob: a}}]", "unknown key \"glob\""),
            ("[{container: {regex: a, not: b}}]", "either regex or not"),
            ("[{container: [a]}]", "a name or glob in quotes"),
            ("[{container: '[z-a]'}]", "invalid regular expression"),
        ] {
            let error = error(yaml);
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_glob_without_wildcards_matches_itself_alone(value in "[^*?\\[]{1,20}", other in "\\PC{0,20}") {
            let regex = regex::Regex::new(&format!("^(?s:{})$", regex(&value))).unwrap();
            prop_assert!(regex.is_match(&value));
            prop_assert_eq!(regex.is_match(&other), other == value);
        }
    }
}
