//! Container init: calls of a runtime between placing a process into a cgroup and starting the program. Processes that
//! imitate a runtime are not taken for one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Daemon, KnownCalls, ONLY_TESTS, TestCgroup, example, number};

/// How often `known_runtime` calls `umask` in the cgroup: once itself, and once in a hook.
const UMASKS: u64 = 2;

/// An id in the form that runtimes give to containers.
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Without metadata providers, containers are named by their paths at once.
const NAMELESS: [&str; 3] = ["--names.docker=off", "--names.podman=off", ONLY_TESTS];

/// A first call in a cgroup.
#[derive(Debug)]
struct First {
    syscall: String,
    comm: String,
    exe: String,
}

/// First calls of the cgroups with this label.
fn first_calls(daemon: &Daemon, label: &str) -> Vec<First> {
    daemon.settled_scrape();
    let (_, body) = daemon.get("/api/v1/workloads?limit=0");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let first =
        |call: &Value| First { syscall: text(&call["syscall"]), comm: text(&call["comm"]), exe: text(&call["exe"]) };
    let all = answer["data"]["first_calls"].as_array().unwrap().iter();
    all.filter(|call| call["workload"]["cgroup"] == label).map(first).collect()
}

/// Returns the first call with a name.
fn find<'a>(calls: &'a [First], syscall: &str) -> Option<&'a First> {
    calls.iter().find(|call| call.syscall == syscall)
}

/// Makes a runtime run a program that calls `getpriority` 7 times.
fn run_by_runtime(way: &str, cgroup: &Path, copy: &str, program: &str) {
    run_by(
        &example("known_runtime"),
        (way, cgroup, copy),
        &[program, "calls", "-", &number(libc::SYS_getpriority), "7"],
    );
}

fn run_by(runtime: &Path, (way, cgroup, copy): (&str, &Path, &str), program: &[&str]) {
    let mut command = Command::new(runtime);
    command.args([way.as_ref(), cgroup.as_os_str(), copy.as_ref()]).args(program);
    let status = command.status().expect("known_runtime");
    assert!(status.success(), "{way} {copy} {program:?}: {status}");
}

/// The ways of runtimes to get into a cgroup, and to execute a copy of themselves there.
const WAYS: [(&str, &str); 9] = [
    ("enters", "none"),
    ("moves", "none"),
    ("moves", "same"),
    ("moves", "memory"),
    ("asks", "none"),
    ("asks", "memory"),
    ("spawns", "memory"),
    ("clones", "none"),
    ("clones-user", "none"),
];

#[test]
fn what_a_runtime_calls_before_the_program_begins_is_counted_and_not_the_program_s() {
    let daemon = Daemon::start(&[ONLY_TESTS]);
    let program = KnownCalls::binary();
    for (way, copy) in WAYS {
        let cgroup = TestCgroup::new("init");
        run_by_runtime(way, cgroup.path(), copy, &program.display().to_string());
        let first = first_calls(&daemon, &cgroup.label());
        assert!(first.iter().all(|call| call.comm == "known_calls"), "{way} {copy}: {first:?}");
        let own = find(&first, "getpriority").unwrap_or_else(|| panic!("{way} {copy}: {first:?}"));
        assert!(own.exe.ends_with("/known_calls"), "{own:?}");
        assert!(find(&first, "execve").is_none(), "{first:?}");
        assert!(find(&first, "openat").is_some(), "a call of both is the program's first, too: {first:?}");
        let scrape = daemon.settled_scrape();
        assert_eq!(scrape.calls(&cgroup.label(), "umask"), UMASKS, "{way} {copy}: counted all the same");
        assert_eq!(scrape.calls(&cgroup.label(), "getpriority"), 7);
    }
}

/// Processes that are moved while their threads make calls.
const MOVES: usize = 50;

#[test]
fn threads_that_a_runtime_moves_are_the_runtime_s_before_the_kernel_reports_the_move() {
    let (daemon, cgroup) = (Daemon::start(&[ONLY_TESTS]), TestCgroup::new("threads"));
    for _ in 0..MOVES {
        run_by_runtime("moves-threads", cgroup.path(), "none", &KnownCalls::binary().display().to_string());
    }
    let first = first_calls(&daemon, &cgroup.label());
    assert!(first.iter().all(|call| call.comm == "known_calls"), "{first:?}");
    let scrape = daemon.settled_scrape();
    assert!(scrape.calls(&cgroup.label(), "getsid") > 0, "threads called after a move");
    assert_eq!(scrape.calls(&cgroup.label(), "umask"), UMASKS * MOVES as u64);
}

#[test]
fn a_program_that_is_the_runtime_s_file_is_judged() {
    let daemon = Daemon::start(&[ONLY_TESTS]);
    for (way, copy) in WAYS {
        let cgroup = TestCgroup::new("runtime");
        run_by(&example("known_runtime"), (way, cgroup.path(), copy), &["/proc/self/exe", "hook"]);
        let first = first_calls(&daemon, &cgroup.label());
        assert!(find(&first, "umask").is_some(), "{way} {copy}: {first:?}");
    }
}

#[test]
fn a_program_is_distinguished_from_its_runtime_by_its_file_and_not_by_its_path() {
    let daemon = Daemon::start(&[ONLY_TESTS]);
    let binary = KnownCalls::binary().display().to_string();
    for program in [format!("/proc/self/root{binary}"), format!("memory:{binary}")] {
        for (way, copy) in WAYS {
            let cgroup = TestCgroup::new("path");
            run_by_runtime(way, cgroup.path(), copy, &program);
            let first = first_calls(&daemon, &cgroup.label());
            let own = find(&first, "getpriority");
            assert!(own.is_some(), "{way} {copy} {program}: {first:?}");
            if program.starts_with("memory:") {
                assert_eq!(own.unwrap().exe, "/memfd:own (deleted)");
            }
        }
    }
}

/// Programs that are called as systemd's are: `systemd` and `systemd-executor` in one directory, and another
/// `systemd-executor` elsewhere, which is a program of a unit.
struct Systemd {
    directory: TempDir,
}

impl Systemd {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("unit")).unwrap();
        let copy = |program: &Path, name: &str| fs::copy(program, directory.path().join(name)).unwrap();
        copy(&example("known_runtime"), "systemd");
        copy(&example("known_runtime"), "systemd-executor");
        copy(&KnownCalls::binary(), "unit/systemd-executor");
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a program in a new cgroup. Returns its first calls.
    fn first_calls(&self, daemon: &Daemon, (way, copy): (&str, &str), program: &Path, args: &[&str]) -> Vec<First> {
        let cgroup = TestCgroup::new("systemd");
        let program = [&[program.to_str().unwrap()], args].concat();
        run_by(&self.path("systemd"), (way, cgroup.path(), copy), &program);
        first_calls(daemon, &cgroup.label())
    }
}

#[test]
fn calls_of_systemd_s_executor_are_not_the_unit_s() {
    let (daemon, systemd) = (Daemon::start(&[ONLY_TESTS]), Systemd::new());
    let getpriority = number(libc::SYS_getpriority);
    for way in ["spawns", "moves", "executes"] {
        let program = systemd.path("unit/systemd-executor");
        let first = systemd.first_calls(&daemon, (way, "executor"), &program, &["calls", "-", &getpriority, "7"]);
        assert!(find(&first, "umask").is_none(), "{way}: {first:?}");
        assert!(find(&first, "getpriority").is_some(), "the unit's program, whatever its name is: {way}: {first:?}");
    }
}

#[test]
fn a_unit_cannot_hide_by_running_programs_of_systemd() {
    let (daemon, systemd) = (Daemon::start(&[ONLY_TESTS]), Systemd::new());
    // The executor once more, after systemd's own has run it.
    let again = systemd.first_calls(&daemon, ("spawns", "executor"), &systemd.path("systemd-executor"), &["hook"]);
    assert!(find(&again, "umask").is_some(), "{again:?}");
    // systemd itself, as a user.
    let of_user = systemd.first_calls(&daemon, ("spawns", "user"), &systemd.path("systemd"), &[]);
    assert!(find(&of_user, "umask").is_some(), "{of_user:?}");
}

#[test]
fn an_executable_that_is_gone_is_marked() {
    let (daemon, cgroup, directory) =
        (Daemon::start(&[ONLY_TESTS]), TestCgroup::new("gone"), tempfile::tempdir().unwrap());
    let copy = directory.path().join("copy");
    fs::copy(KnownCalls::binary(), &copy).unwrap();
    let script = "echo 0 >$1/cgroup.procs; exec 5<$2; rm $2; exec /proc/self/fd/5 calls - $3 1";
    KnownCalls::run_through(script, &[&cgroup.path(), &copy, &number(libc::SYS_getpriority)]);
    let first = first_calls(&daemon, &cgroup.label());
    let own = find(&first, "getpriority").expect("seen");
    assert!(own.exe.ends_with("/copy (deleted)"), "{own:?}");
}

/// A shell that moves its child into the cgroup `$1`. The child then calls `umask`.
const MOVES_A_CHILD: &str = r#"(read -r _; umask 077) < <(until grep -q . "$1/cgroup.procs"; do :; done; echo) &
    echo $! >"$1/cgroup.procs"; wait"#;

/// A shell whose child enters the cgroup `$1` itself, and then calls `umask`.
const CHILD_ENTERS: &str = r#"(echo 0 >"$1/cgroup.procs"; umask 077) & wait"#;

/// Enters a cgroup, then moves a child into another cgroup of the same test.
fn moves_a_child(cgroup: &TestCgroup, from: &str, to: &str, prefix: &[&str]) {
    has_child(MOVES_A_CHILD, cgroup, (from, to), prefix);
}

/// Enters a cgroup, then runs a script that has a child in another cgroup of the same test.
fn has_child(script: &str, cgroup: &TestCgroup, (from, to): (&str, &str), prefix: &[&str]) {
    let [from, to] = [from, to].map(|name| cgroup.path().join(name));
    fs::create_dir_all(&from).unwrap();
    fs::create_dir_all(&to).unwrap();
    let enter = r#"echo 0 >"$1/cgroup.procs"; shift; exec "$@""#;
    let mut command = Command::new("bash");
    command.args(["-c", enter, "bash"]).arg(from).args(prefix);
    let status = command.args(["bash", "-c", script, "bash"]).arg(to).status().unwrap();
    assert!(status.success());
}

/// Whether the child's `umask` is reported as a call of the workload with this directory.
fn is_seen(daemon: &Daemon, cgroup: &TestCgroup, directory: &str) -> bool {
    let label = cgroup.label_of(&cgroup.path().join(directory));
    let label = label.trim_end_matches('/');
    assert_eq!(daemon.settled_scrape().calls(label, "umask"), 1, "{label}: counted in any case");
    find(&first_calls(daemon, label), "umask").is_some()
}

#[test]
fn a_process_of_the_same_container_or_unit_cannot_hide_in_it() {
    let daemon = Daemon::start(&NAMELESS);
    let scope = format!("docker-{ID}.scope");
    for workload in ["web.service", "web.scope", ID, &scope, "lxc.payload.web"] {
        let cgroup = TestCgroup::new("siblings");
        moves_a_child(&cgroup, &format!("{workload}/a"), &format!("{workload}/b"), &[]);
        assert!(is_seen(&daemon, &cgroup, workload), "{workload}");
    }
}

#[test]
fn a_container_in_a_unit_of_its_own_is_set_up_from_the_unit() {
    // As with Quadlet.
    let (daemon, cgroup) = (Daemon::start(&NAMELESS), TestCgroup::new("quadlet"));
    let payload = format!("web.service/libpod-payload-{ID}");
    moves_a_child(&cgroup, "web.service/runtime", &payload, &[]);
    assert!(!is_seen(&daemon, &cgroup, &payload));
}

#[test]
fn a_process_of_a_cgroup_cannot_hide_below_it() {
    let (daemon, cgroup) = (Daemon::start(&[ONLY_TESTS]), TestCgroup::new("below"));
    moves_a_child(&cgroup, "", "inner", &[]);
    assert!(is_seen(&daemon, &cgroup, "inner"));
}

#[test]
fn a_child_that_enters_a_cgroup_itself_hides_in_none_that_its_parent_cannot_fill() {
    let daemon = Daemon::start(&NAMELESS);
    let [unit, container] = ["web.service", ID].map(|name| [format!("{name}/a"), format!("{name}/b")]);
    let no_privileges = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all"];
    let places: [(&str, &str, &str, &[&str]); 5] = [
        (&unit[0], &unit[1], "web.service", &[]),
        (&container[0], &container[1], ID, &[]),
        ("", "inner", "inner", &[]),
        ("beside", "inner", "inner", &["unshare", "--pid", "--fork"]),
        ("beside", "inner", "inner", &no_privileges),
    ];
    for (from, to, workload, prefix) in places {
        let cgroup = TestCgroup::new("entered");
        has_child(CHILD_ENTERS, &cgroup, (from, to), prefix);
        assert!(is_seen(&daemon, &cgroup, workload), "{from} {to} {prefix:?}");
    }
}

#[test]
fn who_is_in_a_pid_namespace_cannot_hide_beside_itself() {
    let (daemon, cgroup) = (Daemon::start(&[ONLY_TESTS]), TestCgroup::new("namespace"));
    moves_a_child(&cgroup, "beside", "inner", &["unshare", "--pid", "--fork"]);
    assert!(is_seen(&daemon, &cgroup, "inner"));
}

#[test]
fn a_process_that_may_not_administer_the_host_is_no_runtime() {
    let (daemon, cgroup) = (Daemon::start(&[ONLY_TESTS]), TestCgroup::new("dropped"));
    moves_a_child(&cgroup, "beside", "inner", &["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all"]);
    assert!(is_seen(&daemon, &cgroup, "inner"));
}

#[test]
fn a_process_without_privileges_that_is_moved_is_no_runtime_s() {
    // systemd does this for an unprivileged user (`AttachProcessesToUnit`, `StartTransientUnit` with a running
    // process).
    let (daemon, cgroup) = (Daemon::start(&[ONLY_TESTS]), TestCgroup::new("user"));
    let user = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let child = r#"read -r _ < <(until grep -q . "$1/cgroup.procs"; do :; done; echo); umask 077"#;
    let script = format!(r#"{user} bash -c '{child}' bash "$1" & echo $! >"$1/cgroup.procs"; wait"#);
    let status = Command::new("bash").args(["-c", &script, "bash"]).arg(cgroup.path()).status().unwrap();
    assert!(status.success());
    assert!(is_seen(&daemon, &cgroup, ""));
}

#[test]
fn the_daemon_s_calls_are_its_own_wherever_it_runs() {
    let cgroup = TestCgroup::new("own");
    let enter = r#"echo 0 >"$1/cgroup.procs"; shift; exec "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", enter, "sh"]).arg(cgroup.path()).arg(crate::harness::binary());
    let daemon = Daemon::start_command(command.args(["run", ONLY_TESTS, "--web.listen-address", "127.0.0.1:0"]));
    let script = "echo 0 >$1/cgroup.procs; umask 077";
    KnownCalls::run_through(script, &[&cgroup.path()]);
    let first = first_calls(&daemon, &cgroup.label());
    assert!(find(&first, "umask").is_some(), "somebody else in its cgroup is seen: {first:?}");
    assert!(first.iter().all(|call| call.comm == "sh"), "{first:?}");
    let scrape = daemon.settled_scrape();
    assert!(scrape.calls(&cgroup.label(), "bpf") > 0, "counted all the same");
}
