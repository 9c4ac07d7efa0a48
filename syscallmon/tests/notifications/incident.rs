//! Alerts of incidents, as the daemon posts them to an Alertmanager.

use serde_json::{Value, json};

use super::hostile::NAMES;

pub(super) const RUNBOOK: &str = "https://github.com/syscallmon/syscallmon/blob/main/docs/alerts.md#unexpectedsyscall";

fn with(container: &str, summary: &str, description: &str) -> Value {
    json!({
        "labels": {
            "alertname": "UnexpectedSyscall",
            "severity": "critical",
            "node": "node-1",
            "namespace": "shop",
            "pod": "web-1",
            "container": container,
            "incident": "0123456789abcdef",
        },
        "annotations": {"summary": summary, "description": description, "runbook_url": RUNBOOK},
    })
}

/// An intruder's shell.
pub(super) fn alert() -> Value {
    with(
        "web",
        "shop/web-1/web: sh (child of nginx) made 5 unexpected calls: mount, unshare, ptrace, setns, bpf (critical)",
        "mount (x86_64): not allowed by runtime-default, critical, 3 times, violation 1111111111111111\n\
         unshare (x86_64): not allowed by runtime-default, critical, once, violation 2222222222222222\n\
         Process: sh (pid 4711, tid 4711, uid 0)\n\
         Command line: sh -c mount /dev/sda /mnt\n\
         Parents: nginx (4700)",
    )
}

/// The same with hostile names and this text.
pub(super) fn hostile_alert(long: &str) -> Value {
    let names = NAMES.join(" ");
    with(
        NAMES[6],
        &format!("shop/web-1/{names}: sh made 5 unexpected calls {long}"),
        &format!("Process: sh\nCommand line: {names}\nParents: {names} {long}"),
    )
}
