//! Reads fields of BPF programs and maps from `/proc/self/fdinfo`. It has the data of `BPF_OBJ_GET_INFO_BY_FD`, but
//! needs no privilege and no unsafe code.

use std::{
    fs,
    os::fd::{AsRawFd, BorrowedFd},
    path::Path,
};

/// Returns a number from the file of one descriptor; `None` if the kernel does not report it.
///
/// Programs have `recursion_misses` from Linux 5.12 on, maps always have `memlock` (bytes).
pub(super) fn field(fd: BorrowedFd<'_>, name: &str) -> Option<u64> {
    let path = Path::new("/proc/self/fdinfo").join(fd.as_raw_fd().to_string());
    parse(&fs::read_to_string(path).ok()?, name)
}

fn parse(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "pos:\t0\nrun_cnt:\t5\nrecursion_misses:\t12\nmemlock:\tx\n";
        assert_eq!(parse(text, "recursion_misses"), Some(12));
        assert_eq!(parse(text, "misses"), None);
        assert_eq!(parse(text, "memlock"), None);
    }
}
