//! Names that programs could choose to have an effect in notifications.

/// Mentions, links, markup and line breaks of all services.
pub(super) const NAMES: [&str; 14] = [
    "<!channel>",
    "<!here|now>",
    "@here @channel @everyone",
    "<https://evil.example|click>",
    "[click](https://evil.example/a)",
    "![x](https://evil.example/x.png)",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "<at>everyone</at>",
    "``` *bold* `code` ```",
    "https://evil.example/b WWW.evil.example",
    "\r\nBcc: victim@evil.example\r\n\r\nbody",
    "&lt;!channel&gt; &#60;b&#62;",
    "{{ .Labels }} {{ message }} $1",
    "\"}], \"routing_key\": \"evil\\",
];

/// Fails if a program could show a text as a link.
pub(super) fn assert_no_links(text: &str) {
    let lower = text.to_lowercase();
    assert!(!lower.contains("://") && !lower.contains("www.evil"), "a link: {text}");
}
