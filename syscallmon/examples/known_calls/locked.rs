//! A process with a memory map that is nearly always locked for writing. Reading its command line blocks.

use std::{ptr, thread, time::Duration};

/// Pages that exist make `mprotect` slow.
const BYTES: usize = 4 << 30;

/// Makes each call once, 20 ms apart, while this many threads keep the map locked. Then waits.
pub(crate) fn calls(threads: usize, seconds: u64, numbers: &[i64]) {
    let map = if threads > 0 { map() as usize } else { 0 };
    for _ in 0..threads {
        thread::spawn(move || {
            loop {
                for protection in [libc::PROT_READ, libc::PROT_NONE] {
                    // SAFETY: no code uses the mapping, and it has this length.
                    unsafe { libc::mprotect(map as *mut libc::c_void, BYTES, protection) };
                }
            }
        });
    }
    for &number in numbers {
        thread::sleep(Duration::from_millis(20));
        super::syscall(number);
    }
    thread::sleep(Duration::from_secs(seconds));
}

/// Makes a mapping in which all pages are the zero page. It costs only page tables.
fn map() -> *mut libc::c_void {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping; it is read below within its length.
    unsafe {
        let map = libc::mmap(ptr::null_mut(), BYTES, libc::PROT_READ, flags, -1, 0);
        assert_ne!(map, libc::MAP_FAILED, "mmap");
        libc::madvise(map, BYTES, libc::MADV_NOHUGEPAGE);
        libc::madvise(map, BYTES, libc::MADV_POPULATE_READ);
        map
    }
}
