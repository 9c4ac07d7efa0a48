//! Replaces what looks like a secret in a command line.
//!
//! It goes by names (`--password`, `API_TOKEN=`), by the forms of headers and URLs, and by flags of programs that are known to take a
//! password. A secret without such a sign stays.

/// What stands for a secret.
const REDACTED: &str = "[redacted]";

/// Parts of names that secrets have.
const SECRET_PARTS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "access_key",
    "private_key",
    "credential",
    "authorization",
    "cookie",
];

/// Whole words of names that secrets have.
const SECRET_WORDS: [&str; 5] = ["pass", "pwd", "pw", "auth", "bearer"];

/// What stands before a token in a header.
const SCHEMES: [&str; 3] = ["bearer", "basic", "token"];

/// Names of places of secrets, which are none themselves.
const PLACE_WORDS: [&str; 5] = ["file", "path", "dir", "fd", "name"];

/// Programs that take a password with a flag of one letter, and the flags.
const PASSWORD_FLAGS: [(&str, &str); 12] = [
    ("mysql", "p"),
    ("mysqldump", "p"),
    ("mysqladmin", "p"),
    ("mariadb", "p"),
    ("mariadb-dump", "p"),
    ("sshpass", "p"),
    ("docker", "p"),
    ("podman", "p"),
    ("redis-cli", "a"),
    ("ldapsearch", "w"),
    ("ldapmodify", "w"),
    ("smbclient", "U"),
];

/// The command line without what looks like a secret.
pub(super) fn redacted(arguments: Vec<String>) -> Vec<String> {
    let program = arguments.first().cloned().unwrap_or_default();
    let mut is_secret_next = false;
    let mut redact = |argument: String| {
        let is_scheme = SCHEMES.iter().any(|scheme| argument.eq_ignore_ascii_case(scheme));
        if is_scheme {
            is_secret_next = true;
            return argument;
        }
        let is_secret = std::mem::take(&mut is_secret_next) && !argument.starts_with('-');
        if is_secret {
            return of_flag_value(&argument);
        }
        if argument.contains(char::is_whitespace) && !is_header(&argument) {
            // The command of a shell, or a title: a command line in itself.
            let words = argument.split(' ').map(str::to_owned).collect();
            return redacted(words).join(" ");
        }
        is_secret_next = takes_secret(&program, &argument);
        of_argument(&program, &argument)
    };
    arguments.into_iter().map(&mut redact).collect()
}

/// The value of a flag that takes a secret: of `USER:PASSWORD` the user stays.
fn of_flag_value(value: &str) -> String {
    value.split_once(':').map_or_else(|| REDACTED.to_owned(), |(user, _)| format!("{user}:{REDACTED}"))
}

/// Whether the next argument is a secret.
fn takes_secret(program: &str, argument: &str) -> bool {
    let is_user = ["-u", "--user", "--proxy-user"].contains(&argument) && is_program(program, "curl");
    let is_flag = argument.starts_with('-') && !argument.contains('=');
    let is_named = (is_flag || argument.ends_with(':')) && is_secret_name(argument.trim_end_matches(':'));
    is_user || is_named || password_flag(program).is_some_and(|flag| argument.strip_prefix('-') == Some(flag))
}

fn of_argument(program: &str, argument: &str) -> String {
    if let Some((name, value)) = argument.split_once(':').filter(|_| is_header(argument)) {
        if value.is_empty() {
            return argument.to_owned();
        }
        return format!("{name}: {REDACTED}");
    }
    if let Some(flag) = password_flag(program)
        && argument.strip_prefix('-').and_then(|rest| rest.strip_prefix(flag)).is_some_and(|value| !value.is_empty())
    {
        return format!("-{flag}{REDACTED}");
    }
    // KEY=VALUE, also of a query in a URL and of lists.
    let is_separator = |c| matches!(c, '?' | '&' | ';' | ',');
    let mut text = String::with_capacity(argument.len());
    for part in argument.split_inclusive(is_separator) {
        match part.split_once('=').filter(|(name, value)| !value.is_empty() && is_secret_name(name)) {
            Some((name, value)) => {
                let separator = value.strip_prefix(value.trim_end_matches(is_separator)).unwrap_or_default();
                text.extend([name, "=", REDACTED, separator]);
            }
            None => text.push_str(part),
        }
    }
    without_userinfo(&text)
}

/// `scheme://USER:PASSWORD@host`, and `https://TOKEN@host`.
fn without_userinfo(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((userinfo, _)) = authority.rsplit_once('@') else { return text.to_owned() };
    let shown = match userinfo.split_once(':') {
        Some((user, _)) => format!("{user}:{REDACTED}"),
        None if scheme.ends_with("http") || scheme.ends_with("https") => REDACTED.to_owned(),
        None => return text.to_owned(),
    };
    format!("{scheme}://{shown}{}", &rest[userinfo.len()..])
}

/// `Authorization: Bearer ...`.
fn is_header(argument: &str) -> bool {
    argument.split_once(':').is_some_and(|(name, _)| !name.contains([' ', '=', '/']) && is_secret_name(name))
}

fn is_secret_name(name: &str) -> bool {
    let name = name.trim_start_matches('-').to_ascii_lowercase().replace(['-', '.', '_'], "_");
    let mut words = name.split('_').filter(|word| !word.is_empty());
    if words.clone().next_back().is_some_and(|last| PLACE_WORDS.contains(&last)) {
        return false;
    }
    SECRET_PARTS.iter().any(|part| name.contains(part)) || words.any(|word| SECRET_WORDS.contains(&word))
}

fn password_flag(program: &str) -> Option<&'static str> {
    PASSWORD_FLAGS.iter().find(|(name, _)| is_program(program, name)).map(|(_, flag)| *flag)
}

fn is_program(path: &str, name: &str) -> bool {
    path.rsplit('/').next() == Some(name)
}

#[cfg(test)]
mod tests {
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
        ] {
            assert_eq!(redact(&line).join(" "), expected);
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
}
