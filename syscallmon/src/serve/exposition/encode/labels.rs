//! Labels between the braces of a series.

/// Labels in exposition form, `a="1",b="2"`: escaped once, and copied into every series that has them.
///
/// Both formats escape label values alike: `\`, `"` and line feeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelText(Vec<u8>);

impl LabelText {
    /// Appends a label. Names are not checked.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        write_label(&mut self.0, name, value);
    }

    /// Returns the text, without braces; empty without labels.
    #[cfg(test)]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for LabelText {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(labels: I) -> Self {
        let mut text = Self::default();
        labels.into_iter().for_each(|(name, value)| text.push(name, value));
        text
    }
}

/// Writes all of these labels with their braces, or nothing if there are none.
pub(super) fn write_labels(out: &mut Vec<u8>, first: &LabelText, more: &[(&str, &str)], last: Option<(&str, &str)>) {
    if first.0.is_empty() && more.is_empty() && last.is_none() {
        return;
    }
    out.push(b'{');
    out.extend_from_slice(&first.0);
    for &(name, value) in more.iter().chain(&last) {
        write_label(out, name, value);
    }
    out.push(b'}');
}

/// Writes a label, after a comma unless it is the first in `out` or after an opening brace.
fn write_label(out: &mut Vec<u8>, name: &str, value: &str) {
    if out.last().is_some_and(|&last| last != b'{') {
        out.push(b',');
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    write_escaped(out, value, true);
    out.push(b'"');
}

/// Writes a text with `\` and line feeds escaped, and optionally quotes.
pub(super) fn write_escaped(out: &mut Vec<u8>, text: &str, quotes: bool) {
    let mut rest = text.as_bytes();
    let special = |&byte: &u8| byte == b'\\' || byte == b'\n' || (quotes && byte == b'"');
    while let Some(at) = rest.iter().position(special) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[b'\\', if rest[at] == b'\n' { b'n' } else { rest[at] }]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped() {
        let labels: LabelText = [("a", "\"x\\y\nz\u{e9}{},"), ("b", "")].into_iter().collect();
        assert_eq!(str::from_utf8(labels.as_bytes()).unwrap(), r#"a="\"x\\y\nzé{},",b="""#);
    }

    #[test]
    fn quotes_of_help_texts_may_stay() {
        let mut out = Vec::new();
        write_escaped(&mut out, "say \"a\\b\"\n", false);
        assert_eq!(out, br#"say "a\\b"\n"#);
    }

    #[test]
    fn braces_are_there_only_for_labels() {
        let text = |first: &[(&str, &str)], more: &[(&str, &str)], last| {
            let mut out = b"x".to_vec();
            write_labels(&mut out, &first.iter().copied().collect(), more, last);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(&[], &[], None), "x");
        assert_eq!(text(&[], &[("b", "1")], None), r#"x{b="1"}"#);
        assert_eq!(text(&[], &[], Some(("le", "1"))), r#"x{le="1"}"#);
        assert_eq!(text(&[("a", "{")], &[("b", "1"), ("c", "2")], Some(("le", "1"))), r#"x{a="{",b="1",c="2",le="1"}"#);
    }
}
