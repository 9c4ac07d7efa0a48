//! Evidence of a learned baseline: a file, or from a daemon.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result};
use http::Method;
use serde_json::Value;

use crate::{
    command::daemon::{Daemon, escaped},
    detect::{Baseline, BaselineKey, Phase},
    profile::{Evidence, EvidenceError, Observation, Replica, SourceKind},
    syscalls::{CallTable, IO_URING, split_argument},
};

/// Returns the evidence of a baseline's text: a file of the daemon, or the output of `syscallmon policy show`.
pub(in crate::command) fn of_text(text: &[u8], name: &str) -> Result<Evidence> {
    let baseline = Baseline::from_json(text, &CallTable::native())?;
    Ok(of_baseline(&baseline, name)?)
}

/// Asks a daemon for its baseline of a kind of workloads.
pub(in crate::command) async fn of_daemon(daemon: &Daemon, kind: &BaselineKey) -> Result<Evidence> {
    let answer = daemon.ask(Method::GET, &format!("/api/v1/baselines/{}", escaped(kind.as_str()))).await?;
    of_answer(&answer, &format!("{kind} of {}", daemon.url))
}

fn of_answer(answer: &Value, name: &str) -> Result<Evidence> {
    let text = serde_json::to_vec(answer)?;
    of_text(&text, name).context("the daemon has another version than this command")
}

/// A baseline does not count: each of its calls has the count 1. It does not distinguish replicas: it is one.
fn of_baseline(baseline: &Baseline, name: &str) -> Result<Evidence, EvidenceError> {
    let mut evidence = Evidence::new(SourceKind::Baseline, name);
    let end = baseline.frozen_at.or_else(|| baseline.began.checked_add(baseline.learned_for));
    let replica = evidence.add_replica(Replica {
        name: baseline.kind.to_string(),
        image: None,
        from: Some(baseline.began),
        to: end.filter(|end| *end >= baseline.began),
        saw_start: !baseline.partial,
        lost: 0,
        windows: 0,
        window: Duration::ZERO,
    })?;
    if baseline.partial {
        evidence.warn(
            "the baseline has seen no start of its containers: calls that are made only at the start are missing",
        );
    }
    if baseline.state == Phase::Learning {
        let learned = Duration::from_secs(baseline.learned_for.as_secs());
        evidence.warn(format!("the baseline still learns (for {} so far)", humantime::format_duration(learned)));
    }
    let learned = baseline.learned().map(|(call, learned)| (call.split_once('/').unwrap_or_default(), learned.time));
    // Seccomp does not filter operations of io_uring.
    let learned: Vec<_> = learned.filter(|((abi, _), _)| *abi != IO_URING).collect();
    let numbers: BTreeSet<(&str, &str)> = learned.iter().map(|(call, _)| *call).collect();
    let mut classes = Vec::new();
    for ((abi, syscall), first) in learned {
        let seen = Observation { count: 1, replicas: [replica].into(), first, ..Observation::default() };
        let (call, argument) = split_argument(syscall);
        // A baseline that learned the number of a call expects all of its arguments.
        if !argument.is_empty() && !numbers.contains(&(abi, call)) {
            classes.push((abi, syscall, seen.clone()));
        }
        evidence.add(abi, call, &Observation { count: u64::from(!evidence.has(abi, call)), ..seen });
    }
    evidence.add_arguments(classes);
    Ok(evidence)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{rfc3339, syscalls::Call};

    fn answer() -> Value {
        json!({
            "version": 1, "kind": "shop/Deployment/web/httpd", "policy": "web", "state": "guarding", "partial": false,
            "began": "2026-01-31T12:00:00Z", "frozen_at": "2026-01-31T14:00:00Z", "learned_for": "1h",
            "calls": {
                "x86_64/openat": "2026-01-31T12:00:01Z httpd", "x86_64/chroot": "", "ia32/openat9": "",
                "io_uring/openat": "2026-01-31T12:00:02Z", "aarch64/openat": "",
            }
        })
    }

    #[test]
    fn learned_calls_are_evidence_of_one_replica() {
        let evidence = of_answer(&answer(), "b").unwrap();
        let calls: Vec<_> = evidence.calls.keys().map(|call| (call.abi, call.syscall)).collect();
        assert_eq!(calls, [("aarch64", "openat"), ("x86_64", "chroot"), ("x86_64", "openat")]);
        let openat = &evidence.calls[&Call { abi: "x86_64", syscall: "openat" }];
        assert_eq!((openat.count, openat.replicas.len()), (1, 1));
        assert_eq!(openat.first, rfc3339::parse("2026-01-31T12:00:01Z"));
        assert_eq!(evidence.unrecognized, ["ia32/openat9".to_owned()].into());
        let replica = &evidence.replicas[0];
        assert_eq!((replica.name.as_str(), replica.saw_start), ("shop/Deployment/web/httpd", true));
        assert_eq!(replica.to, rfc3339::parse("2026-01-31T14:00:00Z"));
        assert!(evidence.sources[0].warnings.is_empty());
    }

    #[test]
    fn learned_arguments_are_evidence_unless_the_number_of_the_call_was_learned() {
        let mut answer = answer();
        answer["version"] = 2.into();
        answer["calls"] = json!({
            "x86_64/socket(AF_UNIX)": "", "x86_64/socket(AF_INET)": "", "x86_64/prctl": "", "x86_64/prctl(other)": "",
        });
        let evidence = of_answer(&answer, "b").unwrap();
        let calls: Vec<_> = evidence.calls.iter().map(|(call, seen)| (call.syscall, seen.count)).collect();
        assert_eq!(calls, [("prctl", 1), ("socket", 1)]);
        let classes: Vec<_> = evidence.arguments.keys().map(|class| class.syscall).collect();
        assert_eq!(classes, ["socket(AF_INET)", "socket(AF_UNIX)"]);
    }

    #[test]
    fn what_a_baseline_may_lack_is_a_warning() {
        let mut answer = answer();
        (answer["partial"], answer["state"], answer["frozen_at"]) = (true.into(), "learning".into(), Value::Null);
        let evidence = of_answer(&answer, "b").unwrap();
        assert!(!evidence.replicas[0].saw_start);
        let warnings = &evidence.sources[0].warnings;
        assert!(
            warnings[0].contains("only at the start") && warnings[1].contains("still learns (for 1h"),
            "{warnings:?}"
        );
        assert_eq!(evidence.replicas[0].to, rfc3339::parse("2026-01-31T13:00:00Z"));
    }

    #[test]
    fn what_is_no_baseline_is_refused() {
        for text in ["", "{}", "[]", "null", "<html>", r#"{"version": 2}"#] {
            assert!(of_text(text.as_bytes(), "b").is_err(), "{text}");
        }
    }
}
