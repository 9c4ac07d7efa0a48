//! Start, reload and stop, clean and unclean.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use aya::programs::loaded_programs;

use crate::harness::{Daemon, KnownCalls, TestCgroup, finished, number, syscallmon, wait_for};

/// Returns the programs of a process that are in the kernel, from its descriptors.
fn programs_of(daemon: &Daemon) -> Vec<u32> {
    let fds = fs::read_dir(format!("/proc/{}/fdinfo", daemon.pid())).unwrap();
    let infos = fds.filter_map(|fd| fs::read_to_string(fd.unwrap().path()).ok());
    let ids = infos.filter(|info| info.contains("prog_tag:"));
    ids.filter_map(|info| info.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok())).collect()
}

/// Asserts that none of these programs is still in the kernel.
fn assert_gone(programs: &[u32]) {
    wait_for("the programs to leave the kernel", std::time::Duration::from_secs(5), || {
        let loaded: Vec<u32> = loaded_programs().filter_map(Result::ok).map(|info| info.id()).collect();
        programs.iter().all(|id| !loaded.contains(id)).then_some(())
    });
}

#[test]
fn sigterm_and_sigint_detach_everything_and_end_with_status_0() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut daemon = Daemon::start(&[]);
        let programs = programs_of(&daemon);
        assert!(programs.len() >= 3, "sys_enter, cgroup_mkdir and cgroup_rmdir: {programs:?}");
        daemon.signal(signal);
        assert_eq!(daemon.wait().code(), Some(0));
        assert_gone(&programs);
    }
}

#[test]
fn a_signal_while_it_attaches_ends_it_with_status_0() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut child = syscallmon()
            .args(["run", "--web.listen-address=127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the daemon");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        // The first log line, before anything is loaded.
        lines.find(|line| line.contains("listening")).expect("a line");
        // SAFETY: kill takes integers; the process is our child and was not reaped.
        assert_eq!(unsafe { libc::kill(child.id().cast_signed(), signal) }, 0);
        let rest: Vec<String> = lines.collect();
        assert_eq!(child.wait().expect("wait").code(), Some(0), "{rest:#?}");
        assert!(rest.iter().any(|line| line.contains("stopped")), "{rest:#?}");
    }
}

#[test]
fn after_kill_9_nothing_is_left_and_the_next_start_works() {
    let cgroup = TestCgroup::new("killed");
    let mut daemon = Daemon::start(&[]);
    let programs = programs_of(&daemon);
    daemon.signal(libc::SIGKILL);
    daemon.wait();
    drop(daemon);
    assert_gone(&programs);

    let daemon = Daemon::start(&[]);
    KnownCalls::run(&[&"calls", &cgroup.path(), &number(libc::SYS_getppid), &"10"]);
    assert_eq!(daemon.settled_scrape().calls(&cgroup.label(), "getppid"), 10);
}

#[test]
fn sighup_reloads_and_a_bad_file_keeps_the_old_configuration() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "log:\n  level: info\n").unwrap();
    let daemon = Daemon::start(&["--config.file", file.path().to_str().unwrap()]);
    let reloaded = |daemon: &Daemon| daemon.settled_scrape().value("syscallmon_config_last_reload_successful");
    assert_eq!(reloaded(&daemon), Some(1));

    fs::write(file.path(), "log:\n  levle: info\n").unwrap();
    daemon.signal(libc::SIGHUP);
    let line = wait_for("a warning", std::time::Duration::from_secs(5), || {
        daemon.log_line("cannot load the new configuration")
    });
    assert!(line.contains("levle") && line.contains("line 2"), "{line}");
    assert_eq!(reloaded(&daemon), Some(0));

    fs::write(file.path(), "capacity:\n  cgroups: 5\n").unwrap();
    daemon.signal(libc::SIGHUP);
    wait_for("a hint", std::time::Duration::from_secs(5), || daemon.log_line("takes effect after a restart"));
    let scrape = daemon.settled_scrape();
    assert_eq!(scrape.value("syscallmon_config_last_reload_successful"), Some(1));
    assert_eq!(scrape.value("syscallmon_cgroups_capacity"), Some(1024));
}

#[test]
fn once_prints_an_exposition_and_ends() {
    let output = finished(["run", "--once", "--poll.interval=300ms"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("\nsyscallmon_syscalls_total{cgroup=\"/"), "{}", output.stdout);
    assert!(output.stdout.ends_with('\n'));
}

#[test]
fn the_kernel_s_tables_keep_to_their_budget() {
    let cpus = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap();
    let cpus: u64 = cpus.trim().rsplit(['-', ',']).next().unwrap().parse::<u64>().unwrap() + 1;
    let budgets: [(&[&str], u64, u64); 4] = [
        (&["--probe.errors=false", "--probe.denied=false", "--probe.arguments=none"], 512 << 10, 10 << 20),
        (&["--probe.arguments=none"], 512 << 10, 17 << 20),
        // Classes of arguments take less than 512 KiB.
        (&[], 512 << 10, (17 << 20) + (512 << 10)),
        (&["--probe.latency=true"], 1 << 20, (18 << 20) + (512 << 10)),
    ];
    for (flags, per_cpu, rest) in budgets {
        let memory = Daemon::start(flags).scrape().value("syscallmon_kernel_memory_bytes").unwrap();
        assert!(memory > 1 << 20, "{memory} bytes is too little to be true");
        assert!(memory <= cpus * per_cpu + rest, "{memory} bytes on {cpus} CPUs with {flags:?}");
    }
}
