//! The BTF inside kernel images, which the daemon's reader must read as bpftool does.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, ensure};
use xtask_support::{shell, workspace};

/// First bytes of a blob: its magic in little endian, version 1, no flags, 24 bytes of header.
const BLOB: [u8; 8] = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
const HEADER_BYTES: usize = 24;
/// Minimum size of a kernel's types. Smaller blobs are those of modules.
const MIN_TYPES: usize = 1 << 20;

/// First bytes of a compressed kernel, and the program that decompresses it. Bytes behind its end are ignored.
const COMPRESSIONS: [(&[u8], &str); 4] = [
    (&[0x1f, 0x8b, 8], "gzip"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    (&[2, 0x21, 0x4c, 0x18], "lz4"),
];
/// Places with such bytes that are tried. Some are not the beginning of a compressed kernel.
const TRIES: usize = 8;

/// Checks the daemon's reader with the kernels in these images.
pub(super) fn check(root: &Path, images: impl IntoIterator<Item = PathBuf>) -> Result<()> {
    let dir = workspace::target_dir(root).join("vm/btf");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let mut files = Vec::new();
    for (index, image) in images.into_iter().collect::<BTreeSet<_>>().into_iter().enumerate() {
        let bytes = fs::read(&image).with_context(|| format!("cannot read {}", image.display()))?;
        let blob = extract(&bytes).with_context(|| format!("no BTF in {}", image.display()))?;
        let file = dir.join(index.to_string());
        fs::write(&file, blob).with_context(|| format!("cannot write {}", file.display()))?;
        files.push(file.display().to_string());
    }
    ensure!(!files.is_empty(), "no kernel has BTF");
    let mut test = Command::new(workspace::cargo());
    test.current_dir(root).args(["test", "--locked", "--package", "syscallmon", "--lib", "--", "--nocapture"]);
    test.arg("every_type_of_a_kernel").env("SYSCALLMON_TEST_BTF", files.join("\n"));
    shell::run(&mut test, "mend syscallmon/src/kernel/btf/types.rs")
}

/// Returns the blob in an image, compressed or not.
fn extract(image: &[u8]) -> Option<Vec<u8>> {
    let compressed = COMPRESSIONS.iter().flat_map(|&(magic, program)| {
        let places = image.windows(magic.len()).enumerate().filter(move |(_, window)| *window == magic);
        places.take(TRIES).filter_map(move |(at, _)| find(&decompressed(program, &image[at..])))
    });
    find(image).into_iter().chain(compressed).next()
}

fn find(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut places = bytes.windows(BLOB.len()).enumerate().filter(|(_, window)| *window == BLOB);
    places.find_map(|(at, _)| blob(&bytes[at..])).map(<[u8]>::to_vec)
}

fn blob(bytes: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let (types, strings) = ((word(8)?, word(12)?), (word(16)?, word(20)?));
    let end = HEADER_BYTES + (types.0 + types.1).max(strings.0 + strings.1);
    if types.1 < MIN_TYPES { None } else { bytes.get(..end) }
}

/// Returns what the program makes of the bytes until their end, or until they are no longer its own.
fn decompressed(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return Vec::new() };
    let mut stdin = child.stdin.take().expect("piped");
    thread::scope(|scope| {
        // It ends early at bytes that are not its own.
        scope.spawn(move || drop(stdin.write_all(bytes)));
        child.wait_with_output().map(|output| output.stdout).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_found_in_plain_and_compressed_images() {
        let mut blob = BLOB.to_vec();
        let types = u32::try_from(MIN_TYPES).unwrap();
        blob.extend([0, types, types, 4].into_iter().flat_map(u32::to_le_bytes));
        blob.resize(HEADER_BYTES + MIN_TYPES + 4, 7);
        let plain = [b"kernel ".as_slice(), &BLOB, &blob, b" more"].concat();
        assert_eq!(extract(&plain).as_ref(), Some(&blob));
        let mut gzip = flate2::write::GzEncoder::new(b"loader ".to_vec(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let image = [gzip.finish().unwrap(), b"trailer".to_vec()].concat();
        assert_eq!(extract(&image), Some(blob));
        assert_eq!(extract(b"kernel"), None);
    }
}
