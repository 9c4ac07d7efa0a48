//! Tokens of Rust: words and punctuation, with their lines. Comments, strings, characters and lifetimes are left out.

/// A word (identifier, keyword or number) or a character of punctuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

/// The tokens of a file.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let (len, is_token) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
            '/' if rest.starts_with("/*") => (comment_len(rest), false),
            '"' => (1 + string_len(&rest[1..]), false),
            '\'' => (quote_len(rest), false),
            _ if is_of_word(first) => match raw_string_len(rest) {
                Some(len) => (len, false),
                None => (word_len(rest), true),
            },
            _ => (first.len_utf8(), !first.is_whitespace()),
        };
        let (token, after) = rest.split_at(len);
        if is_token {
            tokens.push(Token { text: token.strip_prefix("r#").unwrap_or(token), line });
        }
        line += token.matches('\n').count();
        rest = after;
    }
    tokens
}

fn is_of_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

/// A word, and `r#` before it.
fn word_len(text: &str) -> usize {
    let prefix = if text.starts_with("r#") { 2 } else { 0 };
    text[prefix..].find(|character| !is_of_word(character)).map_or(text.len(), |len| prefix + len)
}

/// A comment with those in it.
fn comment_len(text: &str) -> usize {
    let (mut depth, mut len) = (0_u32, 0);
    while len < text.len() {
        let rest = &text[len..];
        let step = if rest.starts_with("/*") {
            depth += 1;
            2
        } else if rest.starts_with("*/") {
            depth -= 1;
            2
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        len += step;
        if depth == 0 {
            break;
        }
    }
    len
}

/// What follows a quotation mark, up to and with the one that ends the string.
fn string_len(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character, or a lifetime.
fn quote_len(text: &str) -> usize {
    let mut after = text[1..].chars();
    match (after.next(), after.next()) {
        (Some('\\'), _) => text[3..].find('\'').map_or(text.len(), |len| 3 + len + 1),
        (Some(character), Some('\'')) => 1 + character.len_utf8() + 1,
        _ => 1 + text[1..].find(|character| !is_of_word(character)).unwrap_or(text.len() - 1),
    }
}

/// A string with a prefix: `r"..."`, `r#"..."#`, `b"..."`, `br"..."`, `c"..."`.
fn raw_string_len(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c"].into_iter().find(|prefix| {
        let rest = text.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.trim_start_matches('#').starts_with('"'))
    })?;
    let hashes = text[prefix.len()..].find('"')?;
    let start = prefix.len() + hashes + 1;
    if !prefix.ends_with('r') {
        return (hashes == 0).then(|| start + string_len(&text[start..]));
    }
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text[start..].find(&end).map_or(text.len(), |len| start + len + end.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        tokens(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_strings_and_characters_are_no_tokens() {
        assert_eq!(words("a // crate::b\nc /* crate /* in */ it */ d"), ["a", "c", "d"]);
        assert_eq!(
            words(r###"x("crate::\"b", r#"a "b" c"#, b"z", c"", br##"""##) y"###),
            ["x", "(", ",", ",", ",", ",", ")", "y"]
        );
        assert_eq!(words(r"('a', '\'', '\\', '\u{41}', b'x') z"), ["(", ",", ",", ",", ",", "b", ")", "z"]);
        assert_eq!(words("f::<'a, 'static>(r#type)"), ["f", ":", ":", "<", ",", ">", "(", "type", ")"]);
    }

    #[test]
    fn tokens_know_their_lines() {
        let lines = tokens("a\n\"b\nc\" /* \n */ d").into_iter().map(|token| token.line);
        assert_eq!(lines.collect::<Vec<_>>(), [1, 4]);
    }
}
