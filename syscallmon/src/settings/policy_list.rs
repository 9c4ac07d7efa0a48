//! Reads a list of policies from YAML, item by item: one bad policy does not hide the others, and one mistake does not
//! hide the next one.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{DuplicateKeyPolicy, Options, with_deserializer_from_str_with_options};

use super::{Settings, file};
use crate::{
    detect::{DeclaredPolicy, Mistake, Mistakes, Node, PolicySpec, Position, read_policy},
    syscalls::names::suggestion,
    workload::Budget,
};

/// The key of the list.
const KEY: &str = "policies";

/// The policies of one file, and the mistakes in the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyItems {
    /// Policies without a mistake, in order.
    pub valid: Vec<PolicySpec>,
    /// Policies with a mistake.
    pub invalid: Vec<DeclaredPolicy>,
    /// All mistakes, up to a limit.
    pub mistakes: Vec<Mistake>,
}

/// Keys beside the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OtherKeys {
    /// None: the file has only policies.
    Refused,
    /// Those of the configuration file.
    Settings,
    /// Any: another reader checks them.
    Ignored,
}

impl OtherKeys {
    /// Whether a key may be beside the list.
    fn permit(self, key: &str) -> bool {
        let is_group = |name: &str| name.split('.').next().is_some_and(|group| group.replace('-', "_") == key);
        match self {
            Self::Refused => false,
            Self::Settings => Settings::table().iter().any(|setting| is_group(setting.name)),
            Self::Ignored => true,
        }
    }
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
    if file::is_empty(text) {
        return PolicyItems::default();
    }
    // Keys that are there twice are mistakes like others, and do not end the reading.
    let options: Options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        with_snippet: false,
    };
    let mut pass =
        Pass { other_keys, has_list: false, valid: Vec::new(), invalid: Vec::new(), mistakes: Mistakes::default() };
    let read = with_deserializer_from_str_with_options(text, options, |yaml| yaml.deserialize_any(&mut pass));
    let Pass { valid, invalid, mut mistakes, .. } = pass;
    if let Err(error) = read {
        let at = error.location().map(Position::from);
        mistakes.add(at, without_position(&error, at));
    }
    PolicyItems { valid, invalid, mistakes: mistakes.into_found() }
}

/// Returns the message of an error. Its position is elsewhere.
fn without_position(error: &serde_saphyr::Error, at: Option<Position>) -> String {
    let message = file::in_one_line(&error.without_snippet().to_string());
    let position = at.map(|Position { line, column }| format!(" at line {line}, column {column}"));
    position.map_or_else(|| message.clone(), |position| message.replace(&position, ""))
}

/// The pass over the file. It ends where the text is not YAML, or has too many mistakes.
struct Pass {
    other_keys: OtherKeys,
    /// Whether the key of the list was there.
    has_list: bool,
    valid: Vec<PolicySpec>,
    invalid: Vec<DeclaredPolicy>,
    mistakes: Mistakes,
}

impl<'de> Visitor<'de> for &mut Pass {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the key {KEY} with a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Node>()? {
            let typed = key.text().unwrap_or_default();
            if typed == KEY && !self.has_list {
                self.has_list = true;
                map.next_value_seed(Items(&mut *self))?;
                continue;
            }
            map.next_value::<IgnoredAny>()?;
            if typed == KEY {
                self.mistakes
                    .add(key.at(), format_args!("the key {KEY} is there twice: put all policies into one list"));
            } else if !self.other_keys.permit(typed) {
                let suggestion = suggestion(typed, [KEY]);
                self.mistakes.add(key.at(), format_args!("unknown key {typed:?}{suggestion}: expected {KEY}"));
            }
        }
        Ok(())
    }
}

/// The list.
struct Items<'a>(&'a mut Pass);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of policies")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self(Pass { valid, invalid, mistakes, .. }) = self;
        while !mistakes.are_too_many() {
            let Some(item) = items.next_element::<Node>()? else { return Ok(()) };
            match read_policy(item, mistakes) {
                Ok(policy) => valid.push(policy),
                Err(declared) => invalid.extend(declared),
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::detect::MAX_MISTAKES;

    const BAD: &str = "- name: bad\n  match: [{pod: a}]\n  allow: [opennat]\n";

    fn policy(name: &str) -> String {
        format!("- name: {name}\n  match: [{{pod: a}}]\n  allow: [read]\n")
    }

    fn names(items: &PolicyItems) -> Vec<&str> {
        items.valid.iter().map(|policy| policy.name.text().as_ref()).collect()
    }

    fn mistakes(items: &PolicyItems) -> Vec<String> {
        items.mistakes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_bad_policy_hides_no_other_and_is_named_with_its_line() {
        let text = format!("policies:\n{}{BAD}{}{BAD}{}", policy("a"), policy("b"), policy("c"));
        let items = read(&text, OtherKeys::Refused);
        assert_eq!(names(&items), ["a", "b", "c"]);
        let expected = "11: policy bad: allow: \"opennat\": unknown system call (did you mean openat?)";
        assert_eq!(mistakes(&items), [format!("7:{expected}"), format!("13:{expected}")]);
        assert_eq!(items.invalid.iter().map(|policy| policy.at.line).collect::<Vec<_>>(), [5, 11]);
    }

    #[test]
    fn all_mistakes_of_a_policy_are_reported_at_once() {
        let text = "policies:\n- name: web\n  mach: [{pod: a}]\n  allow: [read, opennat, '@filesystem']\n  deny: [ptrase]\n  \
                    severity: criticl\n  severity: info\n  exceptions:\n  - {match: [{pot: a}, {pod: {regex: '('}}], allow: [i386:read]}\n  \
                    learn: {quiet_for: 1x, at_leest: 1h}\n- {name: Web, match: [], allow: []}\n- 7\n";
        let items = read(text, OtherKeys::Refused);
        let mistakes = mistakes(&items);
        for (mistake, (at, expected)) in mistakes.iter().zip([
            ("3:3: ", "policy web: unknown key \"mach\" (did you mean match?)"),
            ("4:17: ", "(did you mean openat?)"),
            ("4:26: ", "(did you mean @file-system?)"),
            ("5:10: ", "(did you mean ptrace?)"),
            ("6:13: ", "(did you mean critical?)"),
            ("7:3: ", "severity is there twice"),
            ("9:15: ", "(did you mean pod?)"),
            ("9:30: ", "invalid regular expression"),
            ("9:54: ", "\"i386\" is not an ABI"),
            ("10:22: ", "\"1x\" is not a duration"),
            ("10:26: ", "(did you mean at_least?)"),
            ("11:3: ", "allows no calls"),
            ("11:10: ", "(did you mean web?)"),
            ("11:22: ", "match requires a selector"),
            ("12:3: ", "expected a policy"),
        ]) {
            assert!(mistake.starts_with(at) && mistake.contains(expected), "{at}{expected}: {mistakes:#?}");
        }
        assert_eq!((mistakes.len(), items.valid.len()), (15, 0), "{mistakes:#?}");
        assert_eq!(items.invalid.iter().map(|policy| policy.name.to_string()).collect::<Vec<_>>(), ["web"]);
    }

    #[test]
    fn what_is_before_broken_yaml_is_read() {
        let text = format!("policies:\n{}- name: [}}\n{}", policy("a"), policy("b"));
        let items = read(&text, OtherKeys::Refused);
        assert_eq!((names(&items), items.mistakes.len()), (vec!["a"], 1), "{:?}", items.mistakes);
        assert!(items.mistakes[0].at.is_some_and(|at| at.line == 5), "{:?}", items.mistakes);
        assert!(!items.mistakes[0].message.contains("line"), "{:?}", items.mistakes);
    }

    #[test]
    fn other_keys_are_refused_or_another_readers() {
        let text = format!("polices: []\npolicies:\n{}policies: []\n", policy("a"));
        let ignored = read(&text, OtherKeys::Ignored);
        assert_eq!((names(&ignored), ignored.mistakes.len()), (vec!["a"], 1), "{ignored:?}");
        let refused = mistakes(&read(&text, OtherKeys::Refused));
        assert!(refused[0].starts_with("1:1: unknown key \"polices\" (did you mean policies?)"), "{refused:?}");
        assert!(refused[1].starts_with("6:1: the key policies is there twice"), "{refused:?}");
        for text in ["policies: nonsense", "nonsense", "[1, 2]", "policies: {a: b}"] {
            assert_eq!(read(text, OtherKeys::Refused).mistakes.len(), 1, "{text}");
        }
        for text in ["", "# nothing\n", "policies: []"] {
            assert_eq!(read(text, OtherKeys::Refused), PolicyItems::default(), "{text}");
        }
    }

    #[test]
    fn many_mistakes_end_the_reading() {
        let text = format!("policies:\n{}{}{}", policy("a"), BAD.repeat(MAX_MISTAKES), policy("b"));
        let items = read(&text, OtherKeys::Refused);
        assert_eq!((names(&items), items.mistakes.len()), (vec!["a"], MAX_MISTAKES + 1));
        assert!(items.mistakes.last().unwrap().message.contains("not read"), "{:?}", items.mistakes);
        let one = format!("policies:\n- {{name: a, match: [{{pod: a}}], allow: [{}]}}", "x,".repeat(200_000));
        let items = read(&one, OtherKeys::Refused);
        assert_eq!((items.valid.len(), items.mistakes.len()), (0, MAX_MISTAKES + 1));
    }

    /// The order of a policy's keys has no meaning, and neither has the order of selectors and items.
    #[test]
    fn the_order_of_keys_does_not_matter() {
        let lines = ["name: a", "extends: b", "match: [{pod: a}]", "allow: [read]", "deny: [ptrace]", "critical: []"];
        let parsed = |lines: &[&str]| {
            let items = read(&format!("policies:\n- {}\n", lines.join("\n  ")), OtherKeys::Refused);
            let policy = items.valid.into_iter().next().unwrap();
            (
                policy.name,
                policy.extends.map(|extends| extends.name),
                policy.selects,
                policy.allow.len(),
                policy.critical,
            )
        };
        let mut turned = lines;
        for _ in 0..lines.len() {
            turned.rotate_left(1);
            assert_eq!(parsed(&turned), parsed(&lines));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "(policies:\n)?([-a-z: {}\\[\\]&*!|>\n\"']{0,20}\n){0,8}") {
            let _ = read(&text, OtherKeys::Ignored);
        }
    }
}
