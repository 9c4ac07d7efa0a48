//! The screen in a terminal: keys, samples and signals. The terminal is restored however it ends.

use std::{env, panic::resume_unwind, time::Duration};

use anyhow::Context;
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt;
use ratatui::{
    DefaultTerminal,
    style::{Color, Modifier, Style},
    text::{Line as TerminalLine, Span, Text},
    widgets::Paragraph,
};
use tokio::{
    task::{JoinError, JoinHandle},
    time::{MissedTickBehavior, interval},
};

use super::{
    sample::Sample,
    screen::{self, Origin},
    source::Source,
    state::{Action, Key, State},
    text::{Line, Tone},
};
use crate::command::stop::StopSignals;

/// Restores the terminal when it is dropped. A panic restores it before its message is printed.
struct Restored(DefaultTerminal);

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows samples until `q`, Ctrl-C or a signal.
///
/// # Errors
///
/// When the terminal cannot be used.
pub(super) async fn show(
    source: &Source,
    origin: &Origin,
    mut state: State,
    every: Duration,
    stop: &mut StopSignals,
) -> anyhow::Result<()> {
    let mut terminal = Restored(ratatui::try_init().context("cannot use the terminal")?);
    let has_colours = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut keys = EventStream::new();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = Asked::default();
    loop {
        draw(&mut terminal.0, &mut state, origin, has_colours)?;
        tokio::select! {
            _ = ticks.tick() => asked.ask(source, &state),
            answer = asked.answer() => {
                match answer {
                    Ok(sample) => state.received(sample),
                    Err(error) => state.failed(format!("{error:#}")),
                }
                asked.ask_again(source, &state);
            }
            event = keys.next() => {
                let event = event.context("the terminal is gone")?.context("cannot read keys")?;
                match key(&event).map(|key| state.key(key)) {
                    Some(Action::Quit) => return Ok(()),
                    Some(Action::Fetch) => {
                        asked.is_stale = true;
                        asked.ask(source, &state);
                    }
                    Some(Action::Draw) | None => {}
                }
            }
            _ = stop.received() => return Ok(()),
        }
    }
}

/// A sample that was asked for.
#[derive(Default)]
struct Asked {
    running: Option<JoinHandle<anyhow::Result<Sample>>>,
    /// Whether something else was wanted since.
    is_stale: bool,
}

impl Asked {
    /// Asks for a sample, unless one is on its way.
    fn ask(&mut self, source: &Source, state: &State) {
        if self.running.is_none() {
            let (source, wanted) = (source.clone(), state.wanted());
            self.is_stale = false;
            self.running = Some(tokio::spawn(async move { source.sample(&wanted).await }));
        }
    }

    fn ask_again(&mut self, source: &Source, state: &State) {
        if self.is_stale {
            self.ask(source, state);
        }
    }

    /// Waits for the sample; without one, for ever.
    async fn answer(&mut self) -> anyhow::Result<Sample> {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let answer = running.await;
        self.running = None;
        match answer.map_err(JoinError::try_into_panic) {
            Ok(answer) => answer,
            // The terminal is already restored, so nothing can be drawn any more.
            Err(Ok(panic)) => resume_unwind(panic),
            Err(Err(error)) => Err(error).context("a task failed"),
        }
    }
}

fn draw(terminal: &mut DefaultTerminal, state: &mut State, origin: &Origin, has_colours: bool) -> anyhow::Result<()> {
    terminal
        .draw(|frame| {
            let area = frame.area();
            let (width, height) = (usize::from(area.width), usize::from(area.height));
            state.set_page(screen::entries(height));
            state.set_last_scroll(screen::last_scroll(state, origin, width, height));
            let lines = screen::lines(state, origin, width, height);
            let lines: Vec<TerminalLine<'_>> = lines.into_iter().map(|line| styled(line, has_colours)).collect();
            frame.render_widget(Paragraph::new(Text::from(lines)), area);
        })
        .context("cannot draw")?;
    Ok(())
}

fn styled(line: Line, has_colours: bool) -> TerminalLine<'static> {
    let pieces = line.0.into_iter().map(|(text, tone)| {
        let style = style(tone);
        Span::styled(text, if has_colours { style } else { Style { fg: None, ..style } })
    });
    TerminalLine::from(pieces.collect::<Vec<_>>())
}

/// Returns the look of a text. Each colour has one meaning, and none is the only sign of it.
fn style(tone: Tone) -> Style {
    let style = Style::new();
    match tone {
        Tone::Plain | Tone::Command => style,
        Tone::Dim => style.add_modifier(Modifier::DIM),
        Tone::Heading => style.add_modifier(Modifier::BOLD),
        Tone::Active => style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
        Tone::Selected => style.add_modifier(Modifier::REVERSED),
        Tone::History => style.fg(Color::Cyan),
        Tone::Warning => style.fg(Color::Yellow),
        Tone::Critical => style.fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}

fn key(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press | KeyEventKind::Repeat, .. }) = event else {
        return None;
    };
    if modifiers.contains(KeyModifiers::CONTROL) {
        return (*code == KeyCode::Char('c')).then_some(Key::Interrupt);
    }
    Some(match code {
        KeyCode::Char(c) => Key::Char(*c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Tab => Key::Tab,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::Read as _,
        process::{Command, Stdio},
        thread,
    };

    use rustix::{
        pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
        termios::{LocalModes, tcgetattr},
    };
    use syscallmon_testkit::Guarded;

    use super::*;
    use crate::command::top::{columns::Column, state::Start};

    const TIMEOUT: Duration = Duration::from_mins(1);
    const WHERE: &str = "SYSCALLMON_TEST_PANIC";
    const ENTER_SCREEN: &str = "\u{1b}[?1049h";
    const LEAVE_SCREEN: &str = "\u{1b}[?1049l";

    #[test]
    #[ignore = "a_panic_restores_the_terminal_before_its_message runs it in a terminal"]
    fn panics_in_a_terminal() {
        let (mut stop, place) = (StopSignals::new().unwrap(), env::var(WHERE).unwrap());
        let router = axum::Router::new().fallback(|| async { panic!("on purpose") as &str });
        let start = Start { sort: Column::Rate, reverse: false, filter: String::new(), columns: Vec::new() };
        let origin = Origin { title: String::new(), daemon: String::new() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            if place == "draw" {
                let _terminal = Restored(ratatui::try_init().unwrap());
                panic!("on purpose");
            }
            let source = Source::Own(router);
            show(&source, &origin, State::new(start), Duration::from_millis(100), &mut stop).await.unwrap();
        });
    }

    #[test]
    fn a_panic_restores_the_terminal_before_its_message() {
        for place in ["draw", "sample"] {
            let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
            grantpt(&master).unwrap();
            unlockpt(&master).unwrap();
            let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
            let open = || Stdio::from(File::options().read(true).write(true).open(&path).unwrap());
            let mut command = Command::new(env::current_exe().unwrap());
            command.args([
                "--exact",
                "command::top::terminal::tests::panics_in_a_terminal",
                "--ignored",
                "--nocapture",
            ]);
            command.stdin(open()).stdout(open()).stderr(open()).env(WHERE, place).env("TERM", "xterm-256color");
            let mut child = Guarded::spawn(&mut command).unwrap();
            drop(command);
            let mut output = File::from(master.try_clone().unwrap());
            let screen = thread::spawn(move || {
                let mut bytes = Vec::new();
                // Ends with an error when the last process has closed its side.
                let _ = output.read_to_end(&mut bytes);
                String::from_utf8_lossy(&bytes).into_owned()
            });
            assert_eq!(child.wait(TIMEOUT).expect("it ends").code(), Some(101), "{place}");
            let screen = screen.join().unwrap();
            let (_, left) = screen.split_once(LEAVE_SCREEN).expect("the screen is left");
            assert!(left.contains("on purpose") && !left.contains(ENTER_SCREEN), "{place}: {screen}");
            let modes = tcgetattr(&master).unwrap().local_modes;
            assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "{place}: {modes:?}");
        }
    }
}
