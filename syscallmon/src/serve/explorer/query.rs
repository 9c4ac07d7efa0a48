//! Queries of the pages: what a link or a form chooses. A wrong value is the default, so every link shows a page.

use std::time::Duration;

use axum::{extract::Query, http::Uri};

use super::text::percent_encoded;
use crate::workload::{Labels, Workload};

/// Maximum rows of a page.
pub(super) const ROWS: usize = 200;

/// Maximum characters and words of a search.
const MAX_SEARCH: usize = 200;
const MAX_WORDS: usize = 8;

/// Default time for what is new, and the most.
const DEFAULT_SINCE: Duration = Duration::from_hours(24);
const MAX_SINCE: Duration = Duration::from_hours(24 * 366);

/// A column of a table. The order of rows is by the key of one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// Value of `sort`.
    pub(super) key: &'static str,
    pub(super) label: &'static str,
    /// Whether it has numbers, which begin with the highest.
    pub(super) is_number: bool,
    /// From which width of the screen it is shown: 0 (always) to 2.
    pub(super) width: u8,
}

/// The heading of a column, with the link that sorts by it.
#[derive(Debug)]
pub(super) struct Heading {
    pub(super) key: &'static str,
    pub(super) label: &'static str,
    pub(super) link: String,
    /// Value of `aria-sort`.
    pub(super) sorted: Option<&'static str>,
    pub(super) class: &'static str,
}

/// What a page shows, in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListQuery {
    /// The search, as typed.
    pub(super) search: String,
    sort: String,
    /// `asc` or `desc`; empty for the usual order of the column.
    order: String,
    /// From 1.
    page: usize,
    since: String,
    /// Whether to show what is usually left out.
    pub(super) all: bool,
}

/// A page of rows.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) total: usize,
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
}

impl ListQuery {
    /// Reads the query of a request. Other parameters, and all but the first of a name, are ignored.
    pub(super) fn of(uri: &Uri) -> Self {
        let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(uri).unwrap_or_default();
        let get = |name: &str, most: usize| -> String {
            let value = given.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
            value.chars().take(most).collect()
        };
        Self {
            search: get("q", MAX_SEARCH).trim().to_owned(),
            sort: get("sort", 16),
            order: get("order", 4),
            page: get("page", 9).parse().unwrap_or(1).max(1),
            since: get("since", 16),
            all: !get("all", 1).is_empty(),
        }
    }

    /// Returns the words of the search, in lower case.
    ///
    /// A short id that was copied ends with an ellipsis. Labels of a selector end with a comma.
    pub(super) fn words(&self) -> Vec<String> {
        let search = self.search.to_lowercase().replace("\",", "\" ");
        let words = search.split(|c: char| c.is_whitespace() || c == '\u{2026}').filter(|word| !word.is_empty());
        words.take(MAX_WORDS).map(str::to_owned).collect()
    }

    /// Whether a text has all words of the search, in any case.
    pub(super) fn filter(&self) -> impl Fn(&[&str]) -> bool + use<> {
        let words = self.words();
        move |texts| {
            if words.is_empty() {
                return true;
            }
            let texts: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
            words.iter().all(|word| texts.iter().any(|text| text.contains(word.as_str())))
        }
    }

    /// Returns the texts of a workload that a search looks at: its name, and its labels as `namespace="shop"`.
    pub(super) fn texts_of(&self, workload: &Workload, metadata: &Labels) -> Vec<String> {
        if self.search.is_empty() {
            return Vec::new();
        }
        let labels = workload.labels().chain(metadata.iter());
        let labels = labels.map(|(label, value)| format!("{label}=\"{value}\""));
        std::iter::once(workload.to_string()).chain(labels).collect()
    }

    /// Returns the time of what is new, before the time of the page.
    pub(super) fn since(&self) -> Duration {
        humantime::parse_duration(&self.since).unwrap_or(DEFAULT_SINCE).min(MAX_SINCE)
    }

    /// Returns the time of what is new as given, if it is a duration.
    pub(super) fn given_since(&self) -> Option<&str> {
        humantime::parse_duration(&self.since).is_ok().then_some(self.since.as_str())
    }

    /// Returns the time of what is new as given, if it is not a duration.
    pub(super) fn unreadable_since(&self) -> Option<&str> {
        (!self.since.is_empty() && self.given_since().is_none()).then_some(self.since.as_str())
    }

    /// Returns the column of the order, and whether the highest is first. Usually, that is the first column of numbers.
    pub(super) fn order(&self, columns: &[Column]) -> (&'static str, bool) {
        let chosen = columns.iter().find(|column| column.key == self.sort);
        let column = chosen.or_else(|| columns.iter().find(|column| column.is_number)).unwrap_or(&columns[0]);
        let is_descending = match self.order.as_str() {
            "asc" => false,
            "desc" => true,
            _ => column.is_number,
        };
        (column.key, is_descending)
    }

    /// Returns the headings of a table on this path.
    pub(super) fn headings(&self, path: &str, columns: &'static [Column]) -> Vec<Heading> {
        let (key, is_descending) = self.order(columns);
        let heading = |column: &'static Column| {
            let is_sorted = column.key == key;
            // A click on the column of the order turns the order.
            let order = if is_sorted && is_descending == column.is_number { other(column) } else { "" };
            let changed = Self { sort: column.key.to_owned(), order: order.to_owned(), page: 1, ..self.clone() };
            Heading {
                key: column.key,
                label: column.label,
                link: changed.link(path),
                sorted: is_sorted.then_some(if is_descending { "descending" } else { "ascending" }),
                class: class(column),
            }
        };
        columns.iter().map(heading).collect()
    }

    /// Cuts rows to one page, and returns its place.
    pub(super) fn page<T>(&self, path: &str, rows: &mut Vec<T>) -> Pages {
        let total = rows.len();
        let page = self.page.min(total.div_ceil(ROWS)).max(1);
        let start = (page - 1) * ROWS;
        rows.truncate(start + ROWS);
        rows.drain(..start.min(rows.len()));
        let link = |page| Self { page, ..self.clone() }.link(path);
        Pages {
            total,
            first: if total == 0 { 0 } else { start + 1 },
            last: start + rows.len(),
            previous: (page > 1).then(|| link(page - 1)),
            next: (start + ROWS < total).then(|| link(page + 1)),
        }
    }

    /// Returns the query that shows what is usually left out.
    pub(super) fn with_all(&self) -> Self {
        Self { all: true, page: 1, ..self.clone() }
    }

    /// Returns the same query on a path.
    pub(super) fn link(&self, path: &str) -> String {
        let page = if self.page > 1 { self.page.to_string() } else { String::new() };
        let all = if self.all { "1" } else { "" };
        let parts = [
            ("q", self.search.as_str()),
            ("sort", &self.sort),
            ("order", &self.order),
            ("since", &self.since),
            ("all", all),
            ("page", &page),
        ];
        let parts = parts.iter().filter(|(_, value)| !value.is_empty());
        let parts: Vec<String> = parts.map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
        if parts.is_empty() { path.to_owned() } else { format!("{path}?{}", parts.join("&")) }
    }

    /// Returns the parameters besides these that a form has to repeat.
    pub(super) fn hidden(&self, of_form: &[&str]) -> Vec<(&'static str, String)> {
        let all = [("sort", &self.sort), ("order", &self.order), ("since", &self.since)];
        let all = all.into_iter().filter(|(name, value)| !value.is_empty() && !of_form.contains(name));
        all.map(|(name, value)| (name, value.clone())).collect()
    }
}

impl Pages {
    /// `1 to 200 of 1,000 workloads`.
    pub(super) fn text(&self, one: &str, many: &str) -> String {
        let Self { total, first, last, .. } = self;
        let what = if *total == 1 { one } else { many };
        let total = super::text::thousands(*total as u64);
        if *last - first.saturating_sub(1) == self.total {
            format!("{total} {what}")
        } else {
            format!("{first} to {last} of {total} {what}")
        }
    }
}

/// The order that is not usual for a column.
fn other(column: &Column) -> &'static str {
    if column.is_number { "asc" } else { "desc" }
}

pub(super) fn class(column: &Column) -> &'static str {
    match (column.is_number, column.width) {
        (false, 0) => "",
        (false, 1) => "w1",
        (false, _) => "w2",
        (true, 0) => "n",
        (true, 1) => "n w1",
        (true, _) => "n w2",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMNS: [Column; 2] = [
        Column { key: "rate", label: "Calls/s", is_number: true, width: 0 },
        Column { key: "name", label: "Workload", is_number: false, width: 0 },
    ];

    fn query(text: &str) -> ListQuery {
        ListQuery::of(&format!("/{text}").parse().unwrap())
    }

    #[test]
    fn a_search_needs_all_words_in_any_order_and_case() {
        let has = |search: &str| query(&format!("?q={search}")).filter()(&["shop/web-1/httpd", "image NGINX:1"]);
        assert!(has("") && has("WEB") && has("nginx+shop") && !has("nginx+db") && has("+++"));
        let long = query(&format!("?q={}", "a+".repeat(500)));
        assert!(long.search.chars().count() <= MAX_SEARCH);
    }

    #[test]
    fn a_search_finds_copied_ids_and_labels() {
        let id = "4bdf7412cfac".to_owned() + &"0".repeat(52);
        let texts = ["docker/web".to_owned(), format!("container_id=\"docker://{id}\""), "cgroup=\"/a/b\"".to_owned()];
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let has = |search: &str| query(&format!("?q={}", percent_encoded(search))).filter()(&texts);
        assert!(has("4bdf7412cfac\u{2026}") && has("docker://4bdf7412cfac\u{2026} web") && has("\u{2026}"));
        assert!(!has("4bdf7412cfad\u{2026}"));
        assert!(has("cgroup=\"/a/b\"") && has("CGROUP=\"/a/b\",container_id=\"docker://4bdf7412cfac\u{2026}"));
        assert!(!has("cgroup=\"/a\"") && !has("pod=\"/a/b\"") && has("/a"));
    }

    #[test]
    fn a_click_on_a_heading_sorts_and_another_one_turns_the_order() {
        let headings = |text: &str| {
            let headings = query(text).headings("/", &COLUMNS);
            headings.into_iter().map(|heading| (heading.sorted, heading.link)).collect::<Vec<_>>()
        };
        assert_eq!(
            headings("?q=a&page=3"),
            [(Some("descending"), "/?q=a&sort=rate&order=asc".to_owned()), (None, "/?q=a&sort=name".to_owned())]
        );
        assert_eq!(headings("?sort=rate&order=asc")[0], (Some("ascending"), "/?sort=rate".to_owned()));
        assert_eq!(headings("?sort=name")[1], (Some("ascending"), "/?sort=name&order=desc".to_owned()));
        assert_eq!(headings("?sort=nothing")[0].0, Some("descending"));
    }

    #[test]
    fn every_row_is_on_one_page() {
        let (mut seen, mut link) = (Vec::new(), "/?q=a".to_owned());
        loop {
            let query = ListQuery::of(&link.parse().unwrap());
            let mut rows: Vec<usize> = (0..450).collect();
            let pages = query.page("/", &mut rows);
            assert_eq!((pages.total, pages.first, pages.last), (450, rows[0] + 1, rows[rows.len() - 1] + 1));
            seen.extend(rows);
            let Some(next) = pages.next else { break };
            link = next;
        }
        assert_eq!(seen, (0..450).collect::<Vec<_>>());
        let (mut none, mut few) = (Vec::<u8>::new(), vec![1, 2]);
        assert_eq!(query("?page=7").page("/", &mut none).text("row", "rows"), "0 rows");
        assert_eq!(query("?page=7").page("/", &mut few).text("row", "rows"), "2 rows");
    }

    #[test]
    fn wrong_values_are_the_defaults() {
        let hostile = query("?sort=%00&order=up&page=-1&page=2&since=yesterday&all=&x=%FF&q=%F0%9F");
        assert_eq!((hostile.order(&COLUMNS), hostile.page, hostile.since()), (("rate", true), 1, DEFAULT_SINCE));
        assert_eq!(query("?since=-1d").since(), DEFAULT_SINCE);
        assert_eq!(query("?since=9999d").since(), MAX_SINCE);
        assert_eq!(query("?since=1h").since(), Duration::from_hours(1));
        let said = |text: &str| query(text).unreadable_since().map(str::to_owned);
        assert_eq!((said("?since=foo").as_deref(), said(""), said("?since=20m")), (Some("foo"), None, None));
    }

    proptest! {
        #[test]
        fn a_link_is_safe_in_html_and_leads_to_the_same_query(text in "\\PC{0,300}|[&=?#%+<>\"' a-z]{0,40}") {
            let given = query(&format!("?q={0}&sort={0}&order={0}&page=2&since={0}&all={0}", percent_encoded(&text)));
            let link = given.link("/new");
            prop_assert!(!link.contains(['<', '>', '"', '\'', ' ', '#']), "{}", link);
            prop_assert_eq!(ListQuery::of(&link.parse().unwrap()), given);
        }
    }
}
