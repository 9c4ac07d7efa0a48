//! Reads headers of a binary: whether it is static and stripped.

use anyhow::{Context, Result, ensure};

use crate::arch::Arch;

const PT_INTERP: u32 = 3;
const SHT_SYMTAB: u32 = 2;

/// A 64-bit little-endian ELF file.
#[derive(Debug, PartialEq, Eq)]
pub struct Elf {
    /// `e_machine`.
    pub machine: u16,
    /// Whether it requires a dynamic linker.
    pub has_interpreter: bool,
    /// Whether it has a table of symbols besides that for dynamic linking.
    pub has_symbols: bool,
}

/// Returns the `e_machine` of an architecture.
#[must_use]
pub fn machine(arch: Arch) -> u16 {
    match arch {
        Arch::Amd64 => 62,
        Arch::Arm64 => 183,
    }
}

impl Elf {
    /// Reads the headers.
    ///
    /// # Errors
    ///
    /// If this is not such a file, or the file is truncated.
    pub fn parse(file: &[u8]) -> Result<Self> {
        ensure!(file.starts_with(b"\x7fELF\x02\x01\x01"), "no 64-bit little-endian ELF file");
        let segments = headers(file, 32, 54)?;
        let sections = headers(file, 40, 58)?;
        // p_type is the first word of a program header; sh_type follows sh_name.
        let has_segment = |wanted| types(&segments, 0).any(|kind| kind == wanted);
        let has_section = |wanted| types(&sections, 4).any(|kind| kind == wanted);
        Ok(Self {
            machine: u16::from_le_bytes(array(file, 18)?),
            has_interpreter: has_segment(PT_INTERP),
            has_symbols: has_section(SHT_SYMTAB),
        })
    }
}

/// Returns the headers of a table. The table's start is at the offset `begin`. The size of its entries is at the offset
/// `size`, followed by their number.
fn headers(file: &[u8], begin: usize, size: usize) -> Result<Vec<&[u8]>> {
    let begin = usize::try_from(u64::from_le_bytes(array(file, begin)?)).context("an offset is too large")?;
    let count = usize::from(u16::from_le_bytes(array(file, size + 2)?));
    let size = usize::from(u16::from_le_bytes(array(file, size)?));
    (0..count).map(|i| file.get(begin + i * size..begin + (i + 1) * size).context("the headers are cut")).collect()
}

fn types(headers: &[&[u8]], offset: usize) -> impl Iterator<Item = u32> {
    headers.iter().filter_map(move |header| array(header, offset).ok()).map(u32::from_le_bytes)
}

fn array<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N]> {
    let part = bytes.get(offset..offset + N).context("the headers are cut")?;
    Ok(part.try_into().expect("the slice has N bytes"))
}

#[cfg(test)]
mod tests {
    use std::{env, fs};

    use super::*;

    /// Returns a file with a program header and a section header of these types.
    fn file(segment: u32, section: u32) -> Vec<u8> {
        let mut file = vec![0; 64 + 56 + 64];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        file[18..20].copy_from_slice(&183_u16.to_le_bytes());
        file[32] = 64;
        file[40] = 64 + 56;
        file[54..62].copy_from_slice(&[56, 0, 1, 0, 64, 0, 1, 0]);
        file[64..68].copy_from_slice(&segment.to_le_bytes());
        file[124..128].copy_from_slice(&section.to_le_bytes());
        file
    }

    #[test]
    fn static_and_stripped_files_are_recognized() {
        let elf = |segment, section| Elf::parse(&file(segment, section)).unwrap();
        let plain = Elf { machine: machine(Arch::Arm64), has_interpreter: false, has_symbols: false };
        assert_eq!(elf(1, 1), plain);
        assert!(elf(PT_INTERP, 1).has_interpreter);
        assert!(elf(1, SHT_SYMTAB).has_symbols);
    }

    #[test]
    fn this_program_is_dynamic() {
        let elf = Elf::parse(&fs::read(env::current_exe().unwrap()).unwrap()).unwrap();
        assert!(elf.has_interpreter && elf.has_symbols);
    }

    #[test]
    fn cut_file_is_an_error() {
        assert!(Elf::parse(&file(1, 1)[..150]).is_err());
        assert!(Elf::parse(b"#!/bin/sh").is_err());
    }
}
