//! Waiting for what somebody else does.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

const PAUSE: Duration = Duration::from_millis(100);

/// Asks until there is an answer.
///
/// Fails when the time is over, or as soon as asking does.
pub(crate) fn wait_for<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if begin.elapsed() > patience {
            bail!("{what}: not within {} s; the logs are in target/e2e", patience.as_secs());
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_the_answer_the_failure_or_the_time() {
        let mut asked = 0;
        let answer = wait_for("three", Duration::from_secs(5), || {
            asked += 1;
            Ok((asked == 3).then_some(asked))
        });
        assert_eq!(answer.unwrap(), 3);
        let failure = wait_for::<()>("x", Duration::from_secs(5), || bail!("broken")).unwrap_err();
        assert_eq!(failure.to_string(), "broken");
        let late = wait_for::<()>("x", Duration::ZERO, || Ok(None)).unwrap_err();
        assert!(late.to_string().starts_with("x: not within 0 s"), "{late}");
    }
}
