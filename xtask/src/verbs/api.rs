//! `cargo xtask api`: checks the API of a real daemon against its document, with tools that know neither.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use syscallmon_testkit::{Daemon, Guarded};
use xtask_support::{
    pypi,
    setup::{self, Purpose},
    shell, workspace,
};

/// Arguments of `cargo xtask api`.
#[derive(clap::Args)]
pub struct Args {
    /// How long schemathesis makes requests
    #[arg(long, default_value = "60", value_name = "SECONDS")]
    seconds: u32,
}

/// schemathesis, openapi-spec-validator, and what they need.
const PINS: &str = include_str!("api/pins.txt");

/// A user, so that schemathesis may change baselines: it sends headers that proxies might have added.
const USER: &str = "schemathesis:schemathesis";
const WEB_CONFIG: &str =
    "basic_auth_users: {schemathesis: '$2a$04$GjjpjLZ9ass4F5SZN/321el/sWf/25kgIsGtkwFSJ9CwMcdB6ecSK'}\n";

/// Baselines and violations of everything that runs here.
const POLICIES: &str = "\
policies:
- {name: learns, match: ['cgroup=~\"/.*[0-4a-m]\"'], learn: {}}
- {name: reports, match: ['cgroup=~\"/.*\"'], allow: [read]}
";

const TIMEOUT: Duration = Duration::from_mins(1);

/// Runs the verb.
///
/// # Errors
///
/// If the document is not valid, or if a tool finds a request whose answer is not as the document says.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    let tools = installed(root)?;
    let build = ["build", "--locked", "--package", "syscallmon", "--bin", "syscallmon"];
    shell::run(Command::new(workspace::cargo()).current_dir(root).args(build), "the compiler's message is above")?;
    let work = tempfile::tempdir().context("cannot make a temporary directory")?;
    let daemon = start(root, work.path())?;
    let url = format!("http://{}/api/v1/openapi.json", daemon.address());
    let document = work.path().join("openapi.json");
    let remedy = "mend syscallmon/src/serve/api/openapi.yaml, or what it describes";
    let tool = |name: &str| {
        let mut command = Command::new(tools.join("bin").join(name));
        command.env("PYTHONPATH", &tools).current_dir(work.path());
        command
    };
    let text = shell::output(Command::new("curl").args(["--silent", "--fail", "--user", USER, &url]), remedy)?;
    fs::write(&document, text).context("cannot write the document")?;
    shell::run(tool("openapi-spec-validator").arg(&document), remedy)?;
    let mut schemathesis = tool("schemathesis");
    // Parameters of invalid length can make the whole request too long.
    let settings = work.path().join("schemathesis.toml");
    let statuses = "[checks.negative_data_rejection]\nexpected-statuses = [400, 401, 403, 404, 405, 409, 415, 431]\n";
    fs::write(&settings, statuses).with_context(|| format!("cannot write {}", settings.display()))?;
    schemathesis.args(["run", &url, "--auth", USER, "--no-color", "--generation-database=none"]);
    shell::run(schemathesis.arg(format!("--max-time={}", args.seconds)), remedy)
}

/// Starts a daemon with all that the API can show, and waits until it counts.
fn start(root: &Path, work: &Path) -> Result<Daemon> {
    for (name, text) in [("web.yml", WEB_CONFIG), ("policies.yaml", POLICIES)] {
        fs::write(work.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    let file = |name: &str| work.join(name).display().to_string();
    let policies = work.join("policies");
    fs::create_dir(&policies).context("cannot make the directory of policies")?;
    fs::rename(work.join("policies.yaml"), policies.join("all.yaml")).context("cannot move the policies")?;
    let mut command = Command::new(workspace::target_dir(root).join("debug/syscallmon"));
    command.args(["run", "--web.listen-address=127.0.0.1:0", "--alert.log=off", "--latency.syscalls=read"]);
    command.args(["--web.config.file", &file("web.yml"), "--policy.directory", &file("policies")]);
    command.args(["--state.directory", &file("state")]).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut daemon = Daemon::new(Guarded::spawn_bound(&mut command)?, TIMEOUT)?;
    daemon.wait_until_ready()?;
    Ok(daemon)
}

/// Returns the directory with the tools. Installs them there unless these versions are.
fn installed(root: &Path) -> Result<PathBuf> {
    setup::ensure(root, Purpose::Check)?;
    let tools = pypi::installed(root, "api", PINS)?;
    ensure!(tools.join("bin/schemathesis").exists(), "pip installed no schemathesis");
    Ok(tools)
}
