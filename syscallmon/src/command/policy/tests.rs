use std::{net::SocketAddr, path::Path, sync::Arc, time::SystemTime};

use clap::{CommandFactory, FromArgMatches, Parser};
use exporter_web::{Limits, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::*;
use crate::{
    detect::{Baselines, Learn, Policies},
    serve::baseline_routes,
    syscalls::CallTable,
    view::{FixedFacts, View, testing::Owned},
};

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    policy: Policy,
}

/// A daemon with one baseline, whose kind has to be escaped in a URL.
struct Running {
    address: SocketAddr,
    owned: Owned,
    _server: AbortOnDropHandle<()>,
}

const KIND: &str = "shop/Deployment/a%2Fé b/httpd";

impl Running {
    async fn start(web_config: Option<&Path>) -> Self {
        let policies = Arc::new(Policies::new(vec![], true, &CallTable::x86_64()).unwrap());
        let (policy, mut baselines): (Arc<str>, _) = ("web".into(), Baselines::default());
        let learns = (&policy, Learn::default());
        assert!(baselines.begin_or_get(&KIND.parse().unwrap(), learns, SystemTime::UNIX_EPOCH, true).is_some());
        let owned = Owned::new(baselines, View { policies, ..View::empty(Arc::new(FixedFacts::minimal())) });
        let server = Server::new(web_config.map(Path::to_owned), Limits::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = baseline_routes(owned.views.clone(), owned.owner.clone());
        let serving = server.run(vec![listener], routes, CancellationToken::new());
        Self { address, owned, _server: AbortOnDropHandle::new(tokio::spawn(serving)) }
    }

    async fn run(&self, flags: &[&str]) -> Result<String> {
        run_at(&format!("http://{}", self.address), flags).await
    }
}

async fn run_at(url: &str, flags: &[&str]) -> Result<String> {
    let matches = Flags::command().try_get_matches_from([&["test", "--url", url], flags].concat())?;
    Flags::from_arg_matches(&matches)?.policy.text().await
}

fn error(result: Result<String>) -> String {
    format!("{:#}", result.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_a_table_and_one_baseline_is_json() {
    let daemon = Running::start(None).await;
    let table = daemon.run(&["list"]).await.unwrap();
    let (policies, table) = table.split_once("\n\n").unwrap();
    let built_in = "POLICY           WORKLOADS  LEARNS  FROM\nruntime-default  0                  built in";
    assert_eq!(policies, built_in);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("KIND                           STATE     CALLS  WORKLOADS  BEGAN "), "{table}");
    assert!(lines[1].starts_with(&format!("{KIND}  learning  0      0          1970-01-01T00:00:00Z  0s")), "{table}");
    assert!(lines[1].contains("1day 1h"), "{table}");
    assert!(lines[1].ends_with("web     waits for first call, no start seen, no stop seen"), "{table}");
    let advice = "no start seen: restart the workload once while it learns, or calls of its next start may be reported";
    assert!(lines.contains(&advice), "{table}");
    let json: Value = serde_json::from_str(&daemon.run(&["list", "--output=json"]).await.unwrap()).unwrap();
    assert_eq!(json["baselines"][0]["kind"], KIND);
    let file = daemon.owned.baselines().get(&KIND.parse().unwrap()).unwrap().to_json().unwrap();
    assert_eq!(daemon.run(&["show", KIND]).await.unwrap(), file);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_baseline_is_approved_relearned_and_forgotten() {
    let daemon = Running::start(None).await;
    assert_eq!(daemon.run(&["approve", KIND]).await.unwrap(), format!("{KIND}: guarding\n"));
    assert!(daemon.owned.baselines().is_guarding(&KIND.parse().unwrap()));
    assert_eq!(daemon.run(&["relearn", KIND]).await.unwrap(), format!("{KIND}: learning\n"));
    assert!(daemon.run(&["forget", KIND]).await.unwrap().contains("\"version\": 2"));
    let refusal = error(daemon.run(&["show", KIND]).await);
    assert!(refusal.contains("there is no baseline"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_and_taken_from_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let (config, password) = (directory.path().join("web.yml"), directory.path().join("password"));
    let hash = bcrypt::hash_with_salt("secret", 4, [7; 16]).unwrap();
    std::fs::write(&config, format!("basic_auth_users:\n  admin: {hash}\n")).unwrap();
    std::fs::write(&password, "secret\n").unwrap();
    let daemon = Running::start(Some(&config)).await;
    assert!(error(daemon.run(&["list"]).await).contains("--username and --password-file"));
    let credentials = ["--username=admin", "--password-file", password.to_str().unwrap()];
    assert!(daemon.run(&[&["approve", KIND], &credentials[..]].concat()).await.is_ok());
    std::fs::write(&password, "wrong\n").unwrap();
    let refusal = error(daemon.run(&[&["list"], &credentials[..]].concat()).await);
    assert!(refusal.contains("rejected user \"admin\": wrong user or password"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_spoken_with_the_authority_that_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name| directory.path().join(name);
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    for (name, text) in [("ca.pem", authority.pem()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())]
    {
        std::fs::write(path(name), text).unwrap();
    }
    std::fs::write(path("web.yml"), "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n").unwrap();
    let daemon = Running::start(Some(&path("web.yml"))).await;
    let url = format!("https://{}", daemon.address);
    let refusal = error(run_at(&url, &["list"]).await);
    for part in ["127.0.0.1, SHA-256 fingerprint", "is not trusted", "--ca-file"] {
        assert!(refusal.contains(part), "whom this host trusts did not sign it: {refusal}");
    }
    let authority = path("ca.pem");
    assert!(run_at(&url, &["list", "--ca-file", authority.to_str().unwrap()]).await.unwrap().contains(KIND));
    let listed = path("cert.pem");
    assert!(run_at(&url, &["list", "--ca-file", listed.to_str().unwrap()]).await.unwrap().contains(KIND));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_scheme_is_named_where_the_daemon_speaks_that() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let config = directory.path().join("web.yml");
    std::fs::write(&config, "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n").unwrap();
    let (secured, plain) = (Running::start(Some(&config)).await, Running::start(None).await);
    let refusal = error(secured.run(&["list"]).await);
    assert!(refusal.contains(&format!("--url=https://{}", secured.address)), "{refusal}");
    let url = format!("https://{}", plain.address);
    let refusal = error(run_at(&url, &["list", "--ca-file", cert.to_str().unwrap()]).await);
    assert!(refusal.contains(&format!("--url=http://{}", plain.address)), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_or_no_syscallmon_is_said_to_be() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let refusal = error(run_at(&url, &["list"]).await);
    assert!(
        refusal.contains(&format!("cannot connect to the daemon at {url}"))
            && refusal.contains("is the daemon running")
            && refusal.contains("Connection refused"),
        "{refusal}"
    );
    assert!(error(run_at("ftp://127.0.0.1", &["list"]).await).contains("begins with http:// or https://"));
    let daemon = Running::start(None).await;
    let elsewhere = format!("http://{}/elsewhere", daemon.address);
    let refusal = error(run_at(&elsewhere, &["list"]).await);
    assert!(refusal.contains("404 Not Found") && refusal.contains("without a path"), "{refusal}");
    assert!(error(daemon.run(&["show", "web"]).await).contains("is not a kind of workload"));
}
