//! Puts the result where people read it.

use std::{fs, path::Path};

use anyhow::{Context, Result};

const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

/// Replaces the result in README.md.
pub(super) fn write(root: &Path, result: &str) -> Result<()> {
    let path = root.join("README.md");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = replace(&text, result)
        .with_context(|| format!("{} needs one line {BEGIN}, and one line {END} after it", path.display()))?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("wrote the result to {}", path.display());
    Ok(())
}

/// The text with another result between the marks; `None` without exactly one pair of them.
fn replace(text: &str, result: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (old, after) = rest.split_once(END)?;
    let is_only_pair = !old.contains(BEGIN) && !after.contains(BEGIN) && !before.contains(END) && !after.contains(END);
    is_only_pair.then(|| format!("{before}{BEGIN}\n{}\n{END}{after}", result.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = format!("# syscallmon\n\n{BEGIN}\nold\n{END}\n\nmore\n");
        let new = replace(&text, "| new |\n").unwrap();
        assert_eq!(new, format!("# syscallmon\n\n{BEGIN}\n| new |\n{END}\n\nmore\n"));
        assert_eq!(replace(&new, "| new |\n").unwrap(), new);
    }

    #[test]
    fn text_without_one_pair_of_marks_is_left_alone() {
        for text in ["", BEGIN, END, &format!("{END}{BEGIN}"), &format!("{BEGIN}{END}{BEGIN}{END}")] {
            assert_eq!(replace(text, "new"), None, "{text:?}");
        }
    }
}
