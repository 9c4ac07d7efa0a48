//! Parses any text as a selector. The last line is a label's value, and the text before it is a selector.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use regex::Regex;
use syscallmon::workload::{Budget, Label, Labels, Selector};

fuzz_target!(|data: &[u8]| {
    let data = String::from_utf8_lossy(data);
    let (text, value) = data.rsplit_once('\n').unwrap_or((&data, &data));
    let value: Arc<str> = value.into();
    let labels = Labels::new(Label::ALL.iter().map(|&label| (label, Arc::clone(&value))));
    match text.parse::<Selector>() {
        Ok(selector) => {
            let _ = (selector.matches(&labels), selector.matches(&Labels::default()));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    of_request(text, &labels);
    equals(&value, &labels);
    matches(text, &labels, &value);
});

/// Checks that the configuration accepts each selector of a request, with the same meaning. An error is not much longer
/// than the rejected selector.
fn of_request(text: &str, labels: &Labels) {
    match Selector::parse(text, &Budget::of_request()) {
        Ok(selector) => {
            let same = text.parse::<Selector>().expect("the configuration has a larger budget");
            assert_eq!(selector.matches(labels), same.matches(labels), "{text:?}");
        }
        Err(error) => assert!(error.to_string().len() <= 32 * 1024, "{error}"),
    }
}

/// Returns a selector of a label by a quoted value.
fn quoted(operator: &str, value: &str) -> String {
    format!("pod{operator}\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Checks that a selector can select any value, without other values.
fn equals(value: &str, labels: &Labels) {
    let with = |operator| quoted(operator, value).parse::<Selector>().expect("any value can be quoted");
    assert!(with("=").matches(labels) && !with("!=").matches(labels), "{value:?}");
    let longer = Labels::new([(Label::Pod, format!("{value}.").into())]);
    assert!(!with("=").matches(&longer) && with("!=").matches(&longer), "{value:?}");
}

/// Checks that each accepted regular expression is valid on its own and must match a whole value.
fn matches(regex: &str, labels: &Labels, value: &str) {
    // Uses the budget of a request, because larger expressions slow the target down.
    let Ok(selector) = Selector::parse(&quoted("=~", regex), &Budget::of_request()) else { return };
    if let Err(error) = Regex::new(regex) {
        panic!("{regex:?} was taken: {error}");
    }
    let whole = Regex::new(&format!(r"\A(?s:{regex})\z")).expect("it is one in parentheses, too");
    assert_eq!(selector.matches(labels), whole.is_match(value), "{regex:?} of {value:?}");
}
