//! Reads a list of policies from YAML, item by item: one bad policy does not hide the others.

use std::{collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Options, with_deserializer_from_str_with_options};

use super::file;
use crate::{detect::PolicySpec, workload::Budget};

/// The key of the list.
const KEY: &str = "policies";

/// Maximum bad policies that are skipped in one file. The file is parsed once more for each.
const MAX_BAD_POLICIES: usize = 20;

/// The policies of one file, and the mistakes in the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyItems {
    /// Policies that could be parsed, in order.
    pub valid: Vec<PolicySpec>,
    /// Mistakes, one line each, with line and column.
    pub problems: Vec<String>,
}

/// Keys beside the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OtherKeys {
    /// None: the file has only policies.
    Refused,
    /// Any: another reader checks them.
    Ignored,
}

/// Finds out only whether there is a list; [`read`] parses it.
impl<'de> Deserialize<'de> for PolicyItems {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self::default())
    }
}

/// Parses the policies in a file's text, with a budget of its own for regular expressions.
pub(super) fn read(text: &str, other_keys: OtherKeys) -> PolicyItems {
    Budget::with_file(|| read_items(text, other_keys))
}

fn read_items(text: &str, other_keys: OtherKeys) -> PolicyItems {
    let mut problems = Vec::new();
    let mut bad = BTreeSet::new();
    if file::is_empty(text) {
        return PolicyItems::default();
    }
    loop {
        let mut pass = Pass { other_keys, bad: &bad, valid: Vec::new(), at: None };
        let read =
            with_deserializer_from_str_with_options(text, Options::default(), |yaml| yaml.deserialize_any(&mut pass));
        let Pass { valid, at, .. } = pass;
        let Err(error) = read else { return PolicyItems { valid, problems } };
        if at.is_some_and(|at| bad.contains(&at)) {
            // The text is not YAML, so no policy can be skipped. This error explains it better.
            problems.pop();
        }
        problems.push(file::in_one_line(&error.to_string()));
        match at {
            Some(at) if bad.insert(at) && bad.len() < MAX_BAD_POLICIES => {}
            Some(_) if bad.len() >= MAX_BAD_POLICIES => {
                problems.push(format!("{MAX_BAD_POLICIES} policies are invalid: later policies are not read"));
                return PolicyItems { valid, problems };
            }
            _ => return PolicyItems { valid, problems },
        }
    }
}

/// One pass over the file. It ends at the first new mistake.
struct Pass<'a> {
    other_keys: OtherKeys,
    /// Positions of bad policies.
    bad: &'a BTreeSet<usize>,
    valid: Vec<PolicySpec>,
    /// Position of the current policy.
    at: Option<usize>,
}

impl<'de> Visitor<'de> for &mut Pass<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the key {KEY} with a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == KEY {
                map.next_value_seed(Items(self))?;
            } else if self.other_keys == OtherKeys::Ignored {
                map.next_value::<IgnoredAny>()?;
            } else {
                return Err(A::Error::unknown_field(&key, &[KEY]));
            }
        }
        Ok(())
    }
}

/// The list.
struct Items<'a, 'b>(&'a mut Pass<'b>);

impl<'de> DeserializeSeed<'de> for Items<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of policies")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self(pass) = self;
        for at in 0.. {
            pass.at = Some(at);
            let is_there = if pass.bad.contains(&at) {
                items.next_element::<IgnoredAny>()?.is_some()
            } else {
                let policy = items.next_element()?;
                let is_there = policy.is_some();
                pass.valid.extend(policy);
                is_there
            };
            if !is_there {
                break;
            }
        }
        pass.at = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BAD: &str = "- name: bad\n  match: [{pod: a}]\n  allow: [opennat]\n";

    fn policy(name: &str) -> String {
        format!("- name: {name}\n  match: [{{pod: a}}]\n  allow: [read]\n")
    }

    fn names(items: &PolicyItems) -> Vec<&str> {
        items.valid.iter().map(|policy| policy.name.text().as_ref()).collect()
    }

    #[test]
    fn a_bad_policy_hides_no_other_and_is_named_with_its_line() {
        let text = format!("policies:\n{}{BAD}{}{BAD}{}", policy("a"), policy("b"), policy("c"));
        let items = read(&text, OtherKeys::Refused);
        assert_eq!(names(&items), ["a", "b", "c"]);
        let lines: Vec<bool> =
            items.problems.iter().zip(["line 7", "line 13"]).map(|(text, line)| text.contains(line)).collect();
        assert_eq!(lines, [true, true], "{:?}", items.problems);
        assert!(items.problems[0].contains("did you mean openat?"), "{:?}", items.problems);
    }

    #[test]
    fn what_is_before_broken_yaml_is_read() {
        let text = format!("policies:\n{}- name: [}}\n{}", policy("a"), policy("b"));
        let items = read(&text, OtherKeys::Refused);
        assert_eq!((names(&items), items.problems.len()), (vec!["a"], 1), "{:?}", items.problems);
        assert!(items.problems[0].contains("line 5"), "{:?}", items.problems);
    }

    #[test]
    fn other_keys_are_refused_or_another_readers() {
        let text = format!("web: {{telemetry_path: /m}}\npolicies:\n{}", policy("a"));
        assert_eq!(names(&read(&text, OtherKeys::Ignored)), ["a"]);
        let refused = read(&text, OtherKeys::Refused);
        assert!(refused.valid.is_empty() && refused.problems[0].contains("web"), "{refused:?}");
        for text in ["policies: nonsense", "nonsense", "[1, 2]", "policies: {a: b}"] {
            assert_eq!(read(text, OtherKeys::Refused).problems.len(), 1, "{text}");
        }
        for text in ["", "# nothing\n", "policies: []"] {
            assert_eq!(read(text, OtherKeys::Refused), PolicyItems::default(), "{text}");
        }
    }

    #[test]
    fn many_bad_policies_end_the_reading() {
        let text = format!("policies:\n{}{}{}", policy("a"), BAD.repeat(MAX_BAD_POLICIES), policy("b"));
        let items = read(&text, OtherKeys::Refused);
        assert_eq!((names(&items), items.problems.len()), (vec!["a"], MAX_BAD_POLICIES + 1));
        assert!(items.problems.last().unwrap().contains("not read"), "{:?}", items.problems);
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "(policies:\n)?([-a-z: {}\\[\\]&*!|>\n\"']{0,20}\n){0,8}") {
            let _ = read(&text, OtherKeys::Ignored);
        }
    }
}
