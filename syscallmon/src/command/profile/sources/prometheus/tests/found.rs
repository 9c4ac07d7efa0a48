//! Nothing that Prometheus has is lost.

use super::{
    backfill::{BEGIN, END, INTERVAL, Samples, container},
    *,
};
use crate::{profile::Observation, syscalls::Call};

const HOUR: u64 = 3600;
const DAY: &[&str] = &["--range=1d"];
const ALWAYS: (u64, u64) = (BEGIN - HOUR, END + 1);

/// Three nodes with four replicas each, and what happens to some of them.
fn cluster() -> Samples {
    let mut samples = Samples::default();
    for node in ["n1", "n2", "n3"] {
        samples.daemon(node, ALWAYS, BEGIN - 100 * HOUR);
    }
    for index in 0..12 {
        let node = format!("n{}", index / 4 + 1);
        let labels = container(&node, &format!("web-{index}"), "web");
        samples.workload(&labels, ALWAYS);
        let calls = &labels[0];
        match index {
            // One sample.
            7 => samples.calls(calls, "kill", (END - 5 * HOUR, END - 5 * HOUR + INTERVAL), |_| 1.0),
            // Made before the range, and never since.
            3 => samples.calls(calls, "chroot", ALWAYS, |_| 5.0),
            // The counter is reset.
            4 => samples.calls(calls, "openat", ALWAYS, |time| {
                let begin = if time < END - 6 * HOUR { ALWAYS.0 } else { END - 6 * HOUR };
                (10 + (time - begin) / INTERVAL) as f64
            }),
            // A gap.
            9 => samples.calls(calls, "mkdir", (BEGIN, END - 10 * HOUR), |_| 3.0).calls(
                calls,
                "mkdir",
                (END - 7 * HOUR, END),
                |_| 4.0,
            ),
            // A number that no table has, and a call of another ABI.
            0 => samples.calls(calls, "unknown", ALWAYS, |_| 9.0).add(
                "syscallmon_syscalls_total",
                &format!("{calls},abi=\"ia32\",syscall=\"socketcall\""),
                (END - HOUR, END),
                |_| 2.0,
            ),
            _ => &mut samples,
        };
    }
    samples
}

fn observed<'a>(evidence: &'a Evidence, abi: &'static str, syscall: &'static str) -> &'a Observation {
    evidence.calls.get(&Call { abi, syscall }).unwrap_or_else(|| panic!("{syscall} is lost"))
}

fn makers(evidence: &Evidence, syscall: &'static str) -> Vec<String> {
    let replicas = &observed(evidence, "x86_64", syscall).replicas;
    replicas.iter().map(|index| evidence.replicas[*index as usize].name.clone()).collect()
}

#[tokio::test]
async fn a_call_of_one_replica_is_in_however_it_was_counted() {
    let prometheus = cluster().serve(&[]);
    let evidence = ask(&prometheus.url, r#"namespace="shop",owner=~"we.""#, DAY, END).await.unwrap();
    assert_eq!(evidence.replicas.len(), 12);
    assert_eq!(makers(&evidence, "read").len(), 12);
    for (syscall, pod) in [("kill", "web-7"), ("chroot", "web-3"), ("openat", "web-4"), ("mkdir", "web-9")] {
        assert_eq!(makers(&evidence, syscall), [format!("shop/{pod}/httpd")], "{syscall}");
    }
    let of = |syscall| observed(&evidence, "x86_64", syscall);
    assert_eq!((of("kill").count, of("kill").windows), (1, 1));
    assert_eq!((of("chroot").count, of("chroot").windows), (1, 0));
    // 720 samples in a day: one call each, 10 more at the reset.
    assert!((700..=740).contains(&of("openat").count), "{:?}", of("openat"));
    assert_eq!(of("openat").windows, 12);
    assert!((1..=4).contains(&of("mkdir").count), "{:?}", of("mkdir"));
    assert!((12 * 1420..=12 * 1460).contains(&of("read").count), "{:?}", of("read"));
    assert_eq!((of("read").windows, of("read").denied), (144, 0));
    assert_eq!(observed(&evidence, "ia32", "socketcall").replicas.len(), 1);
    assert_eq!((evidence.calls.len(), evidence.unrecognized.len()), (7, 0));
    assert!(evidence.unknown_numbers >= 1);
    let replica = &evidence.replicas[0];
    assert_eq!((replica.image.as_deref(), replica.saw_start, replica.lost), (Some("web:1"), false, 0));
    assert_eq!((replica.windows, replica.window), (12, Duration::from_hours(2)));
    assert!(evidence.sources[0].warnings.is_empty(), "{:?}", evidence.sources[0].warnings);
}

#[tokio::test]
async fn pods_that_are_gone_or_came_later_are_replicas() {
    let mut samples = cluster();
    let gone = (BEGIN + 3 * HOUR, BEGIN + 3 * HOUR + 600);
    let later = (END - 12 * HOUR, END);
    let (old, new) = (container("n1", "web-old", "web"), container("n3", "web-new", "web"));
    samples.workload(&old, gone).calls(&old[0], "socket", gone, |_| 1.0);
    samples.workload(&new, later).calls(&new[0], "execve", later, |_| 2.0);
    // The owner is known only after ten minutes. Nothing of the time before is lost.
    let late = container("n2", "web-late", "web");
    let (before, after) = ((END - 3 * HOUR, END - 3 * HOUR + 600), (END - 3 * HOUR + 600, END));
    let without_owner = late[1].split(",owner=").next().unwrap().to_owned();
    samples.add("syscallmon_workload_info", &without_owner, before, |_| 1.0);
    samples.calls(&late[0], "ptrace", before, |_| 1.0).workload(&late, after);
    // Another workload of the same namespace, and a short pod with one sample.
    let other = container("n1", "db-0", "db");
    samples.workload(&other, ALWAYS).calls(&other[0], "mount", ALWAYS, |_| 1.0);
    let short = container("n2", "web-short", "web");
    samples.workload(&short, (END - 2 * HOUR, END - 2 * HOUR + INTERVAL));
    let prometheus = samples.serve(&[]);
    let evidence = ask(&prometheus.url, r#"owner="web""#, DAY, END).await.unwrap();
    assert_eq!(evidence.replicas.len(), 16);
    for (syscall, pod) in [("socket", "web-old"), ("execve", "web-new"), ("ptrace", "web-late")] {
        assert_eq!(makers(&evidence, syscall), [format!("shop/{pod}/httpd")]);
    }
    assert!(!evidence.calls.contains_key(&Call { abi: "x86_64", syscall: "mount" }));
    assert_eq!(observed(&evidence, "x86_64", "execve").count, 2);
    let replica = |pod: &str| evidence.replicas.iter().find(|replica| replica.name.contains(pod)).unwrap();
    let seconds = |time: Option<SystemTime>| time.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let new = replica("web-new");
    assert_eq!((seconds(new.from), new.saw_start), (later.0, true), "{new:?}");
    assert!(seconds(new.to) >= END - 2 * INTERVAL);
    let old = replica("web-old");
    assert_eq!((seconds(old.from), seconds(old.to), old.saw_start), (gone.0, gone.1 - INTERVAL, true), "{old:?}");
    assert_eq!(old.windows, 0);
    assert!(makers(&evidence, "read").contains(&"shop/web-short/httpd".to_owned()));
}

#[tokio::test]
async fn equal_labels_on_two_nodes_are_two_replicas() {
    let mut samples = Samples::default();
    for (node, times) in [("n1", ALWAYS), ("n2", (ALWAYS.0, END - HOUR))] {
        samples.daemon(node, times, BEGIN - HOUR);
        let counts = format!("job=\"s\",instance=\"{node}:1\",container=\"cache\"");
        let info = format!("{counts},image=\"cache:{node}\",node=\"{node}\",runtime=\"docker\"");
        samples.workload(&[counts, info], times);
        // A pod with a container of the same name.
        let pod = container(node, "cache", "cache").map(|labels| labels.replace("httpd", "cache"));
        samples.workload(&pod, times).calls(&pod[0], "mount", times, |_| 1.0);
    }
    // The daemon of n2 restarts with another address.
    samples.daemon("n2b", (END - HOUR, END), END - HOUR);
    let counts = "job=\"s\",instance=\"n2b:1\",container=\"cache\"".to_owned();
    let info = format!("{counts},image=\"cache:n2b\",node=\"n2\",runtime=\"docker\"");
    samples.workload(&[counts, info], (END - HOUR, END));
    let prometheus = samples.serve(&[]);
    let evidence = ask(&prometheus.url, r#"container="cache",pod="""#, DAY, END).await.unwrap();
    let names: Vec<&str> = evidence.replicas.iter().map(|replica| replica.name.as_str()).collect();
    assert_eq!(names, ["cache on n1", "cache on n2"]);
    assert_eq!(evidence.calls.len(), 2, "{:?}", evidence.calls.keys());
    assert_eq!(evidence.replicas[1].image.as_deref(), Some("cache:n2b"));
    let warnings = &evidence.sources[0].warnings;
    assert!(warnings[0].contains("1 replicas ran more than one image"), "{warnings:?}");
}

#[tokio::test]
async fn labels_that_the_scrape_renamed_are_found() {
    let mut samples = Samples::default();
    samples.daemon("n1", ALWAYS, BEGIN - HOUR);
    let target = "job=\"s\",instance=\"n1:1\",namespace=\"monitoring\",pod=\"syscallmon-x\"";
    let counts = format!("{target},exported_namespace=\"shop\",exported_pod=\"web-1\",container=\"httpd\"");
    let info = format!("{counts},image=\"web:1\",node=\"n1\",owner=\"web\"");
    samples.workload(&[counts.clone(), info], ALWAYS).calls(&counts, "kill", (END - 300, END), |_| 1.0);
    let of_daemon =
        format!("{target},container=\"syscallmon\",image=\"syscallmon:1\",node=\"n1\",owner=\"syscallmon\"");
    samples.workload(&[format!("{target},container=\"syscallmon\""), of_daemon], ALWAYS);
    let prometheus = samples.serve(&[]);
    for workload in [r#"namespace="shop",pod=~"web-.*""#, r#"namespace!="monitoring",owner="web",pod!="b""#] {
        let evidence = ask(&prometheus.url, workload, DAY, END).await.unwrap();
        let names: Vec<&str> = evidence.replicas.iter().map(|replica| replica.name.as_str()).collect();
        assert_eq!(names, ["shop/web-1/httpd"], "{workload}");
        assert_eq!(evidence.calls.len(), 3);
    }
}

#[tokio::test]
async fn windows_are_halved_until_the_server_can_answer() {
    let prometheus = cluster().serve(&["--query.max-samples=3000"]);
    let evidence = ask(&prometheus.url, r#"owner="web""#, DAY, END).await.unwrap();
    assert_eq!((evidence.replicas.len(), evidence.calls.len()), (12, 7));
    assert!((12 * 1400..=12 * 1480).contains(&observed(&evidence, "x86_64", "read").count));
    let prometheus = cluster().serve(&["--query.max-samples=1"]);
    let error = format!("{:#}", ask(&prometheus.url, r#"owner="web""#, DAY, END).await.unwrap_err());
    assert!(error.contains("too many samples") && error.contains("use a narrower --workload"), "{error}");
}

#[tokio::test]
async fn arguments_are_evidence_if_the_daemon_counted_them_all_the_time() {
    let mut samples = Samples::default();
    for (node, since, lost) in [("n1", ALWAYS.0, 0.0), ("n2", END - HOUR, 0.0), ("n3", ALWAYS.0, 1.0)] {
        let labels = container(node, &format!("web-{node}"), "web");
        samples.daemon(node, ALWAYS, BEGIN - 100 * HOUR).workload(&labels, ALWAYS);
        let (times, target) = ((since, END + 1), format!("job=\"s\",instance=\"{node}:1\""));
        samples.add("syscallmon_arguments_counted", &target, times, |_| 1.0);
        samples.add("syscallmon_lost_total", &format!("{target},reason=\"arguments_full\""), times, move |time| {
            if time > END - HOUR { lost } else { 0.0 }
        });
        samples.calls(&labels[0], "socket", times, |_| 5.0);
        for (metric, argument) in [("arguments", "AF_UNIX"), ("arguments", "AF_INET"), ("arguments_denied", "AF_ALG")] {
            let class = format!("{},abi=\"x86_64\",syscall=\"socket\",argument=\"{argument}\"", labels[0]);
            samples.add(&format!("syscallmon_syscall_{metric}_total"), &class, times, |_| 2.0);
        }
    }
    let prometheus = samples.serve(&[]);
    let evidence = ask(&prometheus.url, r#"owner="web""#, DAY, END).await.unwrap();
    assert_eq!(makers(&evidence, "socket").len(), 3);
    let classes = evidence.arguments.iter().map(|(class, seen)| {
        let name = |index: &u32| evidence.replicas[*index as usize].name.clone();
        (class.syscall, seen.replicas.iter().map(name).collect(), seen.denied)
    });
    let classes: Vec<(_, Vec<String>, _)> = classes.collect();
    let n1 = vec!["shop/web-n1/httpd".to_owned()];
    assert_eq!(
        classes,
        [("socket(AF_ALG)", vec![], 1), ("socket(AF_INET)", n1.clone(), 0), ("socket(AF_UNIX)", n1, 0)]
    );
}
