//! Makes text from outside safe to show, and short: of processes, servers and files.

use std::fmt::Write;

/// Maximum characters of a name in a message.
const MAX_NAME: usize = 300;

/// Replaces control characters (C0, C1, DEL), characters that change the direction of text, and invisible ones by
/// `\\u{..}`, because terminals act on them or people do not see them.
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

/// Returns a name or a message from outside as [`printable`] does. The end of a long one is cut.
#[must_use]
pub fn printable_name(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME) {
        Some((end, _)) => printable(&name[..end]) + "...",
        None => printable(name),
    }
}

/// Hex digits from which on a number is an id, and how many of an id are shown: as many as `docker ps` shows.
const ID: usize = 32;
const ID_SHOWN: usize = 12;

/// Shortens ids, such as those of containers.
#[must_use]
pub fn short_ids(text: &str) -> String {
    let (mut short, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let run = rest[start..].bytes().take_while(u8::is_ascii_hexdigit).count();
        let (kept, mark) = if run >= ID { (ID_SHOWN, "\u{2026}") } else { (run, "") };
        short.push_str(&rest[..start + kept]);
        short.push_str(mark);
        rest = &rest[start + run..];
    }
    short + rest
}

/// Whether a terminal acts on a character, shows nothing for it, or ends the line. YAML 1.1 ends a line and its comment
/// at the separators of lines and paragraphs (U+2028, U+2029), too.
#[must_use]
pub fn is_obeyed(c: char) -> bool {
    let is_invisible = matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}');
    c.is_control() || changes_direction(c) || is_invisible || matches!(c, '\u{2028}' | '\u{2029}')
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

    #[test]
    fn a_name_is_short_and_cut_between_characters() {
        assert_eq!(printable_name("b\u{200b}\u{feff}"), "b\\u{200b}\\u{feff}");
        assert_eq!(printable_name(&"\u{e9}".repeat(MAX_NAME)), "\u{e9}".repeat(MAX_NAME));
        assert_eq!(printable_name(&"\u{e9}".repeat(MAX_NAME + 1)), "\u{e9}".repeat(MAX_NAME) + "...");
    }

    #[test]
    fn ids_of_containers_are_short() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(short_ids(&format!("/docker/{id}/a")), "/docker/0123456789ab\u{2026}/a");
        assert_eq!(short_ids(&format!("cri-o://{id}")), "cri-o://0123456789ab\u{2026}");
        assert_eq!(short_ids("/system.slice/face.service"), "/system.slice/face.service");
        assert_eq!(short_ids(&id[..31]), id[..31]);
    }
}
