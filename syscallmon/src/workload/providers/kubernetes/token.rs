//! A token from a file. Each request has it, and the file is read again every minute.
//!
//! kube reads the file within its requests. Here, a file that hangs delays no request: the last token stays.

use std::{
    path::PathBuf,
    sync::{Arc, RwLock, Weak},
    time::Duration,
};

use http::{HeaderValue, Request, header::AUTHORIZATION};
use tokio::time::sleep;

use crate::{
    blocking::{self, Work},
    files,
};

/// kubelet renews tokens when a fifth of their time is left, which is at least 2 min.
const REREAD: Duration = Duration::from_mins(1);

/// The header with the token.
#[derive(Clone, Debug)]
pub(super) struct Token(Arc<RwLock<HeaderValue>>);

impl Token {
    /// Reads the file, and starts a task that reads it again until all copies of this value are dropped.
    pub(super) async fn watch(path: PathBuf) -> Result<Self, String> {
        let token = Self(Arc::new(RwLock::new(read(&path).await?)));
        tokio::spawn(reread(path, Arc::downgrade(&token.0)));
        Ok(token)
    }

    /// Adds the header to a request.
    pub(super) fn add_to<B>(&self, mut request: Request<B>) -> Request<B> {
        let header = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        request.headers_mut().insert(AUTHORIZATION, header);
        request
    }
}

async fn reread(path: PathBuf, token: Weak<RwLock<HeaderValue>>) {
    loop {
        sleep(REREAD).await;
        let Some(token) = token.upgrade() else { return };
        // If the old token is no longer valid, the API server reports it.
        if let Ok(header) = read(&path).await {
            *token.write().unwrap_or_else(std::sync::PoisonError::into_inner) = header;
        }
    }
}

async fn read(path: &std::path::Path) -> Result<HeaderValue, String> {
    let owned = path.to_owned();
    let text = blocking::file(Work::Kubeconfig, &path.to_string_lossy(), move || files::read_text(&owned)).await;
    let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let header = HeaderValue::try_from(format!("Bearer {}", text.trim()));
    let mut header =
        header.map_err(|_| format!("{}: contains characters that a header cannot have", path.display()))?;
    header.set_sensitive(true);
    Ok(header)
}
