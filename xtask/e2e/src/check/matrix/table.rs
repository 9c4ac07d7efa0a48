//! The table of cells, in Markdown.

use super::cell::{CHECKS, Row};

/// Returns the table. A check that was not made has a dash.
pub(super) fn render(rows: &[Row]) -> String {
    let head = ["Debian", "engine", "OCI runtime"].into_iter().chain(CHECKS).chain(["scraped by, alerts to"]);
    let head: Vec<_> = head.collect();
    let mut table = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    table.extend(rows.iter().map(|row| line(row) + "\n"));
    table
}

/// Returns the line of one cell.
pub(super) fn line(row: &Row) -> String {
    let suite = format!("{:?}", row.suite).to_lowercase();
    let mut cells = vec![suite, row.versions[0].clone(), row.versions[1].clone()];
    for check in 0..CHECKS.len() {
        cells.push(match row.results.get(check) {
            Some(Ok(text)) => text.clone(),
            Some(Err(_)) => "FAILED".to_owned(),
            None => "-".to_owned(),
        });
    }
    cells.push(row.servers.clone());
    format!("| {} |", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use xtask_support::apt::Suite;

    use super::*;

    #[test]
    fn failure_and_what_was_not_made_are_in_the_table() {
        let results = vec![Ok("yes".to_owned()), Err("why".to_owned())];
        let versions = ["Docker 28.5.2", "crun 1.28"].map(str::to_owned);
        let row = Row { suite: Suite::Sid, versions, servers: "Prometheus 3.5.3".to_owned(), results };
        assert!(!row.is_ok());
        assert_eq!(line(&row), "| sid | Docker 28.5.2 | crun 1.28 | yes | FAILED | - | - | - | - | Prometheus 3.5.3 |");
        let table = render(&[row]);
        let columns: Vec<usize> = table.lines().map(|line| line.matches('|').count()).collect();
        assert_eq!(columns, [11, 11, 11]);
    }
}
