//! `show`: a message with its history, or all messages of a reference.

use std::fmt::Write as _;
use std::io::Write;

use serde::Serialize;

use crate::admin::AdminRequest;
use crate::admin::posting::Posting;
use crate::admin::record_view::{FullView, ParkedView};
use crate::admin::show::ShownRecords;
use crate::cli::operate::ShowArgs;
use crate::commands::list::{next, waits_for};
use crate::commands::pipe_tolerant_stdout::note;
use crate::commands::store_access::{StoreAccess, now, shown_time};
use crate::commands::table::plain;
use crate::domain::matching::Parked;
use crate::domain::message::Message;
use crate::domain::redact::redacted;
use crate::domain::timeline::{self, TimelineEvent};

#[derive(Serialize)]
struct MessageJson<'a> {
    #[serde(flatten)]
    message: FullView<'a>,
    life: Vec<TimelineEvent>,
}

impl<'a> MessageJson<'a> {
    fn of(message: &'a Message) -> Self {
        Self { message: FullView::of(message), life: timeline::of(message) }
    }
}

/// Prints the records. Returns whether there are any.
pub(super) async fn run(
    store: &StoreAccess,
    args: &ShowArgs,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let ShownRecords { messages, waiting, posting } = store
        .request(AdminRequest::Show { sid_or_reference: args.sid_or_reference.clone() })
        .await?;
    for (at, message) in messages.iter().enumerate() {
        if args.common.json {
            writeln!(out, "{}", serde_json::to_string(&MessageJson::of(message))?)?;
            continue;
        }
        if at > 0 {
            writeln!(out)?;
        }
        out.write_all(of_message(message, &posting).as_bytes())?;
    }
    for (at, parked) in waiting.iter().enumerate() {
        if args.common.json {
            writeln!(out, "{}", serde_json::to_string(&ParkedView::of(parked))?)?;
            continue;
        }
        if at == 0 && !messages.is_empty() {
            writeln!(out)?;
        }
        writeln!(out, "{}", of_parked(parked))?;
    }
    let known = !messages.is_empty() || !waiting.is_empty();
    if !known {
        let name = plain(args.sid_or_reference.as_str());
        note(format_args!(
            "heardback: {name} is unknown: it was never registered, or it was forgotten"
        ));
    }
    Ok(known)
}

fn of_message(message: &Message, posting: &Posting) -> String {
    let calling_code = message.recipient.and_then(|recipient| recipient.calling_code);
    let status = message.status.map(|status| {
        let code = message.error_code.map(|code| format!(", error {code}")).unwrap_or_default();
        format!("{}{code}", status.as_str())
    });
    let rows = [
        ("account", Some(message.account.to_string())),
        ("reference", message.reference.as_ref().map(|name| name.as_str().to_owned())),
        ("sender", message.from.clone()),
        ("service", message.service.map(|service| service.to_string())),
        ("calling code", calling_code.map(|code| format!("+{code}"))),
        ("status", status),
        ("next", Some(next(message, posting, now())).filter(|next| !next.is_empty())),
    ];
    // Writing to a String cannot fail.
    let mut text = format!("{}  {}\n", message.sid, message.state.as_str());
    for (name, value) in rows.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        let _ = writeln!(text, "  {name:<14}{}", plain(value));
    }
    for TimelineEvent { at, what } in timeline::of(message) {
        let _ = writeln!(text, "  {}  {}", shown_time(at), plain(&what));
    }
    text
}

fn of_parked(parked: &Parked) -> String {
    let evidence = &parked.evidence;
    let (named, _) = waits_for(&evidence.target);
    let (state, until) = if parked.orphaned {
        ("orphaned, its message was never registered", "at")
    } else {
        ("parked, its message is not registered yet", "until")
    };
    let (label, named) = (plain(&redacted(&evidence.label)), plain(&named));
    format!(
        "{label} at {} for {named}: {state} {until} {} ({})",
        shown_time(evidence.occurred_at),
        shown_time(parked.until),
        parked.reason.as_str()
    )
}
