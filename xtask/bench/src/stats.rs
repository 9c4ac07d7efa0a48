//! Statistics of several measurements.

/// Returns the middle value, or the mean of the two middle values. Returns `None` without values.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() % 2 {
        1 => values.get(half).copied(),
        _ => Some(f64::midpoint(*values.get(half.checked_sub(1)?)?, *values.get(half)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 1000.0]), Some(3.0));
        assert_eq!(median([4.0, 1.0, 1000.0, 2.0]), Some(3.0));
        assert_eq!(median([7.5]), Some(7.5));
        assert_eq!(median([]), None);
    }
}
