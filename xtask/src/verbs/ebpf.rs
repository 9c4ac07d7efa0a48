//! `cargo xtask ebpf`: builds the committed eBPF objects, with the same bytes on every machine.
//!
//! An object contains no path of the machine that built it, and no hash that cargo makes from the package's version.
//! The [record](self::record) contains the inputs of an object.

pub mod record;

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use xtask_support::{
    generated,
    reproducible::{self, BuildDirs},
    setup::{self, Purpose},
    shell,
    toolchain::{RUSTC, Toolchain},
    workspace,
};

use self::record::{RECORD, Record, read_inputs};

/// The daemon's object, relative to the root.
pub const OBJECT: &str = "syscallmon/bpf/syscallmon.bpf.o";

/// The object with the dispatchers of the pinned mode.
const DISPATCH_OBJECT: &str = "syscallmon/bpf/dispatch.bpf.o";

const TARGET: &str = "bpfel-unknown-none";
const PROFILE: &str = "ebpf";
/// Flags for the compiler besides the profile.
///
/// The instructions of v3 (Linux 5.1) also work on 32 bits. Without them, the verifier rejects the programs, because it
/// does not apply a bound that was checked on a 32-bit copy to the original. The instructions of v4 require Linux 6.6.
///
/// LLVM would put cold functions into a separate section. aya-obj 0.3.0 links a function once for each offset, whatever
/// its section, so it confuses two functions at the same offset of two sections.
const FLAGS: [&str; 3] =
    ["-Ctarget-cpu=v3", "-Clink-arg=--btf", "-Clink-arg=--llvm-args=-profile-guided-section-prefix=false"];
/// Relocations of the BTF. The linker has applied them, and no loader reads them.
const DISPENSABLE: [&str; 2] = [".rel.BTF", ".rel.BTF.ext"];
/// Atomic instructions with a result. Linux 5.10 does not accept them (it has `lock ... +=`).
const TOO_NEW: [&str; 3] = ["atomic_fetch", "xchg", "cmpxchg"];

/// Arguments of `cargo xtask ebpf`.
#[derive(clap::Args)]
pub struct Args {
    /// Fail if the committed objects are not what the sources make, instead of writing them
    #[arg(long)]
    check: bool,
}

/// The result of a check.
#[derive(Debug, PartialEq, Eq)]
pub enum Check {
    /// A new build gave the committed bytes.
    Same,
    /// Another toolchain gave other bytes. The path is the daemon's new object, with which the tests must also pass.
    Rebuilt(PathBuf),
}

/// The objects, by their paths in the checkout.
type Objects = [(&'static str, Vec<u8>); 3];

/// Runs the verb.
///
/// # Errors
///
/// If the toolchain or the build fails, or with `--check`, in the cases of [`check`].
pub fn run(root: &Path, args: &Args) -> Result<()> {
    if !args.check {
        return write(root);
    }
    match check(root)? {
        Check::Same => eprintln!("the committed eBPF objects are what these sources make"),
        Check::Rebuilt(path) => {
            eprintln!("this toolchain makes another object than the recorded one; the tests must pass with it, too:");
            println!("{}", path.display());
        }
    }
    Ok(())
}

/// Checks that the record says that the committed objects were built from the sources in this checkout. Requires no
/// toolchain.
///
/// # Errors
///
/// If they were not. The message names the differences, and ends with what to do.
pub fn record_matches_sources(root: &Path) -> Result<()> {
    Record::read(root)?.compare(root, &read_inputs(root, &FLAGS.join(" "))?)
}

/// Builds the objects again, and compares them with the committed ones.
///
/// # Errors
///
/// If the record does not match the sources, or if the recorded toolchain gives other bytes than the committed ones.
pub fn check(root: &Path) -> Result<Check> {
    record_matches_sources(root)?;
    let toolchain = find_toolchain(root)?;
    let objects = build(root, &toolchain)?;
    let record = Record::read(root)?;
    let built = Record::new(record.inputs.clone(), toolchain.versions.clone(), &views(&objects));
    if built.objects == record.objects {
        return Ok(Check::Same);
    }
    ensure!(
        built.toolchain != record.toolchain,
        "the recorded toolchain makes other eBPF objects than are committed: run `cargo xtask ebpf` and look at what changed"
    );
    eprintln!("recorded: {:?}\nhere:     {:?}", record.toolchain, built.toolchain);
    let dir = workspace::target_dir(root).join("ebpf-rebuilt");
    for (path, bytes) in &objects {
        generated::write(&dir.join(Path::new(path).file_name().unwrap_or_default()), bytes)?;
    }
    Ok(Check::Rebuilt(dir.join("syscallmon.bpf.o")))
}

fn write(root: &Path) -> Result<()> {
    let toolchain = find_toolchain(root)?;
    let inputs = read_inputs(root, &FLAGS.join(" "))?;
    let objects = build(root, &toolchain)?;
    ensure!(inputs == read_inputs(root, &FLAGS.join(" "))?, "the sources changed during the build: run it again");
    let record = Record::new(inputs, toolchain.versions, &views(&objects));
    for (path, bytes) in &objects {
        report(path, generated::write(&root.join(path), bytes)?, bytes.len());
    }
    let text = record.render()?;
    report(RECORD, generated::write(&root.join(RECORD), text.as_bytes())?, text.len());
    Ok(())
}

fn report(path: &str, changed: bool, len: usize) {
    eprintln!("{path}: {} ({len} bytes)", if changed { "written" } else { "unchanged" });
}

fn views(objects: &Objects) -> [(&'static str, &[u8]); 3] {
    objects.each_ref().map(|(path, bytes)| (*path, bytes.as_slice()))
}

fn find_toolchain(root: &Path) -> Result<Toolchain> {
    setup::ensure(root, Purpose::Ebpf)?;
    Toolchain::find(root)
}

fn build(root: &Path, toolchain: &Toolchain) -> Result<Objects> {
    let sources = format!("/usr/src/rustc-{}/library", toolchain.rustc_release);
    // LLVM copies source lines into the debug information if it can read the sources.
    ensure!(!Path::new(&sources).exists(), "{sources} would get into the objects: remove the package rust-web-src");
    let dirs = BuildDirs::new(root, workspace::target_dir(root).join("ebpf"));
    shell::run(&mut cargo_build(&dirs, toolchain), "if the toolchain is at fault, run `cargo xtask setup --for ebpf`")?;
    let dir = dirs.target_dir.join(TARGET).join(PROFILE);
    let finished = |name: &str| finish(&dirs, toolchain, &dir.join(name));
    Ok([
        (OBJECT, finished("syscallmon")?),
        (DISPATCH_OBJECT, finished("dispatch")?),
        (workspace::BENCH_BASELINE_OBJECT, finished("bench_baseline")?),
    ])
}

/// Returns the build command. It sets or removes all variables of the user's environment that could change the build.
fn cargo_build(dirs: &BuildDirs, toolchain: &Toolchain) -> Command {
    let mut flags: Vec<OsString> = FLAGS.map(OsString::from).into();
    flags.extend(dirs.rustc_flags());
    let mut command = dirs.cargo();
    command
        .env("RUSTC", RUSTC)
        // The target's intrinsics are an unstable feature, and its compiler is a stable one.
        .env("RUSTC_BOOTSTRAP", "1")
        // aya-ebpf has bindings for one architecture. The programs use only bindings that are the same on all
        // architectures.
        .env("AYA_BPF_TARGET_ARCH", "x86_64")
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &toolchain.linker)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\x1f")))
        .args(["build", "--quiet", "--locked", "--package", "syscallmon-ebpf"])
        .args(["--profile", PROFILE, "--target", TARGET]);
    command
}

/// Removes everything from the linked object that the kernel does not require or that differs between builds.
fn finish(dirs: &BuildDirs, toolchain: &Toolchain, linked: &Path) -> Result<Vec<u8>> {
    const REMEDY: &str = "run `cargo xtask setup --for ebpf`";
    let nm = toolchain.llvm_bin.join("llvm-nm");
    let symbols = shell::query(Command::new(nm).arg("--format=just-symbols").arg(linked), REMEDY)?;
    let renames = linked.with_extension("symbols");
    let stripped = linked.with_extension("bpf.o");
    fs::write(&renames, renamings(&symbols)).with_context(|| format!("cannot write {}", renames.display()))?;
    let mut objcopy = Command::new(toolchain.llvm_bin.join("llvm-objcopy"));
    objcopy.arg("--strip-debug").arg("--redefine-syms").arg(&renames);
    objcopy.args(DISPENSABLE.iter().flat_map(|section| ["--remove-section", section])).arg(linked).arg(&stripped);
    shell::run(&mut objcopy, REMEDY)?;

    let objdump = toolchain.llvm_bin.join("llvm-objdump");
    let code =
        shell::query(Command::new(objdump).args(["--disassemble", "--no-show-raw-insn"]).arg(&stripped), REMEDY)?;
    refuse_new_atomics(&code)?;
    refuse_second_text(&code)?;
    let object = fs::read(&stripped).with_context(|| format!("cannot read {}", stripped.display()))?;
    reproducible::refuse_paths(dirs, "an eBPF object", &object)?;
    Ok(object)
}

/// Returns new names for symbols with crate hashes, for llvm-objcopy: one `old new` per line.
fn renamings(symbols: &str) -> String {
    let names = symbols.lines().map(|symbol| (symbol, without_crate_hashes(symbol)));
    names.filter(|(old, new)| old != new).map(|(old, new)| format!("{old} {new}\n")).collect::<Vec<_>>().concat()
}

/// Removes from a symbol (Rust's mangling, v0) the hash of every crate: `Cs<base 62>_` becomes `C`.
///
/// Cargo makes these hashes from its own version and the package's version, among others.
fn without_crate_hashes(symbol: &str) -> String {
    let Some(mangled) = symbol.strip_prefix("_R") else { return symbol.to_owned() };
    let mut out = String::from("_R");
    let mut rest = mangled;
    while let Some((before, after)) = rest.split_once("Cs") {
        out.push_str(before);
        match after.split_once('_') {
            // The length and the name of the crate follow.
            Some((hash, name)) if is_base62(hash) && name.starts_with(|c: char| c.is_ascii_digit()) => {
                out.push('C');
                rest = name;
            }
            _ => {
                out.push_str("Cs");
                rest = after;
            }
        }
    }
    out + rest
}

fn is_base62(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn refuse_new_atomics(code: &str) -> Result<()> {
    match code.lines().find(|line| !line.ends_with(">:") && TOO_NEW.iter().any(|word| line.contains(word))) {
        Some(line) => bail!("an instruction that Linux 5.10 does not have: {}", line.trim()),
        None => Ok(()),
    }
}

/// See [`FLAGS`].
fn refuse_second_text(code: &str) -> Result<()> {
    match code.lines().find(|line| line.contains("section .text.")) {
        Some(line) => bail!("functions in a section of their own, which aya links wrongly: {}", line.trim()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_stand_in_one_section() {
        assert!(refuse_second_text("Disassembly of section .text:\n").is_ok());
        let cold = refuse_second_text("Disassembly of section .text:\nDisassembly of section .text.unlikely.:\n");
        assert!(cold.unwrap_err().to_string().contains(".text.unlikely"));
    }

    #[test]
    fn crate_hashes_are_taken_out_of_symbols() {
        let symbol = "_RINvNtCs3mwHhyKKCx0_10syscallmon8allocate4slotNtNtCs7V7pQDrRohV_8aya_ebpf8programsEB4_";
        let expected = "_RINvNtC10syscallmon8allocate4slotNtNtC8aya_ebpf8programsEB4_";
        assert_eq!(without_crate_hashes(symbol), expected);
        assert_eq!(without_crate_hashes("_RNvCs_3foo3bar"), "_RNvC3foo3bar");
    }

    #[test]
    fn other_symbols_keep_their_names() {
        for symbol in ["sys_enter_btf", "Csomething_1x", "_RNvC3foo9Cs_is_not", "_RNvC3foo2Cs"] {
            assert_eq!(without_crate_hashes(symbol), symbol);
        }
        assert_eq!(renamings("COUNTERS\n_RNvCsab_3foo3bar\n"), "_RNvCsab_3foo3bar _RNvC3foo3bar\n");
    }

    #[test]
    fn atomics_without_a_result_pass() {
        refuse_new_atomics("0000 <cmpxchg>:\n  101:\tlock *(u64 *)(r0 + 0x0) += r1\n").unwrap();
        assert!(refuse_new_atomics("  1:\tr1 = atomic_fetch_add((u64 *)(r0 + 0x0), r1)\n").is_err());
    }
}
