//! The architectures of the binaries, and their names in different tools.

use std::fmt;

use clap::ValueEnum;

/// An architecture of the binaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Arch {
    /// 64-bit x86
    Amd64,
    /// 64-bit Arm
    Arm64,
}

impl Arch {
    /// Both architectures.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// Returns the name in Debian, in Go and in file names of archives.
    #[must_use]
    pub fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Returns the name in Rust, rpm and the kernel.
    #[must_use]
    pub fn rust(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// Returns Rust's target.
    #[must_use]
    pub fn target(self) -> String {
        format!("{}-unknown-linux-gnu", self.rust())
    }

    /// Returns the name of its C compiler, which also links.
    #[must_use]
    pub fn gcc(self) -> String {
        format!("{}-linux-gnu-gcc", self.rust())
    }

    /// Returns this machine's architecture.
    ///
    /// # Panics
    ///
    /// On a machine of another architecture. The daemon does not build for it either.
    #[must_use]
    pub fn native() -> Self {
        Self::ALL.into_iter().find(|arch| arch.is_native()).expect("this machine is of one of both architectures")
    }

    /// Whether this machine runs binaries of this architecture.
    #[must_use]
    pub fn is_native(self) -> bool {
        self.rust() == std::env::consts::ARCH
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.debian())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_go_by_the_names_of_those_who_ask() {
        assert_eq!(Arch::Arm64.to_string(), "arm64");
        assert_eq!(Arch::Arm64.target(), "aarch64-unknown-linux-gnu");
        assert_eq!(Arch::Amd64.gcc(), "x86_64-linux-gnu-gcc");
    }

    #[test]
    fn one_architecture_is_native() {
        assert_eq!(Arch::ALL.into_iter().filter(|arch| arch.is_native()).count(), 1);
    }
}
