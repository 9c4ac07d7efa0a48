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
}

/// The architectures that have tables of calls here.
pub(super) const ARCHITECTURES: [Architecture; 5] = [
    Architecture { seccomp: "SCMP_ARCH_X86_64", docker: "amd64", abi: "x86_64" },
    Architecture { seccomp: "SCMP_ARCH_X86", docker: "x86", abi: "ia32" },
    Architecture { seccomp: "SCMP_ARCH_X32", docker: "x32", abi: "x32" },
    Architecture { seccomp: "SCMP_ARCH_AARCH64", docker: "arm64", abi: "aarch64" },
    Architecture { seccomp: "SCMP_ARCH_ARM", docker: "arm", abi: "aarch32" },
];

/// Returns the architecture of an ABI.
#[must_use]
pub fn architecture(abi: &str) -> Option<&'static Architecture> {
    ARCHITECTURES.iter().find(|architecture| architecture.abi == abi)
}
