//! `demo`: the whole road on this machine. A stand-in for Twilio's Feedback API, the real receiver
//! with a real store in a temporary folder, and recordings played through real, freshly signed HTTP.
//!
//! It needs no account, no settings and no network beyond loopback, and it fails if anything comes
//! out otherwise than it should.

mod fake_twilio;
mod harness;
mod interactive;
mod remote_control;
mod scenario;

use std::io::{self, Write};
use std::net::TcpListener;

use anstyle::{AnsiColor, Style};
use tokio::sync::oneshot;

use crate::commands::demo::harness::Harness;
use crate::commands::demo::remote_control::RemoteControl;
use crate::commands::demo::scenario::{STEPS, Step};
use crate::commands::pipe_tolerant_stdout::Stdout;
use crate::config::Settings;

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Starts the receiver with these settings, on a public and an operator's listener, until it is told
/// to stop. `serve` does it; `tools` stands beside it and is handed it by `main`.
pub trait Launch<R>:
    FnOnce(&Settings, TcpListener, TcpListener, oneshot::Receiver<()>) -> anyhow::Result<R>
{
}

impl<R, F> Launch<R> for F where
    F: FnOnce(&Settings, TcpListener, TcpListener, oneshot::Receiver<()>) -> anyhow::Result<R>
{
}

/// Plays the demo. Returns whether all of it came out as it should. With `keep`, all of it stays up
/// until that completes.
///
/// # Errors
/// Where it cannot be played at all: no loopback, no temporary folder.
pub async fn run<R>(
    launch: impl Launch<R>,
    keep: Option<impl Future<Output = ()>>,
) -> anyhow::Result<bool>
where
    R: Future<Output = anyhow::Result<()>> + 'static,
{
    let mut out = Stdout::new(anstream::stdout());
    let mut stage = Harness::build(launch)?;
    writeln!(out, "{BOLD}Heardback's demo{BOLD:#}: everything runs on this machine.\n")?;
    writeln!(out, "  receiver     {}", stage.receiver_url())?;
    writeln!(out, "  operator     {}", stage.operator_url())?;
    writeln!(out, "  “Twilio”     {} (a stand-in for the Feedback API)\n", stage.twilio_url())?;

    let mut passed = true;
    for step in &STEPS {
        let (request, answer) = stage.play(step).await?;
        passed &= answer == step.expected;
        line(&mut out, step, &request, &answer)?;
    }
    writeln!(out, "\n{DIM}waiting for the posts to Twilio …{DIM:#}")?;
    let results = stage.results().await?;
    for attempt in stage.attempts() {
        writeln!(
            out,
            "  {DIM}POST{DIM:#} …/Messages/{}/Feedback.json  →  {}",
            attempt.sid, attempt.status
        )?;
    }
    writeln!(out, "\n{BOLD}{:<34}  {:<23}  {:<8}  by{BOLD:#}", "message", "story", "state")?;
    for result in &results {
        let good = result.state == result.expected;
        passed &= good;
        let style = if good { GOOD } else { BAD };
        let by = if result.note.is_empty() { "–" } else { &result.note };
        writeln!(
            out,
            "{:<34}  {:<23}  {style}{:<8}{style:#}  {by}",
            result.sid, result.story, result.state
        )?;
        if !good {
            writeln!(out, "  {BAD}✗ expected {}{BAD:#}", result.expected)?;
        }
    }
    let tally = |state: &str| results.iter().filter(|result| result.state == state).count();
    let turned_away = STEPS.iter().filter(|step| step.expected == "403").count();
    writeln!(
        out,
        "\nconfirmed upstream {}   still pending {}   refused by Twilio {}   forgeries turned away {}",
        tally("reported"),
        tally("pending"),
        tally("refused"),
        turned_away,
    )?;
    if passed {
        writeln!(out, "{GOOD}All of it came out as it should.{GOOD:#}")?;
    } else {
        writeln!(out, "{BAD}Not all of it came out as it should: see the lines marked ✗.{BAD:#}")?;
    }
    if let Some(told_to_stop) = keep {
        let mut switch = RemoteControl::start()?;
        stage.invite(&switch, &mut out)?;
        out.flush()?;
        stage.attend(&mut switch, told_to_stop).await;
        switch.stop().await;
    }
    stage.close().await?;
    Ok(passed)
}

fn line(out: &mut impl Write, step: &Step, request: &str, answer: &str) -> io::Result<()> {
    let good = answer == step.expected;
    let (mark, style) = if good { ("✓", GOOD) } else { ("✗", BAD) };
    write!(out, "{style}{mark}{style:#} {:<48} {DIM}{request:<31}{DIM:#} →  ", step.tells)?;
    if good {
        writeln!(out, "{answer}")
    } else {
        writeln!(out, "{BAD}{answer}{BAD:#}, expected {}", step.expected)
    }
}
