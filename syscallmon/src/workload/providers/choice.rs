//! Settings of providers: whether each is used, and its address.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::ValueEnum;
use serde::Deserialize;

use crate::workload::runtimes::{Api, RUNTIMES};

/// Whether a runtime is used, and over which socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum SocketChoice {
    /// Use the first of its usual sockets that exists.
    #[default]
    Auto,
    /// Do not use it.
    Off,
    /// Use this socket.
    At(PathBuf),
}

impl SocketChoice {
    /// Returns the socket to connect to, if one exists now.
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
            // kubelet and crictl accept this notation, too.
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

/// Whether the Kubernetes API is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum KubernetesChoice {
    /// Use it in a pod, and with a kubeconfig.
    #[default]
    Auto,
    /// Use it.
    On,
    /// Do not use it.
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
