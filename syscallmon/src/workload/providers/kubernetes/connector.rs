//! Connections to the API server: kube's own, except for trust in certificates.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use exporter_web::tls::{Trust, TrustError};
use http::Request;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use kube::{
    Config, Error,
    client::{Body, ClientBuilder, ConfigExt},
};
use tokio_rustls::rustls::{
    DigitallySignedStruct, Error as TlsError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tower::{BoxError, ServiceBuilder, util::BoxService};

use crate::{
    blocking::{self, Work},
    client::resolver::{Connector, Resolver},
    files,
};

type Answer = http::Response<hyper::body::Incoming>;

/// A client as kube builds it, without retries of its own.
pub(super) fn builder(config: Config) -> kube::Result<ClientBuilder<BoxService<Request<Body>, Answer, BoxError>>> {
    if let Some(proxy_url) = config.proxy_url {
        return Err(Error::ProxyProtocolDisabled {
            proxy_url: Box::new(proxy_url),
            protocol_feature: "kube/http-proxy",
        });
    }
    let mut connector = TimeoutConnector::new(https(&config)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(ClientBuilder::new(BoxService::new(service), config.default_namespace))
}

fn https(config: &Config) -> kube::Result<HttpsConnector<Connector>> {
    let mut tls = config.rustls_client_config()?;
    // Without a CA in the kubeconfig, the host's certificates apply.
    if let Some(listed) = config.root_cert.as_ref().filter(|_| !config.accept_invalid_certs) {
        let verifier = verifier(listed, config.root_cert_file.clone()).map_err(|error| Error::Service(error.into()))?;
        tls.dangerous().set_certificate_verifier(verifier);
    }
    let mut builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = ServerName::try_from(name.clone()).map_err(|error| Error::Service(error.into()))?;
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let mut connector = Connector::new_with_resolver(Resolver);
    connector.enforce_http(false);
    Ok(builder.enable_http1().wrap_connector(connector))
}

fn verifier(listed: &[Vec<u8>], file: Option<PathBuf>) -> Result<Arc<dyn ServerCertVerifier>, TrustError> {
    let listed = listed.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let verifier =
        Trust::from_certificates(listed, "the certificate-authority of the kubeconfig")?.server_verifier()?;
    Ok(match file {
        None => verifier,
        Some(file) => Arc::new(Reloading { file, current: Arc::new(RwLock::new((verifier, Instant::now()))) }),
    })
}

/// Interval of reading a file with certificates again.
const RELOAD_INTERVAL: Duration = Duration::from_mins(1);

/// Reads the service account's CA file again, which changes when the cluster gets another CA. The handshake that finds
/// the file due continues with the older CA. An unreadable file changes nothing.
#[derive(Debug)]
struct Reloading {
    file: PathBuf,
    current: Arc<RwLock<(Arc<dyn ServerCertVerifier>, Instant)>>,
}

impl Reloading {
    fn current(&self) -> Arc<dyn ServerCertVerifier> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.1.elapsed() >= RELOAD_INTERVAL {
            current.1 = Instant::now();
            tokio::spawn(reload(self.file.clone(), Arc::clone(&self.current)));
        }
        Arc::clone(&current.0)
    }
}

async fn reload(file: PathBuf, current: Arc<RwLock<(Arc<dyn ServerCertVerifier>, Instant)>>) {
    let path = file.clone();
    let pem = blocking::file(Work::Kubeconfig, &file.to_string_lossy(), move || files::read(&path)).await;
    let verifier = pem.map_err(|error| error.to_string()).and_then(|pem| {
        let trust = Trust::from_pem(&pem, &file).and_then(Trust::server_verifier);
        trust.map_err(|error| error.to_string())
    });
    match verifier {
        Ok(verifier) => current.write().unwrap_or_else(PoisonError::into_inner).0 = verifier,
        Err(error) => tracing::warn!("cannot read {}; the previous CA stays in use: {error}", file.display()),
    }
}

impl ServerCertVerifier for Reloading {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        self.current().verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.current().verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.current().verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current().supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
    };

    use super::*;

    /// Returns an API server with a self-signed certificate and a CA; its URL and the certificate.
    async fn server() -> (String, Vec<u8>) {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let config = ServerConfig::builder_with_provider(ring::default_provider().into());
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate.clone()], key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        });
        (url, certificate.to_vec())
    }

    async fn ask(url: &str, listed: &[u8]) -> Result<String, String> {
        let mut config = Config::new(url.parse().unwrap());
        config.root_cert = Some(vec![listed.to_vec()]);
        let client = builder(config).unwrap().build();
        let answer = client.request_text(Request::get("/version").body(Vec::new()).unwrap()).await;
        answer.map_err(|error| super::super::description(&error))
    }

    #[tokio::test]
    async fn a_self_signed_ca_is_trusted_as_api_server_where_it_is_listed() {
        let ((url, mine), (_, other)) = (server().await, server().await);
        assert_eq!(ask(&url, &mine).await.as_deref(), Ok("ok"));
        let error = ask(&url, &other).await.unwrap_err();
        assert!(error.contains("SHA-256 fingerprint") && error.contains("certificate-authority"), "{error}");
    }
}
