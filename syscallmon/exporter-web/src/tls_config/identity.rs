//! Certificates and private keys out of PEM, inline or from files.

use std::path::{Path, PathBuf};

use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{error::Error, files::Files, form::TlsForm};

/// Finds the PEM that a pair of keys (inline text, file name) stands for.
pub(super) struct Material<'a> {
    path: &'a Path,
    files: &'a mut Files,
}

/// PEM text and the key it came from.
pub(super) struct Pem {
    key: &'static str,
    bytes: Vec<u8>,
}

/// A key of the file with its value.
pub(super) type Entry<'a, T> = (&'static str, Option<&'a T>);

impl<'a> Material<'a> {
    pub(super) fn new(path: &'a Path, files: &'a mut Files) -> Self {
        Self { path, files }
    }

    /// The inline text or the file's content. Both at once are refused: one of them would be ignored.
    pub(super) fn find(&mut self, text: Entry<String>, file: Entry<PathBuf>) -> Result<Option<Pem>, Error> {
        match (text, file) {
            ((key, Some(_)), (other, Some(_))) => {
                Err(self.refuse(key, format!("conflicts with {other}; remove one of them")))
            }
            ((key, Some(text)), _) => Ok(Some(Pem { key, bytes: text.clone().into_bytes() })),
            (_, (key, Some(file))) => Ok(Some(Pem { key, bytes: self.files.read(key, &self.resolve(file))? })),
            _ => Ok(None),
        }
    }

    pub(super) fn refuse(&self, key: &'static str, why: impl Into<String>) -> Error {
        Error::Setting { path: self.path.to_owned(), key, why: why.into() }
    }

    /// All certificates of the PEM, of which there must be one.
    pub(super) fn certificates(&self, pem: &Pem) -> Result<Vec<CertificateDer<'static>>, Error> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.bytes).collect();
        let found = read.map_err(|source| self.unusable(pem, source))?;
        if found.is_empty() { Err(self.unusable(pem, pem::Error::NoItemsFound)) } else { Ok(found) }
    }

    fn private_key(&self, pem: &Pem) -> Result<PrivateKeyDer<'static>, Error> {
        PrivateKeyDer::from_pem_slice(&pem.bytes).map_err(|source| self.unusable(pem, source))
    }

    fn unusable(&self, pem: &Pem, source: pem::Error) -> Error {
        Error::Pem { path: self.path.to_owned(), key: pem.key, source }
    }

    fn resolve(&self, file: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(file)
    }
}

/// The server's certificate chain and its key.
pub(super) fn load(
    form: &TlsForm,
    material: &mut Material,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let cert = material.find(("cert", form.cert.as_ref()), ("cert_file", form.cert_file.as_ref()))?;
    let key = material.find(("key", form.key.as_ref()), ("key_file", form.key_file.as_ref()))?;
    let missing = |key| material.refuse("tls_server_config", format!("{key} is missing, so TLS cannot start"));
    let cert = cert.ok_or_else(|| missing("cert_file (or cert)"))?;
    let key = key.ok_or_else(|| missing("key_file (or key)"))?;
    Ok((material.certificates(&cert)?, material.private_key(&key)?))
}
