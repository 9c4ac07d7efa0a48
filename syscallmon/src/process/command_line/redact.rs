//! Replaces probable secrets in a command line.
//!
//! It recognizes names (`--password`, `API_TOKEN=`), forms of headers and URLs, and flags of programs that take a
//! password. A secret without such a sign stays.

/// Replaces a secret.
const REDACTED: &str = "[redacted]";

/// Parts of names of secrets.
const SECRET_PARTS: [&str; 18] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "access_key",
    "accesskey",
    "accountkey",
    "private_key",
    "encryption_key",
    "signing_key",
    "master_key",
    "signature",
    "credential",
    "authorization",
    "cookie",
];

/// Whole words in names of secrets.
const SECRET_WORDS: [&str; 14] = [
    "pass",
    "pwd",
    "pw",
    "auth",
    "bearer",
    "psk",
    "pat",
    "sig",
    "dbpass",
    "dbpwd",
    "rootpw",
    "userpass",
    "storepass",
    "keypass",
];

/// Prefixes of tokens of well-known services.
const TOKEN_PREFIXES: [&str; 9] =
    ["ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "eyJ", "-----BEGIN"];

/// Words before a token in a header.
const SCHEMES: [&str; 3] = ["bearer", "basic", "token"];

/// Names of locations of secrets, which are no secrets.
const PLACE_WORDS: [&str; 5] = ["file", "path", "dir", "fd", "name"];

/// Programs with a flag of one letter for a password, by prefix of their name, and these flags.
const PASSWORD_FLAGS: [(&str, &str); 8] = [
    ("mysql", "p"),
    ("mariadb", "p"),
    ("sshpass", "p"),
    ("docker", "p"),
    ("podman", "p"),
    ("redis-cli", "a"),
    ("ldap", "w"),
    ("smbclient", "U"),
];

/// The program that takes `USER:PASSWORD`, and its flags.
const CURL: &str = "curl";
const CURL_FLAGS: [&str; 2] = ["--user", "--proxy-user"];

/// Returns the command line with probable secrets replaced.
pub(super) fn redacted(arguments: Vec<String>) -> Vec<String> {
    let mut words = Words::default();
    arguments.into_iter().map(|argument| words.redact_argument(argument)).collect()
}

/// The meaning of the next word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Word,
    Secret,
    UserAndSecret,
}

/// State after the words so far.
#[derive(Debug, Default)]
struct Words {
    /// The last word that names a program with flags for passwords.
    program: String,
    next: Next,
}

impl Words {
    /// An argument that can be a command line itself: the command of a shell, or a title.
    fn redact_argument(&mut self, argument: String) -> String {
        let is_one_word = !argument.contains(char::is_whitespace);
        if is_one_word || self.next != Next::Word || is_header(&argument) {
            return self.redact_word(argument);
        }
        let is_name = |name: &str| !name.contains(char::is_whitespace) && is_secret_name(name);
        if let Some((name, _)) = argument.split_once('=').filter(|(name, _)| is_name(name)) {
            return format!("{name}={REDACTED}");
        }
        let mut text = String::with_capacity(argument.len());
        for piece in argument.split_inclusive(char::is_whitespace) {
            let word = piece.trim_end_matches(char::is_whitespace);
            text.push_str(&self.redact_word(word.to_owned()));
            text.push_str(&piece[word.len()..]);
        }
        text
    }

    fn redact_word(&mut self, word: String) -> String {
        if word.is_empty() {
            return word;
        }
        if SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
            self.next = Next::Secret;
            return word;
        }
        match std::mem::take(&mut self.next) {
            Next::Secret if !word.starts_with("--") => return REDACTED.to_owned(),
            // With an empty argument as user, a flag follows.
            Next::UserAndSecret if !word.starts_with("--") || word.contains(':') => return without_password(&word),
            _ => {}
        }
        if password_flag(&word).is_some() || is_program(&word, CURL) {
            self.program.clone_from(&word);
        }
        self.next = self.after(&word);
        self.of_word(&word)
    }

    /// The meaning of the word after this one.
    fn after(&self, word: &str) -> Next {
        let is_short = word.starts_with('-') && !word.starts_with("--");
        if is_program(&self.program, CURL) && (CURL_FLAGS.contains(&word) || (is_short && word.ends_with('u'))) {
            return Next::UserAndSecret;
        }
        let is_flag = word.starts_with('-') && !word.contains('=');
        let is_named = (is_flag || word.ends_with(':')) && is_secret_name(word.trim_end_matches(':'));
        let is_password = password_flag(&self.program).is_some_and(|flag| word.strip_prefix('-') == Some(flag));
        if is_named || is_password { Next::Secret } else { Next::Word }
    }

    fn of_word(&self, word: &str) -> String {
        if let Some((name, value)) = word.split_once(':').filter(|_| is_header(word)) {
            return if value.is_empty() { word.to_owned() } else { format!("{name}: {REDACTED}") };
        }
        if TOKEN_PREFIXES.iter().any(|prefix| word.trim_start_matches(['"', '\'']).starts_with(prefix)) {
            return REDACTED.to_owned();
        }
        let rest_after = |flag: &str| word.strip_prefix('-')?.strip_prefix(flag).filter(|rest| !rest.is_empty());
        if let Some(flag) = password_flag(&self.program).filter(|flag| rest_after(flag).is_some()) {
            return format!("-{flag}{REDACTED}");
        }
        if is_program(&self.program, CURL) {
            let long = word.split_once('=').filter(|(flag, _)| CURL_FLAGS.contains(flag));
            if let Some((flag, value)) = long {
                return format!("{flag}={}", without_password(value));
            }
            if let Some(value) = rest_after("u") {
                return format!("-u{}", without_password(value));
            }
        }
        without_userinfo(&without_values(word))
    }
}

/// `USER:PASSWORD`: the user stays.
fn without_password(value: &str) -> String {
    value.split_once(':').map_or_else(|| REDACTED.to_owned(), |(user, _)| format!("{user}:{REDACTED}"))
}

/// `KEY=VALUE` and `"KEY":VALUE`, also in the query of a URL and in lists.
fn without_values(word: &str) -> String {
    let is_separator = |c| matches!(c, '?' | '&' | ';' | ',');
    let mut text = String::with_capacity(word.len());
    let is_list = word.contains("://") || word.contains('{');
    let mut rest = word;
    while !rest.is_empty() {
        let end = end_of_part(rest, is_separator);
        let (part, after) = rest.split_at(end);
        match value_of_secret(part) {
            Some(at) if is_list || !text.is_empty() => {
                let value = &part[at..];
                let separator = &value[value.trim_end_matches(is_separator).len()..];
                text.extend([&part[..at], REDACTED, separator]);
            }
            // The value of a flag may contain any character.
            Some(at) => {
                text.extend([&part[..at], REDACTED]);
                return text;
            }
            None => text.push_str(part),
        }
        rest = after;
    }
    text
}

/// Returns the end of the first part, with its separator. A text in double quotes, as in JSON, is one part.
fn end_of_part(text: &str, is_separator: impl Fn(char) -> bool) -> usize {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, c) in text.char_indices() {
        if is_separator(c) && !is_quoted {
            return at + 1;
        }
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
    }
    text.len()
}

/// Returns the start of a secret's value in `NAME=VALUE`, `--env=NAME=VALUE` or `"NAME":VALUE`.
fn value_of_secret(part: &str) -> Option<usize> {
    let begins = part.match_indices('=').map(|(at, _)| (at, at + 1));
    let of_json = part.match_indices("\":").map(|(at, _)| (at, at + 2));
    let is_secret = |&(end, value): &(usize, usize)| {
        // Continues at the previous value: reading all names again for each value would take quadratic time.
        let name = part[..end].rsplit('=').next().and_then(|name| name.rsplit("\":").next()).unwrap_or_default();
        value < part.len() && is_secret_name(name)
    };
    begins.chain(of_json).filter(is_secret).map(|(_, value)| value).min()
}

/// `scheme://USER:PASSWORD@host`, and `https://TOKEN@host`, of the whole text.
fn without_userinfo(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((scheme, after)) = rest.split_once("://") {
        shown.extend([scheme, "://"]);
        let authority = after.split(['/', '?', '#', ',']).next().unwrap_or_default();
        rest = after;
        let Some((userinfo, _)) = authority.rsplit_once('@') else { continue };
        match userinfo.split_once(':') {
            Some((user, _)) => shown.extend([user, ":", REDACTED]),
            None if scheme.ends_with("http") || scheme.ends_with("https") => shown.push_str(REDACTED),
            None => shown.push_str(userinfo),
        }
        rest = &after[userinfo.len()..];
    }
    shown.push_str(rest);
    shown
}

/// `Authorization: Bearer ...`.
fn is_header(argument: &str) -> bool {
    let is_name = |name: &str| !name.contains(|c: char| c.is_whitespace() || matches!(c, '=' | '/' | '{'));
    argument.split_once(':').is_some_and(|(name, _)| is_name(name) && is_secret_name(name))
}

fn is_secret_name(name: &str) -> bool {
    let name = name.trim_start_matches('-').to_ascii_lowercase().replace(['-', '.', '"', '{'], "_");
    let mut words = name.split('_').filter(|word| !word.is_empty());
    if words.clone().next_back().is_some_and(|last| PLACE_WORDS.contains(&last)) {
        return false;
    }
    SECRET_PARTS.iter().any(|part| name.contains(part)) || words.any(|word| SECRET_WORDS.contains(&word))
}

fn password_flag(program: &str) -> Option<&'static str> {
    let program = base_name(program);
    PASSWORD_FLAGS.iter().find(|(name, _)| program.starts_with(name)).map(|(_, flag)| *flag)
}

fn is_program(path: &str, name: &str) -> bool {
    base_name(path) == name
}

/// Returns the name without the path, and without quotes and signs of a shell before it.
fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\'', '"', ';', '(', '`', '&', '|']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redact(line: &[&str]) -> Vec<String> {
        redacted(line.iter().map(|&argument| argument.to_owned()).collect())
    }

    #[test]
    fn what_looks_like_a_secret_is_replaced() {
        for (line, expected) in [
            (vec!["app", "--password=hunter2"], "app --password=[redacted]"),
            (vec!["app", "--token", "hunter2", "--verbose"], "app --token [redacted] --verbose"),
            (vec!["app", "-db-passwd=hunter2"], "app -db-passwd=[redacted]"),
            (vec!["env", "API_TOKEN=hunter2", "app"], "env API_TOKEN=[redacted] app"),
            (vec!["/usr/bin/mysql", "-uroot", "-phunter2"], "/usr/bin/mysql -uroot -p[redacted]"),
            (vec!["sshpass", "-p", "hunter2", "ssh", "host"], "sshpass -p [redacted] ssh host"),
            (vec!["curl", "-u", "me:hunter2", "host"], "curl -u me:[redacted] host"),
            (vec!["curl", "-H", "Authorization: Bearer hunter2"], "curl -H Authorization: [redacted]"),
            (vec!["git", "clone", "https://me:hunter2@host/a"], "git clone https://me:[redacted]@host/a"),
            (vec!["git", "clone", "https://hunter2@host/a"], "git clone https://[redacted]@host/a"),
            (vec!["curl", "http://host/?a=b&token=hunter2&c=d"], "curl http://host/?a=b&token=[redacted]&c=d"),
            (
                vec!["sh", "-c", "mysql -phunter2 db; PGPASSWORD=hunter2 psql"],
                "sh -c mysql -p[redacted] db; PGPASSWORD=[redacted] psql",
            ),
            (
                vec!["sh", "-c", "curl -H 'Authorization: Bearer hunter2' host"],
                "sh -c curl -H 'Authorization: Bearer [redacted] host",
            ),
            (vec!["worker --api-key hunter2"], "worker --api-key [redacted]"),
            (vec!["worker --api-key  hunter2"], "worker --api-key  [redacted]"),
            (vec!["sh", "-c", "a\tb\nmysql\u{a0}-phunter2\n"], "sh -c a\tb\nmysql\u{a0}-p[redacted]\n"),
            (vec!["sudo", "mysqldump", "-phunter2"], "sudo mysqldump -p[redacted]"),
            (vec!["sh", "-c", "cd /x && mysql -phunter2"], "sh -c cd /x && mysql -p[redacted]"),
            (vec!["sh", "-c", "foo;curl -u me:hunter2"], "sh -c foo;curl -u me:[redacted]"),
            (vec!["curl", "--user=me:hunter2", "-sSu", "me:hunter2"], "curl --user=me:[redacted] -sSu me:[redacted]"),
            (vec!["curl", "-ume:hunter2"], "curl -ume:[redacted]"),
            (vec!["curl", "-u", "", "--password", "hunter2"], "curl -u  --password [redacted]"),
            (vec!["curl", "-u", "--me:hunter2"], "curl -u --me:[redacted]"),
            (vec!["app", "--password=a,hunter2&b"], "app --password=[redacted]"),
            (vec!["app", "--password=a b hunter2"], "app --password=[redacted]"),
            (vec!["app", "--env=PASSWORD=hunter2"], "app --env=PASSWORD=[redacted]"),
            (vec!["app", "--password", "hunter2:y"], "app --password [redacted]"),
            (vec!["app", "--password", "-hunter2"], "app --password [redacted]"),
            (vec!["app", r#"{"user":"a","token":"hunter2"}"#], r#"app {"user":"a","token":[redacted]"#),
            (vec!["curl", "https://h/?r=https://u:hunter2@h2"], "curl https://h/?r=https://u:[redacted]@h2"),
            (vec!["git", "push", "ghp_hunter2"], "git push [redacted]"),
            (vec!["app", "AccountKey=hunter2"], "app AccountKey=[redacted]"),
        ] {
            assert_eq!(redact(&line).join(" "), expected);
        }
    }

    /// The names before it are not part of its name. If they were, the time would be quadratic.
    #[test]
    fn a_value_of_json_is_judged_by_its_own_name() {
        for (line, expected) in [
            (r#"{"password":{"a":"hunter2"}}"#, r#"{"password":[redacted]"#),
            (r#"{"a":{"password":"hunter2"}}"#, r#"{"a":{"password":[redacted]"#),
            (r#"{"password":"a,hunter2","b":1}"#, r#"{"password":[redacted],"b":1}"#),
            (r#"{"password":"a\",hunter2"}"#, r#"{"password":[redacted]"#),
            (r#"{"a":"b,c","password":"hunter2"}"#, r#"{"a":"b,c","password":[redacted]"#),
            (r#"{"password":"a,hunter2"#, r#"{"password":[redacted]"#),
            (r#"{"token:id":"hunter2"}"#, r#"{"token:id":[redacted]"#),
            (r#"{"password_file":{"path":"/run/x"}}"#, r#"{"password_file":{"path":"/run/x"}}"#),
            (r#"{"password_file":{"a":"/run/x"}}"#, r#"{"password_file":{"a":"/run/x"}}"#),
        ] {
            assert_eq!(redact(&["app", line])[1], expected);
        }
    }

    #[test]
    fn what_does_not_is_kept() {
        for line in [
            vec!["find", "/", "-perm", "-4000", "-print"],
            vec!["mount", "-o", "rw,bind", "/dev/sda", "/mnt"],
            vec!["app", "--password-file=/run/secret", "--keyboard", "us", "--port=8080"],
            vec!["ssh", "ssh://git@host/path"],
            vec!["mkdir", "-p", "/a/b"],
        ] {
            assert_eq!(redact(&line), line);
        }
    }

    proptest! {
        #[test]
        fn any_argument_is_read_to_its_end(arguments in proptest::collection::vec("\\PC{0,40}|[\\s\\x00-\\x20 a=:\"-]{0,40}", 0..5)) {
            prop_assert_eq!(redacted(arguments.clone()).len(), arguments.len());
        }
    }
}
