//! A program in a terminal, as a picture.

use std::{
    fmt::Write as _,
    io::Read as _,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use syscallmon_testkit::Guarded;

use crate::namespaces::Namespaces;

/// Size of a letter, and margin.
const LETTER: (f32, f32) = (8.4, 18.0);
const MARGIN: f32 = 10.0;

/// Colours of the background and of text.
const BACK: &str = "#14181f";
const TEXT: &str = "#dfe4ec";
/// The first 16 colours of a terminal.
const COLOURS: [&str; 16] = [
    "#14181f", "#ff7b72", "#6fd08c", "#f2c063", "#6ea8ff", "#d2a8ff", "#56d4dd", "#b1bac4", "#8b949e", "#ffa198",
    "#7ee2a0", "#ffd98a", "#9ecbff", "#e2c5ff", "#8be9f0", "#ffffff",
];

/// Runs a program in a terminal of this size inside the namespaces, and returns what it shows after some time, as SVG.
///
/// # Errors
///
/// If it cannot be started, or shows nothing.
pub fn screen(namespaces: &Namespaces, program: &str, (rows, columns): (u16, u16), time: Duration) -> Result<String> {
    let mut command: Command = namespaces.command("script");
    let line = format!("stty rows {rows} cols {columns}; exec {program}");
    command.args(["--quiet", "--flush", "--command", &line, "/dev/null"]).env("TERM", "xterm-256color");
    let mut child = Guarded::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()))?;
    let _keys = child.take_stdin();
    let mut output = child.take_stdout().context("stdout is piped")?;
    let (sender, drawn) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = output.read(&mut bytes) {
            if sender.send(bytes[..read].to_vec()).is_err() {
                break;
            }
        }
    });
    let mut parser = vt100::Parser::new(rows, columns, 0);
    let end = Instant::now() + time;
    while let Ok(bytes) = drawn.recv_timeout(end.saturating_duration_since(Instant::now())) {
        parser.process(&bytes);
    }
    child.kill();
    anyhow::ensure!(!parser.screen().contents().trim().is_empty(), "{program} shows nothing");
    Ok(svg(parser.screen()))
}

/// Draws a screen. Text of one colour is one element.
fn svg(screen: &vt100::Screen) -> String {
    let (rows, columns) = screen.size();
    let (width, height) = (f32::from(columns) * LETTER.0 + 2.0 * MARGIN, f32::from(rows) * LETTER.1 + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"ui-monospace, \
         'DejaVu Sans Mono', monospace\" font-size=\"14\">\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACK}\"/>\n"
    );
    for row in 0..rows {
        let mut column = 0;
        while column < columns {
            let start = column;
            let style = style(screen, row, column);
            let mut text = String::new();
            while column < columns && self::style(screen, row, column) == style {
                let letter = screen.cell(row, column).map(|cell| cell.contents().to_owned()).unwrap_or_default();
                text.push_str(if letter.is_empty() { " " } else { &letter });
                column += 1;
            }
            draw(&mut svg, (row, start), &text, &style);
        }
    }
    svg + "</svg>\n"
}

/// Foreground, background, and whether it is bold.
type Style = (String, Option<String>, bool);

fn style(screen: &vt100::Screen, row: u16, column: u16) -> Style {
    let Some(cell) = screen.cell(row, column) else { return (TEXT.to_owned(), None, false) };
    let front = colour(cell.fgcolor()).unwrap_or_else(|| if cell.dim() { COLOURS[8] } else { TEXT }.to_owned());
    let back = colour(cell.bgcolor());
    let (front, back) =
        if cell.inverse() { (back.unwrap_or_else(|| BACK.to_owned()), Some(front)) } else { (front, back) };
    (front, back, cell.bold())
}

fn colour(colour: vt100::Color) -> Option<String> {
    match colour {
        vt100::Color::Default => None,
        vt100::Color::Idx(number) => Some(COLOURS.get(usize::from(number)).copied().unwrap_or(TEXT).to_owned()),
        vt100::Color::Rgb(red, green, blue) => Some(format!("#{red:02x}{green:02x}{blue:02x}")),
    }
}

fn draw(svg: &mut String, (row, column): (u16, u16), text: &str, (front, back, is_bold): &Style) {
    let (left, top) = (MARGIN + f32::from(column) * LETTER.0, MARGIN + f32::from(row) * LETTER.1);
    let letters = text.chars().count();
    let width = letters as f32 * LETTER.0;
    if let Some(back) = back {
        let height = LETTER.1;
        let _ = writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{back}\"/>"
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let (base, bold) = (top + 13.5, if *is_bold { " font-weight=\"bold\"" } else { "" });
    let _ = writeln!(
        svg,
        "<text x=\"{left:.1}\" y=\"{base:.1}\" textLength=\"{width:.1}\" fill=\"{front}\"{bold} xml:space=\"preserve\">\
         {escaped}</text>"
    );
}
