//! The origin of a request that changes something, for the log.

use exporter_web::Caller;

use crate::{
    blocking::{self, FILE_TIMEOUT, Work},
    process::{owner_of_socket, printable},
};

/// The origin of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// `user`, or `local client` for a request without a password.
    pub(super) by: &'static str,
    /// Name of the user of `web.config.file`.
    pub(super) user: Option<String>,
    /// User id of the local client, if the host's tables have its connection.
    pub(super) uid: Option<u32>,
    /// Address of the client.
    pub(super) address: Option<String>,
}

impl Origin {
    /// Returns the origin of a request from this caller, which was permitted.
    pub(super) async fn of(caller: &Caller) -> Self {
        let address = caller.addresses.map(|(client, _)| client.to_string());
        let user = caller.user.as_deref().map(printable);
        let by = if user.is_some() { "user" } else { "local client" };
        let local = caller.addresses.filter(|_| caller.is_local);
        let uid = match local {
            None => None,
            Some((client, server)) => {
                let find = move || owner_of_socket(client, server);
                blocking::run(Work::Baseline, "client", FILE_TIMEOUT, find).await.ok().flatten()
            }
        };
        Self { by, user, uid, address }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hostile_name_stays_in_its_field() {
        let user = Some("a\nlevel=info msg=\"all is well\"\u{1b}[2J\u{202e}".into());
        let caller = Caller { is_local: false, user, addresses: None };
        let origin = Origin::of(&caller).await;
        let name = origin.user.unwrap();
        assert!(!name.contains(['\n', '\u{1b}', '\u{202e}']), "{name}");
        assert_eq!((origin.by, origin.uid), ("user", None));
    }

    #[tokio::test]
    async fn a_local_client_has_the_user_id_of_its_socket() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, peer) = listener.accept().unwrap();
        let addresses = Some((peer, accepted.local_addr().unwrap()));
        let origin = Origin::of(&Caller { is_local: true, user: None, addresses }).await;
        let uid = rustix::process::getuid().as_raw();
        assert_eq!((origin.by, origin.uid, origin.address), ("local client", Some(uid), Some(peer.to_string())));
    }
}
