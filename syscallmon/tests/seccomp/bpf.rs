//! Runs seccomp's classic BPF (`linux/filter.h`, `linux/seccomp.h`) without the kernel.

use syscallmon::seccomp::Decision;

/// What a filter reads: `struct seccomp_data`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Data {
    /// Number of the call, with x32's bit.
    pub(crate) number: u32,
    /// `AUDIT_ARCH_*`.
    pub(crate) arch: u32,
    /// Arguments.
    pub(crate) args: [u64; 6],
}

/// One instruction: `struct sock_filter`.
#[derive(Clone, Copy, Debug)]
struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    constant: u32,
}

/// A filter.
#[derive(Debug)]
pub(crate) struct Filter(Vec<Instruction>);

/// The result of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) decision: Decision,
    /// Whether the filter read an argument.
    pub(crate) reads_arguments: bool,
}

/// Offset of the arguments in `struct seccomp_data`.
const ARGUMENTS: u32 = 16;

impl Filter {
    /// Parses hexadecimal instructions.
    pub(crate) fn parse(hex: &str) -> Self {
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let instruction = |bytes: &[u8]| Instruction {
            code: u16::from_ne_bytes([bytes[0], bytes[1]]),
            jump_true: bytes[2],
            jump_false: bytes[3],
            constant: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        };
        Self(bytes.chunks_exact(8).map(instruction).collect())
    }

    /// Returns the number of instructions.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Runs the filter.
    pub(crate) fn run(&self, data: &Data) -> Outcome {
        let (mut accumulator, mut next, mut reads_arguments) = (0u32, 0usize, false);
        loop {
            let Instruction { code, jump_true, jump_false, constant } = self.0[next];
            next += 1;
            let jump = |holds| usize::from(if holds { jump_true } else { jump_false });
            match code {
                // ld [constant]
                0x20 => {
                    accumulator = data.word(constant);
                    reads_arguments |= constant >= ARGUMENTS;
                }
                // and #constant
                0x54 => accumulator &= constant,
                0x05 => next += constant as usize,
                // jeq, jgt, jge, jset
                0x15 => next += jump(accumulator == constant),
                0x25 => next += jump(accumulator > constant),
                0x35 => next += jump(accumulator >= constant),
                0x45 => next += jump(accumulator & constant != 0),
                0x06 => return Outcome { decision: decision(constant), reads_arguments },
                code => panic!("no instruction of libseccomp's filters: {code:#x}"),
            }
        }
    }
}

impl Data {
    fn word(&self, offset: u32) -> u32 {
        let argument = |half: u32| {
            let shifted = self.args[(half / 2) as usize] >> (32 * (half % 2));
            u32::try_from(shifted & 0xffff_ffff).unwrap()
        };
        match offset {
            0 => self.number,
            4 => self.arch,
            // Little-endian: the low half first.
            ARGUMENTS..64 => argument((offset - ARGUMENTS) / 4),
            offset => panic!("the filter reads offset {offset}"),
        }
    }
}

fn decision(result: u32) -> Decision {
    match result & 0xffff_0000 {
        0x8000_0000 => Decision::KillProcess,
        0x0000_0000 => Decision::KillThread,
        0x0003_0000 => Decision::Trap,
        0x0005_0000 => Decision::Errno((result & 0xffff) as u16),
        0x7fc0_0000 => Decision::Notify,
        0x7ff0_0000 => Decision::Trace,
        0x7ffc_0000 => Decision::Log,
        0x7fff_0000 => Decision::Allow,
        action => panic!("not an action: {action:#x}"),
    }
}
