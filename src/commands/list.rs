//! `list`: a table of the newest records, or all records as JSON.

use std::io::Write;

use jiff::Timestamp;

use crate::admin::AdminRequest;
use crate::admin::list::{ListQuery, NewestRecords};
use crate::admin::posting::{NextPost, Posting};
use crate::admin::record_view::{FullView, ParkedView};
use crate::cli::operate::ListArgs;
use crate::commands::pipe_tolerant_stdout::note;
use crate::commands::store_access::{StoreAccess, age, now};
use crate::commands::table::{Table, width};
use crate::domain::matching::Parked;
use crate::domain::message::{LastAttempt, Message, State};
use crate::domain::redact::redacted;
use crate::domain::signal::EvidenceTarget;
use crate::store::{Filter, ListEntry, ListPage, Select};

const DEFAULT_LIMIT: u32 = 50;
/// Records of one request, for JSON.
const RECORDS_PER_REQUEST: usize = 500;

/// Lists the records.
pub(super) async fn run(
    store: &StoreAccess,
    args: &ListArgs,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let filter = if args.parked {
        Filter::Parked
    } else if args.orphans {
        Filter::Orphaned
    } else {
        let ListArgs { state, converted: superseded, calling_code, code, .. } = *args;
        Filter::Messages(Select { state, superseded, calling_code, code, ..Select::default() })
    };
    let (from, before, account) = (args.newer_than, args.older_than, args.account);
    let query = ListQuery { filter, from, before, account };
    if args.common.json && args.limit.is_none() {
        let mut cursor = None;
        loop {
            let page: ListPage = store
                .request(AdminRequest::List { query, cursor, limit: RECORDS_PER_REQUEST })
                .await?;
            lines(&page.entries, out)?;
            cursor = page.next;
            if cursor.is_none() {
                return Ok(true);
            }
        }
    }
    let limit = usize::try_from(args.limit.unwrap_or(DEFAULT_LIMIT))?;
    let found: NewestRecords = store.request(AdminRequest::Newest { query, limit }).await?;
    if args.common.json {
        lines(&found.entries, out)?;
    } else {
        let of_several = account.is_none() && found.accounts > 1;
        out.write_all(table(&found, of_several, now()).render(width()).as_bytes())?;
        // The table goes to stdout first: on a terminal, its sum is below it.
        out.flush()?;
        note(format_args!("{}", describe(&found)));
    }
    Ok(true)
}

fn lines(entries: &[ListEntry], out: &mut impl Write) -> anyhow::Result<()> {
    for entry in entries {
        match entry {
            ListEntry::Message(message) => {
                serde_json::to_writer(&mut *out, &FullView::of(message))?;
            }
            ListEntry::Parked(parked) => {
                serde_json::to_writer(&mut *out, &ParkedView::of(parked))?;
            }
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn describe(found: &NewestRecords) -> String {
    let NewestRecords { entries, of, .. } = found;
    match entries.len() as u64 {
        0 => "no records found".to_owned(),
        shown if shown < *of => format!("the newest {shown} of {of}; --limit N shows more"),
        shown => format!("{shown} in all"),
    }
}

/// The table of records of one kind. If there are several accounts, it has a column for them.
fn table(found: &NewestRecords, of_several: bool, now: Timestamp) -> Table {
    let entries = &found.entries;
    let mut table = match entries.first() {
        Some(ListEntry::Parked(_)) => Table::new(&[
            "waits for",
            "state",
            "age",
            "evidence",
            "acted",
            "reason",
            "sender",
            "until",
            "account",
        ]),
        Some(ListEntry::Message(_)) | None => Table::new(&[
            "message",
            "state",
            "age",
            "to",
            "reference",
            "evidence",
            "tries",
            "next",
            "last answer",
            "sender",
            "account",
        ]),
    };
    for entry in entries {
        table.row(&match entry {
            ListEntry::Message(message) => {
                of_message(message, &found.posting, of_several, now).to_vec()
            }
            ListEntry::Parked(parked) => of_parked(parked, now).to_vec(),
        });
    }
    table
}

fn of_message(
    message: &Message,
    posting: &Posting,
    of_several: bool,
    now: Timestamp,
) -> [String; 11] {
    let calling_code = message.recipient.and_then(|recipient| recipient.calling_code);
    let service = || message.service.map(|service| service.to_string());
    let attempts = message.posts_made();
    [
        message.sid.to_string(),
        message.state.as_str().to_owned(),
        age(now, message.since),
        calling_code.map(|code| format!("+{code}")).unwrap_or_default(),
        message.reference.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default(),
        message.proof.as_ref().map(|proof| redacted(&proof.label)).unwrap_or_default(),
        if attempts == 0 { String::new() } else { attempts.to_string() },
        next(message, posting, now),
        last_answer(message),
        message.from.clone().or_else(service).unwrap_or_default(),
        if of_several { message.account.to_string() } else { String::new() },
    ]
}

/// The response to the last attempt to post a confirmed message. [`next`] has the response for a refused message.
fn last_answer(message: &Message) -> String {
    let Some(attempt) = &message.last_attempt else { return String::new() };
    if message.state != State::Confirmed {
        return String::new();
    }
    let LastAttempt { status, code, message: why, .. } = attempt;
    let status = status.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
    let code = code.map(|code| format!(", error {code}")).unwrap_or_default();
    if why.is_empty() { format!("{status}{code}") } else { format!("{status}{code}: {why}") }
}

/// The time of the next post, or the reason why there is none.
pub(super) fn next(message: &Message, posting: &Posting, now: Timestamp) -> String {
    if let Some(refusal) = &message.refusal {
        let code = refusal.code.map(|code| format!("{code} ")).unwrap_or_default();
        return format!("{code}{}", refusal.message);
    }
    if let Some(instead) = message.superseded_by {
        return format!("{instead} instead");
    }
    match posting.next(message) {
        Some(NextPost::At(due)) if due > now => return age(now, due),
        Some(next) => return next.describe().to_owned(),
        None => {}
    }
    message.error_code.map(|code| format!("error {code}")).unwrap_or_default()
}

fn of_parked(parked: &Parked, now: Timestamp) -> [String; 9] {
    let evidence = &parked.evidence;
    let (named, sender) = waits_for(&evidence.target);
    [
        named,
        if parked.orphaned { "orphaned" } else { "parked" }.to_owned(),
        age(now, parked.parked_at),
        redacted(&evidence.label),
        age(now, evidence.occurred_at),
        parked.reason.as_str().to_owned(),
        sender,
        age(now, parked.until),
        evidence.account.to_string(),
    ]
}

/// The message that evidence is for, and the sender that the recipient contacted.
pub(super) fn waits_for(named: &EvidenceTarget) -> (String, String) {
    match named {
        EvidenceTarget::Message(sid) => (sid.to_string(), String::new()),
        EvidenceTarget::Reference(name) => (name.as_str().to_owned(), String::new()),
        EvidenceTarget::Person { sender, .. } => {
            ("a message to them".to_owned(), sender.address.clone().unwrap_or_default())
        }
        EvidenceTarget::Caller { sender, .. } => {
            ("a message to the caller".to_owned(), sender.address.clone().unwrap_or_default())
        }
        EvidenceTarget::Link(_) => ("a click link".to_owned(), String::new()),
    }
}
