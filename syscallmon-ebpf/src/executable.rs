//! The executable of a process: its identity and its path.

use aya_ebpf::helpers::bpf_probe_read_kernel_str_bytes;
use syscallmon_common::{EXE_DELETED, EXE_NO_PATH, EXE_PARTS, Executable, UNKNOWN_OFFSET};

use crate::{
    globals::{
        OFFSET_DENTRY_HASHED, OFFSET_DENTRY_NAME, OFFSET_DENTRY_PARENT, OFFSET_FILE_DENTRY, OFFSET_FILE_INODE,
        OFFSET_FILE_MNT, OFFSET_INODE_NLINK, OFFSET_INODE_SIZE, OFFSET_MM_EXE_FILE, OFFSET_MOUNT_MNT,
        OFFSET_MOUNT_MNT_NS, OFFSET_TASK_MM,
    },
    task::field,
};

/// Returns the executable of a task.
#[inline(always)]
pub fn of(task: *const u8) -> Option<*const u8> {
    let memory: *const u8 = field(task, OFFSET_TASK_MM.load())?;
    field(memory, OFFSET_MM_EXE_FILE.load())
}

/// Distinguishes executables: address of the inode, and length.
#[derive(Clone, Copy)]
pub struct Identity {
    pub inode: u64,
    pub len: u64,
}

/// Returns the identity of a file.
#[inline(always)]
pub fn identity(file: *const u8) -> Option<Identity> {
    let inode: u64 = field(file, OFFSET_FILE_INODE.load())?;
    Some(Identity { inode, len: field(inode as *const u8, OFFSET_INODE_SIZE.load())? })
}

/// Whether a file is that executable, or a copy of the same length that is unlinked or from another mount namespace.
/// Container runtimes copy themselves in this way.
#[inline(always)]
pub fn is_copy(file: *const u8, original: Identity, mount_namespace: u64) -> bool {
    let Some(Identity { inode, len }) = identity(file) else { return false };
    if inode == original.inode {
        return true;
    }
    let is_unlinked = field::<u32>(inode as *const u8, OFFSET_INODE_NLINK.load()) == Some(0);
    len == original.len && (is_unlinked || is_mounted_elsewhere(file, mount_namespace))
}

/// Whether a file is systemd's executor, in the same directory as the program of systemd. From version 255 on, systemd
/// starts it in a unit, and it executes the unit's program.
#[inline(always)]
pub fn is_executor_beside(file: *const u8, systemd: *const u8) -> bool {
    is_systemd_executor(file as u64, systemd as u64) != 0
}

/// See [`is_executor_beside`]. A global function: the verifier checks it once, not for each path to it.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn is_systemd_executor(file: u64, systemd: u64) -> u32 {
    let dentry = |file: u64| field::<*const u8>(file as *const u8, OFFSET_FILE_DENTRY.load());
    let directory = |dentry| field::<u64>(dentry, OFFSET_DENTRY_PARENT.load());
    let (Some(own), Some(of_systemd)) = (dentry(file), dentry(systemd)) else { return 0 };
    let Some(name) = field::<*const u8>(own, OFFSET_DENTRY_NAME.load()) else { return 0 };
    let is_named = field(name, 0) == Some(u64::from_le_bytes(*b"systemd-"))
        && field(name, 8) == Some(u64::from_le_bytes(*b"executor"))
        && field(name, 16) == Some(0_u8);
    let (Some(directory), Some(of_systemd)) = (directory(own), directory(of_systemd)) else { return 0 };
    u32::from(is_named && directory == of_systemd)
}

/// Whether a file was opened through a mount of another mount namespace, or of none.
#[inline(always)]
fn is_mounted_elsewhere(file: *const u8, mount_namespace: u64) -> bool {
    if OFFSET_MOUNT_MNT_NS.load() == UNKNOWN_OFFSET {
        return false;
    }
    let Some(mnt) = field::<u64>(file, OFFSET_FILE_MNT.load()) else { return false };
    let mount = mnt.wrapping_sub(OFFSET_MOUNT_MNT.load());
    field::<u64>(mount as *const u8, OFFSET_MOUNT_MNT_NS.load()).is_some_and(|of_mount| of_mount != mount_namespace)
}

/// Writes the path components of a task's executable, from the file name up to the root of its file system. A file
/// without a parent, such as a memfd, has one component.
#[inline(always)]
pub fn write_names(task: *const u8, to: &mut Executable) -> Option<()> {
    (to.parts, to.flags) = (0, 0);
    let mut dentry: *const u8 = field(of(task)?, OFFSET_FILE_DENTRY.load())?;
    // As in `d_path`: an unhashed dentry was removed, or never had a path.
    if field::<u64>(dentry, OFFSET_DENTRY_HASHED.load()) == Some(0) {
        to.flags |= EXE_DELETED;
    }
    for part in 0..EXE_PARTS {
        let parent: *const u8 = field(dentry, OFFSET_DENTRY_PARENT.load())?;
        if parent == dentry {
            if part > 0 {
                break;
            }
            to.flags |= EXE_NO_PATH;
        }
        let name: *const u8 = field(dentry, OFFSET_DENTRY_NAME.load())?;
        // SAFETY: the kernel checks the read.
        unsafe { bpf_probe_read_kernel_str_bytes(name, &mut to.names[part]) }.ok()?;
        to.parts = part as u32 + 1;
        if parent == dentry {
            break;
        }
        dentry = parent;
    }
    Some(())
}
