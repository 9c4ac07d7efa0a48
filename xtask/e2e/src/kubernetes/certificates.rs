//! The identities in a cluster: an authority, the API server, and a client certificate for each client.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::{ADDRESS, ETC, NODE, SERVICE_ADDRESS};
use crate::namespaces::Namespaces;

const API_SERVER: [&str; 7] =
    ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1", ADDRESS, SERVICE_ADDRESS];

/// File name, user name and group of each client of the API server.
const CLIENTS: [(&str, &str, &str); 4] = [
    ("admin", "admin", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("kubelet", "system:node:", "system:nodes"),
];

/// Writes all files: `pki/NAME.crt` and `.key`, and `NAME.kubeconfig` for clients.
pub(super) fn write(namespaces: &Namespaces) -> Result<()> {
    let authority = authority().context("cannot make certificates")?;
    let save = |name: &str, text: &str| namespaces.write(&format!("{ETC}/pki/{name}"), text);
    save("ca.crt", &authority.pem())?;
    save("ca.key", &authority.key().serialize_pem())?;
    let issue = |file: &str, name: &str, group: &str, hosts: &[&str]| {
        let (certificate, key) = issue(&authority, name, group, hosts).context("cannot make a certificate")?;
        save(&format!("{file}.crt"), &certificate)?;
        save(&format!("{file}.key"), &key)
    };
    issue("api-server", "kube-apiserver", "", &API_SERVER)?;
    issue("api-server-to-kubelet", "kube-apiserver-kubelet-client", "system:masters", &[])?;
    for (file, name, group) in CLIENTS {
        let name = if file == "kubelet" { format!("{name}{NODE}") } else { name.to_owned() };
        issue(file, &name, group, &[])?;
        namespaces.write(&kubeconfig_path(file), kubeconfig(file))?;
    }
    // Signs the tokens of service accounts.
    let key = KeyPair::generate().context("cannot make a key")?;
    save("service-accounts.pub", &key.public_key_pem())?;
    save("service-accounts.key", &key.serialize_pem())
}

/// Returns the path of a client's kubeconfig, inside.
pub(super) fn kubeconfig_path(client: &str) -> String {
    format!("{ETC}/{client}.kubeconfig")
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "e2e");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

/// Returns a certificate and its key.
fn issue(
    authority: &CertifiedIssuer<'static, KeyPair>,
    name: &str,
    group: &str,
    hosts: &[&str],
) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, name);
    if !group.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Returns a kubeconfig. JSON is YAML.
fn kubeconfig(client: &str) -> String {
    let pki = format!("{ETC}/pki");
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "e2e",
        "clusters": [{"name": "e2e", "cluster": {
            "server": format!("https://{ADDRESS}:443"), "certificate-authority": format!("{pki}/ca.crt"),
        }}],
        "users": [{"name": client, "user": {
            "client-certificate": format!("{pki}/{client}.crt"), "client-key": format!("{pki}/{client}.key"),
        }}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": client}}],
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_and_key_are_made_for_names_and_addresses() {
        let (certificate, key) = issue(&authority().unwrap(), "kube-apiserver", "", &API_SERVER).unwrap();
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
    }
}
