//! Pinned programs: their descriptors, and what they are. aya asks for programs and types by id, which requires
//! `CAP_SYS_ADMIN`. This asks by path and descriptor, for which `CAP_BPF` is enough.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

const BPF_OBJ_GET: i64 = 7;
const BPF_OBJ_GET_INFO_BY_FD: i64 = 15;

/// Maps of a program that are read. Dispatchers have two.
const MAX_MAPS: u32 = 8;

/// Length of [`Info`]. The kernel fills in no more.
const INFO_LEN: u32 = 64;

/// Arguments of `BPF_OBJ_GET`: a member of `union bpf_attr` (`include/uapi/linux/bpf.h`).
#[repr(C)]
#[derive(Default)]
struct GetArguments {
    path: u64,
    fd: u32,
    flags: u32,
}

/// Arguments of `BPF_OBJ_GET_INFO_BY_FD`: likewise.
#[repr(C)]
struct InfoArguments {
    fd: u32,
    info_len: u32,
    info: u64,
}

/// The head of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct Info {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    jited_len: u32,
    translated_len: u32,
    jited: u64,
    translated: u64,
    load_time: u64,
    created_by_uid: u32,
    maps: u32,
    map_ids: u64,
}

const _: () = assert!(
    size_of::<GetArguments>() == 16 && size_of::<InfoArguments>() == 16 && size_of::<Info>() == INFO_LEN as usize
);

/// What a program is: the type, the hash of the instructions, and the ids of the maps in ascending order.
#[derive(Debug)]
pub(super) struct Identity {
    /// The kernel's id of this program.
    pub(super) id: u32,
    kind: u32,
    tag: [u8; 8],
    maps: Vec<u32>,
}

impl Identity {
    /// Whether two programs do the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.kind, self.tag, &self.maps) == (other.kind, other.tag, &other.maps)
    }
}

/// Opens what is pinned at a path.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let arguments = GetArguments { path: path.as_ptr().expose_provenance() as u64, ..GetArguments::default() };
    let fd = call(BPF_OBJ_GET, &arguments)?;
    // SAFETY: the kernel just created the descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Returns what a program is.
pub(super) fn identity(program: BorrowedFd<'_>) -> io::Result<Identity> {
    let mut map_ids = [0_u32; MAX_MAPS as usize];
    let mut info = Info { maps: MAX_MAPS, map_ids: map_ids.as_mut_ptr().expose_provenance() as u64, ..Info::default() };
    let arguments = InfoArguments {
        fd: program.as_raw_fd().cast_unsigned(),
        info_len: INFO_LEN,
        info: (&raw mut info).expose_provenance() as u64,
    };
    call(BPF_OBJ_GET_INFO_BY_FD, &arguments)?;
    let count = info.maps as usize;
    let mut maps = map_ids.get(..count).ok_or_else(|| io::Error::other("too many maps"))?.to_vec();
    maps.sort_unstable();
    Ok(Identity { id: info.id, kind: info.kind, tag: info.tag, maps })
}

/// Calls `bpf`. All pointers in the arguments must lead to memory that is as long as the kernel expects.
fn call<A>(command: i64, arguments: &A) -> io::Result<i32> {
    // SAFETY: the stated length is the real one, and the callers above guarantee the rest.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(arguments), size_of::<A>()) };
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd};

    use super::*;

    #[test]
    fn what_is_no_program_is_an_error() {
        assert!(open(Path::new("/dev/null")).is_err());
        assert!(open(Path::new("/a\0b")).is_err());
        assert!(identity(File::open("/dev/null").unwrap().as_fd()).is_err());
    }
}
