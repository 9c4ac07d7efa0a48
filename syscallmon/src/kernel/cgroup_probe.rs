//! The cgroup probe: how births and deaths of cgroups are learnt on this kernel.

use aya::{
    Ebpf,
    programs::{RawTracePoint, TracePoint},
};

use super::{Error, Probe, ProbeStatus, explain::one_line, facts::Facts, program};

/// The tracepoints of `cgroup/`; the raw programs are called as they are, the classic ones end in `_tp`.
const TRACEPOINTS: [&str; 2] = ["cgroup_mkdir", "cgroup_rmdir"];
const CLASSIC: [&str; 2] = ["cgroup_mkdir_tp", "cgroup_rmdir_tp"];

/// Attaches the best that there is.
pub(super) fn attach(ebpf: &mut Ebpf, facts: &Facts) -> ProbeStatus {
    status(ebpf, facts, true)
}

/// How [`attach`] would fare, as far as loading tells.
pub(super) fn verify(ebpf: &mut Ebpf, facts: &Facts) -> ProbeStatus {
    status(ebpf, facts, false)
}

fn status(ebpf: &mut Ebpf, facts: &Facts, attached: bool) -> ProbeStatus {
    let status = |implementation, problem| ProbeStatus { probe: Probe::Cgroup, implementation, problem };
    let raw = match &facts.offsets {
        Ok(_) => use_raw(ebpf, attached).map_err(|error| one_line(&error)),
        Err(error) => Err(one_line(error)),
    };
    let Err(problem) = raw else { return status(Some("raw_tp"), None) };
    let classic = match &facts.cgroup_records {
        Ok(_) => use_classic(ebpf, attached).map_err(|error| one_line(&error)),
        Err(error) => Err(error.to_string()),
    };
    match classic {
        Ok(()) => status(Some("tracepoint"), Some(problem)),
        Err(error) => status(None, Some(format!("{problem}; {error}"))),
    }
}

fn use_raw(ebpf: &mut Ebpf, attached: bool) -> Result<(), Error> {
    for name in TRACEPOINTS {
        program::<RawTracePoint>(ebpf, name)?.load()?;
    }
    for name in TRACEPOINTS.iter().filter(|_| attached) {
        program::<RawTracePoint>(ebpf, name)?.attach(name)?;
    }
    Ok(())
}

fn use_classic(ebpf: &mut Ebpf, attached: bool) -> Result<(), Error> {
    for name in CLASSIC {
        program::<TracePoint>(ebpf, name)?.load()?;
    }
    for (name, tracepoint) in CLASSIC.iter().zip(TRACEPOINTS).filter(|_| attached) {
        program::<TracePoint>(ebpf, name)?.attach("cgroup", tracepoint)?;
    }
    Ok(())
}
