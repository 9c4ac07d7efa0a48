//! The probes that are wanted, from being loaded to being attached.

use aya::Ebpf;

use super::{
    Error, Options, Probe, ProbeStatus,
    facts::Facts,
    implementation::Implementation,
    probe::{PROBES, ProbeRow, Turn},
};

/// A probe that is wanted. What the kernel refuses is told by its status, unless nothing works without it.
pub(super) trait Attachment {
    /// Loads the best programs that the kernel takes.
    ///
    /// # Errors
    ///
    /// When nothing works without it.
    fn load(&mut self, ebpf: &mut Ebpf, host: &Host<'_>) -> Result<(), Error>;

    /// Takes other programs if these are seen not to do. Runs programs, attaches none for good.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`].
    fn settle(&mut self, _ebpf: &mut Ebpf, _host: &Host<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// Attaches what was loaded.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`].
    fn attach(&mut self, ebpf: &mut Ebpf) -> Result<(), Error>;

    /// How it fares.
    fn status(&self) -> ProbeStatus;

    /// Of what runs at each call, how and by which program.
    fn at_each_call(&self) -> Option<(Implementation, &'static str)> {
        None
    }
}

/// What decides how a probe is attached.
pub(super) struct Host<'a> {
    /// What is asked for.
    pub(super) options: &'a Options,
    /// What the kernel has.
    pub(super) facts: &'a Facts,
    /// How `sys_enter` is run, once that is known.
    pub(super) sys_enter: Option<Implementation>,
}

/// See the module.
pub(super) struct Attachments<'a> {
    host: Host<'a>,
    wanted: Vec<Wanted>,
}

struct Wanted {
    row: &'static ProbeRow,
    attachment: Box<dyn Attachment>,
    is_loaded: bool,
}

impl<'a> Attachments<'a> {
    /// Every probe of the table that these options ask for.
    pub(super) fn wanted(options: &'a Options, facts: &'a Facts) -> Self {
        let wanted = PROBES.iter().filter_map(|row| {
            let attachment = (row.wanted)(options, facts)?;
            Some(Wanted { row, attachment, is_loaded: false })
        });
        Self { host: Host { options, facts, sys_enter: None }, wanted: wanted.collect() }
    }

    /// Loads the probes of a turn, unless that was done.
    ///
    /// # Errors
    ///
    /// When calls cannot be counted.
    pub(super) fn load(&mut self, ebpf: &mut Ebpf, turn: Turn) -> Result<(), Error> {
        for wanted in self.wanted.iter_mut().filter(|wanted| wanted.row.turn == turn && !wanted.is_loaded) {
            wanted.attachment.load(ebpf, &self.host)?;
            wanted.is_loaded = true;
        }
        self.note_sys_enter();
        Ok(())
    }

    /// Loads every probe, to see how it fares.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`].
    pub(super) fn verify(&mut self, ebpf: &mut Ebpf) -> Result<(), Error> {
        // How calls end is told as it is seen that they begin.
        for turn in [Turn::First].into_iter().chain(Turn::REST) {
            self.load(ebpf, turn)?;
        }
        Ok(())
    }

    /// Has those that are loaded take other programs, if theirs are seen not to do.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`].
    pub(super) fn settle(&mut self, ebpf: &mut Ebpf) -> Result<(), Error> {
        for wanted in self.wanted.iter_mut().filter(|wanted| wanted.is_loaded) {
            wanted.attachment.settle(ebpf, &self.host)?;
        }
        self.note_sys_enter();
        Ok(())
    }

    /// Attaches the probes of a turn, which are loaded.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`].
    pub(super) fn attach(&mut self, ebpf: &mut Ebpf, turn: Turn) -> Result<(), Error> {
        let mut of_turn = self.wanted.iter_mut().filter(|wanted| wanted.row.turn == turn);
        of_turn.try_for_each(|wanted| wanted.attachment.attach(ebpf))
    }

    /// How they fare.
    pub(super) fn statuses(&self) -> Vec<ProbeStatus> {
        self.wanted.iter().map(|wanted| wanted.attachment.status()).collect()
    }

    /// The program of a probe that runs at each call.
    pub(super) fn program(&self, probe: Probe) -> Option<&'static str> {
        self.at_each_call(probe).map(|(_, program)| program)
    }

    fn at_each_call(&self, probe: Probe) -> Option<(Implementation, &'static str)> {
        self.wanted.iter().find(|wanted| wanted.row.probe == probe)?.attachment.at_each_call()
    }

    fn note_sys_enter(&mut self) {
        self.host.sys_enter = self.at_each_call(Probe::SysEnter).map(|(implementation, _)| implementation);
    }
}
