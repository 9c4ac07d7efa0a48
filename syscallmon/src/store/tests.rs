use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    process::{Command, Stdio},
    sync::{Arc, MutexGuard},
    thread,
    time::{Instant, SystemTime},
};

use tempfile::TempDir;

use super::*;
use crate::{
    detect::{Learn, Phase, StoreStatus},
    view::{FixedFacts, View, testing::Owned},
};

/// A store, and the owner of the baselines.
struct Stored {
    store: Disk,
    owned: Owned,
    state_directory: PathBuf,
}

fn key(name: &str) -> BaselineKey {
    format!("docker:{name}").parse().unwrap()
}

fn open(state_directory: &Path) -> Stored {
    let owned = Owned::new(Baselines::default(), View::empty(Arc::new(FixedFacts::minimal())));
    let mut store = Disk::new(state_directory, owned.owner.clone(), Arc::new(CallTable::x86_64()));
    store.synchronize();
    Stored { store, owned, state_directory: state_directory.to_owned() }
}

/// Opens the store again, once its lock is free. A program that another test starts holds the lock until its exec.
fn open_again(state_directory: &Path) -> Stored {
    let opened = (0..100).map(|_| {
        thread::sleep(Duration::from_millis(10));
        open(state_directory)
    });
    opened.into_iter().find(|stored| stored.status().is_up == Some(true)).expect("nobody has the lock")
}

impl Stored {
    fn baselines(&self) -> MutexGuard<'_, Baselines> {
        self.owned.baselines()
    }

    fn see(&self, name: &str) {
        let policy: Arc<str> = "p".into();
        let now = SystemTime::now();
        self.baselines().begin_or_get(&key(name), (&policy, Learn::default()), now, false).unwrap();
    }

    fn learn(&self, name: &str, syscall: &str) {
        self.see(name);
        let calls = CallTable::x86_64();
        let call = calls.id("x86_64", syscall).unwrap();
        let is_new = self.baselines().learn(&key(name), call, &calls, SystemTime::now(), Some("sh"));
        assert!(is_new, "{name} {syscall}");
    }

    /// Names of what a kind has learned, in memory.
    fn calls(&self, name: &str) -> Option<Vec<&'static str>> {
        let calls = CallTable::x86_64();
        Some(self.baselines().calls(&key(name))?.iter().map(|&call| calls.call(call).syscall).collect())
    }

    fn status(&self) -> StoreStatus {
        self.baselines().store
    }

    fn path(&self, name: &str) -> PathBuf {
        self.state_directory.join("baselines").join(key(name).file_name())
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn files(&self) -> usize {
        fs::read_dir(self.state_directory.join("baselines")).unwrap().count()
    }
}

fn temporary() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("syscallmon");
    (directory, path)
}

#[test]
fn what_was_learned_is_there_after_a_restart() {
    let (_directory, path) = temporary();
    let mut stored = open(&path);
    stored.learn("a", "read");
    stored.learn("b", "write");
    stored.baselines().approve(&key("b"), SystemTime::now());
    stored.store.synchronize();
    drop(stored);
    let stored = open_again(&path);
    assert_eq!((stored.calls("a"), stored.calls("b")), (Some(vec!["read"]), Some(vec!["write"])));
    let baselines = stored.baselines();
    assert!(baselines.is_guarding(&key("b")) && !baselines.is_guarding(&key("a")));
}

#[test]
fn nothing_is_made_before_something_is_learned_and_then_nobody_else_may_read_it() {
    let (_directory, path) = temporary();
    let mut stored = open(&path);
    stored.store.synchronize();
    assert!(!path.exists());
    assert_eq!(stored.status(), StoreStatus::default());
    stored.learn("a", "read");
    stored.store.synchronize();
    assert_eq!(stored.status().is_up, Some(true));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let modes = [&path, &path.join("baselines"), &stored.path("a")].map(|path| mode(path));
    assert_eq!(modes, [0o700, 0o700, 0o600]);
}

#[test]
fn what_has_not_changed_is_not_written_again() {
    let (_directory, path) = temporary();
    let mut stored = open(&path);
    stored.learn("a", "read");
    stored.store.synchronize();
    let stamp = file::stamp(&stored.path("a")).unwrap();
    stored.see("a");
    stored.baselines().tick(Instant::now(), SystemTime::now());
    stored.store.synchronize();
    assert_eq!(file::stamp(&stored.path("a")).unwrap(), stamp);
}

#[test]
fn an_edited_file_wins_over_what_was_learned_meanwhile() {
    let (_directory, path) = temporary();
    let mut stored = open(&path);
    stored.learn("a", "read");
    stored.store.synchronize();
    let edited = stored.text("a").replace("learning", "guarding").replace("x86_64/read", "x86_64/chroot");
    fs::write(stored.path("a"), &edited).unwrap();
    stored.learn("a", "write");
    stored.store.synchronize();
    assert_eq!(stored.calls("a"), Some(vec!["chroot"]));
    assert_eq!(stored.baselines().get(&key("a")).unwrap().state, Phase::Guarding);
    stored.store.synchronize();
    assert_eq!(stored.text("a"), edited);
}

#[test]
fn a_removed_file_is_forgotten_and_a_forgotten_baseline_has_no_file() {
    let (_directory, path) = temporary();
    let mut stored = open(&path);
    for name in ["a", "b"] {
        stored.learn(name, "read");
    }
    stored.store.synchronize();
    fs::remove_file(stored.path("a")).unwrap();
    stored.baselines().forget(&key("b"));
    stored.store.synchronize();
    assert_eq!((stored.calls("a"), stored.calls("b"), stored.files()), (None, None, 0));
}

#[test]
fn a_lost_directory_is_written_anew() {
    let (_directory, path) = temporary();
    let mut stored = open(&path);
    stored.learn("a", "read");
    stored.store.synchronize();
    fs::remove_dir_all(&path).unwrap();
    stored.store.synchronize();
    assert!(stored.text("a").contains("x86_64/read"));
    fs::rename(&path, path.with_extension("old")).unwrap();
    fs::create_dir_all(path.join("baselines")).unwrap();
    stored.store.synchronize();
    assert!(stored.text("a").contains("x86_64/read"), "an empty one in its place");
}

#[test]
fn files_that_are_no_baselines_are_left_alone_and_counted() {
    let (_directory, path) = temporary();
    let mut stored = open(&path);
    for name in ["broken", "newer", "renamed", "fine"] {
        stored.learn(name, "read");
    }
    stored.store.synchronize();
    let bad = [
        (stored.path("broken"), "{".to_owned()),
        (stored.path("newer"), stored.text("newer").replace("\"version\": 2", "\"version\": 3, \"more\": 1")),
        (stored.path("other"), stored.text("renamed")),
    ];
    drop(stored);
    for (path, text) in &bad {
        fs::write(path, text).unwrap();
    }
    symlink("/dev/zero", path.join("baselines/link.json")).unwrap();

    let mut stored = open(&path);
    assert_eq!(stored.status().unreadable, 4);
    assert_eq!((stored.calls("broken"), stored.calls("newer"), stored.calls("fine")), (None, None, Some(vec!["read"])));
    for name in ["broken", "newer", "other"] {
        stored.learn(name, "write");
    }
    stored.store.synchronize();
    for (path, text) in &bad {
        assert_eq!(&fs::read_to_string(path).unwrap(), text);
    }
    assert_eq!(stored.status().is_up, Some(true));

    let corrected = bad[1].1.replace("\"version\": 3, \"more\": 1", "\"version\": 2");
    fs::write(stored.path("newer"), &corrected).unwrap();
    stored.store.synchronize();
    stored.store.synchronize();
    assert_eq!((stored.calls("newer"), stored.text("newer")), (Some(vec!["read"]), corrected));

    fs::remove_file(stored.path("broken")).unwrap();
    stored.store.synchronize();
    assert!(stored.text("broken").contains("x86_64/write"), "what was learned meanwhile takes its place");
}

#[test]
fn one_syscallmon_at_a_time_has_the_directory() {
    let (_directory, path) = temporary();
    let mut first = open(&path);
    first.learn("a", "read");
    first.store.synchronize();
    let mut second = open(&path);
    assert_eq!((second.status().is_up, second.calls("a")), (Some(false), None));
    drop(first);
    second.store.synchronize();
    assert_eq!((second.status().is_up, second.calls("a")), (Some(true), Some(vec!["read"])));
}

#[test]
fn without_a_place_for_it_everything_goes_on_in_memory() {
    let (directory, _) = temporary();
    let mut stored = open(&directory.path().join("missing/syscallmon"));
    stored.learn("a", "read");
    for errors in 1..3 {
        stored.store.synchronize();
        assert_eq!(stored.status(), StoreStatus { is_up: Some(false), errors, unreadable: 0 });
    }
    assert_eq!(stored.calls("a"), Some(vec!["read"]));
    fs::create_dir(directory.path().join("missing")).unwrap();
    stored.store.synchronize();
    assert_eq!(stored.status().is_up, Some(true));
    assert!(stored.text("a").contains("x86_64/read"));
}

/// This test binary again, for one test that is ignored otherwise.
fn child_test(name: &str, mut program: Command, directory: &Path) -> Command {
    program.args(["--exact", &format!("store::tests::{name}"), "--ignored", "--nocapture"]).env("STATE", directory);
    program
}

fn this_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn given_directory() -> PathBuf {
    std::env::var_os("STATE").unwrap().into()
}

#[test]
fn whenever_it_is_killed_every_file_is_whole() {
    let (_directory, path) = temporary();
    for round in 0..20 {
        let mut writer = child_test("writes_until_it_is_killed", Command::new(this_program()), &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(40 + 7 * round));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let stored = open(&path);
        assert_eq!(stored.status().unreadable, 0);
        let hidden = fs::read_dir(path.join("baselines")).into_iter().flatten();
        assert!(hidden.flatten().all(|entry| !entry.file_name().to_string_lossy().starts_with('.')));
    }
    assert_eq!(open(&path).files(), 4);
}

#[test]
#[ignore = "writes for ever: run by whenever_it_is_killed_every_file_is_whole"]
fn writes_until_it_is_killed() {
    let mut stored = open(&given_directory());
    for call in ["read", "write"].iter().cycle() {
        for name in ["a", "b", "c", "d"] {
            stored.baselines().forget(&key(name));
            stored.learn(name, call);
        }
        stored.store.synchronize();
    }
}

#[test]
fn a_disk_that_is_full_or_read_only_loses_nothing() {
    let (_directory, path) = temporary();
    fs::create_dir(&path).unwrap();
    let mount = "mount -t tmpfs -o size=64k syscallmon-test \"$STATE\" && exec \"$@\"";
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", mount, "sh"]).arg(this_program());
    let output = child_test("a_small_disk_fills_up_and_becomes_read_only", unshare, &path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[test]
#[ignore = "needs a small file system of its own: run by a_disk_that_is_full_or_read_only_loses_nothing"]
fn a_small_disk_fills_up_and_becomes_read_only() {
    let path = given_directory();
    let remount = |how| {
        let status = Command::new("mount").args(["-o", how]).arg(&path).status();
        assert!(status.unwrap().success());
    };
    let mut stored = open(&path);
    stored.learn("a", "read");
    stored.store.synchronize();
    let before = stored.text("a");

    let filler = path.join("filler");
    fs::write(&filler, vec![0; 1 << 20]).unwrap_err();
    stored.learn("a", "write");
    stored.store.synchronize();
    assert_eq!(stored.status(), StoreStatus { is_up: Some(false), errors: 1, unreadable: 0 });
    assert_eq!((stored.text("a"), stored.files()), (before, 1));
    fs::remove_file(&filler).unwrap();
    stored.store.synchronize();
    assert_eq!(stored.status().is_up, Some(true));
    assert!(stored.text("a").contains("x86_64/write"));

    remount("remount,ro");
    stored.learn("a", "open");
    stored.baselines().approve(&key("a"), SystemTime::now());
    stored.store.synchronize();
    assert_eq!(stored.status(), StoreStatus { is_up: Some(false), errors: 2, unreadable: 0 });
    assert!(!stored.text("a").contains("x86_64/open") && stored.calls("a").unwrap().len() == 3);
    drop(stored);
    let mut stored = open_again(&path);
    assert_eq!((stored.status().is_up, stored.calls("a").unwrap().len()), (Some(true), 2), "it can be read");
    stored.learn("a", "open");
    remount("remount,rw");
    stored.store.synchronize();
    assert!(stored.text("a").contains("x86_64/open"));
}
