//! What limits the evidence is said, and what is no evidence is refused.

use super::{
    backfill::{BEGIN, END, Samples, container},
    *,
};

const HOUR: u64 = 3600;
const DAY: &[&str] = &["--range=1d"];
const ALWAYS: (u64, u64) = (BEGIN - HOUR, END + 1);

#[tokio::test]
async fn losses_denied_calls_and_gaps_are_reported() {
    let mut samples = Samples::default();
    let web = container("n1", "web-1", "web");
    let gap = (END - 10 * HOUR, END - 7 * HOUR);
    for times in [(ALWAYS.0, gap.0), (gap.1, ALWAYS.1)] {
        let labels = "job=\"s\",instance=\"n1:1\"";
        samples.add("up", labels, times, |_| 1.0).workload(&web, times);
        let lost = |reason| format!("{labels},reason=\"{reason}\"");
        samples.add("syscallmon_lost_total", &lost("series_full"), times, |time| ((time - ALWAYS.0) / HOUR) as f64);
        samples.add("syscallmon_lost_total", &lost("reclaim"), times, |time| time as f64);
        samples.add("syscallmon_probe_up", &format!("{labels},probe=\"sys_exit\""), times, |_| 0.0);
        samples.add("process_start_time_seconds", labels, times, |_| (BEGIN - 2 * HOUR) as f64);
    }
    let denied = |call: &str| format!("{},abi=\"x86_64\",{call}", web[0]);
    for (call, value) in [("syscall=\"bpf\"", 4.0), ("syscall=\"clone3\",errno=\"ENOSYS\"", 7.0)] {
        samples.add("syscallmon_syscalls_denied_total", &denied(call), (END - HOUR, END), |_| value);
    }
    let remainder = format!("{},abi=\"(remainder)\",syscall=\"(remainder)\"", web[0]);
    samples.add("syscallmon_syscalls_denied_total", &remainder, (END - HOUR, END), |_| 1.0);
    let prometheus = samples.serve(&[]);
    let evidence = ask(&prometheus.url, r#"owner="web""#, DAY, END).await.unwrap();
    let of = |syscall| &evidence.calls[&crate::syscalls::Call { abi: "x86_64", syscall }];
    assert_eq!((of("bpf").denied, of("bpf").count, of("bpf").denied_replicas.len()), (4, 0, 1));
    assert_eq!((of("clone3").denied, of("clone3").replicas.len()), (7, 0));
    assert_eq!(evidence.calls.len(), 4, "(remainder) is not a call");
    assert!((20..=26).contains(&evidence.replicas[0].lost), "{:?}", evidence.replicas[0]);
    let warnings = evidence.sources[0].warnings.join("\n");
    for part in [
        "scrapes of 1 replicas are missing",
        "lost or could not attribute 2",
        "probe sys_exit was not attached",
        "1 series of denied calls do not name",
    ] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
}

#[tokio::test]
async fn counts_by_set_or_without_names_are_no_evidence() {
    let mut samples = Samples::default();
    for (owner, label) in [("sets", ",set=\"@file-system\""), ("none", "")] {
        let labels = container("n1", owner, owner);
        samples.daemon("n1", (BEGIN, BEGIN + 1), 0).add("syscallmon_workload_info", &labels[1], ALWAYS, |_| 1.0);
        samples.add("syscallmon_syscalls_total", &format!("{},abi=\"x86_64\"{label}", labels[0]), ALWAYS, |_| 1.0);
    }
    let empty = container("n1", "empty-1", "empty");
    samples.add("syscallmon_workload_info", &empty[1], ALWAYS, |_| 1.0);
    let prometheus = samples.serve(&[]);
    for (owner, expected) in [
        (
            "sets",
            "the daemon at n1:1 counts with metrics.syscalls=set, so its series do not name calls (only sets such as @file-system)",
        ),
        ("none", "metrics.syscalls=none, so its series do not name calls: start it with metrics.syscalls=name"),
        ("empty", "has metadata of owner=\"empty\", but no counts in the last 1day; to check: count by"),
        ("web\u{1b}[2J", "no workload matches owner=\"web\\u{1b}[2J\" in the last 1day at http"),
    ] {
        let error = ask(&prometheus.url, &format!("owner=\"{owner}\""), DAY, END).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = ask(&prometheus.url, "owner=\"sets\"", DAY, BEGIN - 10 * HOUR).await.unwrap_err().to_string();
    assert!(error.contains("has no syscallmon_workload_info in the last 1day (2023-11-12T"), "{error}");
}

#[tokio::test]
async fn hostile_names_are_escaped_and_selected() {
    let mut samples = Samples::default();
    let [pod, owner] = ["a\\\\b\\\"c\u{1b}[2J.*|d", "we(b"];
    let labels = container("n1", pod, owner);
    samples.daemon("n1", ALWAYS, 0).workload(&labels, ALWAYS);
    let other = container("n1", "axb", "we(b2");
    samples.workload(&other, ALWAYS).calls(&other[0], "mount", ALWAYS, |_| 1.0);
    let prometheus = samples.serve(&[]);
    let evidence = ask(&prometheus.url, r#"owner="we(b""#, DAY, END).await.unwrap();
    let names: Vec<&str> = evidence.replicas.iter().map(|replica| replica.name.as_str()).collect();
    assert_eq!((names, evidence.calls.len()), (vec!["shop/a\\b\"c\\u{1b}[2J.*|d/httpd"], 2));
}
