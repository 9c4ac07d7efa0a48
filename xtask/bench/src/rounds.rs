//! Measurements in turn. A drift (clock, heat, other load) then affects every variant equally.

use std::{collections::BTreeMap, num::NonZeroUsize};

use anyhow::{Context, Result, ensure};

use super::{
    host::Host,
    observers,
    report::{Median, Report},
    stats::median,
    variant::Variant,
    worker::Workload,
};

/// The results: for each variant, one value per round, in ns.
#[derive(Default)]
pub(super) struct Rounds {
    values: BTreeMap<Variant, Vec<f64>>,
}

impl Rounds {
    /// Measures every variant once in each round.
    pub(super) fn measure(
        host: &Host,
        workload: &mut Workload,
        variants: &[Variant],
        rounds: NonZeroUsize,
    ) -> Result<Self> {
        let mut measured = Self::default();
        for round in 0..rounds.get() {
            eprint!("{}: round {} of {rounds}:", workload.scenario, round + 1);
            // Each round begins with another variant, so that no variant always follows the same one.
            for variant in variants.iter().cycle().skip(round % variants.len()).take(variants.len()) {
                let ns = one(host, workload, *variant).with_context(|| format!("with {}", variant.name()))?;
                measured.values.entry(*variant).or_default().push(ns);
                eprint!(" {} {ns:.1};", variant.name());
            }
            eprintln!();
        }
        Ok(measured)
    }

    /// Returns the time that a variant adds to the variant `nothing`, in ns: the difference of the medians over the
    /// rounds.
    ///
    /// This is not the median of the differences. Each time a program is attached, its code has another address. Until
    /// it is detached, it is some ten nanoseconds faster or slower. The other variants of the round do not affect this.
    pub(super) fn added(&self, variant: Variant) -> f64 {
        self.median(variant) - self.median(Variant::Nothing)
    }

    /// Appends the values of other rounds.
    pub(super) fn append(&mut self, other: Self) {
        for (variant, values) in other.values {
            self.values.entry(variant).or_default().extend(values);
        }
    }

    /// Returns the median of a variant's values, in ns.
    pub(super) fn median(&self, variant: Variant) -> f64 {
        let values = self.values.get(&variant).into_iter().flatten().copied();
        median(values).unwrap_or(f64::NAN)
    }

    /// Returns the time that one variant adds, divided by the time that another variant adds. Not a number unless both
    /// are positive.
    pub(super) fn ratio(&self, of: Variant, to: Variant) -> f64 {
        let (of, to) = (self.added(of), self.added(to));
        if of > 0.0 && to > 0.0 { of / to } else { f64::NAN }
    }

    /// Returns a report with the medians, without figures.
    pub(super) fn report(&self, scenario: &'static str) -> Report {
        let medians = self.values.keys().map(|&variant| Median {
            scenario,
            variant: variant.name(),
            ns: self.median(variant),
            added_ns: self.added(variant),
        });
        Report { medians: medians.collect(), ..Report::default() }
    }
}

/// Measures once with one variant attached, and checks that the variant saw every call.
fn one(host: &Host, workload: &mut Workload, variant: Variant) -> Result<f64> {
    observers::warn_of_any(host)?;
    let attachment = variant.attach(host)?;
    let ns = workload.worker.measure()?;
    if let Some(counted) = attachment.counted(workload)? {
        ensure!(counted >= workload.calls, "it counted {counted} calls of {}", workload.calls);
    }
    Ok(ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(values: [(Variant, &[f64]); 3]) -> Rounds {
        Rounds { values: values.into_iter().map(|(variant, values)| (variant, values.to_vec())).collect() }
    }

    #[test]
    fn one_attachment_that_came_out_slow_does_not_count() {
        let rounds = rounds([
            (Variant::Nothing, &[80.0, 80.0, 60.0]),
            (Variant::Empty, &[100.0, 190.0, 100.0]),
            (Variant::Daemon, &[200.0, 110.0, 110.0]),
        ]);
        assert_eq!(rounds.added(Variant::Empty).to_bits(), 20.0_f64.to_bits());
        assert_eq!(rounds.ratio(Variant::Daemon, Variant::Empty).to_bits(), 1.5_f64.to_bits());
        assert_eq!(rounds.added(Variant::Nothing).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn ratio_to_what_cost_nothing_is_no_number() {
        let rounds = rounds([(Variant::Nothing, &[80.0]), (Variant::Empty, &[79.0]), (Variant::Daemon, &[70.0])]);
        assert!(rounds.ratio(Variant::Daemon, Variant::Empty).is_nan());
        assert!(rounds.ratio(Variant::Daemon, Variant::RawTp).is_nan());
    }
}
