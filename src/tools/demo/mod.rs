//! `demo`: the whole road on this machine. A stand-in for Twilio's Feedback API, the real receiver
//! with a real store in a temporary folder, and recordings played through real, freshly signed HTTP.
//!
//! It needs no account, no settings and no network beyond loopback, and it fails if anything comes
//! out otherwise than it should.

mod stage;
mod stand_in;
mod story;

use std::io::Write;

use anstyle::{AnsiColor, Style};

use crate::serve::signals::Signals;
use crate::tools::demo::stage::Stage;
use crate::tools::demo::story::{STEPS, Step};

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Plays the demo. Returns whether all of it came out as it should.
///
/// # Errors
/// Where it cannot be played at all: no loopback, no temporary folder.
pub async fn run(keep: bool) -> anyhow::Result<bool> {
    let mut out = anstream::stdout();
    let stage = Stage::build()?;
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
    if keep {
        // Before anybody is told that it can be stopped.
        let mut signals = Signals::listen()?;
        stage.invite(&mut out)?;
        signals.next().await;
    }
    stage.close().await?;
    Ok(passed)
}

fn line(out: &mut impl Write, step: &Step, request: &str, answer: &str) -> std::io::Result<()> {
    let good = answer == step.expected;
    let (mark, style) = if good { ("✓", GOOD) } else { ("✗", BAD) };
    write!(out, "{style}{mark}{style:#} {:<48} {DIM}{request:<31}{DIM:#} →  ", step.tells)?;
    if good {
        writeln!(out, "{answer}")
    } else {
        writeln!(out, "{BAD}{answer}{BAD:#}, expected {}", step.expected)
    }
}
