//! Images for workloads: one with a program that only waits, and one with busybox.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use xtask_support::{
    arch::Arch,
    busybox,
    image::{self, Image, Layer},
    shell,
};

use super::{directories::Directories, programs};

/// The image of the first container of each pod.
pub(crate) const PAUSE: &str = "localhost/pause:1";
/// The image with busybox: a shell and its programs.
pub(crate) const BUSYBOX: &str = "localhost/busybox:1";

const DIRECTORIES: [&str; 8] = ["bin", "dev", "etc", "proc", "root", "run", "sys", "var"];
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";

/// Writes both images, in the format of `docker load`.
pub(crate) fn write(directories: &Directories) -> Result<Vec<PathBuf>> {
    let dir = directories.directory("images")?;
    let images = [("pause.tar", PAUSE, pause()?), ("busybox.tar", BUSYBOX, busybox()?)];
    let mut files = Vec::new();
    for (file, name, image) in images {
        let path = dir.join(file);
        fs::write(&path, image::docker::archive(&image, name)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        files.push(path);
    }
    Ok(files)
}

fn pause() -> Result<Image> {
    let program = programs::pause()?;
    let binary = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    Ok(Image { entrypoint: vec!["/pause".to_owned()], ..image(Layer::new().file("pause", &binary, 0o755)?)? })
}

fn busybox() -> Result<Image> {
    let program = busybox::fetch(Arch::native())?;
    let binary = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    let mut layer = Layer::new();
    for directory in DIRECTORIES {
        layer = layer.directory(directory, 0o755)?;
    }
    layer = layer.directory("tmp", 0o1777)?.file("bin/busybox", &binary, 0o755)?;
    let applets = shell::query(Command::new(&program).arg("--list"), "busybox must run here")?;
    for applet in applets.lines().filter(|&applet| applet != "busybox") {
        layer = layer.link(&format!("bin/{applet}"), "busybox")?;
    }
    layer = layer.file("etc/passwd", PASSWD.as_bytes(), 0o644)?.file("etc/group", GROUP.as_bytes(), 0o644)?;
    Ok(Image { command: vec!["sh".to_owned()], ..image(layer)? })
}

pub(super) fn image(layer: Layer) -> Result<Image> {
    Ok(Image {
        arch: Arch::native(),
        layer: layer.finish()?,
        entrypoint: Vec::new(),
        command: Vec::new(),
        environment: vec![image::PATH.to_owned()],
        labels: BTreeMap::new(),
    })
}
