//! Writes results into documents: each result between a pair of marks.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// Replaces the text between `<!-- NAME:begin -->` and `<!-- NAME:end -->` of a document with this path below the root.
///
/// # Errors
///
/// If the document cannot be read or written, or does not have exactly one pair of these marks.
pub fn write(root: &Path, document: &str, name: &str, result: &str) -> Result<()> {
    let path = root.join(document);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let [begin, end] = marks(name);
    let text = replace(&text, name, result)
        .with_context(|| format!("{} needs one line {begin}, and one line {end} after it", path.display()))?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("wrote the result to {}", path.display());
    Ok(())
}

/// Returns the text between the marks, or `None` without exactly one pair of them.
#[must_use]
pub fn read<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    split(text, name).map(|[_, old, _]| old.trim())
}

fn marks(name: &str) -> [String; 2] {
    ["begin", "end"].map(|end| format!("<!-- {name}:{end} -->"))
}

/// Returns the text with another result between the marks, or `None` without exactly one pair of them.
fn replace(text: &str, name: &str, result: &str) -> Option<String> {
    let [begin, end] = marks(name);
    split(text, name).map(|[before, _, after]| format!("{before}{begin}\n{}\n{end}{after}", result.trim()))
}

/// Returns the text before, between and after the marks.
fn split<'a>(text: &'a str, name: &str) -> Option<[&'a str; 3]> {
    let [begin, end] = &marks(name);
    let (before, rest) = text.split_once(begin)?;
    let (old, after) = rest.split_once(end)?;
    let is_only_pair = !old.contains(begin) && !after.contains(begin) && !before.contains(end) && !after.contains(end);
    is_only_pair.then_some([before, old, after])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = "# syscallmon\n\n<!-- a:begin -->\nold\n<!-- a:end -->\n<!-- b:begin -->\n<!-- b:end -->\n";
        let new = replace(text, "a", "| new |\n").unwrap();
        assert_eq!(new, text.replace("old", "| new |"));
        assert_eq!(replace(&new, "a", "| new |\n").unwrap(), new);
        assert_eq!((read(&new, "a"), read(&new, "b"), read(&new, "c")), (Some("| new |"), Some(""), None));
    }

    #[test]
    fn text_without_one_pair_of_marks_is_left_alone() {
        let [begin, end] = &marks("a");
        for text in ["", begin, end, &format!("{end}{begin}"), &format!("{begin}{end}{begin}{end}")] {
            assert_eq!(replace(text, "a", "new"), None, "{text:?}");
        }
    }
}
