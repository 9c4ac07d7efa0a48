//! Memory allocation of the C library.

/// Makes all threads allocate from the same arena. Must run before other threads start.
///
/// By default, glibc gives each thread an arena, which keeps freed memory. Rendering moves between threads, so each
/// arena would keep a whole exposition: 97 MB of resident memory with 31,000 series instead of 38 MB.
pub fn use_one_arena() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: mallopt takes integers, and no other thread allocates yet.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}
