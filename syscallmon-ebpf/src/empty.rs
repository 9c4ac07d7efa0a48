//! The yardstick of `cargo xtask bench`: what a program costs that does nothing at all.

#![no_std]
#![no_main]
#![expect(unreachable_pub, reason = "the macro that declares programs asks for `pub`, in a binary too")]
#![expect(missing_docs, reason = "the function that the macro makes around the program has none")]

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

/// Does nothing at every `sys_enter`.
#[btf_tracepoint(function = "sys_enter")]
pub fn empty(_: BtfTracePointContext) -> i32 {
    0
}

/// Does nothing at every `sys_exit`.
#[btf_tracepoint(function = "sys_exit")]
pub fn empty_exit(_: BtfTracePointContext) -> i32 {
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
