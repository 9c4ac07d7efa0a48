//! Tests whether the kernel accepts programs that may sleep on the syscall tracepoints.
//!
//! aya cannot load such a program, so this module makes the system call itself. The program has two instructions, is
//! never attached, and is freed after the test.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
};

/// `mov r0, 0; exit`
static INSTRUCTIONS: [u64; 2] = [0xb7, 0x95];
static LICENSE: &[u8] = b"Dual MIT/GPL\0";

/// Arguments of `BPF_PROG_LOAD`: the head of `union bpf_attr` (`include/uapi/linux/bpf.h`).
#[repr(C)]
#[derive(Default)]
struct LoadArguments {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

const _: () = assert!(size_of::<LoadArguments>() == 112);

const BPF_PROG_LOAD: i64 = 5;
const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_TRACE_RAW_TP: u32 = 23;
const BPF_F_SLEEPABLE: u32 = 1 << 4;

/// Whether programs on a tracepoint may sleep. `type_id` is the id of `btf_trace_<name>` in the kernel's BTF.
///
/// Any error means no, because kernels without support return different errors.
pub(super) fn is_accepted(type_id: u32) -> bool {
    let arguments = LoadArguments {
        prog_type: BPF_PROG_TYPE_TRACING,
        insn_cnt: 2,
        insns: INSTRUCTIONS.as_ptr().expose_provenance() as u64,
        license: LICENSE.as_ptr().expose_provenance() as u64,
        prog_flags: BPF_F_SLEEPABLE,
        expected_attach_type: BPF_TRACE_RAW_TP,
        attach_btf_id: type_id,
        ..LoadArguments::default()
    };
    load(&arguments).is_ok()
}

fn load(arguments: &LoadArguments) -> io::Result<OwnedFd> {
    // SAFETY: the stated length is the real one, and the pointers lead to static data.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, std::ptr::from_ref(arguments), size_of::<LoadArguments>())
    };
    match i32::try_from(fd) {
        // SAFETY: the kernel just created the descriptor, and nothing else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
