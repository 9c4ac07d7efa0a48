//! Redacts and cuts command lines: a command line may contain secrets, and a process can make it of any length.

mod redact;

use clap::ValueEnum;
use serde::Deserialize;

use super::printable;

/// Maximum bytes of a command line, as JSON.
pub(super) const MAX_BYTES: usize = 4096;

/// Ends the last argument of a command line that was cut.
const CUT: &str = "\u{2026}";

/// How much of command lines is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandLines {
    /// All arguments; values that look like a password, token or key are replaced by `[redacted]`.
    #[default]
    Redacted,
    /// All arguments, unchanged.
    Full,
    /// Only the first argument, the name of the program.
    Program,
    /// No arguments.
    None,
}

impl CommandLines {
    /// Returns the kept arguments of `/proc/PID/cmdline`; `None` for a process without arguments, such as a kernel
    /// thread.
    #[must_use]
    pub fn parse(self, bytes: &[u8]) -> Option<Vec<String>> {
        let is_cut = bytes.len() > MAX_BYTES;
        // A process that changes its title pads it to the length of the old one.
        let end = bytes.iter().rposition(|&byte| byte != 0)? + 1;
        let arguments =
            bytes[..end].split(|&byte| byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned());
        let arguments: Vec<String> = match self {
            Self::None => return None,
            Self::Program => arguments.take(1).map(|argument| program(&argument)).collect(),
            Self::Redacted => redact::redacted(arguments.collect()),
            Self::Full => arguments.collect(),
        };
        let arguments: Vec<String> = arguments.iter().map(|argument| printable(argument)).collect();
        Some(shortened(&arguments, MAX_BYTES, is_cut && self != Self::Program))
    }
}

/// A changed title has all arguments in the first one.
fn program(argument: &str) -> String {
    argument.split_whitespace().next().unwrap_or_default().to_owned()
}

/// Keeps the arguments that fit into this many bytes of JSON, and marks a cut.
#[must_use]
pub fn shortened(arguments: &[String], max_bytes: usize, mut is_cut: bool) -> Vec<String> {
    let (mut kept, mut room) = (Vec::<String>::new(), max_bytes);
    for argument in arguments {
        if room < 3 {
            is_cut = true;
            break;
        }
        let fits = length_that_fits(argument, room - 3);
        let rest = argument.len() - fits;
        kept.push(argument[..fits].to_owned());
        if rest > 0 {
            is_cut = true;
            break;
        }
        room = room.saturating_sub(3 + argument.chars().map(json_bytes).sum::<usize>());
    }
    if let Some(last) = kept.last_mut().filter(|last| is_cut && !last.ends_with(CUT)) {
        last.push_str(CUT);
    }
    kept
}

/// Returns the length of the longest prefix that takes at most `room` bytes in JSON.
fn length_that_fits(argument: &str, mut room: usize) -> usize {
    let does_not_fit = |c: &(usize, char)| {
        let bytes = json_bytes(c.1);
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        !fits
    };
    argument.char_indices().find(does_not_fit).map_or(argument.len(), |(at, _)| at)
}

/// Returns the length of a character in a JSON string.
fn json_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Vec<String> {
        CommandLines::Full.parse(bytes).unwrap()
    }

    #[test]
    fn the_padding_of_a_changed_title_is_no_argument() {
        let title = [b"nginx: worker process".as_slice(), &[0; 442]].concat();
        assert_eq!(parse(&title), ["nginx: worker process"]);
        assert_eq!(parse(b"a\0\0b\0"), ["a", "", "b"]);
        assert_eq!(CommandLines::Full.parse(&[0; 10]), None);
        assert_eq!(CommandLines::Full.parse(b""), None);
    }

    #[test]
    fn what_was_cut_is_marked_and_what_was_not_is_not() {
        let long = |bytes: usize| [b"a\0".as_slice(), &vec![b'x'; bytes]].concat();
        assert!(!parse(&long(4000))[1].ends_with(CUT));
        let cut = parse(&long(4095));
        assert!(cut[1].ends_with(CUT) && cut[1].len() < 4100, "{}", cut[1].len());
        let many = parse(&b"x\0".repeat(2048));
        assert!(many.len() < 2048 && many.last().unwrap().ends_with(CUT));
    }

    #[test]
    fn it_is_short_as_json_whatever_it_holds() {
        for byte in [b'"', b'\\', 1, 0x7f, 0xff, 0, b'\n'] {
            let bytes = [b"a".as_slice(), &[byte; 4000], b"b"].concat();
            let json = serde_json::to_string(&parse(&bytes)).unwrap();
            assert!(json.len() <= MAX_BYTES + 16, "{byte}: {}", json.len());
        }
    }

    #[test]
    fn less_is_kept_where_that_is_set() {
        let bytes = b"/bin/mysql\0--password=secret\0";
        assert_eq!(CommandLines::None.parse(bytes), None);
        assert_eq!(CommandLines::Program.parse(bytes).unwrap(), ["/bin/mysql"]);
        assert_eq!(CommandLines::Program.parse(b"title --password=secret").unwrap(), ["title"]);
        assert_eq!(CommandLines::default().parse(bytes).unwrap(), ["/bin/mysql", "--password=[redacted]"]);
    }
}
