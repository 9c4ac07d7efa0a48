//! Errors with their causes, in one line.

use std::{error::Error, iter};

/// Returns an error and its causes, from the outermost to the innermost: `cannot connect: Connection refused`.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Returns an error, its cause, the cause of that, and so on.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error| (*error).source())
}
