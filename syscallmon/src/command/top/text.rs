//! Text with a meaning instead of colours, so that a screen can be tested without a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A quote in a quoted argument of a shell.
pub(super) const ESCAPED_QUOTE: &str = r"'\''";

/// The meaning of a text, which the terminal shows by colour or weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    /// Less important.
    Dim,
    /// A heading.
    Heading,
    /// The column that rows are sorted by, the tab that is shown, or a switch of the user that is on.
    Active,
    /// The selected row.
    Selected,
    /// A rate over time.
    History,
    /// A command to copy. Each piece is an argument, so that a line can break between them.
    Command,
    Warning,
    Critical,
}

/// A line of pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(pub(super) Vec<(String, Tone)>);

impl Line {
    pub(super) fn of(text: impl Into<String>, tone: Tone) -> Self {
        Self(vec![(text.into(), tone)])
    }

    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::of(text, Tone::Plain)
    }

    /// Returns a command to copy, with four spaces before it.
    pub(super) fn command(arguments: &[&str]) -> Self {
        let mut line = Self::default();
        for (position, argument) in arguments.iter().enumerate() {
            line.push(if position == 0 { format!("    {argument}") } else { format!(" {argument}") }, Tone::Command);
        }
        line
    }

    pub(super) fn push(&mut self, text: impl Into<String>, tone: Tone) {
        self.0.push((text.into(), tone));
    }

    /// Returns the whole text.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|(text, _)| text.as_str()).collect()
    }
}

/// Breaks a line that is too long, and indents its rest. A broken command is still one command for a shell: a quoted
/// argument that is too long goes on at the beginning of the next line.
pub(super) fn wrapped(line: Line, width: usize) -> Vec<Line> {
    let text = line.text();
    if text.width() <= width {
        return vec![line];
    }
    let is_command = line.0.iter().any(|(_, tone)| *tone == Tone::Command);
    let indent = (text.len() - text.trim_start().len() + 2).min(width / 2);
    let room = if is_command { width.saturating_sub(2) } else { width };
    let (mut lines, mut current, mut used) = (Vec::new(), Line::default(), 0);
    for (token, tone) in tokens(&line, is_command, room.saturating_sub(indent).max(1)) {
        let mut token = token.as_str();
        let goes_on = is_command && !token.starts_with(' ');
        if used > 0 && (goes_on || used + token.trim_end().width() > room) {
            if is_command {
                current.push(if goes_on { "\\" } else { " \\" }, tone);
            }
            if let Some((last, _)) = current.0.last_mut() {
                last.truncate(last.trim_end().len());
            }
            // A space would end the argument.
            let indent = if goes_on { 0 } else { indent };
            lines.push(std::mem::replace(&mut current, Line::plain(" ".repeat(indent))));
            used = indent;
            token = token.trim_start();
        }
        used += token.width();
        current.push(token, tone);
    }
    lines.push(current);
    lines
}

/// Returns the parts of a line that stay together: words, or arguments of a command. Longer ones than `width` are cut;
/// each part of a quoted argument has quotes.
fn tokens(line: &Line, is_command: bool, width: usize) -> Vec<(String, Tone)> {
    let mut tokens = Vec::new();
    for (piece, tone) in &line.0 {
        if is_command {
            tokens.extend(parts_of_argument(piece, width).into_iter().map(|part| (part, *tone)));
            continue;
        }
        for word in piece.split_inclusive(' ') {
            let mut token = String::new();
            for c in word.chars() {
                if token.width() + c.width().unwrap_or(0) > width {
                    tokens.push((std::mem::take(&mut token), *tone));
                }
                token.push(c);
            }
            tokens.push((token, *tone));
        }
    }
    tokens
}

/// Returns an argument of a command in parts, which a shell joins if nothing is between them.
fn parts_of_argument(argument: &str, width: usize) -> Vec<String> {
    if argument.width() <= width {
        return vec![argument.to_owned()];
    }
    let bare = argument.trim_start();
    let quoted = bare.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    let (quote, mut rest) = quoted.map_or(("", bare), |quoted| ("'", quoted));
    let room = width.saturating_sub(2 * quote.len());
    let mut parts = vec![argument[..argument.len() - bare.len()].to_owned() + quote];
    let mut used = 0;
    while let Some(c) = rest.chars().next() {
        // An escaped quote stays whole.
        let unit = if rest.starts_with(ESCAPED_QUOTE) { ESCAPED_QUOTE } else { &rest[..c.len_utf8()] };
        if used > 0 && used + unit.width() > room {
            parts.push(quote.to_owned());
            used = 0;
        }
        used += unit.width();
        rest = &rest[unit.len()..];
        if let Some(part) = parts.last_mut() {
            part.push_str(unit);
        }
    }
    parts.into_iter().map(|part| part + quote).collect()
}

/// Cuts a text to a number of columns. What was cut shows as `…`.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 0;
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        if used + columns + 1 > width {
            break;
        }
        used += columns;
        cut.push(c);
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// Cuts the middle of a name: its end tells workloads apart.
pub(super) fn cut_middle(text: &str, width: usize) -> String {
    let columns = text.width();
    if columns <= width {
        return text.to_owned();
    }
    let end_width = width.saturating_sub(1) / 2;
    let begin = cut(text, width - end_width);
    let mut end: Vec<char> = Vec::new();
    let mut used = 0;
    for c in text.chars().rev() {
        let columns = c.width().unwrap_or(0);
        if used + columns > end_width {
            break;
        }
        used += columns;
        end.push(c);
    }
    begin + &end.into_iter().rev().collect::<String>()
}

/// Fills a text up to a number of columns; numbers are at the right.
pub(super) fn pad(text: &str, width: usize, is_number: bool) -> String {
    let text = cut(text, width);
    let space = " ".repeat(width.saturating_sub(text.width()));
    if is_number { space + &text } else { text + &space }
}

/// Returns a number with at most four digits and a unit: `12.3k`.
#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
pub(super) fn compact(number: u64) -> String {
    compact_rate(number as f64, 0)
}

/// Does the same for a number that may have a fraction.
pub(super) fn compact_rate(number: f64, digits: usize) -> String {
    let units = ["", "k", "M", "G", "T", "P", "E"];
    let mut value = number;
    let mut unit = 0;
    while value >= 9999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 { digits } else { usize::from(value < 999.95) };
    format!("{value:.digits$}{}", units[unit])
}

/// Draws rates as bars, the newest at the right. The highest is of full height, and only zero is empty.
pub(super) fn sparkline(rates: &[f64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = &rates[rates.len().saturating_sub(width)..];
    let most = shown.iter().copied().fold(0.0, f64::max);
    let bar = |&rate: &f64| {
        if rate <= 0.0 || most <= 0.0 {
            return ' ';
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 7")]
        let height = (rate / most * 7.0).round() as usize;
        BARS[height.min(7)]
    };
    let bars: String = shown.iter().map(bar).collect();
    " ".repeat(width - shown.len()) + &bars
}

/// Returns a time span in one unit.
pub(super) fn ago(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "negative times are 0")]
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..100 => format!("{seconds}s"),
        100..6000 => format!("{}m", seconds / 60),
        6000..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_to_columns_also_where_a_character_takes_two() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("漢字漢字", 5), "漢字…");
        assert_eq!(cut("漢字漢字", 4), "漢…");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(cut_middle("shop/web-1/httpd", 9), "shop…ttpd");
        for width in 0..20 {
            assert!(cut_middle("漢字/web-1/漢字漢字", width).width() <= width);
            assert_eq!(pad("漢字漢字", width, true).width(), width);
        }
    }

    #[test]
    fn a_long_line_goes_on_in_the_next_one_and_a_command_stays_one() {
        let texts = |line: Line, width| wrapped(line, width).iter().map(Line::text).collect::<Vec<_>>();
        assert_eq!(texts(Line::plain("  short"), 7), ["  short"]);
        assert_eq!(texts(Line::plain("  follow the runbook"), 14), ["  follow the", "    runbook"]);
        assert_eq!(texts(Line::plain("  at https://runbook"), 10), ["  at", "    https:", "    //runb", "    ook"]);
        let command = Line::command(&["profile", "--workload", "'a b'"]);
        assert_eq!(texts(command.clone(), 40), ["    profile --workload 'a b'"]);
        assert_eq!(texts(command, 20), ["    profile \\", "      --workload \\", "      'a b'"]);
        for width in 0..20 {
            let lines = wrapped(Line::plain("  漢字/web-1/漢字漢字 12 漢字"), width);
            assert_eq!(lines.iter().map(Line::text).collect::<String>().replace(' ', ""), "漢字/web-1/漢字漢字12漢字");
            assert!(lines.iter().all(|line| width < 4 || line.text().width() <= width), "{lines:?}");
        }
    }

    #[test]
    fn a_shell_joins_the_lines_of_a_command_again() {
        let argument = "it's a 漢字 name".repeat(5);
        let command = Line::command(&["printf", "%s", &format!("'{}'", argument.replace('\'', ESCAPED_QUOTE))]);
        for width in [14, 24, 33, 80] {
            let lines: Vec<String> = wrapped(command.clone(), width).iter().map(Line::text).collect();
            assert!(lines.iter().all(|line| line.width() <= width), "{lines:?}");
            let output = std::process::Command::new("sh").args(["-c", &lines.join("\n")]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), argument, "{lines:?}");
        }
    }

    #[test]
    fn numbers_have_at_most_four_digits() {
        let shown = [0, 999, 9999, 10_000, 12_345, 999_950, 1_234_567, u64::MAX].map(compact);
        assert_eq!(shown, ["0", "999", "9999", "10.0k", "12.3k", "1000k", "1235k", "18.4E"]);
        assert_eq!(
            [0.04, 0.5, 12.34, 1234.5, 123_456.0].map(|rate| compact_rate(rate, 1)),
            ["0.0", "0.5", "12.3", "1234.5", "123.5k"]
        );
    }

    #[test]
    fn only_a_rate_of_zero_is_an_empty_bar() {
        assert_eq!(sparkline(&[0.0, 0.001, 50.0, 100.0], 6), "   ▁▅█");
        assert_eq!(sparkline(&[1.0; 100], 3), "███");
        assert_eq!(sparkline(&[], 3), "   ");
        assert_eq!(sparkline(&[0.0], 2), "  ");
    }

    #[test]
    fn time_spans_have_one_unit() {
        assert_eq!([-1.0, 5.9, 99.0, 100.0, 7200.0, 200_000.0].map(ago), ["0s", "5s", "99s", "1m", "2h", "2d"]);
    }
}
