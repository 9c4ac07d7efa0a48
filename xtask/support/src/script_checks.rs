//! Checks that scripts in VMs and other file systems make: lines with `@pass` or `@fail`, and `@end` as the last one.

use anyhow::{Result, ensure};

/// Prints the lines, and fails unless all checks passed and the script came to its end.
///
/// # Errors
///
/// If a check failed, or the script did not end.
pub fn judge(output: &str) -> Result<()> {
    let lines: Vec<&str> = output.lines().map(str::trim_end).filter(|line| line.starts_with('@')).collect();
    for line in &lines {
        println!("{}", &line[1..]);
    }
    let failed = lines.iter().filter(|line| line.starts_with("@fail")).count();
    ensure!(failed == 0, "{failed} checks failed");
    let passed = lines.iter().filter(|line| line.starts_with("@pass")).count();
    ensure!(lines.last() == Some(&"@end") && passed > 0, "the script did not come to its end");
    println!("{passed} passed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_must_pass_and_the_script_must_end() {
        assert!(judge("x\n@release 6\r\n@pass a\r\n@end\r\n").is_ok());
        for output in ["@pass a\n@fail b: c\n@end\n", "@pass a\n", "@end\n", ""] {
            assert!(judge(output).is_err(), "{output}");
        }
    }
}
