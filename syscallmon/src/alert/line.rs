//! A record as one line of JSON, short enough for collectors of logs.

use std::slice;

use serde::Serialize;
use serde_json::Value;

use crate::process::{is_obeyed, shortened};

/// Maximum bytes of a line. Log collectors split longer ones (containerd and CRI-O at 16 KiB), and some have a lower
/// limit.
pub(super) const MAX_LINE: usize = 8 << 10;

/// Returns a record with texts cut as little as necessary for a line of [`MAX_LINE`]. A text that was cut ends with an
/// ellipsis.
///
/// Paths and names can have control characters, each of which takes six bytes in JSON. Other parts of a record are
/// short.
pub(super) fn line_of_short_texts(record: &Value) -> String {
    let mut room = MAX_LINE;
    loop {
        room /= 2;
        let mut short = record.clone();
        cut_texts(&mut short, room);
        let line = json_line(&short);
        if line.len() <= MAX_LINE || room < 16 {
            return line;
        }
    }
}

/// Returns JSON without a line break. Characters with a meaning for terminals are escaped.
pub(super) fn json_line(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("keys are strings, and nothing in it can fail");
    if !json.contains(is_obeyed) {
        return json;
    }
    // Only strings have such characters, and each becomes four digits.
    let escape = |c: char| if is_obeyed(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    json.chars().map(escape).collect()
}

fn cut_texts(value: &mut Value, room: usize) {
    match value {
        Value::String(text) => *text = shortened(slice::from_ref(text), room, false).concat(),
        Value::Array(items) => items.iter_mut().for_each(|item| cut_texts(item, room)),
        Value::Object(fields) => fields.values_mut().for_each(|field| cut_texts(field, room)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::SystemTime};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        alert::{
            RateLimit,
            record::{Content, Record, Suppressed, Worst},
            tests::{incident, record, record_of, violation},
        },
        detect::{IncidentState, Severity, Violation},
        process::{Ancestor, Process, ProcessTree},
        syscalls::CallTable,
        workload::{Label, Labels, Workload},
    };

    /// A text that a workload may choose, up to the longest path of the kernel.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[\\x00-\\x1f]{1,1023}",
            "[\"\\\\\\x7f]{1,1023}",
            "\\PC{1,300}",
            "[a-z/]{1,1023}",
            "[a-z\u{202e}\u{2028}\t\n]{1,400}"
        ]
    }

    fn process() -> impl Strategy<Value = Process> {
        let arguments = prop::collection::vec(text(), 0..4);
        let parents = prop::collection::vec((text(), prop::option::of(text())), 0..4);
        (text(), prop::option::of(text()), prop::option::of(arguments), parents).prop_map(
            |(comm, exe, command_line, parents)| {
                let parents = parents.into_iter().map(|(comm, exe)| Ancestor { pid: u32::MAX, comm, exe }).collect();
                let (pid, tid, uid, tree) = (u32::MAX, u32::MAX, u32::MAX, ProcessTree::default());
                Process { pid, tid, uid, comm, exe, command_line, parents, tree }
            },
        )
    }

    fn labels() -> impl Strategy<Value = Labels> {
        prop::collection::vec(text(), 0..=Label::ALL.len())
            .prop_map(|values| Labels::new(Label::ALL.iter().copied().zip(values.into_iter().map(Into::into))))
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let names = (text(), text(), labels(), labels());
        let calls = prop_oneof![12 => Just(1_usize), 12 => Just(4), 1 => Just(70)];
        (names, prop::option::of(process()), any::<bool>(), calls).prop_map(
            |((node, policy, workload, metadata), process, is_summary, calls)| {
                let (workload, policy) = (Workload::Resolved(workload), policy.into());
                let mut violation = violation("web", "mount");
                violation.process = process;
                if is_summary {
                    let (tenant, worst) = (violation.tenant(), Worst::of(&violation));
                    let suppressed = Suppressed {
                        state: IncidentState::New,
                        last_seen: SystemTime::UNIX_EPOCH,
                        workload,
                        policy,
                        severity: Severity::Critical,
                        count: u64::MAX,
                        limit: RateLimit::default(),
                        worst,
                        tenant,
                    };
                    Record { node: node.into(), content: Content::Suppressed(Arc::new(suppressed)) }
                } else {
                    violation.workload = workload;
                    violation.metadata = metadata;
                    violation.policy = policy;
                    let table = CallTable::x86_64();
                    let calls = (0..calls).map(|id| table.call(crate::syscalls::CallId(u16::try_from(id).unwrap())));
                    let violations = calls.map(|call| Violation { call, ..violation.clone() });
                    Record { node: node.into(), ..record_of(incident(violations)) }
                }
            },
        )
    }

    fn texts<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
        match value {
            Value::String(text) => into.push(text),
            Value::Array(items) => items.iter().for_each(|item| texts(item, into)),
            Value::Object(fields) => fields.values().for_each(|field| texts(field, into)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    #[test]
    fn a_path_of_control_characters_is_cut_and_marked() {
        let path: Arc<str> = format!("/{}", "\u{1}".repeat(1022)).into();
        let mut violation = violation("web", "mount");
        violation.workload = Workload::cgroup(Arc::clone(&path));
        violation.metadata = Labels::new([(Label::Cgroup, path)]);
        let line = record(violation).json();
        assert!(line.len() <= MAX_LINE, "{}", line.len());
        let line: Value = serde_json::from_str(&line).unwrap();
        let cgroup = line["workload"]["cgroup"].as_str().unwrap();
        assert!(cgroup.starts_with("/\u{1}\u{1}") && cgroup.ends_with('\u{2026}'), "{cgroup:?}");
        assert_eq!(line["process"]["command_line"][0], "sh", "what is short is whole");
        assert_eq!(line["calls"].as_array().unwrap().len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn every_line_is_valid_short_and_marked_where_it_was_cut(record in any_record()) {
            let line = record.json();
            prop_assert!(line.len() <= MAX_LINE, "{}", line.len());
            prop_assert!(!line.contains('\n'));
            let line: Value = serde_json::from_str(&line).unwrap();
            let whole = serde_json::to_value(&record).unwrap();
            let number = |value: &Value| {
                value["calls"].as_array().map_or(0, Vec::len) as u64 + value["calls_omitted"].as_u64().unwrap_or(0)
            };
            prop_assert_eq!(number(&line), number(&whole), "calls that are left out are counted");
            prop_assert!(whole["calls"].is_null() || line["calls"][0]["violation"] == whole["calls"][0]["violation"]);
            let (mut all, mut kept) = (Vec::new(), Vec::new());
            texts(&whole, &mut all);
            texts(&line, &mut kept);
            // The message of fewer calls names fewer.
            for text in kept.into_iter().filter(|text| *text != line["message"]) {
                let is_part = |part: &str| all.iter().any(|whole| whole.starts_with(part));
                prop_assert!(all.contains(&text) || text.strip_suffix('\u{2026}').is_some_and(is_part), "{text:?}");
            }
            if json_line(&record).len() <= MAX_LINE {
                prop_assert_eq!(line, whole);
            }
        }
    }
}
