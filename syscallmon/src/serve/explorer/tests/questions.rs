//! What people ask the pages about a container that was broken into.

use super::*;
use crate::{
    process::ProcessKey,
    workload::{CgroupIdentity, Label, Labels},
};

const ID: &str = "docker://4bdf7412cfac4bdf7412cfac4bdf7412cfac4bdf7412cfac4bdf7412cfac4bdf";

/// A container of Docker.
fn container(name: &str) -> ResolvedWorkload {
    let labels = [(Label::Runtime, "docker"), (Label::Container, name)].map(|(label, value)| (label, value.into()));
    let workload = Workload::Resolved(Labels::new(labels.clone()));
    let id: (Label, Arc<str>) = (Label::ContainerId, ID.into());
    ResolvedWorkload { workload, metadata: Labels::new(labels.into_iter().chain([id])) }
}

fn service() -> ResolvedWorkload {
    let metadata = Labels::new([(Label::Cgroup, "/system.slice/web.service".into())]);
    ResolvedWorkload { workload: Workload::Resolved(metadata.clone()), metadata }
}

/// A shell of a container, and a process that it started.
fn started_by_shell(pid: u32, program: &str) -> Process {
    let ancestor = |pid, comm: &str, exe: &str| Ancestor { pid, comm: comm.to_owned(), exe: Some(exe.to_owned()) };
    let shim = ancestor(50, "shim", "/usr/bin/shim");
    let new = |pid, comm: &str, exe: &str, parents| Process {
        pid,
        tid: pid,
        uid: 0,
        comm: comm.to_owned(),
        exe: Some(exe.to_owned()),
        command_line: Some(vec![comm.to_owned(), "--attack".to_owned()]),
        parents,
        tree: ProcessTree::default(),
    };
    let shell = new(100, "sh", "/usr/bin/dash", vec![shim.clone()]);
    let parents = vec![ancestor(100, "sh", "/usr/bin/dash"), shim];
    let tree = ProcessTree {
        started: None,
        ancestors: vec![ProcessKey { pid: 100, started: None }],
        knows_parent: true,
        root: Some(Box::new(shell)),
    };
    Process { tree, ..new(pid, program, &format!("/usr/bin/{program}"), parents) }
}

fn flagged(of: &ResolvedWorkload, call: &str, severity: Severity, process: Process) -> Violation {
    let calls = CallTable::x86_64();
    Violation {
        time: SystemTime::now(),
        last_seen: SystemTime::now(),
        workload: of.workload.clone(),
        metadata: of.metadata.clone(),
        policy: "runtime-default".into(),
        severity,
        process: Some(process),
        ..violation(calls.call(calls.id("x86_64", call).unwrap()))
    }
}

/// A view with a workload that made `openat`, `mount` and `socket(AF_ALG)`, and its violations.
fn view_of(of: &ResolvedWorkload, all: Vec<Violation>) -> View {
    let calls = CallTable::x86_64();
    let id = |name| calls.id("x86_64", name).unwrap();
    let counts = Counts {
        calls: [("openat", 5), ("mount", 1), ("socket", 2)]
            .map(|(name, number)| (id(name), number))
            .into_iter()
            .collect(),
        arguments: [(ArgumentKey::Of(id("socket(AF_ALG)")), 1)].into_iter().collect(),
        ..Counts::default()
    };
    let snapshot =
        Snapshot { slots: vec![SlotCounts { slot: 1, cgroup_id: 1, counts: counts.into() }], ..Snapshot::default() };
    let mut model = Model::new(usize::MAX);
    model.apply(&snapshot, Instant::now(), |_| Some(of.clone()));
    model.release(Instant::now(), Duration::ZERO);
    let (mut violations, mut incidents) = (Violations::default(), Incidents::default());
    for violation in all {
        incidents.join(violation.clone(), true, Instant::now());
        violations.first(violation, Instant::now());
    }
    View {
        model: model.view().clone(),
        violations: violations.view(),
        incidents: incidents.view(),
        first_calls: Vec::new(),
        policies: Policies::new(Vec::new(), true, &calls).unwrap().into(),
        ..view(1)
    }
}

/// The pages of a container in which a shell ran two programs.
fn broken_into() -> (Router, Owned) {
    let web = container("web");
    let mount = flagged(&web, "mount", Severity::Critical, started_by_shell(101, "unshare"));
    let socket = flagged(&web, "socket(AF_ALG)", Severity::Warning, started_by_shell(102, "python3"));
    served(Baselines::default(), view_of(&web, vec![mount, socket]))
}

/// Returns the lines of the process tree.
fn tree_lines(html: &str) -> Vec<&str> {
    let tree = html.split("class=\"tree\"").nth(1).unwrap().split("</ol>").next().unwrap();
    tree.split("<li ").skip(1).collect()
}

/// Compares the class, the program, and the text about the process.
fn assert_tree(lines: &[&str], expected: &[(&str, &str, &str)]) {
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, (class, program, pid)) in lines.iter().zip(expected) {
        assert!(line.starts_with(&format!("class=\"{class}\"")), "{class}: {line}");
        assert!(line.contains(program) && line.contains(pid), "{program}, {pid}: {line}");
    }
}

const SENTENCE: &str =
    "unshare, python3 (started by sh) made 2 unexpected calls: mount, socket(AF_ALG) (critical)</bdi>";

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_names_the_programs_that_made_the_calls() {
    let (router, _owned) = broken_into();
    for path in ["/", "/incidents"] {
        assert!(page(&router, path).await.contains(SENTENCE), "{path}");
    }
    let html = page(&router, &link(&page(&router, "/").await, "/incident/")).await;
    assert!(html.contains(&format!("<b><bdi>{SENTENCE}</b>")), "{html}");
    let lines = tree_lines(&html);
    let expected = [
        ("d0", "shim", "pid 50<"),
        ("d1", "dash", "pid 100, uid 0<"),
        ("d2 caller", "unshare", "pid 101, uid 0: made mount<"),
        ("d2 caller", "python3", "pid 102, uid 0: made socket(AF_ALG)<"),
    ];
    assert_tree(&lines, &expected);
    assert!(lines[3].contains("python3 --attack") && !lines[1].contains("caller"), "{html}");
    let alone = page(&router, &link(&html, "/violation/")).await;
    assert!(alone.contains(SENTENCE), "{alone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_tree_has_what_is_between_and_a_replaced_program() {
    let web = container("web");
    let between = Ancestor { pid: 103, comm: "bash".to_owned(), exe: Some("/usr/bin/bash".to_owned()) };
    let mut below = started_by_shell(104, "python3");
    below.parents.insert(0, between);
    let mut replaced = started_by_shell(100, "perl");
    replaced.parents.remove(0);
    let of = |call, process| flagged(&web, call, Severity::Critical, process);
    let all = vec![of("mount", below.clone()), of("bpf", below), of("ptrace", replaced)];
    let (router, _owned) = served(Baselines::default(), view_of(&web, all));
    let html = page(&router, &link(&page(&router, "/").await, "/incident/")).await;
    let lines = tree_lines(&html);
    let expected = [
        ("d0", "shim", "pid 50<"),
        ("d1", "dash", "pid 100, uid 0<"),
        ("d2", "bash", "pid 103<"),
        ("d3 caller", "python3", "pid 104, uid 0: made mount, bpf<"),
        ("d2 caller", "perl", "pid 100, uid 0: made ptrace<"),
    ];
    assert_tree(&lines, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_severity_has_its_reason_and_an_exception_has_a_next_step() {
    let (router, _owned) = broken_into();
    let html = page(&router, &link(&page(&router, "/").await, "/incident/")).await;
    for part in [
        "Its severity is critical, because the list critical has mount (policy runtime-default, built in).",
        "Its severity is warning, because no list critical has it, and the key severity is warning",
        "The default seccomp profile of container runtimes denies it.",
        "syscallmon policy test FILE",
        "the daemon reads it within seconds",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    assert!(!html.contains("built in:") && !html.contains("of this kind"), "{html}");
    // An exception to a policy of a file is no file of its own, and the position is that of the file.
    let (router, _owned) = super::router(1);
    let html = page(&router, &link(&page(&router, "/").await, "/incident/")).await;
    assert!(
        html.contains("The comments say where each part belongs.") && !html.contains("default seccomp profile"),
        "{html}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_home_page_shows_only_incidents_that_the_search_finds() {
    let (router, _owned) = broken_into();
    let shows = async |search: &str| {
        let html = page(&router, &format!("/?q={}", text::percent_encoded(search))).await;
        (html.contains(SENTENCE), html.contains(">1 other incident</a>"), html.contains("1 workload<"))
    };
    assert_eq!(shows("").await, (true, false, true));
    assert_eq!(shows("4bdf7412cfac\u{2026}").await, (true, false, true));
    assert_eq!(shows("container=\"web\",runtime=\"docker\"").await, (true, false, true));
    assert_eq!(shows("container=\"we\"").await, (false, true, false));
    assert_eq!(shows("python3").await, (true, false, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unexpected_call_is_new_also_within_a_start() {
    let (router, _owned) = broken_into();
    let usual = page(&router, "/new").await;
    assert!(usual.contains("2 calls of the first 5 min") && usual.contains("2 new calls outside of starts"), "{usual}");
    for (call, severity) in [("mount", "critical"), ("socket(AF_ALG)", "warning")] {
        let row = usual.split("<tr>").find(|row| row.contains(&format!("<code>{call}</code>"))).unwrap();
        assert!(row.contains(&format!(">unexpected: {severity}</a>")) && row.contains("href=\"/violation/"), "{row}");
    }
    let all = page(&router, &link(&usual, "/new?")).await;
    assert!(all.contains("4 new calls<") && all.contains("The daemon started"), "{all}");
    assert!(page(&router, "/new?q=unexpected+critical").await.contains("1 new call<"));
    // The calls of an ended workload stay, without a link.
    let gone = flagged(&container("gone"), "mount", Severity::Critical, started_by_shell(7, "unshare"));
    let (router, _owned) = served(Baselines::default(), view_of(&container("web"), vec![gone]));
    let html = page(&router, "/new").await;
    assert!(html.contains("1 new call ") && html.contains("<td><bdi>gone/docker</bdi></td>"), "{html}");
    let (router, _owned) = served(Baselines::default(), view_of(&container("web"), Vec::new()));
    let html = page(&router, "/new").await;
    assert!(
        html.contains("0 new calls outside of starts") && html.contains("No new calls outside of starts."),
        "{html}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_time_is_a_choice_or_said_to_be_none() {
    let (router, _owned) = broken_into();
    for (since, chosen) in [
        ("", "<option value=\"24h\" selected>24 hours"),
        ("5m", "<option value=\"5m\" selected>5 minutes"),
        ("20m", "<option value=\"20m\" selected>20 minutes"),
        ("60m", "<option value=\"1h\" selected>1 hour"),
        ("foo", "<option value=\"24h\" selected>24 hours"),
    ] {
        let html = page(&router, &format!("/new?since={since}")).await;
        assert!(html.contains(chosen) && html.matches(" selected>").count() == 1, "{since}: {html}");
        let notice =
            "\u{201c}<bdi>foo</bdi>\u{201d} is not a time such as 20m, 1h or 7d. The page shows the last 24 hours.";
        assert_eq!(html.contains(notice), since == "foo", "{since}: {html}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_says_what_it_would_allow_and_from_how_long() {
    let (router, _owned) = broken_into();
    let html = page(&router, &link(&page(&router, "/").await, "/workload/")).await;
    let (calls, profile) = html.split_once("id=\"profile-title\"").unwrap();
    for part in [
        "without the calls of the container runtime",
        "was observed for 0 s. That is too short",
        "would allow these unexpected calls",
        "<code>socket(AF_ALG)</code>",
    ] {
        assert!(profile.contains(part), "{part}: {profile}");
    }
    assert!(profile.find("unexpected calls").unwrap() < profile.find("/api/v1/profile").unwrap());
    assert_eq!(calls.matches("3 different calls, 1 class of arguments").count(), 2, "{calls}");
    let row = calls.split("<tr>").find(|row| row.contains("<code>socket(AF_ALG)</code>")).unwrap();
    assert_eq!(row.matches("<time ").count(), 2, "{row}");
    assert!(
        page(&router, &(link(&page(&router, "/").await, "/workload/") + "?q=openat"))
            .await
            .contains(">1 different call<")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_profile_of_a_service_is_for_systemd() {
    let (router, _owned) = served(Baselines::default(), view_of(&service(), Vec::new()));
    let html = page(&router, &link(&page(&router, "/").await, "/workload/")).await;
    assert!(html.contains("<h2 id=\"profile-title\">Its system call filter</h2>"), "{html}");
    let profile = html.split("id=\"profile-title\"").nth(1).unwrap();
    assert!(!profile.contains("container runtime") && link(profile, "/api/").ends_with("format=systemd"), "{profile}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_learns_says_when_it_cannot() {
    let unnamed = ResolvedWorkload {
        workload: Workload::Unresolved(CgroupIdentity::of(&format!("/docker/{}", "a".repeat(64)).into()).into()),
        metadata: Labels::new([(Label::ContainerId, ID.into())]),
    };
    for (of, why) in [(unnamed, "because the container has no name."), (container("web"), "has no baseline.")] {
        let learns = source("{name: learns, match: ['container_id!=\"\"'], learn: {}}");
        let policies = Policies::new(vec![learns], true, &CallTable::x86_64()).unwrap();
        let view = View { policies: policies.into(), ..view_of(&of, Vec::new()) };
        let (router, _owned) = served(Baselines::default(), view);
        let path = format!("/workload/{}", of.workload.id());
        let html = page(&router, &path).await;
        assert!(html.contains(why) && html.contains("/docs/learning.md#what-has-no-baseline\""), "{html}");
        assert!(!html.contains("It learns the rest."), "{html}");
    }
}
