//! The screen after keys and samples, as text.

use proptest::prelude::*;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use super::{
    columns::Column,
    output::Format,
    sample::{IncidentEntry, NewCallEntry, OpenWorkload, Sample, WorkloadEntry},
    screen::{Origin, last_scroll, lines},
    state::{Action, Key, Start, State},
    text::Tone,
};

fn origin() -> Origin {
    Origin { title: "http://node".to_owned(), daemon: "--url http://node ".to_owned() }
}

fn workload(id: &str, calls: u64) -> WorkloadEntry {
    let entry = json!({
        "id": id, "workload": {"namespace": "shop", "pod": id, "container": "web"},
        "metadata": {"image": format!("image-of-{id}")}, "gone": false,
        "totals": {"calls": calls, "errors": calls / 10, "denied": 0, "io_uring": 0},
        "rates": {"step": 10, "calls": [1.0, 2.0, 4.0], "errors": [], "denied": []},
    });
    serde_json::from_value(entry).unwrap()
}

fn sample(time: f64, workloads: &[(&str, u64)]) -> Sample {
    let workloads = workloads.iter().map(|&(id, calls)| workload(id, calls)).collect();
    Sample { time, workloads, ..Sample::default() }
}

fn incident(workload: &Value) -> IncidentEntry {
    let name = workload["cgroup"].as_str().unwrap_or("shop/a/web").to_owned();
    let entry = json!({
        "id": "1", "message": format!("{name}: sh made an unexpected call: mount"), "severity": "critical",
        "started": 100.0, "last_seen": 103.0, "count": 1, "workload": workload,
        "process": {"pid": 3, "uid": 0, "comm": "sh"},
        "calls": [{"violation": "abc", "abi": "x86_64", "syscall": "mount", "argument": "MS_BIND", "denied": false,
                   "policy": "web", "severity": "critical", "reason": "not_allowed", "count": 1}],
    });
    serde_json::from_value(entry).unwrap()
}

fn state() -> State {
    let columns = Column::DEFAULT.to_vec();
    State::new(Start { sort: Column::Rate, reverse: false, filter: String::new(), columns })
}

/// Two samples: of a, 10 calls per second, of b 30, of c 20.
fn busy() -> State {
    let mut state = state();
    state.received(sample(100.0, &[("a", 100), ("b", 100), ("c", 100)]));
    state.received(sample(102.0, &[("a", 120), ("b", 160), ("c", 140)]));
    state
}

fn text(state: &State, width: usize, height: usize) -> String {
    lines(state, &origin(), width, height).iter().map(|line| line.text().trim_end().to_owned() + "\n").collect()
}

/// Returns the pods in the order of their rows.
fn pods(state: &State) -> Vec<String> {
    state.workloads().map(|row| row.entry.id.clone()).collect()
}

fn keys(state: &mut State, keys: &str) {
    for c in keys.chars() {
        state.key(Key::Char(c));
    }
}

#[test]
fn rates_are_of_the_last_two_samples_and_the_busiest_comes_first() {
    let screen = text(&busy(), 100, 8);
    let expected = "\
syscallmon top: http://node  3 workloads, 60.0 calls/s
[1] Workloads  [2] New calls  [3] Incidents
▼CALLS/S LAST MINUTES            ERR/S DENIED/S    CALLS   ERRORS WORKLOAD
    30.0                  ▃▅█      3.0      0.0      160       16 shop/b/web
    20.0                  ▃▅█      2.0      0.0      140       14 shop/c/web
    10.0                  ▃▅█      1.0      0.0      120       12 shop/a/web

? help  / filter  Enter open  f freeze  q quit
";
    assert_eq!(screen, expected);
}

#[test]
fn a_workload_that_was_not_in_the_sample_before_has_the_rate_since_it_was_counted() {
    let mut state = state();
    state.received(sample(100.0, &[("a", 100)]));
    // It waited for its name since the daemon began to count.
    state.received(Sample { counting_since: Some(98.0), ..sample(102.0, &[("a", 120), ("b", 40)]) });
    assert_eq!(pods(&state), ["a", "b"]);
    assert!(text(&state, 100, 8).contains("20.0 calls/s"), "{}", text(&state, 100, 8));
    // It is new.
    state.received(sample(104.0, &[("a", 120), ("b", 40), ("c", 60)]));
    assert!(text(&state, 100, 8).contains("30.0 calls/s"), "{}", text(&state, 100, 8));
}

#[test]
fn a_filter_says_how_many_match_also_where_none_does() {
    let mut state = busy();
    keys(&mut state, "/shop/b/");
    assert!(text(&state, 100, 8).contains("1 of 3 workloads"), "{}", text(&state, 100, 8));
    keys(&mut state, "zzz");
    let table = Format::Table.text(&state, &origin(), true).unwrap();
    assert!(table.contains("0 of 3 workloads") && table.contains("Nothing matches the filter."), "{table}");
}

#[test]
fn columns_that_do_not_fit_are_left_out_and_names_keep_their_end() {
    let mut state = state();
    state.received(sample(100.0, &[(&"n".repeat(100), 100)]));
    let screen = text(&state, 60, 6);
    let row = screen.lines().nth(3).unwrap();
    assert!(row.contains("nnn/web") && row.width() <= 60, "{row}");
    assert!(!screen.contains("ERRORS"), "{screen}");
}

#[test]
fn the_same_snapshot_again_keeps_the_rates_and_a_restarted_daemon_has_none() {
    let mut state = busy();
    state.received(sample(102.0, &[("a", 120), ("b", 160), ("c", 140)]));
    assert!(text(&state, 100, 8).contains("60.0 calls/s"));
    state.received(sample(104.0, &[("a", 1), ("b", 1), ("c", 1)]));
    assert!(text(&state, 100, 8).contains("  0.0 calls/s") || text(&state, 100, 8).contains(" 0.0 calls/s"));
}

#[test]
fn keys_sort_reverse_and_keep_the_order() {
    let mut state = busy();
    assert_eq!(pods(&state), ["b", "c", "a"]);
    keys(&mut state, "n");
    assert_eq!(pods(&state), ["a", "b", "c"]);
    keys(&mut state, "r");
    assert_eq!(pods(&state), ["c", "b", "a"]);
    keys(&mut state, "co");
    assert_eq!(pods(&state), ["b", "c", "a"]);
    state.received(sample(104.0, &[("a", 1000), ("b", 160), ("c", 140), ("d", 5)]));
    assert_eq!(pods(&state), ["b", "c", "a", "d"]);
    keys(&mut state, "o");
    state.received(sample(106.0, &[("a", 2000), ("b", 160), ("c", 140), ("d", 5)]));
    assert_eq!(pods(&state)[0], "a");
    state.key(Key::Right);
    assert_eq!(state.sort, Column::History);
}

#[test]
fn a_filter_matches_words_of_names_and_images_and_escape_clears_it() {
    let mut state = busy();
    keys(&mut state, "/SHOP of-b");
    assert_eq!(pods(&state), ["b"]);
    assert!(text(&state, 100, 8).contains("filter: SHOP of-b_"));
    state.key(Key::Enter);
    keys(&mut state, "q");
    assert!(text(&state, 100, 8).contains("filter: SHOP of-b (Esc clears it)"));
    state.key(Key::Escape);
    assert_eq!(pods(&state).len(), 3);
    keys(&mut state, "/nothing");
    assert!(text(&state, 100, 8).contains("Nothing matches the filter."));
}

#[test]
fn what_is_frozen_does_not_change_until_it_goes_on() {
    let mut state = busy();
    keys(&mut state, "f");
    state.received(sample(104.0, &[("a", 900)]));
    assert_eq!(pods(&state).len(), 3);
    assert!(text(&state, 100, 8).contains("frozen"));
    keys(&mut state, "f");
    state.received(sample(106.0, &[("a", 900)]));
    assert_eq!(pods(&state), ["a"]);
}

#[test]
fn the_selection_stays_with_its_workload_and_in_view() {
    let mut state = busy();
    state.set_page(2);
    state.key(Key::Down);
    assert_eq!(state.selected().as_deref(), Some("c"));
    state.received(sample(104.0, &[("a", 900), ("b", 160), ("c", 140)]));
    assert_eq!((pods(&state), state.selected().as_deref()), (vec!["a".into(), "b".into(), "c".into()], Some("c")));
    let screen = lines(&state, &origin(), 100, 6);
    assert!(
        screen.iter().any(|line| line.0.iter().any(|(text, tone)| text.contains("shop/c") && *tone == Tone::Selected))
    );
    state.received(sample(106.0, &[("a", 900)]));
    assert_eq!(state.selected().as_deref(), Some("a"));
    for (key, expected) in [(Key::End, "a"), (Key::Home, "b"), (Key::PageDown, "a")] {
        let mut state = busy();
        state.set_page(2);
        state.key(key);
        assert_eq!(state.selected().as_deref(), Some(expected), "{key:?}");
    }
}

#[test]
fn enter_opens_a_workload_whose_calls_are_asked_for() {
    let mut state = busy();
    assert_eq!(state.key(Key::Enter), Action::Fetch);
    assert_eq!(state.wanted().open.as_deref(), Some("b"));
    assert!(text(&state, 100, 20).contains("waiting for its calls"));
    let open: OpenWorkload = serde_json::from_value(json!({
        "id": "b", "syscalls": [{"abi": "x86_64", "syscall": "openat", "calls": 160}],
    }))
    .unwrap();
    state.received(Sample { open: Some(open), ..sample(104.0, &[("a", 1), ("b", 170)]) });
    let screen = text(&state, 120, 24);
    assert!(screen.contains("openat x86_64"), "{screen}");
    assert!(screen.contains("syscallmon profile generate --daemon http://node --workload"), "{screen}");
    state.key(Key::Escape);
    assert!(text(&state, 100, 8).contains("shop/a/web"));
    assert_eq!(state.wanted().open, None);
}

#[test]
fn new_calls_and_incidents_have_lists_of_their_own() {
    let mut state = busy();
    assert_eq!(state.key(Key::Tab), Action::Fetch);
    assert!(state.wanted().new_calls);
    let call: NewCallEntry = serde_json::from_value(json!({
        "workload_id": "a", "workload": {"cgroup": "/a"}, "abi": "x86_64", "syscall": "mount", "calls": 2,
        "first_seen": 44.0,
    }))
    .unwrap();
    state.received(Sample { new_calls: Some(vec![call]), ..sample(104.0, &[("a", 1)]) });
    keys(&mut state, "/typo");
    assert!(text(&state, 100, 8).contains("None of the newest 1 matches the filter."));
    state.key(Key::Escape);
    let screen = text(&state, 100, 8);
    assert!(screen.contains("  60s       mount x86_64                      2 /a"), "{screen}");
    assert!(text(&state, 80, 8).contains("  60s       mount x86_64               /a"));
    state.key(Key::Enter);
    assert_eq!(state.wanted().open.as_deref(), Some("a"));
    state.key(Key::Escape);
    keys(&mut state, "3");
    assert!(text(&state, 100, 8).contains("No incidents"));
    let incidents = vec![incident(&json!({"cgroup": "/a"}))];
    state.received(Sample { incidents, ..sample(106.0, &[("a", 1)]) });
    let screen = text(&state, 100, 8);
    assert!(
        screen.contains("   3s critical        1 /a                             mount(MS_BIND) by sh\n"),
        "{screen}"
    );
    state.key(Key::Enter);
    assert!(text(&state, 100, 20).contains("What to do"));
}

#[test]
fn a_narrow_screen_shows_whole_commands_and_scrolls_back_at_once() {
    let mut state = busy();
    state.key(Key::Enter);
    let syscalls: Vec<Value> =
        (0..40).map(|call| json!({"abi": "x86_64", "syscall": format!("call{call}"), "calls": 1})).collect();
    let open = serde_json::from_value(json!({"id": "b", "syscalls": syscalls})).unwrap();
    state.received(Sample { open: Some(open), ..sample(104.0, &[("b", 170)]) });
    let screen = text(&state, 62, 24);
    let command = "    syscallmon profile generate --daemon http://node \\
      --workload 'container=\"web\",namespace=\"shop\",pod=\"b\"'
";
    assert!(screen.contains(command), "{screen}");
    state.set_last_scroll(last_scroll(&state, &origin(), 62, 24));
    for _ in 0..10 {
        state.key(Key::PageDown);
        state.key(Key::End);
    }
    let end = text(&state, 62, 24);
    assert!(end.contains("call39"), "{end}");
    state.key(Key::Up);
    assert!(!text(&state, 62, 24).contains("call39"));
}

#[test]
fn the_name_of_a_workload_does_not_hide_the_calls_of_an_incident() {
    let mut state = busy();
    state.key(Key::Char('3'));
    let cgroup = format!("/docker/{}", "0".repeat(64));
    let incidents = vec![incident(&json!({"cgroup": cgroup}))];
    state.received(Sample { incidents, ..sample(106.0, &[("a", 1)]) });
    let screen = text(&state, 80, 8);
    assert!(screen.contains("/docker/000000000000…  mount(MS_BIND) by sh\n"), "{screen}");
}

#[test]
fn workloads_and_new_calls_with_an_incident_are_marked() {
    let mut state = busy();
    let labels = json!({"namespace": "shop", "pod": "a", "container": "web"});
    let incidents = || vec![incident(&labels)];
    state.received(Sample { incidents: incidents(), ..sample(104.0, &[("a", 900), ("b", 1)]) });
    let screen = text(&state, 100, 8);
    assert!(screen.contains("[3] Incidents (1)") && screen.contains(" ! shop/a/web\n"), "{screen}");
    assert!(!screen.contains("! shop/b/web"), "{screen}");
    let rows = lines(&state, &origin(), 100, 8);
    assert!(rows.iter().flat_map(|line| &line.0).any(|(text, tone)| text == " (1)" && *tone == Tone::Critical));
    let json: Value = serde_json::from_str(&Format::Json.text(&state, &origin(), true).unwrap()).unwrap();
    assert_eq!((&json["workloads"][0]["incidents"], &json["workloads"][1]["incidents"]), (&json!(1), &json!(0)));
    state.key(Key::Enter);
    let page = text(&state, 100, 24);
    assert!(
        page.contains("Its incidents") && page.contains("\n  1s ago: sh made an unexpected call: mount\n"),
        "{page}"
    );
    keys(&mut state, "?2");
    let call = json!({"workload_id": "a", "workload": labels, "abi": "x86_64", "syscall": "mount", "calls": 2,
                      "first_seen": 44.0, "during_start": true});
    let new_calls = Some(vec![serde_json::from_value(call).unwrap()]);
    state.received(Sample { new_calls, incidents: incidents(), ..sample(105.0, &[("a", 1)]) });
    assert!(text(&state, 80, 8).contains("  61s !     mount x86_64"), "{}", text(&state, 80, 8));
}

#[test]
fn new_calls_of_starts_are_asked_for_by_a_key() {
    let mut state = busy();
    assert_eq!(state.key(Key::Char('s')), Action::Draw);
    keys(&mut state, "2");
    assert!(!state.wanted().starts && text(&state, 80, 8).contains("s show starts"));
    state.received(Sample { new_calls: Some(Vec::new()), ..sample(104.0, &[("a", 1)]) });
    assert!(text(&state, 80, 8).contains("No new calls outside of starts."));
    assert_eq!(state.key(Key::Char('s')), Action::Fetch);
    assert!(state.wanted().starts && text(&state, 80, 8).contains("s hide starts"));
}

#[test]
fn an_ended_workload_is_marked_and_the_help_has_problems_in_full() {
    let mut state = state();
    let mut ended = workload("a", 1);
    ended.gone = true;
    let problem = format!("probe cgroup: {}", "not permitted ".repeat(8));
    state.received(Sample { time: 1.0, workloads: vec![ended], problems: vec![problem], ..Sample::default() });
    let screen = text(&state, 80, 24);
    assert!(screen.contains("shop/a/web (ended)"), "{screen}");
    assert!(screen.starts_with("syscallmon top: http://node  problem (?)  1 workloads"), "{screen}");
    keys(&mut state, "?");
    let help = text(&state, 80, 24).replace("\n  ", " ");
    assert_eq!(help.matches("not permitted").count(), 8, "{help}");
}

#[test]
fn a_lost_daemon_is_said_and_the_last_sample_stays() {
    let mut state = busy();
    state.failed("connection refused".to_owned());
    let screen = text(&state, 100, 8);
    assert!(
        screen.contains("no answer, trying again: connection refused") && screen.contains("shop/b/web"),
        "{screen}"
    );
    state.received(sample(104.0, &[("a", 1)]));
    assert!(!text(&state, 100, 8).contains("no answer"));
}

#[test]
fn quitting_works_everywhere() {
    for before in ["", "?", "/x", "2", "3"] {
        let mut state = busy();
        keys(&mut state, before);
        assert_eq!(state.key(Key::Interrupt), Action::Quit, "{before}");
    }
    assert_eq!(busy().key(Key::Char('q')), Action::Quit);
    let mut opened = busy();
    opened.key(Key::Enter);
    assert_eq!(opened.key(Key::Char('q')), Action::Quit);
}

#[test]
fn scripts_get_exact_numbers() {
    let mut state = busy();
    state.columns = vec![Column::Name, Column::Calls, Column::History, Column::Rate];
    let csv = Format::Csv.text(&state, &origin(), true).unwrap();
    assert_eq!(
        csv,
        "snapshot_time,workload,calls,calls_per_second\n102,shop/b/web,160,30.0\n102,shop/c/web,140,20.0\n\
         102,shop/a/web,120,10.0\n"
    );
    assert_eq!(Format::Csv.text(&state, &origin(), false).unwrap().lines().count(), 3);
    let json: Value = serde_json::from_str(&Format::Json.text(&state, &origin(), true).unwrap()).unwrap();
    assert_eq!(json["workloads"][0]["calls"], 160);
    assert_eq!(json["workloads"][0]["workload"]["pod"], "b");
    let table = Format::Table.text(&state, &origin(), true).unwrap();
    assert_eq!(table.lines().count(), 5, "{table}");
}

#[test]
fn hostile_names_stay_text() {
    let mut state = state();
    let mut hostile = workload("x", 1);
    hostile.workload = [("cgroup".to_owned(), format!("/\u{1b}[2J\u{202e}\n\r,\"{}", "漢".repeat(1024)))].into();
    let mut before = hostile.clone();
    before.totals.calls = 0;
    state.received(Sample { time: 1.0, workloads: vec![before], ..Sample::default() });
    state.received(Sample { time: 2.0, workloads: vec![hostile], ..Sample::default() });
    for (width, height) in [(80, 24), (200, 60), (1, 1), (0, 0), (20, 3)] {
        for line in lines(&state, &origin(), width, height) {
            let text = line.text();
            assert!(text.width() <= width, "{width}: {text}");
            assert!(!text.chars().any(char::is_control) && !text.contains('\u{202e}'), "{text:?}");
        }
    }
    let csv = Format::Csv.text(&state, &origin(), false).unwrap();
    assert_eq!(csv.lines().count(), 1, "{csv}");
}

fn any_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        "[a-zA-Z0-9?/<> ]".prop_map(|text| Key::Char(text.chars().next().unwrap_or('x'))),
        prop::sample::select(vec![
            Key::Up,
            Key::Down,
            Key::Left,
            Key::Right,
            Key::PageUp,
            Key::PageDown,
            Key::Home,
            Key::End,
            Key::Enter,
            Key::Escape,
            Key::Tab,
            Key::Backspace,
        ]),
    ]
}

proptest! {
    #[test]
    fn no_keys_and_no_size_break_the_screen(
        pressed in prop::collection::vec(any_key(), 0..60), width in 0..250_usize, height in 0..80_usize,
        calls in prop::collection::vec(0..u64::MAX, 0..40),
    ) {
        let mut state = state();
        for (time, key) in pressed.into_iter().enumerate() {
            state.set_page(height);
            state.key(key);
            let names: Vec<String> = (0..calls.len()).map(|number| format!("w{number}")).collect();
            let made: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(calls.iter().copied()).collect();
            state.received(sample(time as f64, &made));
            let screen = lines(&state, &origin(), width, height);
            prop_assert!(screen.len() <= height);
            prop_assert!(screen.iter().all(|line| line.text().width() <= width));
        }
    }
}
