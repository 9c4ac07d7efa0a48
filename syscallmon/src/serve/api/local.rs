//! Distinguishes requests of local clients from requests that a proxy or a browser forwards.
//!
//! A request that changes something needs no password over a loopback address. A proxy on the host also connects from a
//! loopback address, but requests that it forwards are not of local clients.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, Uri, Version, header, uri::Authority};

/// Headers that clients send without a proxy. Proxies add headers with many names (`Via`, `Forwarded`,
/// `X-Forwarded-For`, `X-Real-IP`, `CF-Connecting-IP`, `True-Client-IP`, ...), so every other header counts as a
/// proxy's.
const CLIENT_HEADERS: [HeaderName; 15] = [
    header::ACCEPT,
    header::ACCEPT_CHARSET,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::ORIGIN, // refused with a message of its own
    header::PRAGMA,
    header::TRANSFER_ENCODING,
    header::USER_AGENT,
];

/// Returns why a request over a loopback address does not count as local; `None` if it does.
pub(in crate::serve) fn refusal(version: Version, uri: &Uri, headers: &HeaderMap) -> Option<String> {
    if version < Version::HTTP_11 {
        return Some(format!("{version:?} may come from a proxy; local clients use HTTP/1.1"));
    }
    if let Some(name) = headers.keys().find(|name| !CLIENT_HEADERS.contains(name)) {
        return Some(format!("the header {name} may come from a proxy"));
    }
    let hosts = headers.get_all(header::HOST).iter().map(|host| host.to_str().ok().and_then(|host| host.parse().ok()));
    let mut authorities = hosts.chain(uri.authority().cloned().map(Some)).peekable();
    if authorities.peek().is_none() {
        return Some("the header Host is missing".to_owned());
    }
    let is_foreign = |authority: &Option<Authority>| !authority.as_ref().is_some_and(is_loopback);
    authorities.find(is_foreign).map(|_| {
        "the header Host is not a loopback address such as 127.0.0.1:9778, [::1]:9778 or localhost:9778".to_owned()
    })
}

/// For fuzz targets.
#[cfg(fuzzing)]
pub fn refused(version: Version, uri: &Uri, headers: &HeaderMap) -> Option<String> {
    refusal(version, uri, headers)
}

fn is_loopback(authority: &Authority) -> bool {
    // A user name before the host is not part of `Host`.
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(uri: &str, pairs: &[(&str, &str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        refusal(Version::HTTP_11, &uri.parse().unwrap(), &headers)
    }

    #[test]
    fn hosts_of_this_host_are_local() {
        for host in [
            "127.0.0.1:9778",
            "127.8.9.1",
            "localhost",
            "LOCALHOST:9778",
            "[::1]",
            "[::1]:9778",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(refused("/", &[("host", host)]), None, "{host}");
        }
        assert_eq!(refused("http://localhost:9778/", &[]), None, "HTTP/2 has :authority");
        let curl =
            [("host", "localhost"), ("user-agent", "curl/8"), ("accept", "*/*"), ("content-type", "application/json")];
        assert_eq!(refused("/", &curl), None);
    }

    #[test]
    fn other_hosts_are_not() {
        for host in [
            "node.example",
            "10.0.0.7:9778",
            "localhost.example",
            "evil@localhost",
            "128.0.0.1",
            "[::2]",
            "0.0.0.0",
            "",
            "a b",
        ] {
            assert!(refused("/", &[("host", host)]).is_some_and(|why| why.contains("Host")), "{host}");
        }
        assert!(refused("/", &[]).is_some());
        assert!(refused("/", &[("host", "localhost"), ("host", "node.example")]).is_some());
        assert!(refused("http://node.example/", &[("host", "localhost")]).is_some());
    }

    #[test]
    fn headers_of_proxies_are_no_client_s() {
        for name in [
            "via",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-forwarded-port",
            "x-forwarded-server",
            "x-forwarded-prefix",
            "x-forwarded",
            "x-real-ip",
            "x-client-ip",
            "x-cluster-client-ip",
            "true-client-ip",
            "client-ip",
            "cf-connecting-ip",
            "cf-ray",
            "fastly-client-ip",
            "fly-client-ip",
            "x-original-url",
            "x-original-host",
            "x-rewrite-url",
            "x-envoy-external-address",
            "x-request-id",
            "x-remote-user",
            "x-amzn-trace-id",
            "x-appengine-user-ip",
            "cdn-loop",
            "max-forwards",
            "proxy-authorization",
            "proxy-connection",
            "x-azure-clientip",
            "traceparent",
            "x-b3-traceid",
            "forwarded-for",
            "x-forwarded-client-cert",
            "x-varnish",
            "x-proxyuser-ip",
            "referer",
            "cookie",
            "sec-fetch-site",
        ] {
            assert!(
                refused("/", &[("host", "localhost"), (name, "a")]).is_some_and(|why| why.contains(name)),
                "{name}"
            );
        }
    }

    #[test]
    fn http_1_0_is_what_proxies_speak() {
        let headers = HeaderMap::from_iter([(header::HOST, "localhost".parse().unwrap())]);
        let version = |version| refusal(version, &"/".parse().unwrap(), &headers);
        assert!(version(Version::HTTP_10).is_some_and(|why| why.contains("HTTP/1.0")));
        assert_eq!((version(Version::HTTP_11), version(Version::HTTP_2)), (None, None));
    }
}
