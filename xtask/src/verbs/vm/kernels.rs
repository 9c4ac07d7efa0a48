//! The kernels on which the tests run, with one row each.

use xtask_support::{apt::Suite, arch::Arch};

/// A kernel, and its boot parameters.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) name: &'static str,
    pub(super) arch: Arch,
    pub(super) image: &'static Image,
    pub(super) cgroups: Cgroups,
    /// Additional text for its command line.
    pub(super) append: &'static str,
    pub(super) cpu: &'static str,
    /// Whether the tests of every change run on it.
    pub(super) is_in_ci: bool,
}

/// The source of a kernel: the newest matching package that can be downloaded.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) suite: Suite,
    /// A regular expression, in which `ARCH` stands for Debian's name of the architecture.
    pub(super) package: &'static str,
}

impl Image {
    /// Returns the regular expression for an architecture.
    pub(super) fn pattern(&self, arch: Arch) -> String {
        self.package.replace("ARCH", arch.debian())
    }
}

/// The hierarchies below /sys/fs/cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cgroups {
    /// Only cgroup2.
    V2,
    /// Hierarchies of version 1, and no cgroup2.
    V1,
    /// Hierarchies of version 1, and cgroup2 at `unified`.
    Hybrid,
}

impl Cgroups {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V1 => "v1",
            Self::Hybrid => "hybrid",
        }
    }
}

// Cloud kernels are small, and have all features that the daemon requires.
const LINUX_5_10: Image =
    Image { suite: Suite::Bullseye, package: r"^linux-image-5\.10\.0-[0-9]+-cloud-ARCH(-unsigned)?$" };
const LINUX_6_1: Image =
    Image { suite: Suite::Bookworm, package: r"^linux-image-6\.1\.0-[0-9]+-cloud-ARCH(-unsigned)?$" };
const LINUX_6_12: Image =
    Image { suite: Suite::Bookworm, package: r"^linux-image-6\.12\.[0-9]+\+deb12-cloud-ARCH(-unsigned)?$" };
const LINUX_6_18: Image =
    Image { suite: Suite::TrixieBackports, package: r"^linux-image-6\.18\.[0-9]+\+deb13-cloud-ARCH$" };
// Since 7.2, the file is in linux-binary, and linux-image is empty.
const NEWEST: Image = Image { suite: Suite::TrixieBackports, package: r"^linux-binary-[0-9.]+\+deb13-cloud-ARCH$" };
const NEWEST_16K: Image = Image { suite: Suite::TrixieBackports, package: r"^linux-binary-[0-9.]+\+deb13-arm64-16k$" };
const SID: Image = Image { suite: Suite::Sid, package: r"^linux-binary-(unsigned-)?[0-9.]+\+deb14-cloud-ARCH$" };

/// A kernel of a release, where the mirror has its headers as well.
pub(super) const WITH_HEADERS: Image =
    Image { suite: Suite::Trixie, package: r"^linux-image-6\.12\.[0-9]+\+deb13-cloud-ARCH$" };

impl Kernel {
    const fn x86_64(name: &'static str, image: &'static Image) -> Self {
        let (arch, cgroups) = (Arch::Amd64, Cgroups::V2);
        Self { name, arch, image, cgroups, append: "", cpu: "max", is_in_ci: false }
    }

    const fn arm64(name: &'static str, image: &'static Image) -> Self {
        let (arch, cgroups) = (Arch::Arm64, Cgroups::V2);
        Self { name, arch, image, cgroups, append: "", cpu: "cortex-a57", is_in_ci: false }
    }

    const fn in_ci(self) -> Self {
        Self { is_in_ci: true, ..self }
    }

    const fn with_cgroups(self, cgroups: Cgroups) -> Self {
        Self { cgroups, ..self }
    }
}

/// All kernels.
pub(super) const KERNELS: &[Kernel] = &[
    Kernel::x86_64("x86_64-5.10", &LINUX_5_10).in_ci(),
    Kernel::x86_64("x86_64-6.1", &LINUX_6_1).in_ci(),
    Kernel::x86_64("x86_64-6.1-v1", &LINUX_6_1).with_cgroups(Cgroups::V1).in_ci(),
    Kernel::x86_64("x86_64-6.1-hybrid", &LINUX_6_1).with_cgroups(Cgroups::Hybrid),
    Kernel::x86_64("x86_64-6.12", &LINUX_6_12).in_ci(),
    Kernel::x86_64("x86_64-6.18", &LINUX_6_18),
    Kernel::x86_64("x86_64-newest", &NEWEST).in_ci(),
    Kernel { append: "preempt=full", ..Kernel::x86_64("x86_64-newest-preempt", &NEWEST) },
    Kernel::x86_64("x86_64-sid", &SID),
    Kernel::arm64("arm64-5.10", &LINUX_5_10).in_ci(),
    Kernel::arm64("arm64-6.1", &LINUX_6_1).in_ci(),
    Kernel::arm64("arm64-6.12", &LINUX_6_12).in_ci(),
    Kernel::arm64("arm64-6.18", &LINUX_6_18),
    Kernel::arm64("arm64-newest", &NEWEST).in_ci(),
    // The emulated Cortex-A57 has no pages of 16 KiB. Without `impdef`, `max` uses much time to authenticate pointers.
    Kernel { cpu: "max,pauth-impdef=on", ..Kernel::arm64("arm64-16k", &NEWEST_16K) },
    Kernel::arm64("arm64-sid", &SID),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_begin_with_the_architecture() {
        let names: HashSet<&str> = KERNELS.iter().map(|kernel| kernel.name).collect();
        assert_eq!(names.len(), KERNELS.len());
        for kernel in KERNELS {
            let prefix = if kernel.arch == Arch::Amd64 { "x86_64-" } else { "arm64-" };
            assert!(kernel.name.starts_with(prefix), "{}", kernel.name);
        }
    }

    #[test]
    fn ci_has_both_architectures_and_cgroup_v1() {
        let in_ci = || KERNELS.iter().filter(|kernel| kernel.is_in_ci);
        assert!(Arch::ALL.iter().all(|&arch| in_ci().filter(|kernel| kernel.arch == arch).count() >= 4));
        assert!(in_ci().any(|kernel| kernel.cgroups == Cgroups::V1));
    }
}
