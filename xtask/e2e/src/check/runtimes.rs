//! containerd's CRI, Docker and Podman, each without Kubernetes.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use syscallmon_testkit::Prometheus;

use super::{CALL, calls_and_waits, dashboards::Shown, exporter::Exporter, step, value};
use crate::{
    cri::{Cri, Pod},
    directories::Directories,
    docker::Docker,
    images::BUSYBOX,
    namespaces::Namespaces,
    podman::Podman,
    wait::wait_for,
};

/// Returns the shell command of a container.
fn shell(count: u64) -> [String; 3] {
    ["sh".to_owned(), "-c".to_owned(), calls_and_waits(count)]
}

/// Checks containerd with only its CRI, with this many pods of two containers each.
pub(crate) fn containerd(
    root: &Path,
    namespaces: &Namespaces,
    directories: &Directories,
    cri: &Cri,
    pods: u32,
) -> Result<()> {
    println!("{}", cri.version()?);
    let exporter = Exporter::start(root, namespaces, directories)?;
    let pod = |number: u32| Pod::burstable("shop", &format!("web-{number}"), &uid(number));
    let run = |number| -> Result<(String, String)> {
        let (pod, command) = (pod(number), shell(100));
        let command = command.each_ref().map(String::as_str);
        let id = cri.run_pod(&pod)?;
        let httpd = cri.run_container(&pod, &id, "httpd", BUSYBOX, &command)?;
        cri.run_container(&pod, &id, "side", BUSYBOX, &command)?;
        Ok((id, httpd))
    };
    let before = (Instant::now(), exporter.cpu_seconds()?);
    let ids = step(&format!("{pods} pods of 2 containers"), || (0..pods).map(run).collect::<Result<Vec<_>>>())?;
    let selector = format!(r#"syscallmon_syscalls_total{{syscall="{CALL}""#);
    step("every container has its calls", || {
        exporter.expect_count(&format!(r#"sum({selector},namespace="shop"}})"#), 200 * u64::from(pods))?;
        exporter.expect_count(
            &format!(r#"count({selector},namespace="shop",container=~"httpd|side"}} == 100)"#),
            2 * u64::from(pods),
        )
    })?;
    let cpu = exporter.cpu_seconds()? - before.1;
    println!("  CPU of the daemon: {cpu:.2} s in {:.0} s", before.0.elapsed().as_secs_f64());
    step("names and what else is known", || {
        let info = r#"syscallmon_workload_info{namespace="shop",pod="web-0",container="httpd",runtime="containerd""#;
        exporter.expect_count(
            &format!(r#"{info},image="{BUSYBOX}",container_id=~"containerd://[0-9a-f]{{64}}",pod_uid="{}"}}"#, uid(0)),
            1,
        )?;
        exporter.expect_count(r#"count(syscallmon_syscalls_total{cgroup="(pause)",syscall="execve"})"#, 1)?;
        exporter.expect_nothing(&format!(r#"syscallmon_syscalls_total{{cgroup=~"/kubepods.*{}.*"}}"#, uid(0)))
    })?;
    if let Some((_, container_id)) = ids.first() {
        let labels = [("namespace", "shop"), ("pod", "web-0"), ("container", "httpd")];
        // Owners come only from Kubernetes.
        let empty_rules = &["namespace_owner:syscallmon_syscalls:rate5m"];
        Shown { root, prometheus: &exporter.prometheus, container_id, labels, empty_rules }.check()?;
    }
    step("pods that are gone leave", || {
        ids.iter().try_for_each(|(sandbox, _)| cri.remove_pod(sandbox))?;
        exporter.expect_nothing(r#"syscallmon_syscalls_total{namespace="shop"}"#)
    })
}

/// Labels of the first busy container.
pub const SHOWN: [(&str, &str); 3] = [("namespace", "shop"), ("pod", "web-0"), ("container", "web")];

/// Activities that ordinary containers repeat.
const BUSY: [(&str, &str); 3] = [
    ("web", "while :; do ls -lR /etc /bin >/dev/null; cat /etc/passwd /missing >/dev/null 2>&1; usleep 30000; done"),
    ("batch", "while :; do dd if=/dev/zero of=/tmp/x bs=4k count=500 2>/dev/null; sync; sleep 1; done"),
    ("side", "while :; do sleep 1; done"),
];

/// Runs pods that are busy for some time. One of them also makes the activities of all dashboards from time to time.
/// Then calls `look`.
pub(crate) fn busy(
    root: &Path,
    namespaces: &Namespaces,
    directories: &Directories,
    cri: &Cri,
    time: Duration,
    look: impl FnOnce(&Prometheus, &Namespaces) -> Result<()>,
) -> Result<()> {
    // The pictures do not show other workloads of the machine.
    let exporter = Exporter::start_with(root, namespaces, directories, &["--workload.keep=namespace=\"shop\""])?;
    let mut containers = Vec::new();
    for (number, (name, script)) in (0..).zip(BUSY) {
        let pod = Pod::burstable("shop", &format!("{name}-0"), &uid(number));
        let id = cri.run_pod(&pod)?;
        containers.push(cri.run_container(&pod, &id, name, BUSYBOX, &["sh", "-c", script])?);
    }
    let begin = Instant::now();
    let [first, ..] = containers.as_slice() else { bail!("no containers") };
    let shown = Shown { root, prometheus: &exporter.prometheus, container_id: first, labels: SHOWN, empty_rules: &[] };
    while begin.elapsed() < time {
        shown.act()?;
        thread::sleep(Duration::from_secs(20));
    }
    // What an intruder does; the container may not.
    let [_, batch, ..] = containers.as_slice() else { bail!("too few containers") };
    let _ = cri.exec(batch, &["sh", "-c", "mount -t tmpfs none /tmp; unshare -n true; chroot /proc/1/root id; true"]);
    wait_for("the incident", super::TIMEOUT, || {
        Ok(exporter.get("/incidents?q=batch", &[])?.contains("/incident/").then_some(()))
    })?;
    look(&exporter.prometheus, namespaces)
}

fn uid(number: u32) -> String {
    format!("5e1f7a2c-0000-4000-8000-{number:012}")
}

/// Checks Docker.
pub(crate) fn docker(root: &Path, docker: &Docker) -> Result<()> {
    let exporter = Exporter::start(root, docker.namespaces(), docker.directories())?;
    engine("docker", &exporter, |args| docker.docker(args))
}

/// Checks Podman. Names come from its API, so the API must be served.
pub(crate) fn podman(root: &Path, podman: &Podman) -> Result<()> {
    let _service = podman.serve()?;
    let exporter = Exporter::start(root, podman.namespaces(), podman.directories())?;
    engine("podman", &exporter, |args| podman.podman(args))?;
    step("a pod's containers, and what holds its namespaces", || {
        let command = shell(50);
        let [sh, option, script] = command.each_ref().map(String::as_str);
        podman.podman(&["pod", "create", "--name=pod"])?;
        podman.podman(&["run", "--detach", "--pod=pod", "--name=inside", BUSYBOX, sh, option, script])?;
        exporter.expect_count(&series("inside"), 50)?;
        exporter.expect_count(r#"count(syscallmon_syscalls_total{cgroup="(pause)",syscall="execve"})"#, 1)
    })?;
    // crun makes the mount namespace before the process is in the cgroup, and its own program has such a path, too.
    step("under crun, calls of an entrypoint by /proc/self/root are the container's, and crun's own are not", || {
        let script = "unshare -i true; exec sleep 1000";
        let program = [BUSYBOX, "/proc/self/root/bin/sh", "-c", script];
        // Version 1 may have the controller that limits processes, and a filter of devices needs CAP_SYS_RESOURCE.
        let flags = ["run", "--detach", "--name=rooted", "--privileged", "--pids-limit=0"];
        podman.with_crun(&[&flags[..], &program].concat())?;
        let unexpected = |labels: &str| format!(r"sum(syscallmon_unexpected_syscalls_total{{{labels}}})");
        exporter.expect_count(&unexpected(r#"container="rooted",syscall="unshare""#), 1)?;
        exporter.expect_count(&unexpected(r#"container="rooted""#), 1)
    })
}

fn series(container: &str) -> String {
    format!(r#"syscallmon_syscalls_total{{container="{container}",cgroup="",syscall="{CALL}"}}"#)
}

/// Checks a container by its name: started, restarted, recreated, renamed, removed.
fn engine(runtime: &str, exporter: &Exporter<'_>, run: impl Fn(&[&str]) -> Result<String>) -> Result<()> {
    let command = shell(1000);
    let [sh, option, script] = command.each_ref().map(String::as_str);
    let create = ["run", "--detach", "--name=web", BUSYBOX, sh, option, script];
    step("a container is called by its name", || {
        let id = run(&create)?;
        exporter.expect_count(&series("web"), 1000)?;
        let info = format!(r#"container="web",runtime="{runtime}",container_id="{runtime}://{id}",image="{BUSYBOX}""#);
        exporter.expect_count(&format!("syscallmon_workload_info{{{info}}}"), 1)?;
        exporter.expect_nothing(&format!(r#"syscallmon_syscalls_total{{cgroup=~".*{id}.*"}}"#))
    })?;
    step("it goes on when it is started again, and when it is made anew", || {
        run(&["restart", "--time=0", "web"])?;
        exporter.expect_count(&series("web"), 2000)?;
        run(&["rm", "--force", "web"])?;
        run(&create)?;
        exporter.expect_count(&series("web"), 3000)
    })?;
    step("it goes on under a new name when it is renamed", || {
        run(&["rename", "web", "shop"])?;
        // The daemon polls Podman once a minute.
        let info = format!(r#"count(syscallmon_workload_info{{container="shop",runtime="{runtime}"}})"#);
        wait_for("its new name", Duration::from_mins(3), || {
            Ok(value(&exporter.prometheus, &info)?.is_some().then_some(()))
        })?;
        run(&["restart", "--time=0", "shop"])?;
        exporter.expect_count(&series("shop"), 1000)
    })?;
    step("it leaves when it is gone", || {
        run(&["rm", "--force", "shop"])?;
        exporter.expect_nothing(&series("web"))?;
        exporter.expect_nothing(&series("shop"))
    })
}
