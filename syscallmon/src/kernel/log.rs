//! Writes the rare warnings of the eBPF side into the daemon's log.

use log::{Level, Log, Metadata, Record};

/// Receives the messages of the programs from `aya-log`.
#[derive(Debug)]
pub(super) struct KernelLog;

impl Log for KernelLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let message = record.args();
        match record.level() {
            Level::Error => tracing::error!(from = "ebpf", "{message}"),
            Level::Warn => tracing::warn!(from = "ebpf", "{message}"),
            Level::Info => tracing::info!(from = "ebpf", "{message}"),
            Level::Debug | Level::Trace => tracing::debug!(from = "ebpf", "{message}"),
        }
    }

    fn flush(&self) {}
}
