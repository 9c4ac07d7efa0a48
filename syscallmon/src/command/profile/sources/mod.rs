//! Sources of evidence: servers and files, read into [`Evidence`](crate::profile::Evidence).
//!
//! Each source separates its parser, which does no I/O, from its requests.

pub(in crate::command) mod baseline;
pub(in crate::command) mod daemon;
pub(in crate::command) mod prometheus;

use clap::Args;
use http::Uri;

use crate::workload::Selector;

/// The workload that servers are asked for.
#[derive(Clone, Debug, Args)]
pub(in crate::command) struct WorkloadFlag {
    /// Workload to read, as a selector of PromQL by its labels: namespace="shop",owner=~"web|api".
    ///
    /// The labels are those of the metadata: namespace, pod, container, cgroup, image, owner, ... The operators are =,
    /// !=, =~ and !~. Regular expressions match whole values.
    #[arg(long = "workload", value_name = "SELECTOR")]
    pub(in crate::command) selector: Option<Selector>,
}

/// Parses the URL of a server.
fn server_url(text: &str) -> Result<Uri, String> {
    let expected = || "expected a URL that begins with http:// or https://".to_owned();
    let url: Uri = text.parse().map_err(|_| expected())?;
    let authority = url.authority().ok_or_else(expected)?;
    if !url.scheme_str().is_some_and(|scheme| ["http", "https"].contains(&scheme)) {
        return Err(expected());
    }
    // Evidence and messages have the URL.
    if authority.as_str().contains('@') {
        return Err(
            "a user and a password cannot be in the URL: use the flags for the user and its password file".to_owned()
        );
    }
    if url.query().is_some() { Err("a query cannot be in the URL".to_owned()) } else { Ok(url) }
}

/// Reasons of `syscallmon_lost_total` that count calls without a workload or without a name.
const LOST_CALLS: [&str; 6] = ["cgroups_full", "series_full", "denied_full", "position", "recursion", "max_series"];

/// The reason that counts classes of arguments without a name.
const LOST_ARGUMENTS: &str = "arguments_full";

/// Values of the labels `abi` and `syscall` begin with this where they stand for several calls, and values of `cgroup`
/// where they stand for several workloads.
const NO_NAME: char = '(';

/// The value of `cgroup` for the containers that hold the namespaces of pods.
const PAUSE: &str = "(pause)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::LOSS_REASONS;

    #[test]
    fn reasons_of_losses_are_those_of_the_metric() {
        for reason in LOST_CALLS {
            let info = LOSS_REASONS.iter().find(|info| info.name == reason).expect(reason);
            assert!(info.help.contains("calls "), "{}", info.help);
        }
        assert!(LOSS_REASONS.iter().any(|info| info.name == LOST_ARGUMENTS));
    }

    #[test]
    fn a_url_has_neither_a_password_nor_a_query() {
        for url in ["http://p:9090", "https://mimir/prometheus/", "http://[::1]:9090"] {
            assert_eq!(server_url(url).unwrap().to_string().trim_end_matches('/'), url.trim_end_matches('/'));
        }
        for (url, expected) in [
            ("p:9090", "begins with http://"),
            ("/prometheus", "begins with http://"),
            ("ftp://p", "begins with http://"),
            ("http://", "begins with http://"),
            ("http://u:secret@p", "password file"),
            ("http://p/?x=1", "a query cannot"),
        ] {
            let error = server_url(url).unwrap_err();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }
}
