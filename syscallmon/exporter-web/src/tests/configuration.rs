use super::*;
use crate::WebConfig;

fn assert_refused(text: &str, parts: &[&str]) {
    let error = load_error(text).chain();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

#[test]
fn empty_file_is_open() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["", "# nothing\n", "tls_server_config: {}\nbasic_auth_users:\n"] {
        let config = WebConfig::load(&write_config(dir.path(), text)).unwrap();
        assert!(!config.is_tls());
        assert!(config.headers().is_empty());
    }
}

#[test]
fn unknown_key_is_named_with_its_line() {
    assert_refused("http_server_config:\n  http2: true\n  htp3: true\n", &["htp3", "line 3", "web.yml"]);
    assert_refused("tls_config:\n", &["tls_config", "line 1"]);
    assert_refused("http_server_config:\n  headers:\n    Server: x\n", &["Server", "line 3"]);
}

#[test]
fn old_tls_versions_are_refused_by_name() {
    for version in ["TLS10", "TLS11"] {
        let text = format!("tls_server_config:\n  min_version: {version}\n");
        assert_refused(&text, &["min_version", version, "rustls", "TLS12", "line 2"]);
    }
}

#[test]
fn unknown_names_are_refused_with_key_and_line() {
    assert_refused("tls_server_config:\n  cipher_suites:\n  - FOO\n", &["cipher_suites", "FOO", "line 3"]);
    assert_refused("tls_server_config:\n  curve_preferences: [P1]\n", &["curve_preferences", "P1", "line 2"]);
    assert_refused("tls_server_config:\n  client_auth_type: Maybe\n", &["client_auth_type", "Maybe", "line 2"]);
}

#[test]
fn half_a_tls_section_is_refused_rather_than_served_in_clear_text() {
    assert_refused("tls_server_config:\n  min_version: TLS12\n", &["cert_file"]);
    assert_refused("tls_server_config:\n  cert_file: missing.pem\n  key_file: k\n", &["missing.pem", "cert_file"]);
}

#[test]
fn rate_limit_is_refused_by_name() {
    assert_refused("rate_limit:\n  burst: 1\n", &["rate_limit", "not implemented"]);
}

#[test]
fn error_shows_nothing_of_an_inline_key() {
    let text = "tls_server_config:\n  key: |\n    PRIVATE-BYTES\n  kye: 1\n";
    let error = load_error(text);
    assert!(error.chain().contains("kye"));
    assert!(!format!("{} {error:?}", error.chain()).contains("PRIVATE-BYTES"));
}

#[test]
fn server_with_a_bad_file_does_not_start() {
    assert!(Server::new(Some("/nonexistent/web.yml".into()), Limits::default()).is_err());
}
