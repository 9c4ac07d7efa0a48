//! Whether a source is asked, and where it is.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::ValueEnum;
use serde::Deserialize;

use crate::workload::runtimes::{Api, RUNTIMES};

/// Whether to ask a runtime, and over which socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum SocketChoice {
    /// Over the first of its usual sockets that is there, whenever it is.
    #[default]
    Auto,
    /// Not at all.
    Off,
    /// Over this one.
    At(PathBuf),
}

impl SocketChoice {
    /// The socket to connect to, if there is any now.
    #[must_use]
    pub fn socket(&self, api: Api) -> Option<PathBuf> {
        match self {
            Self::Auto => {
                let runtimes = RUNTIMES.iter().filter(|runtime| runtime.api == Some(api));
                let mut sockets = runtimes.flat_map(|runtime| runtime.sockets).map(Path::new);
                sockets.find(|socket| socket.exists()).map(Path::to_owned)
            }
            Self::Off => None,
            Self::At(socket) => Some(socket.clone()),
        }
    }
}

impl From<String> for SocketChoice {
    fn from(text: String) -> Self {
        match text.as_str() {
            "auto" => Self::Auto,
            "off" => Self::Off,
            // As kubelet and crictl write it, too.
            path => Self::At(path.strip_prefix("unix://").unwrap_or(path).into()),
        }
    }
}

impl FromStr for SocketChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.to_owned().into())
    }
}

/// Whether to ask the Kubernetes API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum KubernetesChoice {
    /// In a pod, and where a kubeconfig is given.
    #[default]
    Auto,
    /// Yes.
    On,
    /// No.
    Off,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_named_as_paths_or_as_kubelet_does() {
        let choices =
            ["auto", "off", "/run/a.sock", "unix:///run/a.sock"].map(|text| SocketChoice::from(text.to_owned()));
        let at = || SocketChoice::At("/run/a.sock".into());
        assert_eq!(choices, [SocketChoice::Auto, SocketChoice::Off, at(), at()]);
    }

    #[test]
    fn a_socket_that_was_named_is_taken_even_if_it_is_not_there_yet() {
        assert_eq!(SocketChoice::At("/nowhere".into()).socket(Api::Cri), Some("/nowhere".into()));
        assert_eq!(SocketChoice::Off.socket(Api::Docker), None);
    }
}
