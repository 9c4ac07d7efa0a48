//! Other estimators of the number of unseen calls, for comparison with the one in use.

/// How often calls were made that are not of the start.
#[derive(Debug, Default)]
pub(super) struct Sample {
    /// Number of time windows.
    pub(super) windows: f64,
    /// For each call, the number of windows in which it was made.
    pub(super) incidences: Vec<u64>,
    /// For each call, how often it was made.
    pub(super) calls: Vec<u64>,
}

/// Returns the estimate from a sample.
type Estimate = fn(&Sample) -> f64;

/// The estimators by name.
pub(super) const ESTIMATORS: [(&str, Estimate); 4] =
    [("Chao2", chao2), ("Chao1", chao1), ("Good-Turing", good_turing), ("jackknife 1", jackknife_1)];

/// Calls that were made in more windows are not rare.
const RARE: u64 = 10;

fn exactly(counts: &[u64], number: u64) -> f64 {
    counts.iter().filter(|count| **count == number).count() as f64
}

/// Chao (1987), in the form without bias: from the calls that were made in exactly one window and in two. It is at
/// least half a call if there is a rare one, as the estimate in use.
fn chao2(sample: &Sample) -> f64 {
    let (one, two) = (exactly(&sample.incidences, 1), exactly(&sample.incidences, 2));
    let estimate = (sample.windows - 1.0) / sample.windows * one * (one - 1.0) / (2.0 * (two + 1.0));
    if one > 0.0 { estimate.max(0.5) } else { 0.0 }
}

/// Chao (1984), in the form without bias: from the calls that were made exactly once and twice.
fn chao1(sample: &Sample) -> f64 {
    let (one, two) = (exactly(&sample.calls, 1), exactly(&sample.calls, 2));
    one * (one - 1.0).max(0.0) / (2.0 * (two + 1.0))
}

/// The coverage of rare calls by Good and Turing: all rare calls are taken to be equally likely.
fn good_turing(sample: &Sample) -> f64 {
    let rare: Vec<u64> = sample.incidences.iter().copied().filter(|count| *count <= RARE).collect();
    let total = rare.iter().sum::<u64>() as f64;
    if total == 0.0 {
        return 0.0;
    }
    // With single calls only, the coverage is 0. Half a call less keeps the estimate finite.
    let missing = exactly(&rare, 1).min(total - 0.5) / total;
    rare.len() as f64 * missing / (1.0 - missing)
}

/// Burnham and Overton (1979), first order; the one in use is of second order.
fn jackknife_1(sample: &Sample) -> f64 {
    exactly(&sample.incidences, 1) * (sample.windows - 1.0) / sample.windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_those_of_the_formulas() {
        let sample = Sample { windows: 100.0, incidences: vec![1, 1, 1, 2, 50], calls: vec![1, 1, 1, 2, 900] };
        let of = |wanted: &str| ESTIMATORS.iter().find(|(name, _)| *name == wanted).unwrap().1(&sample);
        assert_eq!((of("Chao1"), of("jackknife 1")), (1.5, 2.97));
        // 3 of 5 occurrences of 4 rare calls are single.
        assert!((of("Good-Turing") - 6.0).abs() < 1e-9);
        assert!((of("Chao2") - 1.485).abs() < 1e-9);
    }

    #[test]
    fn nothing_rare_means_nothing_unseen() {
        let sample = Sample { windows: 100.0, incidences: vec![50, 60], calls: vec![70, 80] };
        assert!(ESTIMATORS.iter().all(|(_, estimate)| estimate(&sample) == 0.0));
    }
}
