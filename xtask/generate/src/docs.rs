//! `cargo xtask docs`: documents that are generated from the code, so they always match it.
//!
//! `METRICS.md` comes from the table of families. The configuration template, the man pages and the shell completions
//! come from the table of flags. The seccomp profile is a copy of the one in the binary. The chart's table of values
//! comes from its values.yaml, and the keys of `config` in its schema from the table of settings.

mod chart_schema;
mod chart_values;
mod configuration;
mod metrics;

use std::{fs, path::Path};

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use syscallmon::command::{Cli, SECCOMP_PROFILE};
use xtask_support::generated;

/// Arguments of `cargo xtask docs`.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing; fail if a document is not up to date
    #[arg(long)]
    check: bool,
}

const REMEDY: &str = "run `cargo xtask docs` and commit the result";

/// Runs the verb.
///
/// # Errors
///
/// If a document cannot be written, or, with `--check`, is not up to date.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    if args.check { check(root) } else { write(root) }
}

/// Checks that all documents are up to date.
///
/// # Errors
///
/// If a document is not up to date or cannot be made.
pub fn check(root: &Path) -> Result<()> {
    documents(root)?.iter().try_for_each(|(path, content)| generated::check(&root.join(path), content, REMEDY))
}

fn write(root: &Path) -> Result<()> {
    for (path, content) in documents(root)? {
        if generated::write(&root.join(&path), &content)? {
            eprintln!("{path}: written");
        }
    }
    Ok(())
}

/// Returns every document: its path below the root, and its content.
fn documents(root: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"));
    let (schema, values) = (read(chart_schema::FILE)?, read(chart_values::SOURCE)?);
    let mut cli = Cli::command();
    cli.build();
    let run = cli.find_subcommand("run").context("there is a command run")?;
    let mut documents = vec![
        ("METRICS.md".to_owned(), metrics::markdown().into_bytes()),
        ("deploy/syscallmon.yaml".to_owned(), configuration::template(run).into_bytes()),
        (chart_schema::FILE.to_owned(), chart_schema::with_config(&schema, run)?.into_bytes()),
        (chart_values::FILE.to_owned(), chart_values::table(&values)?.into_bytes()),
        ("deploy/man/syscallmon.1".to_owned(), man_page(&cli)?),
        ("deploy/seccomp/syscallmon.json".to_owned(), SECCOMP_PROFILE.as_bytes().to_vec()),
    ];
    for command in cli.get_subcommands().filter(|command| command.get_name() != "help") {
        documents.push((format!("deploy/man/syscallmon-{}.1", command.get_name()), man_page(command)?));
    }
    for (shell, name) in
        [(Shell::Bash, "syscallmon.bash"), (Shell::Zsh, "_syscallmon"), (Shell::Fish, "syscallmon.fish")]
    {
        let mut completions = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "syscallmon", &mut completions);
        documents.push((format!("deploy/completions/{name}"), completions));
    }
    Ok(documents)
}

fn man_page(command: &clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    // A date would change every page in every build.
    clap_mangen::Man::new(command.clone()).date("").render(&mut page).context("cannot make a man page")?;
    Ok(page)
}
