//! Makes text from processes safe to show.

use std::fmt::Write;

/// Replaces control characters (C0, C1, DEL) and characters that change the direction of text by `\\u{..}`, because
/// terminals act on them.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed(c) {
            // Writing to a string cannot fail.
            let _ = write!(shown, "{}", c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether a terminal acts on a character, or ends the line.
#[must_use]
pub fn is_obeyed(c: char) -> bool {
    c.is_control() || changes_direction(c) || matches!(c, '\u{2028}' | '\u{2029}')
}

/// `Bidi_Control` of Unicode.
fn changes_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_the_rest_is_not() {
        assert_eq!(printable("a\x1b[2J\u{9b}0m\x7f\n"), "a\\u{1b}[2J\\u{9b}0m\\u{7f}\\u{a}");
        assert_eq!(printable("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
        assert_eq!(printable("--name=\u{e9}\u{4e16} \\"), "--name=\u{e9}\u{4e16} \\");
    }
}
