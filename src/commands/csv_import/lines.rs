//! The lines of a CSV of past messages: of each the fields of an app's event, or why it cannot be used. What a
//! line says against itself (inbound, not delivered, an error) is believed.
//!
//! Columns of other names are not even looked at.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, bail};
use csv::ByteRecord;
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::commands::csv_import::accounts::AccountHints;
use crate::commands::csv_import::columns::Columns;
use crate::commands::csv_import::framed::Framed;
use crate::commands::export_format::BOM;
use crate::domain::message::Status;
use crate::domain::sid::AccountSid;

/// A message that arrived, as its line says it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PastDelivery {
    pub(super) account: AccountSid,
    pub(super) fields: Vec<(String, String)>,
}

/// Why a line cannot be used: in which field, and nothing of what it says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) field: &'static str,
    pub(super) why: String,
}

impl Bad {
    pub(super) fn new(field: &'static str, why: impl std::fmt::Display) -> Self {
        Self { field, why: format!("{field}: {why}") }
    }
}

/// The lines, each with its number.
pub(super) struct CsvLines {
    framed: Framed,
    columns: Columns,
    accounts: AccountHints,
}

impl CsvLines {
    /// Reads the first line, which names the columns.
    ///
    /// # Errors
    /// It cannot be read, or the columns cannot be used.
    pub(super) fn begin(
        file: Box<dyn Read + Send>,
        accounts: AccountHints,
    ) -> anyhow::Result<Self> {
        let mut file: Box<dyn BufRead + Send> = Box::new(BufReader::new(file));
        let start = file.fill_buf().context("cannot be read")?;
        let delimiter = delimiter(start);
        if start.starts_with(BOM) {
            file.consume(BOM.len());
        }
        let mut framed = Framed::new(file, delimiter);
        let heads = match framed.next().context("cannot be read")? {
            Some((_, Ok(heads))) => heads,
            Some((_, Err(Bad { why, .. }))) => bail!("its first {why}"),
            None => ByteRecord::new(),
        };
        let columns = Columns::by_name(heads.iter())?;
        Ok(Self { framed, columns, accounts })
    }

    fn read(&self, record: &ByteRecord) -> Result<PastDelivery, Bad> {
        let columns = &self.columns;
        if record.len() != columns.count {
            let (expected, found) = (columns.count, record.len());
            let why = format!("expected {expected} columns, as the first line has; found {found}");
            return Err(Bad::new("line", why));
        }
        let text = |field: &'static str, at: Option<usize>| {
            let bytes = at.and_then(|at| record.get(at)).unwrap_or_default();
            std::str::from_utf8(bytes).map_err(|_| Bad::new(field, "expected UTF-8"))
        };
        did_arrive(
            text("Direction", columns.direction)?,
            text("Status", columns.status)?,
            text("ErrorCode", columns.error)?,
        )?;
        let account = self.accounts.of(text("AccountSid", columns.account)?)?;
        let mut fields = Vec::new();
        let mut occurred = None;
        for (field, at) in &columns.fields {
            let value = text(field, Some(*at))?;
            if *field == "MessageSid" && value.is_empty() {
                return Err(Bad::new(field, "missing"));
            }
            if *field == "OccurredAt" {
                occurred = value.parse::<Timestamp>().ok();
            }
            fields.push(((*field).to_owned(), value.to_owned()));
        }
        let created = text("CreatedAt", columns.created)?;
        let sent = text("CreatedAt", columns.sent).ok().filter(|_| created.is_empty());
        let created = match (timestamp(created), sent.and_then(timestamp)) {
            (Some(created), _) => Some(created),
            (None, _) if !created.is_empty() => {
                let why =
                    "expected RFC 3339 with its offset, such as 2026-11-23T10:02:11Z, or RFC 2822";
                return Err(Bad::new("CreatedAt", why));
            }
            (None, sent) => sent,
        };
        if let Some(moment) = &created
            && occurred.is_some_and(|occurred| occurred < moment.at)
        {
            return Err(Bad::new("OccurredAt", "it is before the message was created or sent"));
        }
        fields.extend(created.map(|moment| moment.field));
        Ok(PastDelivery { account, fields })
    }
}

/// What the line says of the message's fate, where it says something.
fn did_arrive(direction: &str, status: &str, error: &str) -> Result<(), Bad> {
    if !direction.is_empty() && !direction.to_ascii_lowercase().starts_with("outbound") {
        let why = "expected an outbound message; an inbound one is none that you sent";
        return Err(Bad::new("Direction", why));
    }
    match Status::parse(status) {
        Some(status) if status.is_undelivered() => {
            let why = "it says that the message did not arrive; leave the column out where you know better";
            return Err(Bad::new("Status", why));
        }
        None if !status.is_empty() => {
            let why = "it is no status of an outbound message; leave the column out where you know better";
            return Err(Bad::new("Status", why));
        }
        Some(_) | None => {}
    }
    if error.bytes().any(|byte| byte != b'0') {
        let why = "it says that the message did not arrive; expected none, or 0";
        return Err(Bad::new("ErrorCode", why));
    }
    Ok(())
}

/// When a message was created.
struct CreatedAt {
    at: Timestamp,
    /// The field of an app's event that it goes into, as the app would write it or as Twilio does.
    field: (String, String),
}

fn timestamp(text: &str) -> Option<CreatedAt> {
    let (at, field) = match (text.parse::<Timestamp>(), rfc2822::parse(text)) {
        (Ok(at), _) => (at, "CreatedAt"),
        (Err(_), Ok(at)) => (at.timestamp(), "DateCreated"),
        (Err(_), Err(_)) => return None,
    };
    Some(CreatedAt { at, field: (field.to_owned(), text.to_owned()) })
}

/// Spreadsheets of some countries write semicolons.
fn delimiter(file: &[u8]) -> u8 {
    let first = file.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let has = |byte| first.contains(&byte);
    match (has(b','), has(b';'), has(b'\t')) {
        (false, true, _) => b';',
        (false, false, true) => b'\t',
        (true, ..) | (false, false, false) => b',',
    }
}

impl Iterator for CsvLines {
    type Item = std::io::Result<(u64, Result<PastDelivery, Bad>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.framed.next().transpose()?;
        Some(next.map(|(number, record)| (number, record.and_then(|record| self.read(&record)))))
    }
}
