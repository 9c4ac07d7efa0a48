//! Cgroups that come, go, and are walked over.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
};

use super::*;
use crate::cgroup::MountKind;

fn tree() -> (Tree, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    // A temporary directory does not have the hierarchy's root inode, but is all there is.
    (Tree { sees_all: true, partial: Vec::new(), ..tree_at(dir.path(), "/") }, dir)
}

fn tree_at(path: &Path, root: &str) -> Tree {
    let mount = Mount { path: path.to_owned(), root: root.into(), kind: MountKind::Cgroup2 };
    Tree::new([(&mount, 0)].into_iter())
}

#[test]
fn a_walk_names_every_directory_by_its_inode() {
    let (mut tree, dir) = tree();
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    fs::write(dir.path().join("a/cgroup.procs"), "").unwrap();
    tree.walk();
    let id = |path: &str| dir.path().join(path).metadata().unwrap().ino();
    assert_eq!(tree.path(id("")).map(AsRef::as_ref), Some("/"));
    assert_eq!(tree.path(id("a")).map(AsRef::as_ref), Some("/a"));
    assert_eq!(tree.path(id("a/b")).map(AsRef::as_ref), Some("/a/b"));
    assert_eq!(tree.path(id("a/cgroup.procs")), None);
}

#[test]
fn cgroups_of_two_hierarchies_are_kept_apart_by_their_marks() {
    let dir = tempfile::tempdir().unwrap();
    let mount = Mount { path: dir.path().to_owned(), root: "/".into(), kind: MountKind::Cgroup2 };
    let mut tree = Tree::new([(&mount, 0), (&mount, 1 << 63)].into_iter());
    fs::create_dir(dir.path().join("a")).unwrap();
    tree.walk();
    let id = dir.path().join("a").metadata().unwrap().ino();
    tree.apply(TreeChange::Died { id });
    assert_eq!((tree.dead(), tree.path(id | 1 << 63).map(AsRef::as_ref)), (&[id][..], Some("/a")));
    assert!(tree.paths_alive().contains(&Arc::from("/a")), "the other one is");
}

#[test]
fn a_part_of_the_hierarchy_has_the_hierarchy_s_paths() {
    let (_, dir) = tree();
    fs::create_dir(dir.path().join("x")).unwrap();
    let mut tree = tree_at(dir.path(), "/kubepods");
    tree.walk();
    let paths: Vec<_> = tree.cgroups.values().map(|cgroup| cgroup.path.to_string()).collect();
    assert!(paths.contains(&"/kubepods".to_owned()) && paths.contains(&"/kubepods/x".to_owned()), "{paths:?}");
}

#[test]
fn a_dead_cgroup_keeps_its_name_until_it_is_forgotten() {
    let (mut tree, _dir) = tree();
    tree.apply(TreeChange::Born { id: 7, parent: None, unprivileged: false, path: b"/a" });
    assert!(tree.dead().is_empty() && tree.paths_alive().contains(&Arc::from("/a")));
    tree.apply(TreeChange::Died { id: 7 });
    tree.apply(TreeChange::Died { id: 7 });
    assert_eq!((tree.dead(), tree.path(7).map(AsRef::as_ref)), (&[7][..], Some("/a")));
    assert!(!tree.paths_alive().contains(&Arc::from("/a")));
    tree.forget(&[7]);
    assert_eq!((tree.dead(), tree.path(7)), (&[][..], None));
}

#[test]
fn a_death_without_a_birth_is_a_death_without_a_name() {
    let (mut tree, _dir) = tree();
    tree.apply(TreeChange::Died { id: 9 });
    assert_eq!((tree.dead(), tree.path(9)), (&[9][..], None));
}

#[test]
fn a_cgroup_that_two_complete_walks_miss_is_buried() {
    let (mut tree, dir) = tree();
    fs::create_dir(dir.path().join("stays")).unwrap();
    fs::create_dir(dir.path().join("goes")).unwrap();
    tree.walk();
    let id = dir.path().join("goes").metadata().unwrap().ino();
    fs::remove_dir(dir.path().join("goes")).unwrap();
    assert!(tree.walk());
    assert_eq!(tree.dead(), [0; 0], "it may only not be visible yet");
    assert!(tree.walk());
    assert_eq!(tree.dead(), [id]);
}

#[test]
fn a_walk_that_does_not_see_everything_buries_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut partial = tree_at(dir.path(), "/");
    partial.apply(TreeChange::Born { id: 5, parent: Some(4), unprivileged: false, path: b"/elsewhere" });
    assert!(!partial.walk() && !partial.walk());
    assert_eq!(partial.dead(), [0; 0]);

    let (mut unreadable, dir) = tree();
    unreadable.apply(TreeChange::Born { id: 5, parent: None, unprivileged: false, path: b"/a/b" });
    drop(dir);
    assert!(!unreadable.walk() && !unreadable.walk(), "the root itself cannot be read");
    assert_eq!(unreadable.dead(), [0; 0]);
}

#[test]
fn a_cgroup_whose_path_is_too_long_has_the_name_of_the_one_above() {
    let (mut tree, _dir) = tree();
    let path = format!("/a/{}/{}/{}", "b".repeat(250), "c".repeat(250), "d".repeat(600));
    let above = &path[..path.rfind('/').unwrap()];
    tree.apply(TreeChange::Born { id: 5, parent: None, unprivileged: false, path: &path.as_bytes()[..1023] });
    assert_eq!(tree.path(5).map(AsRef::as_ref), Some(above));
    assert_eq!(tree.take_named(), [0; 0], "its own is not known");
    tree.add(6, &path, None, || false);
    assert_eq!(tree.path(6), tree.path(5), "a walk says the same");
}

#[test]
fn in_a_part_of_the_hierarchy_new_cgroups_are_named_after_the_ones_that_they_are_in() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("kubepods")).unwrap();
    let mut tree = tree_at(dir.path(), "/");
    tree.walk();
    let kubepods = dir.path().join("kubepods").metadata().unwrap().ino();
    // The path in the event begins at a root outside the mount.
    let born = |id, parent, path| TreeChange::Born { id, parent: Some(parent), unprivileged: false, path };
    tree.apply(born(1 << 40, kubepods, b"/docker/0123/kubepods/pod"));
    tree.apply(born(2 << 40, 1 << 40, b"/docker/0123/kubepods/pod/container"));
    assert_eq!(tree.path(2 << 40).map(AsRef::as_ref), Some("/kubepods/pod/container"));
    tree.apply(born(3 << 40, 7 << 40, b"/system.slice/other"));
    assert_eq!((tree.path(3 << 40), tree.knows(3 << 40)), (None, true), "it is outside of the mount");
    tree.apply(TreeChange::Born { id: 4 << 40, parent: None, unprivileged: false, path: b"/docker/0123/late" });
    assert!(!tree.knows(4 << 40), "a walk has to find it");
}

#[test]
fn the_room_for_cgroups_is_given_back_when_they_go() {
    let (mut tree, _dir) = tree();
    for id in 1..=20_000 {
        tree.apply(TreeChange::Born { id, parent: None, unprivileged: false, path: format!("/storm/{id}").as_bytes() });
    }
    (1..=20_000).for_each(|id| tree.apply(TreeChange::Died { id }));
    tree.take_named();
    tree.forget(&(1..=20_000).collect::<Vec<u64>>());
    assert!(tree.cgroups.capacity() <= LEAST_ROOM && tree.dead.capacity() <= LEAST_ROOM);
}

#[test]
fn a_name_that_comes_late_is_taken_and_then_kept() {
    let (mut tree, _dir) = tree();
    tree.add_unnamed(5);
    assert_eq!(tree.path(5), None);
    for path in [b"/a", b"/b"] {
        tree.apply(TreeChange::Born { id: 5, parent: None, unprivileged: false, path });
        assert_eq!(tree.path(5).map(AsRef::as_ref), Some("/a"));
    }
}

#[test]
fn bytes_that_are_not_text_are_replaced() {
    let (mut tree, _dir) = tree();
    tree.apply(TreeChange::Born { id: 5, parent: None, unprivileged: false, path: b"/a\xff\n\"" });
    assert_eq!(tree.path(5).map(AsRef::as_ref), Some("/a\u{fffd}\n\""));
}

#[test]
fn a_walk_distinguishes_a_container_from_a_directory_of_a_user() {
    let (mut tree, dir) = tree();
    let id = "a".repeat(64);
    for unit in ["root.service", "user.service"] {
        fs::create_dir_all(dir.path().join(unit).join(&id).join("x")).unwrap();
    }
    if chown(dir.path().join("user.service"), Some(65534), None).is_err() {
        return;
    }
    tree.walk();
    let path = |path: &str| tree.path(dir.path().join(path).metadata().unwrap().ino()).unwrap().to_string();
    assert_eq!(path(&format!("root.service/{id}/x")), format!("/root.service/{id}"));
    assert_eq!(path(&format!("user.service/{id}/x")), "/user.service");
    assert_eq!((tree.id_of("/user.service").is_some(), tree.id_of(&format!("/user.service/{id}"))), (true, None));
}

#[test]
fn no_container_makes_a_walk_long() {
    let (mut tree, dir) = tree();
    let container = dir.path().join("a".repeat(64));
    let nested = |index: usize| container.join(index.to_string()).join("x");
    let count = 5000;
    (0..count).for_each(|index| fs::create_dir_all(nested(index)).unwrap());
    fs::create_dir(dir.path().join("other")).unwrap();
    tree.walk();
    let known = (0..count).filter(|&index| tree.knows(nested(index).metadata().unwrap().ino())).count();
    assert!(known < count, "{known}");
    assert!(tree.knows(dir.path().join("other").metadata().unwrap().ino()));
    // What it has not looked into is not taken for gone.
    for index in 0..count {
        let id = nested(index).metadata().unwrap().ino();
        tree.apply(TreeChange::Born {
            id,
            parent: None,
            unprivileged: false,
            path: format!("/{}/x/x", "a".repeat(64)).as_bytes(),
        });
    }
    assert!(tree.walk() && tree.walk() && tree.walk());
    assert_eq!(tree.dead(), [0; 0]);
}
