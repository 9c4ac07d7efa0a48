//! Shared limits for files of policies. The largest file is refused, so no file takes the room of others.

use std::iter::Sum;

/// Maximum policies of all files.
pub const MAX_POLICIES: usize = 1000;

/// Maximum bytes of compiled regular expressions of all policies.
pub const MAX_EXPRESSIONS: usize = 16 * 1024 * 1024;

/// Size of a file of policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSize {
    /// Number of policies.
    pub policies: usize,
    /// Bytes of compiled regular expressions.
    pub expressions: usize,
}

impl Sum for FileSize {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        let add = |sum: Self, size: Self| Self {
            policies: sum.policies + size.policies,
            expressions: sum.expressions + size.expressions,
        };
        sizes.fold(Self::default(), add)
    }
}

/// Returns the position of the file to refuse if all together exceed a limit: the largest by that limit, the last of
/// equals.
#[must_use]
pub fn file_to_refuse(sizes: &[FileSize]) -> Option<usize> {
    let sum: FileSize = sizes.iter().copied().sum();
    let largest = |by: fn(&FileSize) -> usize| (0..sizes.len()).max_by_key(|&at| by(&sizes[at]));
    if sum.expressions > MAX_EXPRESSIONS {
        largest(|size| size.expressions)
    } else if sum.policies > MAX_POLICIES {
        largest(|size| size.policies)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn in_force(mut sizes: Vec<FileSize>) -> Vec<FileSize> {
        while let Some(at) = file_to_refuse(&sizes) {
            sizes[at] = FileSize::default();
        }
        sizes
    }

    proptest! {
        #[test]
        fn a_file_within_its_share_is_never_refused(
            policies in prop::collection::vec(0..=2 * MAX_POLICIES, 1..20),
            expressions in prop::collection::vec(0..=2 * MAX_EXPRESSIONS, 20),
        ) {
            let sizes: Vec<FileSize> = policies.into_iter().zip(expressions)
                .map(|(policies, expressions)| FileSize { policies, expressions }).collect();
            let left = in_force(sizes.clone());
            let sum: FileSize = left.iter().copied().sum();
            prop_assert!(sum.policies <= MAX_POLICIES && sum.expressions <= MAX_EXPRESSIONS);
            for (before, after) in sizes.iter().zip(&left) {
                let fits = before.policies <= MAX_POLICIES / sizes.len();
                let fits = fits && before.expressions <= MAX_EXPRESSIONS / sizes.len();
                prop_assert!(!fits || before == after, "{before:?} of {sizes:?}");
            }
        }
    }
}
