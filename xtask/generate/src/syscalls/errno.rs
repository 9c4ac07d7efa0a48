//! The names of error numbers, from the kernel's generic headers.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

use super::{COMMON_HEADERS, HEADERS};

/// Headers with the definitions.
const GENERIC: [&str; 2] = ["asm-generic/errno-base.h", "asm-generic/errno.h"];
/// Headers with an architecture's own numbers, and the text of a header without own numbers.
const OWN: [&str; 3] = ["x86/asm/errno.h", "arm64/asm/errno.h", "arm/asm/errno.h"];
const NONE_OF_ITS_OWN: &str = "#include <asm-generic/errno.h>";

/// Numbers that prove that the right headers were read, and the minimum number of names in Linux 7.
const KNOWN: [(u16, &str); 3] = [(1, "EPERM"), (11, "EAGAIN"), (133, "EHWPOISON")];
const FEWEST_NAMES: usize = 130;

/// Reads the headers of an unpacked linux-libc-dev. Returns names by number, without aliases.
pub(super) fn read(unpacked: &Path) -> Result<BTreeMap<u16, String>> {
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    for header in OWN {
        let text = read(&unpacked.join(HEADERS).join(header))?;
        ensure!(text.trim() == NONE_OF_ITS_OWN, "{header} has numbers of its own: one table is too few now");
    }
    let mut text = String::new();
    for header in GENERIC {
        text += &read(&unpacked.join(COMMON_HEADERS).join(header))?;
    }
    let table = parse(&text).with_context(|| format!("cannot understand {}", GENERIC.join(" and ")))?;
    check_sanity(&table)?;
    Ok(table)
}

/// Reads `#define E<name> <number>`, and skips `#define E<alias> E<name>`.
fn parse(headers: &str) -> Result<BTreeMap<u16, String>> {
    let mut table = BTreeMap::new();
    for definition in headers.lines().filter_map(|line| line.strip_prefix("#define")) {
        let mut words = definition.split_whitespace();
        let Some(name) = words.next().filter(|name| name.starts_with('E')) else { continue };
        let value = words.next().with_context(|| format!("{name} has no value"))?;
        if value.starts_with('E') {
            ensure!(table.values().any(|known| known == value), "{name} is an alias of {value}, which is not defined");
            continue;
        }
        let number = value.parse().ok();
        let number = number.with_context(|| format!("{name} is defined as {value:?}, not as a number"))?;
        if let Some(other) = table.insert(number, name.to_owned()) {
            bail!("{number} is both {other} and {name}");
        }
    }
    Ok(table)
}

fn check_sanity(table: &BTreeMap<u16, String>) -> Result<()> {
    ensure!(table.len() >= FEWEST_NAMES, "there are only {} error numbers", table.len());
    for (number, name) in KNOWN {
        ensure!(table.get(&number).is_some_and(|found| found == name), "{name} is not {number}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_aliases_passed_over() {
        let headers = "#ifndef _ASM_GENERIC_ERRNO_H\n#define _ASM_GENERIC_ERRNO_H\n\n\
            #define\tEPERM\t\t 1\t/* Operation not permitted */\n#define\tEAGAIN\t\t11\t/* Try again */\n\
            #define\tEWOULDBLOCK\tEAGAIN\t/* Operation would block */\n#define ERFKILL\t\t132\n#endif\n";
        let table: Vec<(u16, String)> = parse(headers).unwrap().into_iter().collect();
        let expected = [(1, "EPERM"), (11, "EAGAIN"), (132, "ERFKILL")];
        assert_eq!(table, expected.map(|(number, name)| (number, name.to_owned())));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let message = |headers| parse(headers).unwrap_err().to_string();
        assert_eq!(message("#define EPERM (1)\n"), "EPERM is defined as \"(1)\", not as a number");
        assert_eq!(message("#define EPERM\n"), "EPERM has no value");
        assert_eq!(message("#define EA EB\n"), "EA is an alias of EB, which is not defined");
        assert_eq!(message("#define EA 1\n#define EB 1\n"), "1 is both EA and EB");
    }

    #[test]
    fn other_numbers_than_the_generic_ones_are_refused() {
        let mut table: BTreeMap<u16, String> = (1..140).map(|number| (number, format!("E{number}"))).collect();
        assert!(check_sanity(&table).is_err(), "other names");
        table.extend(KNOWN.map(|(number, name)| (number, name.to_owned())));
        check_sanity(&table).unwrap();
        assert!(check_sanity(&BTreeMap::new()).is_err(), "too few");
    }

    #[test]
    fn architecture_with_numbers_of_its_own_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for header in OWN {
            let path = dir.path().join(HEADERS).join(header);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{NONE_OF_ITS_OWN}\n")).unwrap();
        }
        let message = || read(dir.path()).unwrap_err().to_string();
        assert!(message().starts_with("cannot read"), "the generic headers are missing");
        fs::write(dir.path().join(HEADERS).join(OWN[1]), "#define EPERM 7\n").unwrap();
        assert!(message().starts_with("arm64/asm/errno.h has numbers of its own"), "{}", message());
    }
}
