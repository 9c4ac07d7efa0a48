//! Samples as text for scripts and pipes.

use std::io;

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::{
    columns::{Column, WorkloadRow},
    screen::{Origin, lines},
    state::State,
};

/// A format for scripts and pipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The list as on the screen.
    Table,
    /// A line of JSON for each sample.
    Json,
    /// A line for each workload.
    Csv,
}

/// Columns of a table in a pipe.
const WIDTH: usize = 120;

impl Format {
    /// Returns the newest sample.
    ///
    /// # Errors
    ///
    /// When a text cannot be a field.
    pub(super) fn text(self, state: &State, origin: &Origin, is_first: bool) -> anyhow::Result<String> {
        match self {
            Self::Table => Ok(table(state, origin)),
            Self::Json => Ok(format!("{}\n", object(state))),
            Self::Csv => Ok(csv(state, is_first)?),
        }
    }
}

fn table(state: &State, origin: &Origin) -> String {
    // The text in place of an empty list is a line, too.
    let height = state.workloads().count().max(1) + 4;
    let mut lines = lines(state, origin, WIDTH, height);
    // Neither tabs nor keys.
    lines.pop();
    lines.remove(1);
    lines.iter().map(|line| line.text().trim_end().to_owned() + "\n").collect()
}

fn object(state: &State) -> Value {
    let workloads: Vec<Value> = state.workloads().map(workload).collect();
    json!({"snapshot_time": state.sample.time, "problems": state.sample.problems, "workloads": workloads})
}

fn workload(row: &WorkloadRow) -> Value {
    let mut object = Map::new();
    object.insert("id".to_owned(), json!(row.entry.id));
    object.insert("name".to_owned(), json!(row.name));
    object.insert("workload".to_owned(), json!(row.entry.workload));
    object.insert("metadata".to_owned(), json!(row.entry.metadata));
    object.insert("gone".to_owned(), json!(row.entry.gone));
    for &column in Column::value_variants() {
        if let Some(number) = number(column, row) {
            object.insert(column.field().to_owned(), number);
        }
    }
    Value::Object(object)
}

/// Returns the exact value of a column with numbers.
fn number(column: Column, row: &WorkloadRow) -> Option<Value> {
    let totals = &row.entry.totals;
    Some(match column {
        Column::Rate => json!(row.rates.calls),
        Column::ErrorRate => json!(row.rates.errors),
        Column::DeniedRate => json!(row.rates.denied),
        Column::Calls => json!(totals.calls),
        Column::Errors => json!(totals.errors),
        Column::Denied => json!(totals.denied),
        Column::IoUring => json!(totals.io_uring),
        Column::Incidents => json!(row.incidents()),
        Column::History | Column::Name => return None,
    })
}

fn csv(state: &State, is_first: bool) -> io::Result<String> {
    let columns: Vec<Column> = state.columns.iter().copied().filter(|column| *column != Column::History).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    if is_first {
        writer.write_record(std::iter::once("snapshot_time").chain(columns.iter().map(|column| column.field())))?;
    }
    for row in state.workloads() {
        let value =
            |&column: &Column| number(column, row).map_or_else(|| row.name.clone(), |number| number.to_string());
        writer.write_record(std::iter::once(state.sample.time.to_string()).chain(columns.iter().map(value)))?;
    }
    let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}
