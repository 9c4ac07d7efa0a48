//! Loads and attaches the probes that the options need.

use aya::Ebpf;

use super::{
    Error, Options, Probe, ProbeStatus,
    facts::Facts,
    hooks::Hooks,
    implementation::Implementation,
    probe::{AttachPhase, PROBES, ProbeRow},
};

/// A probe that the options need. Its status reports what the kernel refused, unless the probe is required.
pub(super) trait Attachment {
    /// Loads the best programs that the kernel accepts.
    ///
    /// # Errors
    ///
    /// When a required probe cannot be loaded.
    fn load(&mut self, ebpf: &mut Ebpf, context: &AttachContext<'_>) -> Result<(), Error>;

    /// Replaces the programs if a test shows that they lose calls. Attaches programs only during the test.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`].
    fn replace_lossy(&mut self, _ebpf: &mut Ebpf, _context: &AttachContext<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// Attaches the loaded programs.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`].
    fn attach(&mut self, ebpf: &mut Ebpf, hooks: &mut Hooks<'_>) -> Result<(), Error>;

    /// Returns the status.
    fn status(&self) -> ProbeStatus;

    /// Returns the implementation and the program, for probes that run at each call.
    fn at_each_call(&self) -> Option<(Implementation, &'static str)> {
        None
    }
}

/// Inputs for choosing how a probe is attached.
pub(super) struct AttachContext<'a> {
    /// The options.
    pub(super) options: &'a Options,
    /// What the kernel offers.
    pub(super) facts: &'a Facts,
    /// The implementation of `sys_enter`, once it is chosen.
    pub(super) sys_enter: Option<Implementation>,
}

/// The probes that the options need.
pub(super) struct Attachments<'a> {
    context: AttachContext<'a>,
    probes: Vec<NeededProbe>,
}

struct NeededProbe {
    row: &'static ProbeRow,
    attachment: Box<dyn Attachment>,
    is_loaded: bool,
}

impl<'a> Attachments<'a> {
    /// Returns each probe of the table that the options need.
    pub(super) fn needed(options: &'a Options, facts: &'a Facts) -> Self {
        let probes = PROBES.iter().filter_map(|row| {
            let attachment = (row.attachment)(options, facts)?;
            Some(NeededProbe { row, attachment, is_loaded: false })
        });
        Self { context: AttachContext { options, facts, sys_enter: None }, probes: probes.collect() }
    }

    /// Loads the probes of a phase that are not loaded yet.
    ///
    /// # Errors
    ///
    /// When calls cannot be counted.
    pub(super) fn load(&mut self, ebpf: &mut Ebpf, phase: AttachPhase) -> Result<(), Error> {
        for probe in self.probes.iter_mut().filter(|probe| probe.row.phase == phase && !probe.is_loaded) {
            probe.attachment.load(ebpf, &self.context)?;
            probe.is_loaded = true;
        }
        self.note_sys_enter();
        Ok(())
    }

    /// Loads all probes, to learn their status.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`].
    pub(super) fn verify(&mut self, ebpf: &mut Ebpf) -> Result<(), Error> {
        // `sys_exit` depends on the implementation of `sys_enter`, so the order of phases matters.
        for phase in [AttachPhase::First].into_iter().chain(AttachPhase::REST) {
            self.load(ebpf, phase)?;
        }
        Ok(())
    }

    /// Lets loaded probes replace programs that lose calls.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`].
    pub(super) fn replace_lossy(&mut self, ebpf: &mut Ebpf) -> Result<(), Error> {
        for probe in self.probes.iter_mut().filter(|probe| probe.is_loaded) {
            probe.attachment.replace_lossy(ebpf, &self.context)?;
        }
        self.note_sys_enter();
        Ok(())
    }

    /// Attaches the loaded probes of a phase.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`].
    pub(super) fn attach(&mut self, ebpf: &mut Ebpf, hooks: &mut Hooks<'_>, phase: AttachPhase) -> Result<(), Error> {
        let mut of_phase = self.probes.iter_mut().filter(|probe| probe.row.phase == phase);
        of_phase.try_for_each(|probe| probe.attachment.attach(ebpf, hooks))
    }

    /// Returns the status of each probe.
    pub(super) fn statuses(&self) -> Vec<ProbeStatus> {
        self.probes.iter().map(|probe| probe.attachment.status()).collect()
    }

    /// Returns the program of a probe that runs at each call.
    pub(super) fn program(&self, probe: Probe) -> Option<&'static str> {
        self.at_each_call(probe).map(|(_, program)| program)
    }

    fn at_each_call(&self, probe: Probe) -> Option<(Implementation, &'static str)> {
        self.probes.iter().find(|needed| needed.row.probe == probe)?.attachment.at_each_call()
    }

    fn note_sys_enter(&mut self) {
        self.context.sys_enter = self.at_each_call(Probe::SysEnter).map(|(implementation, _)| implementation);
    }
}
