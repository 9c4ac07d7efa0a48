//! One VM: an emulated machine that boots a kernel, with its console in a file.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use xtask_support::arch::Arch;

use super::kernels::Kernel;

/// Maximum time of a VM. Most require a third of it.
pub(super) const TIMEOUT: Duration = Duration::from_mins(10);
/// Kernel parameters for all VMs: few messages, the end of the VM on a panic or a stuck CPU, a trusted source of
/// randomness, and no features that only slow down emulation.
const APPEND: &str =
    "quiet loglevel=3 panic=-1 softlockup_panic=1 mitigations=off random.trust_cpu=on random.trust_bootloader=on";

/// What a VM boots.
#[derive(Clone, Copy)]
pub(super) struct Boot<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) vmlinuz: &'a Path,
    pub(super) initramfs: &'a Path,
    pub(super) memory_mib: u32,
    pub(super) timeout: Duration,
}

/// Boots a VM, and waits until it powers off, or its time is over. Returns the console's text.
pub(super) fn boot(what: Boot<'_>, log: &Path) -> Result<(ExitStatus, String)> {
    let file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let errors = file.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = qemu(what);
    let status = command.stdin(Stdio::null()).stdout(file).stderr(errors).status();
    let status = status.context("cannot start qemu: run `cargo xtask setup --for vm`")?;
    let console = fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    Ok((status, String::from_utf8_lossy(&console).into_owned()))
}

fn qemu(Boot { kernel, vmlinuz, initramfs, memory_mib, timeout }: Boot<'_>) -> Command {
    let (program, machine, console) = match kernel.arch {
        Arch::Amd64 => ("qemu-system-x86_64", "q35", "ttyS0"),
        Arch::Arm64 => ("qemu-system-aarch64", "virt,gic-version=3", "ttyAMA0"),
    };
    // In the foreground, Ctrl-C also reaches the emulator.
    let mut command = Command::new("timeout");
    let seconds = timeout.as_secs().to_string();
    command.args(["--foreground", "--kill-after", "5", &seconds, program, "-machine", machine, "-cpu", kernel.cpu]);
    command.args([
        "-accel",
        "tcg,thread=multi",
        "-smp",
        "2",
        "-m",
        &memory_mib.to_string(),
        "-nodefaults",
        "-no-reboot",
    ]);
    command.args(["-display", "none", "-serial", "stdio", "-append"]);
    command.arg(format!("console={console} {APPEND} CGROUPS={} {}", kernel.cgroups.name(), kernel.append).trim_end());
    command.arg("-kernel").arg(vmlinuz).arg("-initrd").arg(initramfs);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::vm::kernels::KERNELS;

    #[test]
    fn kernel_is_told_what_its_row_says() {
        let words = |name: &str| {
            let kernel = KERNELS.iter().find(|kernel| kernel.name == name).unwrap();
            let (vmlinuz, initramfs) = (Path::new("k"), Path::new("i"));
            let command = qemu(Boot { kernel, vmlinuz, initramfs, memory_mib: 1024, timeout: TIMEOUT });
            command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        assert!(
            words("x86_64-6.1-v1").contains("console=ttyS0 quiet")
                && words("x86_64-6.1-v1").contains("CGROUPS=v1 -kernel k")
        );
        assert!(words("x86_64-newest-preempt").contains("CGROUPS=v2 preempt=full -kernel"));
        assert!(words("arm64-16k").contains("-cpu max,pauth-impdef=on"));
    }
}
