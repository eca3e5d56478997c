//! `demo`: the service with a store in a temporary folder, a fake Twilio, and recorded requests, signed and sent to it.
//!
//! It needs no account, no settings and no network beyond loopback. It fails if a result differs from the expected one.

mod fake_twilio;
mod harness;
mod interactive;
mod remote_control;
mod scenario;

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use crate::commands::demo::harness::Harness;
pub use crate::commands::demo::harness::Launch;
use crate::commands::demo::remote_control::RemoteControl;
use crate::commands::demo::scenario::{STEPS, Step};
use crate::commands::pipe_tolerant_stdout::Stdout;

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Runs the demo. Returns whether every result is as expected. With `keep`, it continues until that completes.
///
/// # Errors
/// The demo cannot run: there is no loopback, or no temporary folder.
pub async fn run<R>(
    launch: impl Launch<R>,
    keep: Option<impl Future<Output = ()>>,
) -> anyhow::Result<bool>
where
    R: Future<Output = anyhow::Result<()>> + 'static,
{
    let mut out = Stdout::new(anstream::stdout());
    let mut harness = Harness::build(launch)?;
    writeln!(out, "{BOLD}Heardback's demo{BOLD:#}: everything runs on this machine.\n")?;
    writeln!(out, "  receiver     {}", harness.base)?;
    writeln!(out, "  operator     {}", harness.operator)?;
    writeln!(out, "  “Twilio”     {} (a fake Feedback API)\n", harness.twilio.url())?;

    let mut passed = true;
    for step in &STEPS {
        let (request, answer) = harness.play(step).await?;
        passed &= answer == step.expected;
        line(&mut out, step, &request, &answer)?;
    }
    writeln!(out, "\n{DIM}waiting for the posts to Twilio …{DIM:#}")?;
    let results = harness.results().await?;
    for attempt in harness.twilio.attempts() {
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
    let forged = STEPS.iter().filter(|step| step.expected == "403").count();
    writeln!(
        out,
        "\nconfirmed upstream {}   still pending {}   refused by Twilio {}   forgeries rejected {}",
        tally("reported"),
        tally("pending"),
        tally("refused"),
        forged,
    )?;
    if passed {
        writeln!(out, "{GOOD}Every result is as expected.{GOOD:#}")?;
    } else {
        writeln!(
            out,
            "{BAD}Some results differ from the expected ones: see the lines marked ✗.{BAD:#}"
        )?;
    }
    if let Some(stop) = keep {
        let mut control = RemoteControl::start()?;
        harness.print_instructions(&control, &mut out)?;
        out.flush()?;
        harness.execute_commands(&mut control, stop).await;
        control.stop().await;
    }
    harness.close().await?;
    Ok(passed)
}

fn line(out: &mut impl Write, step: &Step, request: &str, answer: &str) -> io::Result<()> {
    let good = answer == step.expected;
    let (mark, style) = if good { ("✓", GOOD) } else { ("✗", BAD) };
    write!(out, "{style}{mark}{style:#} {:<48} {DIM}{request:<31}{DIM:#} →  ", step.description)?;
    if good {
        writeln!(out, "{answer}")
    } else {
        writeln!(out, "{BAD}{answer}{BAD:#}, expected {}", step.expected)
    }
}
