//! Lays the state out as lines of text for a screen of any size.

use super::{
    columns::{Column, WorkloadRow},
    details,
    sample::{IncidentEntry, NewCallEntry, name, rank},
    source::MAX_ENTRIES,
    state::{Cover, State, Tab},
    text::{Line, Tone, ago, compact, cut, cut_middle, pad, wrapped},
};
use crate::process::{printable, short_ids};

/// Lines above the list, and below it.
const LINES_ABOVE: usize = 3;
const LINES_BELOW: usize = 1;

/// The least columns that a name has before other columns are left out.
const MIN_NAME: usize = 30;

const HELP: [(&str, &str); 16] = [
    ("1 2 3, Tab", "workloads, new calls, incidents"),
    ("up, down, j, k", "select"),
    ("PgUp, PgDn, space", "select a page further"),
    ("Home, End, g, G", "select the first, the last"),
    ("Enter", "open the selected entry"),
    ("Esc", "back; in a list, clear the filter"),
    ("/", "filter: words that a name, image, owner or call contains"),
    ("c, e, d, n", "sort by calls/s, errors/s, denied/s, name"),
    ("left, right, <, >", "sort by the next column"),
    ("r", "reverse the order"),
    ("o", "keep the order of the rows, or sort again"),
    ("s", "in new calls: show those of starts, or hide them"),
    ("f", "freeze, or go on"),
    ("?", "this help"),
    ("q, Ctrl-C", "quit"),
    ("!", "marks workloads and new calls with an incident: 3 has why"),
];

/// What the screen says about where its samples come from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// Such as the daemon's URL.
    pub(super) title: String,
    /// Flags that name the daemon in other commands. Ends with a space, unless it is empty.
    pub(super) daemon: String,
}

/// Returns the lines of the screen, at most `height` of at most `width` columns. `now` is the time of the newest
/// snapshot, or later.
pub(super) fn lines(state: &State, origin: &Origin, width: usize, height: usize) -> Vec<Line> {
    let mut lines = vec![title(state, origin), tabs(state)];
    let room = height.saturating_sub(LINES_ABOVE + LINES_BELOW);
    let mut below = 0;
    match state.cover {
        Some(Cover::Help) => {
            lines.push(Line::of("Keys", Tone::Heading));
            lines.extend(HELP.iter().map(|(keys, text)| {
                let mut line = Line::of(pad(keys, 20, false), Tone::Active);
                line.push(*text, Tone::Plain);
                line
            }));
            let problems = state.sample.problems.iter().map(|problem| Line::of(problem.as_str(), Tone::Warning));
            lines.extend(problems.flat_map(|problem| wrapped(problem, width)));
        }
        Some(Cover::Details(first)) => {
            let page = page(state, origin, width);
            let last = page.len().saturating_sub(room + 1);
            let first = first.min(last);
            below = last - first;
            lines.extend(page.into_iter().skip(first).take(room + 1));
        }
        None => lines.extend(list(state, width, room)),
    }
    lines.truncate(height.saturating_sub(LINES_BELOW));
    lines.resize(height.saturating_sub(LINES_BELOW), Line::default());
    lines.push(footer(state, below));
    lines.truncate(height);
    lines.into_iter().map(|line| clipped(line, width)).collect()
}

/// Returns how many entries fit on a screen.
pub(super) fn entries(height: usize) -> usize {
    height.saturating_sub(LINES_ABOVE + LINES_BELOW)
}

/// Returns the first line of the open entry that is shown when its last line is in view.
pub(super) fn last_scroll(state: &State, origin: &Origin, width: usize, height: usize) -> usize {
    match state.cover {
        Some(Cover::Details(_)) => page(state, origin, width).len().saturating_sub(entries(height) + 1),
        _ => 0,
    }
}

fn clipped(line: Line, width: usize) -> Line {
    let mut left = width;
    let pieces = line.0.into_iter().filter_map(|(text, tone)| {
        let text = cut(&text, left);
        left -= unicode_width::UnicodeWidthStr::width(text.as_str());
        (!text.is_empty()).then_some((text, tone))
    });
    Line(pieces.collect())
}

fn title(state: &State, origin: &Origin) -> Line {
    let mut line = Line::of(format!("syscallmon top: {}", printable(&origin.title)), Tone::Heading);
    if let Some(problem) = &state.problem {
        line.push(format!("  no answer, trying again: {}", printable(problem)), Tone::Critical);
        return line;
    }
    // The help has them in full.
    let problems = &state.sample.problems;
    match problems.len() {
        0 => {}
        1 => line.push("  problem (?)", Tone::Warning),
        number => line.push(format!("  {number} problems (?)"), Tone::Warning),
    }
    let sum: f64 = state.rows.iter().map(|row| row.rates.calls).sum();
    let shown = if state.filter.is_empty() { String::new() } else { format!("{} of ", state.workloads().count()) };
    let text = format!("  {shown}{} workloads, {} calls/s", state.rows.len(), super::text::compact_rate(sum, 1));
    line.push(text, Tone::Plain);
    if let Some(problem) = problems.first() {
        line.push(format!("  {problem}"), Tone::Warning);
    }
    line
}

fn tabs(state: &State) -> Line {
    let mut line = Line::default();
    for tab in Tab::ALL {
        line.push(tab.title(), if tab == state.tab { Tone::Active } else { Tone::Dim });
        let incidents = &state.sample.incidents;
        if let Some(worst) = incidents.iter().max_by_key(|incident| rank(&incident.severity))
            && tab == Tab::Incidents
        {
            let more = if incidents.len() < MAX_ENTRIES { "" } else { "+" };
            line.push(format!(" ({}{more})", incidents.len()), details::tone(&worst.severity));
        }
        line.push("  ", Tone::Plain);
    }
    if state.is_frozen {
        line.push(" frozen (f goes on)", Tone::Active);
    }
    if state.keeps_order {
        line.push(" order kept (o sorts again)", Tone::Active);
    }
    line
}

/// Returns the last line. `below` is the number of lines that an open entry has further down.
fn footer(state: &State, below: usize) -> Line {
    if state.is_typing {
        return Line::plain(format!("filter: {}_  (Enter keeps it, Esc clears it)", printable(&state.filter)));
    }
    if state.cover.is_some() {
        let mut line = Line::of("? help  Esc back  f freeze  q quit  j k scroll", Tone::Dim);
        if below > 0 {
            line.push(format!("  {below} more lines below"), Tone::Active);
        }
        return line;
    }
    let starts = match (state.tab, state.shows_starts) {
        (Tab::NewCalls, true) => "  s hide starts",
        (Tab::NewCalls, false) => "  s show starts",
        _ => "",
    };
    let mut line = Line::of(format!("? help  / filter  Enter open  f freeze{starts}  q quit"), Tone::Dim);
    if !state.filter.is_empty() {
        line.push(format!("  filter: {} (Esc clears it)", printable(&state.filter)), Tone::Active);
    }
    line
}

/// Returns the page of the selected entry.
fn page(state: &State, origin: &Origin, width: usize) -> Vec<Line> {
    page_of_any_width(state, origin).into_iter().flat_map(|line| wrapped(line, width)).collect()
}

fn page_of_any_width(state: &State, origin: &Origin) -> Vec<Line> {
    let gone = || vec![Line::plain("It is not there any more. Esc goes back.")];
    let time = state.sample.time;
    if state.tab == Tab::Incidents {
        let selected = state.incidents().find(|incident| Some(&incident.id) == state.selected.as_ref());
        return selected.map_or_else(gone, |incident| details::incident(incident, time, &origin.daemon));
    }
    let open = state.wanted().open;
    let row = state.rows.iter().find(|row| Some(&row.entry.id) == open.as_ref());
    row.map_or_else(gone, |row| {
        let incidents: Vec<&IncidentEntry> = state.incidents_of(&row.entry.workload).collect();
        details::workload(row, &incidents, state.sample.open.as_ref(), time, &origin.profile_flag())
    })
}

impl Origin {
    /// Returns the same flag as `syscallmon profile` calls it.
    fn profile_flag(&self) -> String {
        self.daemon.replace("--url ", "--daemon ")
    }
}

/// Returns the headings and the entries that fit, with the selected one among them.
fn list(state: &State, width: usize, room: usize) -> Vec<Line> {
    let ids = state.ids();
    let selected = state.selected().and_then(|selected| ids.iter().position(|id| *id == selected));
    let selected = selected.unwrap_or_default();
    let first = selected.saturating_sub(room.saturating_sub(1));
    let shown = |position: usize| (position >= first && position < first + room).then_some(position == selected);
    let (heading, entries): (Line, Vec<Line>) = match state.tab {
        Tab::Workloads => {
            let columns = fitting(&state.columns, width);
            let rows = state.workloads().enumerate();
            let rows = rows.filter_map(|(position, row)| Some(workload(row, &columns, width, shown(position)?)));
            (headings(state, &columns, width), rows.collect())
        }
        Tab::NewCalls => {
            let calls = state.new_calls().enumerate();
            let calls = calls.filter_map(|(position, (_, call))| {
                let is_selected = shown(position)?;
                let severity = call.severity(&state.sample.incidents);
                let tone = match severity {
                    _ if is_selected => Tone::Selected,
                    Some(severity) => details::tone(severity),
                    None if call.during_start => Tone::Dim,
                    None => Tone::Plain,
                };
                Some(Line::of(new_call(call, severity.is_some(), state.sample.time, width), tone))
            });
            (Line::of(new_call_headings(width), Tone::Heading), calls.collect())
        }
        Tab::Incidents => {
            let name_width = width.saturating_sub(INCIDENT) * 2 / 5;
            let [seen, times] = [pad("SEEN", 5, true), pad("TIMES", 8, true)];
            let heading = format!("{seen} SEVERITY {times} {} CALLS", pad("WORKLOAD", name_width, false));
            let incidents = state.incidents().enumerate();
            let incidents = incidents.filter_map(|(position, incident)| {
                let text = format!(
                    "{} {} {} {}",
                    pad(&ago(state.sample.time - incident.last_seen), 5, true),
                    pad(&printable(&incident.severity), 8, false),
                    pad(&compact(incident.count), 8, true),
                    details::in_short(incident, name_width),
                );
                let tone = if shown(position)? { Tone::Selected } else { details::tone(&incident.severity) };
                Some(Line::of(text, tone))
            });
            (Line::of(heading, Tone::Heading), incidents.collect())
        }
    };
    let nothing = entries.is_empty().then(|| Line::of(nothing(state), Tone::Dim));
    std::iter::once(heading).chain(nothing).chain(entries).collect()
}

fn nothing(state: &State) -> String {
    let new_calls = state.sample.new_calls.as_ref().map(Vec::len);
    if !state.filter.is_empty() && (state.tab != Tab::NewCalls || new_calls.is_some()) {
        return match new_calls {
            Some(number @ 1..) if state.tab == Tab::NewCalls => {
                format!("None of the newest {number} matches the filter.")
            }
            _ => "Nothing matches the filter.".to_owned(),
        };
    }
    let text = match state.tab {
        _ if state.sample.time <= 0.0 => "Waiting for the first sample.",
        Tab::NewCalls if state.sample.new_calls.is_none() => "Waiting for the new calls.",
        Tab::Workloads => "No workload has made a call yet.",
        Tab::NewCalls if !state.shows_starts => "No new calls outside of starts.",
        Tab::NewCalls => "No new calls.",
        Tab::Incidents => "No incidents: no unexpected call was seen.",
    };
    text.to_owned()
}

/// Columns of an incident before its workload.
const INCIDENT: usize = 24;

/// Columns of a new call besides its workload: its age, a mark, the call, and the process.
const NEW_CALL: [usize; 4] = [5, 5, 26, 15];
/// Width of the number of calls, which wide screens show.
const NUMBER: usize = 8;
const WIDE: usize = 100;

fn new_call_headings(width: usize) -> String {
    new_call_columns(["AGE", "", "CALL", "CALLS", "WORKLOAD", "FIRST MADE BY"], width)
}

fn new_call(call: &NewCallEntry, is_flagged: bool, time: f64, width: usize) -> String {
    let age = ago(time - call.first_seen);
    let text = format!("{} {}", printable(&call.syscall), printable(&call.abi));
    let process = call.process.as_ref().map_or("", |process| &process.comm);
    let mark = match (is_flagged, call.during_start) {
        (true, _) => "!",
        (false, true) => "start",
        (false, false) => "",
    };
    new_call_columns([&age, mark, &text, &compact(call.calls), &short_ids(&name(&call.workload)), process], width)
}

fn new_call_columns([age, mark, call, calls, workload, process]: [&str; 6], width: usize) -> String {
    let [age_width, mark_width, call_width, process_width] = NEW_CALL;
    let mut columns = vec![pad(age, age_width, true), pad(mark, mark_width, false), pad(call, call_width, false)];
    let mut taken = NEW_CALL.iter().sum::<usize>() + NEW_CALL.len();
    if width >= WIDE {
        columns.push(pad(calls, NUMBER, true));
        taken += NUMBER + 1;
    }
    let room = width.saturating_sub(taken);
    columns.extend([pad(&cut_middle(workload, room), room, false), pad(process, process_width, false)]);
    columns.join(" ")
}

/// Returns the columns that fit beside the name; the last ones are left out.
fn fitting(columns: &[Column], width: usize) -> Vec<Column> {
    let mut left = width.saturating_sub(MIN_NAME);
    let fits = |column: &&Column| match column.width() {
        None => true,
        Some(width) if width < left => {
            left -= width + 1;
            true
        }
        Some(_) => false,
    };
    columns.iter().filter(fits).copied().collect()
}

/// Returns the columns of the name.
fn name_width(columns: &[Column], width: usize) -> usize {
    let others: usize = columns.iter().filter_map(|column| Some(column.width()? + 1)).sum();
    width.saturating_sub(others)
}

/// Returns a cell with a space after it.
fn cell(column: Column, text: &str, columns: &[Column], width: usize) -> String {
    if let Some(width) = column.width() {
        return pad(text, width, column != Column::History) + " ";
    }
    let width = name_width(columns, width);
    pad(&cut_middle(text, width), width, false)
}

fn headings(state: &State, columns: &[Column], width: usize) -> Line {
    let mut line = Line::default();
    for &column in columns {
        let is_sorted = column == state.sort;
        let mark = if state.reverse { "▲" } else { "▼" };
        let text = if is_sorted { format!("{mark}{}", column.heading()) } else { column.heading().to_owned() };
        line.push(cell(column, &text, columns, width), if is_sorted { Tone::Active } else { Tone::Heading });
    }
    line
}

fn workload(row: &WorkloadRow, columns: &[Column], width: usize, is_selected: bool) -> Line {
    let mut line = Line::default();
    for &column in columns {
        let tone = match column {
            _ if is_selected => Tone::Selected,
            Column::History => Tone::History,
            Column::DeniedRate if row.rates.denied > 0.0 => Tone::Warning,
            _ if row.entry.gone => Tone::Dim,
            _ => Tone::Plain,
        };
        let mut text = column.text(row);
        let mut left = width;
        if column == Column::Name {
            if let Some(flagged) = &row.flagged {
                line.push("! ", if is_selected { tone } else { details::tone(&flagged.severity) });
                left = left.saturating_sub(2);
            }
            if row.entry.gone {
                text += " (ended)";
            }
        }
        line.push(cell(column, &text, columns, left), tone);
    }
    line
}
