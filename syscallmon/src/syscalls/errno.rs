//! Names of error numbers, as in the kernel's headers.
//!
//! Has no state, and does not depend on the running kernel. x86 and Arm have the same numbers.

use super::table::errno::TABLE;

/// Returns the name of an error number, which is a failed call's result without its sign: `ENOENT` for 2.
///
/// Source: Linux's `asm-generic/errno.h`. Aliases are never returned: 11 is `EAGAIN`, not `EWOULDBLOCK`. The kernel's
/// internal numbers from 512 (`ERESTARTSYS`), which tracepoints can show, have no name here.
#[must_use]
pub fn name(errno: u16) -> Option<&'static str> {
    let index = TABLE.binary_search_by_key(&errno, |&(number, _)| number).ok()?;
    Some(TABLE[index].1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_have_the_names_of_the_headers() {
        let expected = [(1, "EPERM"), (2, "ENOENT"), (11, "EAGAIN"), (35, "EDEADLK"), (133, "EHWPOISON")];
        for (errno, expected) in expected {
            assert_eq!(name(errno), Some(expected), "{errno}");
        }
    }

    #[test]
    fn success_gaps_and_the_kernels_own_numbers_have_no_name() {
        for errno in [0, 41, 58, 511, 512, 516, 4095, u16::MAX] {
            assert_eq!(name(errno), None, "{errno}");
        }
    }

    #[test]
    fn table_is_sorted_and_has_every_name_once() {
        assert!(TABLE.is_sorted_by(|(a, _), (b, _)| a < b));
        let names: BTreeSet<&str> = TABLE.iter().map(|&(_, name)| name).collect();
        assert_eq!(names.len(), TABLE.len());
        assert!(!names.contains("EWOULDBLOCK"), "an alias");
    }
}
