//! `syscallmon policy allow` and `syscallmon policy test`, beside a running daemon and a real Prometheus.

use std::{
    collections::{BTreeMap, BTreeSet},
    env::consts::ARCH,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use syscallmon_testkit::free_address;
use tempfile::TempDir;

use crate::{
    harness::{KnownCalls, Output, TestCgroup, claim_host, finished, number, wait_for},
    policies::{Guard, container, text},
    prometheus,
    recording::Recorder,
};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Calls that the default profile of container runtimes does not allow, and that have no effect without arguments.
const MOUNT: i64 = libc::SYS_mount;
const KEYCTL: i64 = libc::SYS_keyctl;

/// A policy for all cgroups below one. It is the last in its file, as where a person would paste to.
fn own(parent: &TestCgroup) -> String {
    format!("  - name: own\n    match: [{{cgroup: \"{}/*\"}}]\n    extends: runtime-default\n", parent.label())
}

fn calls(cgroup: &Path, calls: &[(i64, &str)]) {
    let numbers: Vec<String> = calls.iter().flat_map(|(nr, count)| [number(*nr), (*count).to_owned()]).collect();
    let mut args: Vec<&dyn AsRef<OsStr>> = vec![&"calls", &cgroup];
    args.extend(numbers.iter().map(|number| number as &dyn AsRef<OsStr>));
    KnownCalls::run(&args);
}

fn counts<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(syscall, count)| (format!("{ARCH}:{syscall}"), count)).collect()
}

/// Returns the id of the violation by this call of a workload with this text in its labels.
fn violation(guard: &Guard, part: &str, syscall: &str) -> String {
    wait_for("the violation", TIMEOUT, || {
        let (_, body) = guard.daemon.get(&format!("/api/v1/violations?limit=1000&syscall={syscall}"));
        let answer: Value = serde_json::from_str(&body).unwrap();
        let mut all = answer["data"]["violations"].as_array().unwrap().iter();
        all.find(|violation| violation["workload"].to_string().contains(part)).map(|one| text(one, "id").to_owned())
    })
}

/// Returns what `policy allow` prints for violations.
pub(crate) fn allow(guard: &Guard, ids: &[String]) -> String {
    let url = format!("http://{}", guard.daemon.address());
    let ids = ids.iter().map(String::as_str);
    let Output { code, stdout, stderr } = finished(["policy", "allow", "--url", &url].into_iter().chain(ids));
    assert_eq!(code, Some(0), "{stderr}");
    stdout
}

/// Waits until the daemon has read its policies this often since its start.
pub(crate) fn wait_for_reloads(guard: &Guard, number: usize) {
    wait_for("the new policies", TIMEOUT, || (guard.daemon.log_lines("policies reloaded") >= number).then_some(()));
    // Calls from now on are judged by them.
    guard.daemon.settled_scrape();
}

#[test]
fn a_pasted_exception_silences_that_call_of_that_workload_and_nothing_else() {
    let parent = TestCgroup::new("allowed");
    let [web, other] = ["web", "other"].map(|name| parent.child(name));
    let [web_label, other_label] = [&web, &other].map(|path| parent.label_of(path));
    let guard = Guard::start(&own(&parent), &[]);
    let file = guard.directory.path().join("policies/test.yaml");
    let paste = |text: &str| fs::write(&file, fs::read_to_string(&file).unwrap() + text).unwrap();
    calls(&web, &[(MOUNT, "3")]);
    assert_eq!(guard.counted(&web_label), counts([("mount", 3)]));

    let printed = allow(&guard, &[violation(&guard, &web_label, "mount")]);
    assert!(printed.contains(&format!("Add this to the policy own in {}", file.display())), "{printed}");
    paste(&printed);
    wait_for_reloads(&guard, 1);
    let lines = guard.incident_lines(&web_label).len();
    calls(&web, &[(MOUNT, "5")]);
    guard.wait_until_judged();
    assert_eq!(guard.counted(&web_label), counts([("mount", 3)]), "the same call of the same workload");
    assert_eq!(guard.incident_lines(&web_label).len(), lines);

    calls(&web, &[(MOUNT, "7"), (KEYCTL, "2")]);
    calls(&other, &[(MOUNT, "4")]);
    guard.wait_for_lines(&web_label, 2);
    assert_eq!(guard.counted(&web_label), counts([("mount", 3), ("keyctl", 2)]), "another call");
    assert_eq!(text(&guard.wait_for_lines(&other_label, 1)[0], "syscall"), "mount");
    assert_eq!(guard.counted(&other_label), counts([("mount", 4)]), "another workload");

    // The policy has exceptions now, so only the item is added.
    let printed = allow(&guard, &[violation(&guard, &web_label, "keyctl")]);
    assert!(printed.contains("If the policy has exceptions, add only the item."), "{printed}");
    paste(printed.split_once("    exceptions:\n").expect("an exception").1);
    wait_for_reloads(&guard, 2);
    calls(&web, &[(MOUNT, "7"), (KEYCTL, "9")]);
    calls(&other, &[(KEYCTL, "6")]);
    guard.wait_for_lines(&other_label, 2);
    assert_eq!(guard.counted(&web_label), counts([("mount", 3), ("keyctl", 2)]), "both are allowed");
    assert_eq!(guard.counted(&other_label), counts([("mount", 4), ("keyctl", 6)]));
}

#[test]
fn a_pasted_policy_silences_what_the_built_in_policy_reported() {
    let [parent, other] = ["allowed-built-in", "not-allowed"].map(TestCgroup::new);
    let (web, other_path) = (container(&parent), container_of(&other));
    let [web_label, other_label] = [parent.label(), other.label()];
    let guard = Guard::start("  []", &[]);
    calls(&web, &[(MOUNT, "3")]);
    assert_eq!(guard.counted(&web_label), counts([("mount", 3)]));

    let printed = allow(&guard, &[violation(&guard, &web_label, "mount")]);
    fs::write(guard.directory.path().join("policies/allow.yaml"), printed).unwrap();
    wait_for_reloads(&guard, 1);
    calls(&web, &[(MOUNT, "5"), (KEYCTL, "2")]);
    calls(&other_path, &[(MOUNT, "4")]);
    guard.wait_for_lines(&web_label, 2);
    guard.wait_for_lines(&other_label, 1);
    assert_eq!(guard.counted(&web_label), counts([("mount", 3), ("keyctl", 2)]), "the same call is expected");
    assert_eq!(guard.counted(&other_label), counts([("mount", 4)]), "another workload");
}

/// Makes a cgroup with the name of another container's.
fn container_of(parent: &TestCgroup) -> PathBuf {
    let path = parent.child("docker").join("f".repeat(64));
    fs::create_dir(&path).expect("make a cgroup");
    path
}

/// What `syscallmon policy test` printed as JSON: workload, call, severity and count of each alarm.
fn alarms(output: &Output) -> BTreeSet<(String, String, String, u64)> {
    let answer: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{}", output.stderr));
    let of = |alarm: &Value| {
        let [workload, syscall, severity] =
            ["workload", "syscall", "severity"].map(|field| text(alarm, field).to_owned());
        (workload, syscall, severity, alarm["count"].as_u64().unwrap())
    };
    answer["alarms"].as_array().unwrap().iter().map(of).collect()
}

/// Two workloads that a policy is tested for, and calls that it does and does not expect.
struct Shop {
    parent: TestCgroup,
    directory: TempDir,
    expected: BTreeSet<(String, String, String, u64)>,
}

impl Shop {
    fn new(name: &str) -> Self {
        let (parent, directory) = (TestCgroup::new(name), tempfile::tempdir().unwrap());
        let web = parent.label_of(&parent.child("web"));
        parent.child("other");
        let own = own(&parent);
        let strict =
            format!("policies:\n{own}    exceptions:\n      - match: [{{cgroup: \"{web}\"}}]\n        allow: [kcmp]\n");
        let lenient = format!("policies:\n{own}    allow: [mount, kcmp, keyctl]\n");
        fs::write(directory.path().join("strict.yaml"), strict).unwrap();
        fs::write(directory.path().join("lenient.yaml"), lenient).unwrap();
        let alarm = |name: &str, syscall: &str, severity: &str, count| {
            (format!("{}/{name}", parent.label()), syscall.to_owned(), severity.to_owned(), count)
        };
        let expected = [
            alarm("web", "mount", "critical", 3),
            alarm("web", "keyctl", "critical", 2),
            alarm("other", "kcmp", "warning", 4),
        ];
        Self { parent, directory, expected: expected.into() }
    }

    /// Makes the calls. `kcmp` is expected of one workload only, `getppid` of both.
    fn work(&self) {
        let [web, other] = ["web", "other"].map(|name| self.parent.path().join(name));
        calls(&web, &[(MOUNT, "3"), (KEYCTL, "2"), (libc::SYS_kcmp, "8"), (libc::SYS_getppid, "9")]);
        calls(&other, &[(libc::SYS_kcmp, "4"), (libc::SYS_getppid, "9")]);
    }

    /// What is expected where the classes of arguments are known.
    fn expected_by_class(&self) -> BTreeSet<(String, String, String, u64)> {
        let expected = self.expected.iter().cloned();
        let by_class = |(workload, syscall, severity, count): (String, String, String, u64)| {
            let class = match syscall.as_str() {
                "mount" => "mount(other)",
                "keyctl" => "keyctl(KEYCTL_GET_KEYRING_ID)",
                other => other,
            };
            (workload, class.to_owned(), severity, count)
        };
        expected.map(by_class).collect()
    }

    /// Runs `syscallmon policy test` with a policy of the directory.
    fn test(&self, policy: &str, source: &[&str]) -> Output {
        let file = self.directory.path().join(policy).display().to_string();
        finished([&["policy", "test", &file, "--output", "json"], source].concat())
    }

    fn workload(&self) -> String {
        format!("cgroup=~\"{}/.*\"", self.parent.label())
    }
}

#[test]
fn a_policy_is_tested_against_what_a_real_prometheus_has() {
    let (shop, directory) = (Shop::new("tested"), tempfile::tempdir().unwrap());
    let guard = Guard::start("  []", &[]);
    let address = free_address();
    let server = prometheus::start_at(&address, directory.path(), "prometheus", &[], (guard.daemon.address(), "1s"));
    shop.work();
    // The range ends at a whole second, so samples of the last second are not in it.
    let series = format!(r#"syscallmon_syscalls_total{{cgroup="{}/other",syscall="kcmp"}}"#, shop.parent.label());
    let query = format!("count_over_time({series}[10m]) >= 3");
    wait_for("three scrapes of the calls", TIMEOUT, || prometheus::query(&server, &query).pop());

    let (url, workload) = (format!("http://{address}"), shop.workload());
    let source = |workload| ["--prometheus", &*url, "--range", "1h", "--workload", workload];
    let found = shop.test("strict.yaml", &source(&workload));
    assert_eq!((found.code, alarms(&found)), (Some(1), shop.expected_by_class()), "{}", found.stderr);
    let fine = shop.test("lenient.yaml", &source(&workload));
    assert_eq!((fine.code, alarms(&fine)), (Some(0), BTreeSet::new()), "{}", fine.stderr);

    let none = shop.test("strict.yaml", &source("cgroup=\"/nowhere\""));
    assert_eq!((none.code, none.stdout.as_str()), (Some(2), ""));
    assert!(none.stderr.contains(r#"no workload matches cgroup="/nowhere" in the last 1h"#), "{}", none.stderr);
}

#[test]
fn a_policy_that_is_tested_against_a_prometheus_without_data_is_not_fine() {
    let (shop, directory) = (Shop::new("untested"), tempfile::tempdir().unwrap());
    let address = free_address();
    let server = prometheus::start_at(&address, directory.path(), "prometheus", &[], (&address, "1s"));
    wait_for("a scrape of itself", TIMEOUT, || (prometheus::query(&server, "up") == ["1"]).then_some(()));
    let (url, workload) = (format!("http://{address}"), shop.workload());
    let source = ["--prometheus", &url, "--workload", &workload];
    let empty = shop.test("strict.yaml", &source);
    assert_eq!((empty.code, empty.stdout.as_str()), (Some(2), ""));
    assert!(empty.stderr.contains("has no syscallmon_workload_info in the last 7days"), "{}", empty.stderr);
    assert!(empty.stderr.contains("does it scrape syscallmon? To check: "), "{}", empty.stderr);
    drop(server);
    let gone = shop.test("strict.yaml", &source);
    assert_eq!((gone.code, gone.stdout.as_str()), (Some(2), ""));
    assert!(gone.stderr.contains(&address), "{}", gone.stderr);
}

#[test]
fn a_policy_is_tested_against_the_recording_of_a_host() {
    let shop = Shop::new("recorded-calls");
    let file = shop.directory.path().join("host.recording");
    let recorder = Recorder::start(&file, &[]);
    shop.work();
    assert_eq!(recorder.stop(), Some(0));
    let file = file.display().to_string();
    // Calls of other workloads of this host are there, too.
    let of_shop = |output: &Output| -> BTreeSet<_> {
        alarms(output).into_iter().filter(|(workload, ..)| workload.starts_with(&shop.parent.label())).collect()
    };
    let found = shop.test("strict.yaml", &["--against", &file]);
    assert_eq!((found.code, of_shop(&found)), (Some(1), shop.expected_by_class()), "{}", found.stderr);
    assert_eq!(of_shop(&shop.test("lenient.yaml", &["--against", &file])), BTreeSet::new());
}

/// The recording has no labels: those of the workload are arguments.
#[test]
fn a_policy_is_tested_against_the_recording_of_a_command() {
    let (shop, _host) = (Shop::new("recorded-command"), claim_host());
    let file = shop.directory.path().join("command.json").display().to_string();
    let program = KnownCalls::binary().display().to_string();
    let (mount, kcmp) = (number(MOUNT), number(libc::SYS_kcmp));
    let recorder = finished(["record", "--output", &file, "--", &program, "calls", "-", &mount, "3", &kcmp, "8"]);
    assert_eq!(recorder.code, Some(0), "{}", recorder.stderr);
    let web = shop.parent.label() + "/web";
    let workload = format!("cgroup=\"{web}\"");
    let found = shop.test("strict.yaml", &["--against", &file, "--workload", &workload]);
    let mounts = [(web, "mount(other)".to_owned(), "critical".to_owned(), 3)].into();
    assert_eq!((found.code, alarms(&found)), (Some(1), mounts), "{}", found.stderr);
    let lenient = shop.test("lenient.yaml", &["--against", &file, "--workload", &workload]);
    assert_eq!((lenient.code, alarms(&lenient)), (Some(0), BTreeSet::new()), "{}", lenient.stderr);
}
