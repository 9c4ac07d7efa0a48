//! A real Prometheus with samples that these tests wrote, and servers that are no Prometheus.

mod backfill;
mod found;
mod hostile;
mod lost;

use clap::{CommandFactory, FromArgMatches, Parser};

use super::*;
use crate::command::profile::sources::WorkloadFlag;

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    workload: WorkloadFlag,
    #[command(flatten)]
    source: PrometheusSource,
}

/// Asks a server as the command does.
async fn ask(url: &str, workload: &str, flags: &[&str], end: u64) -> Result<Evidence> {
    let arguments = [&["test", "--prometheus", url, "--workload", workload], flags].concat();
    let flags = Flags::from_arg_matches(&Flags::command().try_get_matches_from(arguments)?)?;
    let (source, selector) = (flags.source, flags.workload.selector.unwrap());
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(end);
    source.evidence(source.url.as_ref().unwrap(), &selector, end).await
}

#[test]
fn flags_are_checked() {
    let of = |flags: &[&str]| {
        let arguments = [&["test", "--prometheus=http://p", "--workload=owner=\"a\""], flags].concat();
        Flags::command().try_get_matches_from(arguments).map(drop).map_err(|error| error.to_string())
    };
    assert!(of(&["--prometheus-header=X-Scope-OrgID=a=b", "--range=12h", "--prometheus-token-file=f"]).is_ok());
    for (flags, expected) in [
        (&["--prometheus-header=tenant"][..], "expected NAME=VALUE"),
        (&["--prometheus-header=a b=c"], "expected NAME=VALUE"),
        (&["--range=0s"], "expected 1m to 400d"),
        (&["--range=500d"], "expected 1m to 400d"),
        (&["--range=x"], "expected number"),
        (&["--prometheus-username=u"], "--prometheus-password-file"),
        (&["--workload=owner=web"], "cannot be used multiple times"),
    ] {
        let error = of(flags).unwrap_err();
        assert!(error.contains(expected), "{flags:?}: {error}");
    }
    assert!(Flags::command().try_get_matches_from(["test", "--prometheus=http://p"]).is_err());
}
