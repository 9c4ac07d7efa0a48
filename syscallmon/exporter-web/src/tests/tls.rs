use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion, RootCertStore};

use super::*;

const SECTION: &str = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n";
const REQUIRE: &str = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n";

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// A directory with `cert.pem` and `key.pem` for 127.0.0.1, and `ca.pem` that signed them.
struct Pki {
    dir: TempDir,
    ca: Issuer,
}

impl Pki {
    fn new() -> Self {
        let (dir, ca) = (tempfile::tempdir().unwrap(), authority());
        let pki = Self { dir, ca };
        pki.write("ca.pem", &pki.ca.pem());
        issue(&pki.ca, "127.0.0.1", pki.dir.path());
        pki
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }
}

fn authority() -> Issuer {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes `cert.pem` and `key.pem` for a name, signed by `ca`.
fn issue(ca: &Issuer, name: &str, dir: &Path) {
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, ca).unwrap();
    std::fs::write(dir.join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
}

struct Client {
    roots: RootCertStore,
    identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    alpn: Vec<Vec<u8>>,
}

impl Client {
    fn trusting(ca: &Issuer) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        Self { roots, identity: None, alpn: Vec::new() }
    }

    /// With a certificate for `name` signed by `ca`.
    fn identified(mut self, ca: &Issuer, name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        issue(ca, name, dir.path());
        let cert = CertificateDer::from_pem_file(dir.path().join("cert.pem")).unwrap();
        self.identity = Some((cert, PrivateKeyDer::from_pem_file(dir.path().join("key.pem")).unwrap()));
        self
    }

    fn config(self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(self.roots);
        let mut config = match self.identity {
            Some((cert, key)) => builder.with_client_auth_cert(vec![cert], key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn;
        config
    }

    async fn connect(self, server: &Running) -> std::io::Result<TlsStream<TcpStream>> {
        let name = "127.0.0.1".try_into().unwrap();
        TlsConnector::from(Arc::new(self.config())).connect(name, server.connect().await).await
    }

    /// Empty if the handshake failed. With TLS 1.3 a refused certificate shows only after the client's handshake.
    async fn get(self, server: &Running) -> String {
        match self.connect(server).await {
            Ok(stream) => get_over(stream, "/metrics", "").await,
            Err(_) => String::new(),
        }
    }
}

#[tokio::test]
async fn get_over_tls_is_answered_and_clear_text_is_not() {
    let Pki { dir, ca } = Pki::new();
    let server = Running::configured(dir, SECTION).await;
    assert!(Client::trusting(&ca).get(&server).await.ends_with("the metrics"));
    let response = server.get("/metrics", "").await;
    assert_eq!(code(&response), "400", "{response}");
    assert!(response.ends_with("\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"), "{response}");
}

#[tokio::test]
async fn handshakes_that_do_not_come_do_not_shut_others_out() {
    let Pki { dir, ca } = Pki::new();
    let config = write_config(dir.path(), SECTION);
    let server = Running::start(dir, Some(config), Limits { connections: 16, ..Limits::default() });
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(server.connect().await);
    }
    let response = tokio::time::timeout(Duration::from_secs(5), Client::trusting(&ca).get(&server)).await.unwrap();
    assert!(response.ends_with("the metrics"), "{response}");
}

#[tokio::test]
async fn inline_certificate_and_key_are_used() {
    let Pki { dir, ca } = Pki::new();
    let block = |name| {
        let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
        text.lines().fold(String::new(), |block, line| block + "    " + line + "\n")
    };
    let text = format!("tls_server_config:\n  cert: |\n{}  key: |\n{}", block("cert.pem"), block("key.pem"));
    let server = Running::configured(dir, &text).await;
    assert!(Client::trusting(&ca).get(&server).await.ends_with("the metrics"));
}

#[tokio::test]
async fn http2_is_offered_unless_turned_off() {
    for (http2, expected) in [("true", b"h2".as_slice()), ("false", b"http/1.1")] {
        let Pki { dir, ca } = Pki::new();
        let text = format!("{SECTION}http_server_config:\n  http2: {http2}\n");
        let server = Running::configured(dir, &text).await;
        let mut client = Client::trusting(&ca);
        client.alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = client.connect(&server).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(expected));
    }
}

/// Status and body over HTTP/2.
async fn request_over_http2(server: &Running, ca: &Issuer, method: &str) -> (u16, String) {
    let mut client = Client::trusting(ca);
    client.alpn = vec![b"h2".to_vec()];
    let stream = TokioIo::new(client.connect(server).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri("https://127.0.0.1/metrics").body(Body::empty()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn get_over_http2_is_answered() {
    let Pki { dir, ca } = Pki::new();
    let server = Running::configured(dir, SECTION).await;
    assert_eq!(request_over_http2(&server, &ca, "GET").await, (200, "the metrics".to_owned()));
    assert_eq!(request_over_http2(&server, &ca, "HEAD").await, (200, String::new()));
}

#[tokio::test]
async fn refusal_over_http2_has_a_body_for_get_and_none_for_head() {
    let Pki { dir, ca } = Pki::new();
    let server = Running::configured(dir, &format!("{SECTION}{}", user_section("a", "secret"))).await;
    assert_eq!(
        request_over_http2(&server, &ca, "GET").await,
        (401, "Unauthorized: requires a user and a password (HTTP basic authentication)\n".to_owned())
    );
    assert_eq!(request_over_http2(&server, &ca, "HEAD").await, (401, String::new()));
}

#[tokio::test]
async fn client_certificate_is_required_and_verified() {
    let Pki { dir, ca } = Pki::new();
    let server = Running::configured(dir, &format!("{SECTION}{REQUIRE}")).await;
    let known = Client::trusting(&ca).identified(&ca, "scraper");
    assert!(known.get(&server).await.ends_with("the metrics"));
    assert_eq!(Client::trusting(&ca).get(&server).await, "");
    let stranger = Client::trusting(&ca).identified(&authority(), "scraper");
    assert_eq!(stranger.get(&server).await, "");
}

#[tokio::test]
async fn only_allowed_names_are_admitted() {
    let Pki { dir, ca } = Pki::new();
    let text = format!("{SECTION}{REQUIRE}  client_allowed_sans: [scraper.example, 10.0.0.7]\n");
    let server = Running::configured(dir, &text).await;
    for (name, admitted) in [("scraper.example", true), ("10.0.0.7", true), ("other.example", false)] {
        let response = Client::trusting(&ca).identified(&ca, name).get(&server).await;
        assert_eq!(response.ends_with("the metrics"), admitted, "{name}: {response}");
    }
}

#[tokio::test]
async fn any_certificate_will_do_if_only_one_is_required() {
    let Pki { dir, ca } = Pki::new();
    let server = Running::configured(dir, &format!("{SECTION}  client_auth_type: RequireAnyClientCert\n")).await;
    let stranger = Client::trusting(&ca).identified(&authority(), "stranger");
    assert!(stranger.get(&server).await.ends_with("the metrics"));
    assert_eq!(Client::trusting(&ca).get(&server).await, "");
}

#[tokio::test]
async fn optional_certificate_is_verified_if_given() {
    let Pki { dir, ca } = Pki::new();
    let text = format!("{SECTION}  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.pem\n");
    let server = Running::configured(dir, &text).await;
    assert!(Client::trusting(&ca).get(&server).await.ends_with("the metrics"));
    let stranger = Client::trusting(&ca).identified(&authority(), "stranger");
    assert_eq!(stranger.get(&server).await, "");
}

#[tokio::test]
async fn max_version_holds() {
    let Pki { dir, ca } = Pki::new();
    let server = Running::configured(dir, &format!("{SECTION}  max_version: TLS12\n")).await;
    let stream = Client::trusting(&ca).connect(&server).await.unwrap();
    assert_eq!(stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_2));
}

#[tokio::test]
async fn renewed_certificate_is_served_without_restart() {
    let Pki { dir, ca } = Pki::new();
    let server = Running::configured(dir, SECTION).await;
    let renewed = authority();
    assert_eq!(Client::trusting(&renewed).get(&server).await, "");
    issue(&renewed, "127.0.0.1", server.dir.path());
    reload::eventually(async || Client::trusting(&renewed).get(&server).await.ends_with("the metrics")).await;
    assert_eq!(Client::trusting(&ca).get(&server).await, "");
}

#[test]
fn settings_without_effect_or_with_two_meanings_are_refused() {
    let pki = Pki::new();
    let refused = |more: &str, key: &str| {
        let path = write_config(pki.dir.path(), &format!("{SECTION}{more}"));
        let error = crate::WebConfig::load(&path).unwrap_err().chain();
        assert!(error.contains(key), "{error}");
    };
    refused("  client_ca_file: ca.pem\n", "client_ca_file");
    refused("  client_allowed_sans: [a]\n", "client_allowed_sans");
    refused("  client_auth_type: RequireAndVerifyClientCert\n", "client_ca_file");
    refused("  cert: x\n", "cert_file");
    refused("  min_version: TLS13\n  max_version: TLS12\n", "min_version");
}

#[test]
fn key_of_another_certificate_is_refused() {
    let pki = Pki::new();
    pki.write("key.pem", &KeyPair::generate().unwrap().serialize_pem());
    let error = crate::WebConfig::load(&write_config(pki.dir.path(), SECTION)).unwrap_err().chain();
    assert!(error.contains("key_file"), "{error}");
}

/// Whether curl is answered, with a certificate that `openssl req -x509` made (CA:TRUE) for itself.
async fn curl(server: &Running, name: &str) -> bool {
    let path = |file: String| server.dir.path().join(file);
    let mut curl = std::process::Command::new("curl");
    curl.args(["--silent", "--max-time", "30", "--insecure"]);
    curl.arg("--cert").arg(path(format!("{name}.pem"))).arg("--key").arg(path(format!("{name}.key")));
    curl.arg(format!("https://{}/metrics", server.addresses[0]));
    let output = tokio::task::spawn_blocking(move || curl.output().expect("curl")).await.unwrap();
    output.stdout == b"the metrics"
}

#[tokio::test]
async fn a_self_signed_client_of_openssl_is_admitted_where_it_is_listed() {
    let pki = Pki::new();
    for (name, purpose) in [("mine", "clientAuth"), ("other", "clientAuth"), ("server", "serverAuth")] {
        let path = |file: &str| pki.dir.path().join(format!("{name}.{file}"));
        let mut openssl = std::process::Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        openssl.args(["-days", "30", "-subj", &format!("/CN={name}"), "-addext", "subjectAltName=DNS:scraper.example"]);
        openssl.args(["-addext", &format!("extendedKeyUsage={purpose}")]);
        openssl.arg("-keyout").arg(path("key")).arg("-out").arg(path("pem"));
        assert!(openssl.output().expect("openssl").status.success());
    }
    let listed = ["mine.pem", "server.pem"].map(|file| std::fs::read_to_string(pki.dir.path().join(file)).unwrap());
    pki.write("clients.pem", &listed.concat());
    let require = REQUIRE.replace("ca.pem", "clients.pem");
    let server = Running::configured(pki.dir, &format!("{SECTION}{require}")).await;
    for (name, is_admitted) in [("mine", true), ("other", false), ("server", false)] {
        assert_eq!(curl(&server, name).await, is_admitted, "{name}");
    }
}
