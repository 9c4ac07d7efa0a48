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

/// Headers that browsers add. Scripts cannot set those that begin with `sec-`.
const BROWSER_HEADERS: [HeaderName; 6] = [
    header::COOKIE,
    header::DNT,
    header::REFERER,
    header::TE,
    header::UPGRADE_INSECURE_REQUESTS,
    HeaderName::from_static("priority"),
];

/// Returns why a request over a loopback address does not count as local; `None` if it does.
pub(in crate::serve) fn refusal(version: Version, uri: &Uri, headers: &HeaderMap) -> Option<String> {
    refusal_unless(|_| false, version, uri, headers)
}

/// Returns the same for a form of a page of this daemon, which a browser sends.
///
/// A page of another origin cannot send it: browsers say where a form comes from. A proxy has another origin.
pub(in crate::serve) fn form_refusal(version: Version, uri: &Uri, headers: &HeaderMap) -> Option<String> {
    if !is_same_origin(uri, headers) {
        return Some("the form is not from a page of this address".to_owned());
    }
    let is_browsers = |name: &HeaderName| name.as_str().starts_with("sec-") || BROWSER_HEADERS.contains(name);
    refusal_unless(is_browsers, version, uri, headers)
}

/// Whether a browser sent a request for a page of the same origin.
pub(in crate::serve) fn is_same_origin(uri: &Uri, headers: &HeaderMap) -> bool {
    let one = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
    };
    let origin = one(header::ORIGIN).and_then(|origin| origin.parse::<Uri>().ok());
    let host = uri.authority().map(Authority::as_str).or_else(|| one(header::HOST));
    let is_this = origin.as_ref().and_then(Uri::authority).map(Authority::as_str).zip(host);
    let is_same_site = headers.get_all("sec-fetch-site").iter().all(|site| site == "same-origin");
    is_this.is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host)) && is_same_site
}

fn refusal_unless(
    is_allowed: impl Fn(&HeaderName) -> bool,
    version: Version,
    uri: &Uri,
    headers: &HeaderMap,
) -> Option<String> {
    if version < Version::HTTP_11 {
        return Some(format!("{version:?} may come from a proxy; local clients use HTTP/1.1"));
    }
    if let Some(name) = headers.keys().find(|name| !CLIENT_HEADERS.contains(name) && !is_allowed(name)) {
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

/// Whether a request names this host by a loopback address.
pub(in crate::serve) fn has_loopback_host(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).and_then(|host| host.parse().ok());
    host.is_some_and(|host| is_loopback(&host))
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
    fn a_form_is_local_only_from_a_page_of_the_same_loopback_address() {
        let form = |pairs: &[(&str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            form_refusal(Version::HTTP_11, &"/baseline/1/approve".parse().unwrap(), &headers)
        };
        let (host, origin) = (("host", "127.0.0.1:9778"), ("origin", "http://127.0.0.1:9778"));
        let browser = [("sec-fetch-site", "same-origin"), ("sec-ch-ua", "a"), ("cookie", "b"), ("referer", "c")];
        assert_eq!(form(&[&[host, origin][..], &browser].concat()), None);
        for other in [
            &[host][..],
            &[host, ("origin", "null")],
            &[host, ("origin", "http://127.0.0.1:3000")],
            &[host, ("origin", "http://evil.example")],
            &[host, ("origin", "http://127.0.0.1:9778@evil.example")],
            &[host, origin, origin],
            &[host, origin, ("sec-fetch-site", "same-site")],
            &[host, origin, ("sec-fetch-site", "cross-site")],
            // A name of an attacker's that leads to this address.
            &[("host", "evil.example:9778"), ("origin", "http://evil.example:9778")],
            // A proxy on the host.
            &[host, ("origin", "https://node.example")],
            &[host, origin, ("x-forwarded-for", "10.0.0.7")],
            &[host, origin, ("via", "1.1 proxy")],
        ] {
            assert!(form(other).is_some(), "{other:?}");
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
