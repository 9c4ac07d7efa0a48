//! Waits for actions of another process.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::interrupt;

/// Pause of tests between two calls of `look`.
const PAUSE: Duration = Duration::from_millis(20);

/// Calls `look`, with a pause after each call, until it returns a value.
///
/// # Errors
///
/// If `look` fails, on Ctrl-C (see [`interrupt::watch`]), and after `timeout`. The error names `what`.
pub fn try_wait_for<T>(
    what: &str,
    timeout: Duration,
    pause: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begin = Instant::now();
    loop {
        interrupt::check()?;
        if let Some(found) = look().with_context(|| format!("while waiting for {what}"))? {
            return Ok(found);
        }
        ensure!(begin.elapsed() < timeout, "{what}: not within {timeout:?}");
        thread::sleep(pause);
    }
}

/// Does the same for tests.
///
/// # Panics
///
/// After `timeout`, with `what`.
pub fn wait_for<T>(what: &str, timeout: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    try_wait_for(what, timeout, PAUSE, || Ok(look())).unwrap_or_else(|error| panic!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn waiting_ends_with_what_was_found_or_with_what_was_missed() {
        let mut looks = 0;
        let found = wait_for("the third look", Duration::from_secs(9), || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found, 3);
        let error = try_wait_for("rain", Duration::ZERO, PAUSE, || Ok(None::<()>)).unwrap_err();
        assert_eq!(error.to_string(), "rain: not within 0ns");
    }

    #[test]
    fn waiting_ends_when_looking_fails() {
        let error = try_wait_for::<()>("rain", Duration::from_secs(9), PAUSE, || bail!("no window")).unwrap_err();
        assert_eq!(format!("{error:#}"), "while waiting for rain: no window");
    }

    #[test]
    #[should_panic(expected = "rain: not within 0ns")]
    fn test_that_waits_in_vain_fails() {
        wait_for("rain", Duration::ZERO, || None::<()>);
    }
}
