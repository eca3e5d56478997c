//! `demo`: the service with a store in a temporary folder, a fake Twilio, and recorded requests, signed and sent to it.
//!
//! It needs no account, no settings and no network beyond loopback. It fails if a result differs from the expected one.
//! With a database, two receivers share it: one gets the registrations, the other one all other requests.

mod fake_twilio;
mod harness;
mod interactive;
mod remote_control;
mod scenario;

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

pub use crate::commands::demo::harness::Launch;
use crate::commands::demo::harness::{DemoOutcome, Harness};
use crate::commands::demo::remote_control::RemoteControl;
use crate::commands::demo::scenario::{Ending, STEPS, Step};
use crate::commands::pipe_tolerant_stdout::Stdout;
use crate::config::PostgresUrl;
use crate::store::postgres::OwnSchema;

/// The start of the name of the demo's schema.
const SCHEMA: &str = "heardback_demo";
const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Runs the demo. Returns whether every result is as expected. With `keep`, it continues until that completes.
///
/// # Errors
/// The demo cannot run: there is no loopback, or no temporary folder.
pub async fn run(
    launch: Launch,
    database: Option<&PostgresUrl>,
    keep: Option<impl Future<Output = ()>>,
) -> anyhow::Result<bool> {
    let schema = database.map(|url| OwnSchema::create(&url.connect_options(), SCHEMA));
    let schema = schema.transpose()?;
    let connect = schema.as_ref().map(OwnSchema::connect_options);
    let passed = match Harness::build(launch, connect.zip(database)) {
        Ok(harness) => play(harness, schema.as_ref(), keep).await,
        Err(error) => Err(error),
    };
    schema.map_or(Ok(()), OwnSchema::remove)?;
    passed
}

async fn play(
    mut harness: Harness,
    schema: Option<&OwnSchema>,
    keep: Option<impl Future<Output = ()>>,
) -> anyhow::Result<bool> {
    let mut out = Stdout::new(anstream::stdout());
    writeln!(out, "{BOLD}Heardback's demo{BOLD:#}: everything runs on this machine.\n")?;
    if let Some(schema) = schema {
        writeln!(out, "  database     schema {}, removed at the end", schema.name())?;
        writeln!(out, "  receiver 1   {} (your app registers its messages here)", harness.base)?;
        writeln!(
            out,
            "  receiver 2   {} (replies, codes and all else come here)",
            harness.other()
        )?;
    } else {
        writeln!(out, "  receiver     {}", harness.base)?;
    }
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
    for DemoOutcome { ending: Ending { sid, story, expected }, state, note } in &results {
        let good = state == expected;
        passed &= good;
        let style = if good { GOOD } else { BAD };
        let by = if note.is_empty() { "–" } else { note };
        writeln!(out, "{sid:<34}  {story:<23}  {style}{state:<8}{style:#}  {by}")?;
        if !good {
            writeln!(out, "  {BAD}✗ expected {expected}{BAD:#}")?;
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
    if schema.is_some() {
        writeln!(out, "Receiver 2 confirmed messages that were registered at receiver 1.")?;
    }
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
