//! Resource use of a process: CPU time and memory.

use std::{fs, io, mem::MaybeUninit, time::Duration};

use anyhow::{Context, Result, ensure};

/// Returns the CPU time of a process so far, in ns, with all of its threads, including ended ones.
///
/// Sums over `/proc/PID/task` miss threads that ended, and `/proc/PID/stat` counts in ticks of 10 ms.
///
/// # Errors
///
/// If there is no such process.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let mut clock = 0;
    // SAFETY: a valid place for the number of the clock.
    let found = unsafe { libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock) };
    ensure!(found == 0, "no CPU clock of process {pid}: {}", io::Error::from_raw_os_error(found));
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: a valid place for a `timespec`.
    let read = unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) };
    ensure!(read == 0, "cannot read the CPU clock of process {pid}: {}", io::Error::last_os_error());
    // SAFETY: the call succeeded, so it has filled the `timespec`.
    let time = unsafe { time.assume_init() };
    Ok(Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default()))
}

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub resident: u64,
    /// Its maximum so far.
    pub peak: u64,
    /// Heap, stacks and the like.
    pub anonymous: u64,
    /// Pages of files, and of memory shared with the kernel's tables.
    pub shared: u64,
}

impl Memory {
    /// Reads `/proc/PID/status`.
    ///
    /// # Errors
    ///
    /// If there is no such process.
    pub fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        Self::parse(&status).with_context(|| format!("{path} tells no resident memory"))
    }

    fn parse(status: &str) -> Option<Self> {
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            Some(value.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
        };
        Some(Self {
            resident: field("VmRSS")?,
            peak: field("VmHWM")?,
            anonymous: field("RssAnon")?,
            shared: field("RssFile")? + field("RssShmem")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t      40 kB\nVmRSS:\t      30 kB\nRssAnon:\t      20 kB\n\
             RssFile:\t       9 kB\nRssShmem:\t       1 kB\n";
        let expected = Memory { resident: 30 << 10, peak: 40 << 10, anonymous: 20 << 10, shared: 10 << 10 };
        assert_eq!(Memory::parse(status), Some(expected));
        assert_eq!(Memory::parse("Name:\tx\n"), None);
    }

    #[test]
    fn own_cpu_time_grows() {
        let pid = std::process::id();
        let before = cpu_time(pid).unwrap();
        while cpu_time(pid).unwrap() == before {}
    }
}
