//! Formats numbers with their units in a short form, as Grafana does.

/// Formats a value of a panel with one of Grafana's units.
pub(super) fn text(value: f64, unit: &str) -> String {
    match unit {
        "percentunit" => format!("{} %", digits(value * 100.0)),
        "s" => seconds(value),
        "bytes" => scaled(value, 1024.0, &[" B", " KiB", " MiB", " GiB"]),
        "cps" | "ops" => scaled(value, 1000.0, &["/s", " k/s", " M/s"]),
        _ => scaled(value, 1000.0, &["", " k", " M"]),
    }
}

fn seconds(value: f64) -> String {
    if value.is_infinite() {
        return "+Inf".to_owned();
    }
    let (scale, unit) = match value.abs() {
        value if value < 1e-3 => (1e6, "us"),
        value if value < 1.0 => (1e3, "ms"),
        _ => (1.0, "s"),
    };
    format!("{} {unit}", digits(value * scale))
}

fn scaled(mut value: f64, base: f64, units: &[&str]) -> String {
    let mut units = units.iter().copied();
    let mut unit = units.next().unwrap_or_default();
    for next in units {
        if value.abs() < base {
            break;
        }
        (value, unit) = (value / base, next);
    }
    format!("{}{unit}", digits(value))
}

/// Formats a value with three significant digits.
fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        value if value >= 100.0 || (value - value.round()).abs() < 1e-9 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_their_unit() {
        for (value, unit, expected) in [
            (0.0123, "percentunit", "1.23 %"),
            (0.000_25, "s", "250 us"),
            (1.5, "s", "1.50 s"),
            (14_680_064.0, "bytes", "14 MiB"),
            (12_345.0, "cps", "12.3 k/s"),
            (7.0, "short", "7"),
        ] {
            assert_eq!(text(value, unit), expected);
        }
    }
}
