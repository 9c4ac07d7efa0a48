//! Requests to servers, on this host or in the network namespace of an environment.

use std::{fs::File, os::fd::AsFd, panic, thread, time::Duration};

use anyhow::{Context, Result};
use rustix::{
    process::Pid,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

/// Maximum time until a server answers.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The network from which requests are sent.
#[derive(Clone, Copy)]
pub enum Network {
    /// The network of this process.
    Host,
    /// The network namespace of another process.
    OfProcess(Pid),
}

impl Network {
    /// Runs code in this network, such as a request to a server there.
    ///
    /// # Errors
    ///
    /// If the network cannot be entered.
    pub fn run<T: Send>(self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let Self::OfProcess(pid) = self else { return Ok(work()) };
        let namespace = format!("/proc/{pid}/ns/net");
        let namespace = File::open(&namespace).with_context(|| format!("cannot open {namespace}"))?;
        thread::scope(|scope| {
            let visitor = scope.spawn(move || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .context("cannot enter the network namespace: this needs CAP_SYS_ADMIN")?;
                Ok(work())
            });
            visitor.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
        })
    }

    /// Sends a request with these arguments. Returns the answer's status and body.
    ///
    /// # Errors
    ///
    /// If the server does not answer, or the answer is not text.
    pub fn get(self, url: &str, args: &[(&str, &str)]) -> Result<(u16, String)> {
        self.run(|| {
            let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
            let answer = config.build().new_agent().get(url).query_pairs(args.iter().copied()).call();
            let mut answer = answer.with_context(|| format!("no answer from {url}"))?;
            let body = answer.body_mut().with_config().limit(u64::MAX).read_to_string();
            Ok((answer.status().as_u16(), body.with_context(|| format!("cannot read the answer of {url}"))?))
        })?
    }
}
