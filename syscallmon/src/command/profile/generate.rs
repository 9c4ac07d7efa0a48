//! `syscallmon profile generate`: from what a workload calls to a profile.

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode, time::SystemTime};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use super::{counted, files, gather, gather::Sources, note, on_runtime, runtime::RuntimeArgs};
use crate::{
    command::output::print,
    profile::{Details, Evidence, Format, Plan, PlanOptions, Provenance, Restriction},
    syscalls::names,
};

/// Generate a seccomp profile from what a workload calls.
///
/// Merges all sources. The profile allows the calls that were made, siblings that libraries use instead of them, calls
/// that the container runtime makes before the program starts, and calls that every program needs. Calls that libraries
/// probe for are answered with ENOSYS, and all others with EPERM.
#[derive(Debug, Args)]
pub(super) struct Generate {
    #[command(flatten)]
    sources: Sources,

    #[command(flatten)]
    content: ProfileArgs,
}

/// What the profile contains, and where it goes.
#[derive(Clone, Debug, Args)]
pub(in crate::command) struct ProfileArgs {
    /// Format of the profile.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "oci")]
    format: Format,

    /// File to write, atomically; a new directory for the format artifact. By default stdout.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Architecture that the profile is for; repeatable. Calls of others are translated. By default the observed ones.
    #[arg(long, value_enum, value_name = "ARCH")]
    arch: Vec<Arch>,

    /// Leave out siblings of calls, such as openat2 beside openat. An update of a library can then need a new profile.
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    runtime: RuntimeArgs,

    /// Allow this call as well; repeatable.
    #[arg(long, value_name = "CALL", value_parser = call)]
    allow: Vec<&'static str>,

    /// Allow calls that seccomp denied the workload, except for dangerous ones.
    #[arg(long)]
    allow_denied: bool,

    /// Allow calls with all arguments, and not only with observed ones, such as sockets of every family.
    #[arg(long)]
    any_arguments: bool,

    /// Name of the object (formats spo, spo-v1beta1) or of the policy.
    #[arg(long, value_name = "NAME", default_value = "workload")]
    name: String,

    /// Namespace of the object (format spo-v1beta1).
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// Selector of the workloads that the policy is for (format policy).
    #[arg(long = "match", id = "match", value_name = "SELECTOR")]
    selector: Option<String>,
}

/// Names of architectures: the kernel's, and Go's as aliases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Arch {
    #[value(name = "x86_64", alias = "amd64")]
    X86_64,
    #[value(name = "aarch64", alias = "arm64")]
    Aarch64,
}

impl Arch {
    fn abi(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// Parses the name of a call.
fn call(text: &str) -> Result<&'static str, String> {
    let calls = names::system_calls();
    let missing = || format!("{text:?} is not a system call{}", names::suggestion(text, calls.iter().copied()));
    calls.get(text).copied().ok_or_else(missing)
}

impl Generate {
    pub(super) fn execute(self) -> Result<ExitCode> {
        self.content.check()?;
        let evidence = on_runtime(self.sources.gather())?;
        self.content.write(&evidence, self.sources.selector())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl ProfileArgs {
    /// Returns the defaults, with stdout as the output.
    pub(in crate::command) fn to_stdout(format: Format, name: String) -> Self {
        Self {
            format,
            output: None,
            arch: Vec::new(),
            strict: false,
            runtime: RuntimeArgs::default(),
            allow: Vec::new(),
            allow_denied: false,
            any_arguments: false,
            name,
            namespace: None,
            selector: None,
        }
    }

    /// Fails on flags that contradict each other, before sources are asked.
    pub(in crate::command) fn check(&self) -> Result<()> {
        if self.format.is_directory() && self.output.is_none() {
            bail!("the format artifact is a directory: name it with --output");
        }
        Ok(())
    }

    /// Writes the profile, and reports its content on stderr. `selector` is that of the sources.
    pub(in crate::command) fn write(&self, evidence: &Evidence, selector: Option<String>) -> Result<()> {
        gather::require_calls(evidence)?;
        let plan = self.plan(evidence);
        let runtime = self.format.is_for_containers().then(|| self.runtime.describe());
        let provenance = Provenance::new(evidence, runtime, SystemTime::now());
        let details = Details {
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            selector: self.selector.clone().or(selector).unwrap_or_default(),
        };
        let written = self.format.write(&plan, &provenance, &details)?;
        match (&self.output, written.as_slice()) {
            (Some(output), written) => files::write(output, written)?,
            (None, [file]) => print(&file.content)?,
            (None, _) => bail!("the format consists of several files: name a directory with --output"),
        }
        self.tell(&plan, &provenance);
        Ok(())
    }

    fn plan(&self, evidence: &Evidence) -> Plan {
        let runtime = if self.format.is_for_containers() { self.runtime.made() } else { BTreeSet::new() };
        let options = PlanOptions {
            architectures: self.arch.iter().map(|arch| arch.abi()).collect(),
            strict: self.strict,
            runtime,
            requested: self.allow.iter().copied().collect(),
            allow_denied: self.allow_denied,
            any_arguments: self.any_arguments,
        };
        let mut plan = Plan::new(evidence, &options);
        plan.warnings.extend(crate::profile::Confidence::new(evidence, SystemTime::now()).warning());
        if !evidence.replicas.iter().any(|replica| replica.saw_start) {
            plan.warnings.push("no start was observed: calls of the start may be missing".to_owned());
        }
        plan
    }

    /// Reports the content of the profile, on stderr.
    fn tell(&self, plan: &Plan, provenance: &Provenance) {
        plan.warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
        let replicas = counted(provenance.replicas, "replica");
        let output = self.output.as_ref().map_or_else(String::new, |output| format!(": {}", output.display()));
        let is_refused = |restriction: &&Restriction| restriction.comparisons.is_empty();
        let is_filter = self.format.is_for_containers();
        let refused = plan.restrictions.values().filter(|_| is_filter).filter(is_refused).count();
        let (allowed, observed) = (plan.allowed.len() - refused, provenance.coverage.len());
        note(&format!("{} allowed, {observed} of them observed in {replicas}{output}", counted(allowed, "call")));
    }
}
