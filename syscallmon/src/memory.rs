//! How the process gets its memory from the C library.

/// Makes every thread allocate from the same place; must run before other threads start.
///
/// glibc gives each thread an arena that keeps what was freed in it. Rendering moves between threads, so each of them
/// would keep the memory of a whole exposition: 97 MB resident with 31,000 series instead of 38 MB.
pub fn use_one_arena() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: mallopt takes integers, and no other thread allocates yet.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}
