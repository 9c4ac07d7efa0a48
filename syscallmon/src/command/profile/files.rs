//! Reads profiles, and writes files whole or not at all.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    files,
    profile::{ProfileFile, is_drop_in, read_drop_in},
    seccomp::Profile,
};

/// A profile as it was read.
pub(super) struct ReadProfile {
    pub(super) profile: Profile,
    /// The whole document. A drop-in is converted.
    pub(super) document: Value,
    /// Whether it is the drop-in of a systemd unit, which no container runtime reads.
    pub(super) is_drop_in: bool,
}

/// Reads a profile: JSON of OCI or Docker, an object of the security-profiles-operator, or the drop-in of a unit.
pub(super) fn read_profile(path: &Path) -> Result<ReadProfile> {
    let shown = path.display();
    let text = files::read_text(path).with_context(|| format!("cannot read {shown}"))?;
    parse_profile(&text).with_context(|| {
        format!(
            "{shown} is not a seccomp profile of OCI, Docker or the security-profiles-operator, nor a drop-in with \
             SystemCallFilter="
        )
    })
}

fn parse_profile(text: &str) -> Result<ReadProfile> {
    if is_drop_in(text) {
        let document = read_drop_in(text)?;
        return Ok(ReadProfile { profile: Profile::from_value(document.clone())?, document, is_drop_in: true });
    }
    let is_drop_in = false;
    let document: Value =
        if text.trim_start().starts_with('{') { serde_json::from_str(text)? } else { serde_saphyr::from_str(text)? };
    if let Some(kind) = document.get("kind") {
        if kind != "SeccompProfile" {
            bail!("the object is of kind {kind}, not SeccompProfile");
        }
        return Ok(ReadProfile { profile: Profile::from_value(document["spec"].clone())?, document, is_drop_in });
    }
    // A second parse has line and column in its errors.
    let profile =
        if text.trim_start().starts_with('{') { Profile::parse(text)? } else { Profile::from_value(document.clone())? };
    Ok(ReadProfile { profile, document, is_drop_in })
}

/// Writes a file, whole. A reader gets the old file or the new one. A device or a pipe, such as `/dev/stdout`, is
/// written to; the target of a link is replaced, and not the link.
pub(super) fn install(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = match fs::metadata(path) {
        Ok(found) if found.is_file() => fs::canonicalize(path)?,
        // Fails for a directory.
        Ok(_) => return fs::OpenOptions::new().write(true).open(path)?.write_all(content),
        Err(_) => path.to_owned(),
    };
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let name = target.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file name"))?;
    let mut new = name.to_owned();
    new.push(format!(".new-{}", std::process::id()));
    let new = directory.join(new);
    let written = fs::write(&new, content).and_then(|()| fs::rename(&new, &target));
    if written.is_err() {
        // It may not have been made.
        let _ = fs::remove_file(&new);
    }
    written
}

/// Writes the files of a profile: one file, or a new directory.
pub(super) fn write(output: &Path, written: &[ProfileFile]) -> Result<()> {
    let shown = output.display();
    if let [ProfileFile { path, content }] = written
        && path.as_os_str().is_empty()
    {
        return install(output, content).with_context(|| format!("cannot write {shown}"));
    }
    if output.exists() {
        bail!("{shown} exists: choose a new directory with --output");
    }
    // Without a slash at the end.
    let output: &Path = &output.components().collect::<PathBuf>();
    let mut unfinished = output.as_os_str().to_owned();
    unfinished.push(format!(".new-{}", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let fill = || {
        for ProfileFile { path, content } in written {
            install(&unfinished.join(path), content)?;
        }
        fs::rename(&unfinished, output)
    };
    let filled = fill();
    if filled.is_err() {
        let _ = fs::remove_dir_all(&unfinished);
    }
    filled.with_context(|| format!("cannot write {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_in_every_form() {
        let oci =
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#;
        let spo = format!(r#"{{"kind": "SeccompProfile", "spec": {oci}}}"#);
        let yaml = "kind: SeccompProfile\nspec:\n  defaultAction: SCMP_ACT_ERRNO\n  syscalls:\n    - action: SCMP_ACT_ALLOW\n      names: [read]\n";
        for text in [oci, &spo, yaml, "[Service]\nSystemCallFilter=read\nSystemCallArchitectures=x86-64\n"] {
            let read = parse_profile(text).unwrap().profile;
            assert!(read.decide("x86_64", "x86_64", "read", &[0; 6]).allows(), "{text}");
        }
        for text in
            ["", "kind: Pod", "{\"kind\": 7}", "[]", "defaultAction: SCMP_ACT_MAYBE", "{\"defaultAction\": \n 7}"]
        {
            assert!(parse_profile(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.json");
        install(&path, b"old").unwrap();
        fs::create_dir(directory.path().join(format!("web.json.new-{}", std::process::id()))).unwrap();
        assert!(install(&path, b"new").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn devices_pipes_and_links_stay_what_they_are() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let device = || fs::metadata("/dev/null").unwrap().file_type().is_char_device();
        symlink("/dev/null", at("null")).unwrap();
        install(&at("null"), b"x").unwrap();
        install(Path::new("/dev/null"), b"x").unwrap();
        assert!(device() && fs::symlink_metadata(at("null")).unwrap().is_symlink());
        fs::write(at("file"), "old").unwrap();
        symlink("file", at("link")).unwrap();
        install(&at("link"), b"new").unwrap();
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
        assert_eq!(fs::read(at("file")).unwrap(), b"new");
        assert!(install(directory.path(), b"x").is_err());
    }

    #[test]
    fn a_directory_is_written_once_and_never_over_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("artifact/");
        let files = [("index.json", "{}"), ("blobs/sha256/0", "x")];
        let files = files.map(|(path, content)| ProfileFile { path: path.into(), content: content.into() });
        write(&path, &files).unwrap();
        assert_eq!(fs::read(path.join("blobs/sha256/0")).unwrap(), b"x");
        assert!(write(&path, &files).unwrap_err().to_string().contains("exists"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
