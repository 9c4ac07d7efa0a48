//! Profiles from a running daemon, by the command line.

use std::{env::consts::ARCH, fs, process::Output};

use syscallmon::seccomp::{Decision, Profile};

use crate::harness::{Daemon, KnownCalls, TestCgroup, number, syscallmon};

fn profile(arguments: &[&str]) -> Output {
    syscallmon().arg("profile").args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn decision(text: &str, syscall: &str) -> Decision {
    Profile::parse(text).unwrap().decide(ARCH, ARCH, syscall, &[0; 6])
}

#[test]
fn a_profile_of_what_a_daemon_counts_allows_it_and_is_checked_against_it() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("profile"));
    KnownCalls::run(&[&"calls", &cgroup.path(), &number(libc::SYS_kcmp), &"3", &number(libc::SYS_getitimer), &"5"]);
    let socket = format!("{}:4:1,1,0,0", libc::SYS_socket);
    KnownCalls::run(&[&"arguments", &cgroup.path(), &"native", &socket]);
    daemon.settled_scrape();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (url, workload) = (format!("http://{}", daemon.address()), format!("cgroup=\"{}\"", cgroup.label()));
    let source = ["--daemon", &url, "--workload", &workload];

    let made = profile(&[&["generate", "--output", &file("a.json")], &source[..]].concat());
    assert!(made.status.success(), "{}", stderr(&made));
    assert!(stderr(&made).contains("the profile allows dangerous calls: kcmp"), "{}", stderr(&made));
    let text = fs::read_to_string(file("a.json")).unwrap();
    let decisions = ["kcmp", "getitimer", "exit_group", "mount"].map(|name| decision(&text, name));
    assert_eq!(decisions, [Decision::Allow, Decision::Allow, Decision::Allow, Decision::Errno(1)]);

    let socket = |text: &str, family: i32| {
        let arguments = [family.unsigned_abs().into(), 1, 0, 0, 0, 0];
        Profile::parse(text).unwrap().decide(ARCH, ARCH, "socket", &arguments)
    };
    let (_, of_api) =
        daemon.get(&format!("/api/v1/profile?match=cgroup%3D%22{}%22", cgroup.label().replace('/', "%2F")));
    for text in [&text, &of_api] {
        let decisions = [libc::AF_UNIX, libc::AF_ALG].map(|family| socket(text, family));
        assert_eq!(decisions, [Decision::Allow, Decision::Errno(1)], "only the observed family: {text}");
    }

    let checked = profile(&[&["check", &file("a.json")], &source[..]].concat());
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    fs::write(file("b.json"), text.replace("\"getitimer\",", "")).unwrap();
    let healed = file("c.json");
    let checked = profile(&[&["check", &file("b.json"), "--suggest", &healed], &source[..]].concat());
    let report = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.status.code(), Some(1), "{report}");
    assert!(report.contains(&format!("{ARCH}/getitimer  5 times in 1 replica; refused with EPERM")), "{report}");
    assert_eq!(decision(&fs::read_to_string(&healed).unwrap(), "getitimer"), Decision::Allow);
    drop(daemon);
    let checked = profile(&[&["check", &file("a.json")], &source[..]].concat());
    assert_eq!(checked.status.code(), Some(2), "a daemon that is gone is no finding");
}

#[test]
fn nothing_is_written_in_place_of_a_good_file_when_there_is_nothing_to_write() {
    let daemon = Daemon::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.json").display().to_string();
    fs::write(&file, "good").unwrap();
    let url = format!("http://{}", daemon.address());
    for (arguments, reason) in [
        (&["--daemon", &url, "--workload", "cgroup=\"/syscallmon-nowhere\""][..], "no workload of the daemon"),
        (&["--daemon", &url], "--daemon needs the workload"),
        (&["--daemon", &url, "--baseline", "docker:nowhere"], "docker:nowhere"),
        (&["--daemon", &url, "--workload", "cgroup"], "cgroup"),
        (&[], "no source of system calls"),
        (&["/dev/null"], "not a regular file"),
    ] {
        let failed = profile(&[&["generate", "--output", &file], arguments].concat());
        assert!(!failed.status.success() && stderr(&failed).contains(reason), "{arguments:?}: {}", stderr(&failed));
        assert_eq!(fs::read_to_string(&file).unwrap(), "good", "{arguments:?}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}
