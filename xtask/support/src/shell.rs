//! Runs other programs visibly, and says what to do when they fail.

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Runs a command that changes something, after printing it.
///
/// # Errors
///
/// If it cannot be started, or fails. The message ends with `remedy`.
pub fn run(command: &mut Command, remedy: &str) -> Result<()> {
    eprintln!("+ {}", render(command));
    let status = command.status().with_context(|| cannot_start(command, remedy))?;
    if !status.success() {
        bail!("{} failed with {status}: {remedy}", name(command));
    }
    Ok(())
}

/// Prints a command that changes something, then runs it. Returns its standard output, and shows its errors.
///
/// # Errors
///
/// If it cannot be started, fails, or does not print UTF-8. The message ends with `remedy`.
pub fn output(command: &mut Command, remedy: &str) -> Result<String> {
    eprintln!("+ {}", render(command));
    let output = command.stderr(Stdio::inherit()).output().with_context(|| cannot_start(command, remedy))?;
    if !output.status.success() {
        bail!("{} failed with {}: {remedy}", name(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} printed something other than UTF-8", name(command)))
}

/// Runs a command that only reports something, without printing it. Returns its standard output.
///
/// # Errors
///
/// If it cannot be started, fails, or does not print UTF-8. The message ends with `remedy`.
pub fn query(command: &mut Command, remedy: &str) -> Result<String> {
    let output = command.output().with_context(|| cannot_start(command, remedy))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed with {}: {}: {remedy}", render(command), output.status, stderr.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} printed something other than UTF-8", name(command)))
}

fn cannot_start(command: &Command, remedy: &str) -> String {
    format!("cannot start {}: {remedy}", name(command))
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// Returns the command in shell syntax, with the environment that was set for it.
fn render(command: &Command) -> String {
    let environment = command.get_envs().filter_map(|(key, value)| Some((key, value?)));
    let mut words: Vec<String> =
        environment.map(|(key, value)| format!("{}={}", key.to_string_lossy(), quote(value))).collect();
    words.push(quote(command.get_program()));
    words.extend(command.get_args().map(quote));
    words.join(" ")
}

/// Quotes a word if a shell would split or expand it.
fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy().replace('\x1f', " ");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_shown_as_a_shell_takes_it() {
        let mut command = Command::new("apt-get");
        command.env("LANG", "C").args(["install", "a b", "it's"]);
        assert_eq!(render(&command), r"LANG=C apt-get install 'a b' 'it'\''s'");
    }

    #[test]
    fn failure_ends_with_the_remedy() {
        let error = run(&mut Command::new("false"), "do better").unwrap_err();
        assert_eq!(error.to_string(), "false failed with exit status: 1: do better");
    }

    #[test]
    fn missing_program_is_named_with_the_remedy() {
        let error = query(&mut Command::new("no-such-program"), "install it").unwrap_err();
        assert_eq!(error.to_string(), "cannot start no-such-program: install it");
    }
}
