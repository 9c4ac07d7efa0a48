//! Names of architectures: in libseccomp, in Docker, and here.

/// Names of an architecture.
#[derive(Debug, PartialEq, Eq)]
pub struct Architecture {
    /// In profiles: `SCMP_ARCH_X86_64`.
    pub seccomp: &'static str,
    /// In Docker's conditions, which are Go's names: `amd64`.
    pub docker: &'static str,
    /// The ABI of its calls, here: `x86_64`.
    pub abi: &'static str,
    /// The ABI of the kernel that has it: `x86_64` for ia32.
    pub native: &'static str,
    /// Whether libseccomp compares the low 32 bits of arguments only.
    pub(super) is_narrow: bool,
}

/// The architectures that have tables of calls here.
pub(super) const ARCHITECTURES: [Architecture; 5] = [
    known("SCMP_ARCH_X86_64", "amd64", "x86_64", "x86_64", false),
    known("SCMP_ARCH_X86", "x86", "ia32", "x86_64", true),
    known("SCMP_ARCH_X32", "x32", "x32", "x86_64", true),
    known("SCMP_ARCH_AARCH64", "arm64", "aarch64", "aarch64", false),
    known("SCMP_ARCH_ARM", "arm", "aarch32", "aarch64", true),
];

const fn known(
    seccomp: &'static str,
    docker: &'static str,
    abi: &'static str,
    native: &'static str,
    is_narrow: bool,
) -> Architecture {
    Architecture { seccomp, docker, abi, native, is_narrow }
}

/// Returns the architecture with a name of profiles.
pub(super) fn named(seccomp: &str) -> Option<&'static Architecture> {
    ARCHITECTURES.iter().find(|architecture| architecture.seccomp == seccomp)
}

/// Returns the architecture of an ABI.
#[must_use]
pub fn architecture(abi: &str) -> Option<&'static Architecture> {
    ARCHITECTURES.iter().find(|architecture| architecture.abi == abi)
}
