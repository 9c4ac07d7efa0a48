//! One line of JSON for each record, to the standard output or a file.
//!
//! A thread of its own writes it. A pipe without a reader, or a disk that hangs, delays neither other tasks nor the end
//! of the daemon.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::Arc,
    thread,
};

use tokio::{runtime, sync::oneshot};
use tokio_util::sync::CancellationToken;

use super::{DeliverOne, Sink, deliver_one_by_one};
use crate::{
    alert::{AlertConfig, LogTarget, http::DeliveryError, outbox::Outbox, record::Record},
    scheduling::prefer_short_slices,
};

pub(super) struct Log {
    target: LogTarget,
    file: Option<File>,
    /// Whether the last line may be incomplete because the disk was full.
    is_torn: bool,
}

impl Sink for Log {
    const NAME: &'static str = "log";

    fn configured(config: &AlertConfig) -> Vec<Self> {
        if config.log == LogTarget::Off { Vec::new() } else { vec![Self::new(config.log.clone())] }
    }

    async fn run(self, outbox: Arc<Outbox>, shutdown: CancellationToken) {
        let (done, ended) = oneshot::channel::<()>();
        let write = move || {
            prefer_short_slices();
            // A runtime of its own, because the one for HTTP may be busy.
            match runtime::Builder::new_current_thread().enable_time().build() {
                Ok(runtime) => runtime.block_on(deliver_one_by_one(outbox, self, shutdown)),
                Err(error) => tracing::error!("cannot write the alert log: {error}"),
            }
            drop(done);
        };
        if let Err(error) = thread::Builder::new().name("alert-log".to_owned()).spawn(write) {
            tracing::error!("cannot write the alert log: {error}");
        }
        let _ = ended.await;
    }
}

impl DeliverOne for Log {
    async fn deliver(&mut self, record: &Record) -> Result<(), DeliveryError> {
        let written = self.write(&record.json());
        written.map_err(|error| DeliveryError::retry(format!("cannot write the alert log: {error}")))
    }
}

impl Log {
    fn new(target: LogTarget) -> Self {
        Self { target, file: None, is_torn: false }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let whole = format!("{}{line}\n", if self.is_torn { "\n" } else { "" });
        let written = match &self.target {
            LogTarget::Off => Ok(()),
            LogTarget::Stdout => write_all(io::stdout().lock(), &whole),
            LogTarget::Stderr => write_all(io::stderr().lock(), &whole),
            LogTarget::File(path) => {
                let file = current(&mut self.file, path)?;
                write_all(file, &whole)
            }
        };
        self.is_torn = written.is_err();
        written
    }
}

fn write_all(mut to: impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}

/// Opens a file that only its owner may read, because it has command lines. Restricts the mode of an existing file.
fn open_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let mode = file.metadata()?.mode();
    if file.metadata()?.is_file() && mode & 0o007 != 0 {
        // Only the owner may change it. Files of others stay as they are.
        let _ = file.set_permissions(fs::Permissions::from_mode(mode & 0o770));
    }
    Ok(file)
}

/// Returns the file with this name. Opens it again after it was moved or removed, as by logrotate.
fn current<'a>(file: &'a mut Option<File>, path: &Path) -> io::Result<&'a File> {
    let id = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    let is_same = |file: &File| {
        let (open, named) = (file.metadata(), fs::metadata(path));
        open.is_ok_and(|open| named.is_ok_and(|named| id(&open) == id(&named)))
    };
    let open = match file.take().filter(is_same) {
        Some(open) => open,
        None => open_private(path)?,
    };
    Ok(file.insert(open))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn others_cannot_read_a_file_of_alerts_that_existed_before() {
        let directory = tempfile::tempdir().unwrap();
        let (new, old) = (directory.path().join("new"), directory.path().join("old"));
        fs::write(&old, "").unwrap();
        fs::set_permissions(&old, fs::Permissions::from_mode(0o644)).unwrap();
        for path in [&new, &old] {
            Log::new(LogTarget::File(path.clone())).write("line").unwrap();
        }
        assert_eq!((mode(&new), mode(&old)), (0o600, 0o640));
    }
}
