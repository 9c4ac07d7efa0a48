//! What `top` shows and how keys change it. Without a terminal, so that it can be tested.

use std::collections::HashMap;

use super::{
    columns::{Column, WorkloadRow},
    sample::{Flagged, IncidentEntry, Labels, NewCallEntry, Sample, WorkloadEntry, name},
    source::Wanted,
};
use crate::view::Sums;

/// A key, independent of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Tab,
    Backspace,
    /// Ctrl-C.
    Interrupt,
}

/// What a key asks for besides another screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Only the screen has changed.
    Draw,
    /// A sample of other things is needed.
    Fetch,
    Quit,
}

/// A list that fills the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tab {
    #[default]
    Workloads,
    NewCalls,
    Incidents,
}

impl Tab {
    pub(super) const ALL: [Self; 3] = [Self::Workloads, Self::NewCalls, Self::Incidents];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Workloads => "[1] Workloads",
            Self::NewCalls => "[2] New calls",
            Self::Incidents => "[3] Incidents",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Workloads => Self::NewCalls,
            Self::NewCalls => Self::Incidents,
            Self::Incidents => Self::Workloads,
        }
    }
}

/// How it starts.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) sort: Column,
    pub(super) reverse: bool,
    pub(super) filter: String,
    pub(super) columns: Vec<Column>,
}

/// What covers the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cover {
    Help,
    /// The selected entry, from this line on.
    Details(usize),
}

/// Everything that the screen shows.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the user")]
#[derive(Debug)]
pub(super) struct State {
    /// The newest sample, with its workloads in `rows`.
    pub(super) sample: Sample,
    pub(super) rows: Vec<WorkloadRow>,
    /// Why the daemon does not answer any more.
    pub(super) problem: Option<String>,
    pub(super) tab: Tab,
    pub(super) columns: Vec<Column>,
    pub(super) sort: Column,
    pub(super) reverse: bool,
    pub(super) filter: String,
    /// Whether keys write the filter.
    pub(super) is_typing: bool,
    /// Whether samples are ignored.
    pub(super) is_frozen: bool,
    /// Whether rows keep their order.
    pub(super) keeps_order: bool,
    /// Whether new calls of starts are shown, too.
    pub(super) shows_starts: bool,
    pub(super) cover: Option<Cover>,
    /// The id of the selected entry; the first is selected if it is not in the list.
    pub(super) selected: Option<String>,
    /// Number of entries that fit on the screen.
    page: usize,
    /// The first line of the open entry that is shown when its last line is in view.
    last_scroll: usize,
}

impl State {
    pub(super) fn new(start: Start) -> Self {
        let Start { sort, reverse, filter, columns } = start;
        Self {
            sample: Sample::default(),
            rows: Vec::new(),
            problem: None,
            tab: Tab::default(),
            columns,
            sort,
            reverse,
            filter,
            is_typing: false,
            is_frozen: false,
            keeps_order: false,
            shows_starts: false,
            cover: None,
            selected: None,
            page: 1,
            last_scroll: usize::MAX,
        }
    }

    /// Notes how far the open entry can scroll.
    pub(super) fn set_last_scroll(&mut self, line: usize) {
        self.last_scroll = line;
    }

    /// Notes how many entries fit on the screen.
    pub(super) fn set_page(&mut self, page: usize) {
        self.page = page.max(1);
    }

    /// Takes a sample.
    pub(super) fn received(&mut self, mut sample: Sample) {
        self.problem = None;
        if self.is_frozen {
            // What is open is shown all the same.
            self.sample.open = sample.open.or_else(|| self.sample.open.take());
            return;
        }
        let (seconds, time) = (sample.time - self.sample.time, sample.time);
        // A workload that was not there before has all its calls since it started. Counting may have begun later, and
        // a workload that waited for its name is there late.
        let (is_first, before_this) = (self.sample.time <= 0.0, self.sample.time);
        let counting_since = sample.counting_since;
        let of_new = |entry: &WorkloadEntry| {
            let began = entry.started.into_iter().chain(counting_since).reduce(f64::max);
            time - began.unwrap_or(before_this).min(before_this)
        };
        let before = std::mem::take(&mut self.rows);
        let positions: HashMap<String, usize> =
            before.iter().enumerate().map(|(position, row)| (row.entry.id.clone(), position)).collect();
        let entries = std::mem::take(&mut sample.workloads).into_iter();
        let rows = entries.map(|entry| {
            let old = positions.get(&entry.id).map(|&position| &before[position]);
            match old {
                // The same snapshot again.
                Some(old) if seconds <= 0.0 => WorkloadRow { rates: old.rates, ..WorkloadRow::new(entry, None) },
                Some(old) => WorkloadRow::new(entry, Some((&old.entry.totals, seconds))),
                None if is_first => WorkloadRow::new(entry, None),
                None => {
                    let seconds = of_new(&entry);
                    WorkloadRow::new(entry, Some((&Sums::default(), seconds)))
                }
            }
        });
        self.rows = rows.collect();
        let mut flagged = Flagged::by_workload(&sample.incidents);
        for row in &mut self.rows {
            row.flagged = flagged.remove(&row.entry.workload);
        }
        if sample.open.as_ref().map(|open| &open.id) != self.wanted().open.as_ref() {
            sample.open = self.sample.open.take();
        }
        self.sample = sample;
        if self.keeps_order {
            self.rows.sort_by_key(|row| positions.get(&row.entry.id).copied().unwrap_or(usize::MAX));
        } else {
            self.order();
        }
    }

    /// Takes the reason why there is no sample.
    pub(super) fn failed(&mut self, problem: String) {
        self.problem = Some(problem);
    }

    /// Returns what samples need.
    pub(super) fn wanted(&self) -> Wanted {
        let opens = matches!(self.cover, Some(Cover::Details(_)));
        let open = match self.tab {
            Tab::Workloads => self.selected(),
            Tab::NewCalls => {
                let call = self.new_calls().find(|(id, _)| Some(id) == self.selected().as_ref());
                call.map(|(_, call)| call.workload_id.clone())
            }
            Tab::Incidents => None,
        };
        Wanted { new_calls: self.tab == Tab::NewCalls, starts: self.shows_starts, open: open.filter(|_| opens) }
    }

    fn order(&mut self) {
        let (sort, reverse) = (self.sort, self.reverse);
        self.rows.sort_by(|a, b| if reverse { sort.compare(b, a) } else { sort.compare(a, b) });
    }

    fn matches(&self, texts: &[&str]) -> bool {
        let filter = self.filter.to_lowercase();
        let mut words = filter.split_whitespace();
        words.all(|word| texts.iter().any(|text| text.to_lowercase().contains(word)))
    }

    /// Returns the workloads that match the filter, by name, image and owner.
    pub(super) fn workloads(&self) -> impl Iterator<Item = &WorkloadRow> {
        self.rows.iter().filter(|row| {
            let metadata = |label| row.entry.metadata.get(label).map_or("", String::as_str);
            self.matches(&[&row.name, metadata("image"), metadata("owner")])
        })
    }

    /// Returns the incidents of a workload.
    pub(super) fn incidents_of(&self, workload: &Labels) -> impl Iterator<Item = &IncidentEntry> {
        self.sample.incidents.iter().filter(move |incident| incident.workload == *workload)
    }

    /// Returns the new calls that match the filter, with an id for each.
    pub(super) fn new_calls(&self) -> impl Iterator<Item = (String, &NewCallEntry)> {
        let calls = self.sample.new_calls.iter().flatten();
        let calls = calls.filter(|call| {
            let process = call.process.as_ref().map_or("", |process| &process.comm);
            self.matches(&[&name(&call.workload), &call.syscall, process])
        });
        calls.map(|call| (format!("{} {} {}", call.workload_id, call.abi, call.syscall), call))
    }

    /// Returns the incidents that match the filter.
    pub(super) fn incidents(&self) -> impl Iterator<Item = &IncidentEntry> {
        self.sample.incidents.iter().filter(|incident| {
            let calls = incident.calls.iter().map(|call| call.syscall.as_str());
            self.matches(&[incident.message.as_str(), &incident.severity].into_iter().chain(calls).collect::<Vec<_>>())
        })
    }

    /// Returns the ids of the entries of the list.
    pub(super) fn ids(&self) -> Vec<String> {
        match self.tab {
            Tab::Workloads => self.workloads().map(|row| row.entry.id.clone()).collect(),
            Tab::NewCalls => self.new_calls().map(|(id, _)| id).collect(),
            Tab::Incidents => self.incidents().map(|incident| incident.id.clone()).collect(),
        }
    }

    /// Returns the id of the selected entry.
    pub(super) fn selected(&self) -> Option<String> {
        let ids = self.ids();
        self.selected.clone().filter(|selected| ids.contains(selected)).or_else(|| ids.into_iter().next())
    }

    /// Changes what is shown as a key asks.
    pub(super) fn key(&mut self, key: Key) -> Action {
        if key == Key::Interrupt {
            return Action::Quit;
        }
        if self.is_typing {
            return self.type_filter(key);
        }
        match self.cover {
            Some(cover) => self.key_on_cover(cover, key),
            None => self.key_on_list(key),
        }
    }

    fn type_filter(&mut self, key: Key) -> Action {
        match key {
            Key::Enter => self.is_typing = false,
            Key::Escape => {
                self.is_typing = false;
                self.filter.clear();
            }
            Key::Backspace => drop(self.filter.pop()),
            Key::Char(c) => self.filter.push(c),
            Key::Up | Key::Down => return self.key_on_list(key),
            _ => {}
        }
        Action::Draw
    }

    fn key_on_cover(&mut self, cover: Cover, key: Key) -> Action {
        let scroll = |state: &mut Self, by: isize| {
            if let Cover::Details(line) = cover {
                let next = line.min(state.last_scroll).saturating_add_signed(by);
                state.cover = Some(Cover::Details(next.min(state.last_scroll)));
            }
        };
        let page = self.page.cast_signed();
        match key {
            Key::Char('q') if cover == Cover::Help => self.cover = None,
            Key::Char('q') => return Action::Quit,
            Key::Escape | Key::Enter | Key::Left | Key::Backspace | Key::Char('?') => self.cover = None,
            Key::Char('f') => self.is_frozen = !self.is_frozen,
            Key::Up | Key::Char('k') => scroll(self, -1),
            Key::Down | Key::Char('j') => scroll(self, 1),
            Key::PageUp => scroll(self, -page),
            Key::PageDown | Key::Char(' ') => scroll(self, page),
            Key::Home | Key::Char('g') => scroll(self, isize::MIN),
            Key::End | Key::Char('G') => scroll(self, isize::MAX),
            _ => {}
        }
        Action::Draw
    }

    fn key_on_list(&mut self, key: Key) -> Action {
        let page = self.page.cast_signed();
        match key {
            Key::Char('q') => return Action::Quit,
            Key::Char('?' | 'h') => self.cover = Some(Cover::Help),
            Key::Char('/') => self.is_typing = true,
            Key::Escape => self.filter.clear(),
            Key::Char('f') => self.is_frozen = !self.is_frozen,
            Key::Char('o') => self.keeps_order = !self.keeps_order,
            Key::Char('s') if self.tab == Tab::NewCalls => {
                self.shows_starts = !self.shows_starts;
                return Action::Fetch;
            }
            Key::Tab => return self.show(self.tab.next()),
            Key::Char(digit @ '1'..='3') => return self.show(Tab::ALL[digit as usize - '1' as usize]),
            Key::Enter if self.selected().is_some() => {
                self.selected = self.selected();
                self.cover = Some(Cover::Details(0));
                return Action::Fetch;
            }
            Key::Up | Key::Char('k') => self.select(-1),
            Key::Down | Key::Char('j') => self.select(1),
            Key::PageUp => self.select(-page),
            Key::PageDown | Key::Char(' ') => self.select(page),
            Key::Home | Key::Char('g') => self.select(isize::MIN),
            Key::End | Key::Char('G') => self.select(isize::MAX),
            Key::Char('r') => self.sort_by(self.sort, !self.reverse),
            Key::Char('c') => self.sort_by(Column::Rate, false),
            Key::Char('e') => self.sort_by(Column::ErrorRate, false),
            Key::Char('d') => self.sort_by(Column::DeniedRate, false),
            Key::Char('n') => self.sort_by(Column::Name, false),
            Key::Left | Key::Char('<') => self.sort_by_neighbour(-1),
            Key::Right | Key::Char('>') => self.sort_by_neighbour(1),
            _ => {}
        }
        Action::Draw
    }

    fn show(&mut self, tab: Tab) -> Action {
        if self.tab == tab {
            return Action::Draw;
        }
        (self.tab, self.selected) = (tab, None);
        Action::Fetch
    }

    fn select(&mut self, by: isize) {
        let ids = self.ids();
        let current = self.selected().and_then(|selected| ids.iter().position(|id| *id == selected));
        let next = current.unwrap_or_default().saturating_add_signed(by).min(ids.len().saturating_sub(1));
        self.selected = ids.into_iter().nth(next);
    }

    fn sort_by(&mut self, column: Column, reverse: bool) {
        (self.sort, self.reverse) = (column, reverse);
        self.order();
    }

    fn sort_by_neighbour(&mut self, by: isize) {
        let current = self.columns.iter().position(|column| *column == self.sort).unwrap_or_default();
        let next = current.saturating_add_signed(by).min(self.columns.len().saturating_sub(1));
        if let Some(&column) = self.columns.get(next) {
            self.sort_by(column, false);
        }
    }
}
