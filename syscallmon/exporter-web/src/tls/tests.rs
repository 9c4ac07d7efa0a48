//! Certificates as operators make them, with openssl and curl as the peers that they are compared with.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::*;

/// Certificates `NAME.pem` and keys `NAME.key` in a directory.
struct Certificates(TempDir);

impl Certificates {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Self-signed, as `openssl req -x509` makes it: CA:TRUE.
    fn self_signed(&self, name: &str, extensions: &[&str]) {
        let (certificate, key) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]);
        openssl.args(["-subj", &format!("/CN={name}")]).arg("-keyout").arg(key).arg("-out").arg(certificate);
        openssl.args(extensions.iter().flat_map(|extension| ["-addext", extension]));
        let output = openssl.output().expect("openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes a self-signed certificate with these parameters.
    fn made(&self, name: &str, params: CertificateParams) -> CertifiedIssuer<'static, KeyPair> {
        let made = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        self.write(name, &made.pem(), made.key());
        made
    }

    fn write(&self, name: &str, certificate: &str, key: &KeyPair) {
        fs::write(self.path(&format!("{name}.pem")), certificate).unwrap();
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn authority(common_name: &str) -> CertificateParams {
    let mut params = params(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// `openssl s_server` on a port of its own.
struct Server {
    port: u16,
    process: Child,
}

impl Server {
    fn start(certificates: &Certificates, name: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut openssl = Command::new("openssl");
        openssl.args(["s_server", "-www", "-accept", &format!("127.0.0.1:{port}")]);
        openssl.arg("-cert").arg(certificates.path(&format!("{name}.pem")));
        openssl.arg("-key").arg(certificates.path(&format!("{name}.key")));
        let process = openssl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "openssl s_server does not listen");
            sleep(Duration::from_millis(20));
        }
        Self { port, process }
    }

    /// What a client of ours says that trusts this file.
    fn is_trusted_by_us(&self, ca_file: &Path, name: &'static str) -> Result<(), String> {
        let trust = Trust::from_pem(&fs::read(ca_file).unwrap(), ca_file).unwrap();
        let connector = TlsConnector::from(std::sync::Arc::new(trust.client_config().unwrap()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
            let connected = connector.connect(ServerName::try_from(name).unwrap(), stream).await;
            connected.map(drop).map_err(|error| error.to_string())
        })
    }

    fn is_trusted_by_curl(&self, ca_file: &Path, name: &str) -> bool {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--output", "/dev/null", "--max-time", "30", "--cacert"]).arg(ca_file);
        curl.args(["--connect-to", &format!("::127.0.0.1:{}", self.port), &format!("https://{name}:{}/", self.port)]);
        curl.status().expect("curl").success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Certificate served, file that lists the trusted ones, name that the client asks for, and what the refusal says, if
/// there is one.
type Case<'a> = (&'a str, &'a str, &'static str, Result<(), &'a [&'a str]>);

/// Serves each of these with its own certificate, and asserts that curl and we trust, or do not trust, alike.
fn assert_alike(certificates: &Certificates, cases: &[Case<'_>]) {
    for &(served, listed, name, expected) in cases {
        let server = Server::start(certificates, served);
        let ca_file = certificates.path(&format!("{listed}.pem"));
        let case = format!("{served} as {name}, {listed} listed");
        assert_eq!(server.is_trusted_by_curl(&ca_file, name), expected.is_ok(), "curl: {case}");
        match (server.is_trusted_by_us(&ca_file, name), expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(words)) => {
                for word in words {
                    assert!(error.contains(word), "{case}: {word}: {error}");
                }
            }
            (result, _) => panic!("{case}: {result:?}"),
        }
    }
}

#[test]
fn a_self_signed_certificate_of_openssl_is_trusted_as_curl_does_where_it_is_listed() {
    let certificates = Certificates::new();
    let names = "subjectAltName=DNS:alerts.example,IP:127.0.0.1";
    certificates.self_signed("mine", &[names]);
    certificates.self_signed("other", &[names]);
    certificates.self_signed("nameless", &[]);
    certificates.self_signed("client", &[names, "extendedKeyUsage=clientAuth"]);
    certificates.self_signed("server", &[names, "extendedKeyUsage=serverAuth"]);
    let unlisted = ["CN=mine", "alerts.example, 127.0.0.1", "SHA-256 fingerprint", "add it or", "other.pem"];
    assert_alike(
        &certificates,
        &[
            ("mine", "mine", "alerts.example", Ok(())),
            ("mine", "mine", "127.0.0.1", Ok(())),
            ("server", "server", "127.0.0.1", Ok(())),
            ("mine", "other", "127.0.0.1", Err(&unlisted)),
            ("mine", "mine", "elsewhere.example", Err(&["CN=mine", "elsewhere.example", "subjectAltName"])),
            ("client", "client", "127.0.0.1", Err(&["CN=client"])),
        ],
    );
    // Go refuses it, too; curl still takes the common name.
    let server = Server::start(&certificates, "nameless");
    let error = server.is_trusted_by_us(&certificates.path("nameless.pem"), "nameless").unwrap_err();
    assert!(error.contains("the CN is ignored"), "{error}");
}

#[test]
fn a_listed_certificate_is_refused_outside_of_its_dates() {
    let certificates = Certificates::new();
    let mut expired = authority("expired");
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let mut early = authority("early");
    (early.not_before, early.not_after) = (date_time_ymd(2090, 1, 1), date_time_ymd(2091, 1, 1));
    certificates.made("expired", expired);
    certificates.made("early", early);
    assert_alike(
        &certificates,
        &[
            ("expired", "expired", "127.0.0.1", Err(&["expired", "renew it"])),
            ("early", "early", "127.0.0.1", Err(&["not valid yet", "correct the clocks"])),
        ],
    );
}

#[test]
fn what_a_listed_certificate_has_signed_is_trusted_and_a_copy_of_its_name_is_not() {
    let certificates = Certificates::new();
    let ca = certificates.made("ca", authority("ca"));
    certificates.made("impostor", authority("ca"));
    let key = KeyPair::generate().unwrap();
    let leaf = params("leaf").signed_by(&key, &ca).unwrap();
    certificates.write("leaf", &leaf.pem(), &key);
    assert_alike(
        &certificates,
        &[
            ("leaf", "ca", "127.0.0.1", Ok(())),
            ("ca", "ca", "127.0.0.1", Ok(())),
            ("impostor", "ca", "127.0.0.1", Err(&["is not trusted"])),
            ("leaf", "impostor", "127.0.0.1", Err(&[])),
        ],
    );
    // Go also trusts a listed certificate without its issuer. curl requires --partial-chain for this.
    let server = Server::start(&certificates, "leaf");
    assert_eq!(server.is_trusted_by_us(&certificates.path("leaf.pem"), "127.0.0.1"), Ok(()));
}
