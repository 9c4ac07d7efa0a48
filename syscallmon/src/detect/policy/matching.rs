//! Selectors of policies.

use std::{collections::BTreeMap, fmt};

use regex::escape;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::workload::{Label, Labels, Selector};

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

impl<'de> Deserialize<'de> for Match {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let selectors = Vec::<WrittenSelector>::deserialize(deserializer)?;
        if selectors.is_empty() {
            return Err(D::Error::custom(
                "match requires a selector, such as 'container_id!=\"\"' for every container",
            ));
        }
        Ok(Self(selectors.into_iter().map(|written| written.0).collect()))
    }
}

/// A selector in either notation.
struct WrittenSelector(Selector);

impl<'de> Deserialize<'de> for WrittenSelector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = WrittenSelector;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a selector such as 'namespace=\"shop\"', or labels such as {namespace: shop}")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<WrittenSelector, E> {
                text.parse().map(WrittenSelector).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenSelector, A::Error> {
                let labels = BTreeMap::<Label, LabelPattern>::deserialize(MapAccessDeserializer::new(map))?;
                if labels.is_empty() {
                    return Err(A::Error::custom("a selector requires a label, such as {namespace: shop}"));
                }
                let matchers = labels.iter().map(|(label, pattern)| pattern.matcher(*label));
                let text = matchers.collect::<Vec<_>>().join(",");
                text.parse().map(WrittenSelector).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(Forms)
    }
}

/// Pattern for a label's value.
enum LabelPattern {
    Glob(String),
    NotGlob(String),
    Regex(String),
}

impl LabelPattern {
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

impl<'de> Deserialize<'de> for LabelPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = LabelPattern;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name or glob in quotes, {regex: ...} or {not: ...}")
            }

            fn visit_str<E>(self, glob: &str) -> Result<LabelPattern, E> {
                Ok(LabelPattern::Glob(glob.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LabelPattern, A::Error> {
                let form = map.next_entry::<String, String>()?;
                if map.next_key::<String>()?.is_some() {
                    return Err(A::Error::custom("expected either regex or not"));
                }
                match form {
                    Some((key, regex)) if key == "regex" => Ok(LabelPattern::Regex(regex)),
                    Some((key, glob)) if key == "not" => Ok(LabelPattern::NotGlob(glob)),
                    Some((key, _)) => Err(A::Error::custom(format!("unknown key {key:?}: expected regex or not"))),
                    None => Err(A::Error::custom("expected regex or not")),
                }
            }
        }

        deserializer.deserialize_any(Forms)
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
