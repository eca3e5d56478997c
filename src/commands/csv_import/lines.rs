//! The lines of a CSV of past messages, as the fields of an app's event, or as an error.
//!
//! A line that names an inbound or undelivered message, or an error, is an error. Columns with unknown names are not read.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, bail};
use csv::ByteRecord;
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::commands::csv_import::accounts::AllowedAccounts;
use crate::commands::csv_import::columns::Columns;
use crate::commands::csv_import::records::{CsvRecords, LineError};
use crate::commands::export_format::BOM;
use crate::domain::message::Status;
use crate::domain::sid::AccountSid;

/// A message that arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PastDelivery {
    pub(super) account: AccountSid,
    pub(super) fields: Vec<(String, String)>,
}

pub(super) struct CsvLines {
    records: CsvRecords,
    columns: Columns,
    accounts: AllowedAccounts,
}

impl CsvLines {
    /// Reads the first line, which names the columns.
    pub(super) fn begin(
        file: Box<dyn Read + Send>,
        accounts: AllowedAccounts,
    ) -> anyhow::Result<Self> {
        let mut file: Box<dyn BufRead + Send> = Box::new(BufReader::new(file));
        let start = file.fill_buf().context("cannot be read")?;
        if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
            bail!("it is UTF-16; save it as CSV in UTF-8");
        }
        let delimiter = delimiter(start);
        if start.starts_with(BOM) {
            file.consume(BOM.len());
        }
        let mut records = CsvRecords::new(file, delimiter);
        let heads = match records.next().context("cannot be read")? {
            Some((_, Ok(heads))) => heads,
            Some((_, Err(LineError { why, .. }))) => bail!("its first {why}"),
            None => ByteRecord::new(),
        };
        let columns = Columns::by_name(heads.iter())?;
        Ok(Self { records, columns, accounts })
    }

    fn read(&self, record: &ByteRecord) -> Result<PastDelivery, LineError> {
        let columns = &self.columns;
        if record.len() != columns.count {
            let (expected, found) = (columns.count, record.len());
            let why = format!("expected {expected} columns, as the first line has; found {found}");
            return Err(LineError::new("line", why));
        }
        let text = |field: &'static str, at: Option<usize>| {
            let bytes = at.and_then(|at| record.get(at)).unwrap_or_default();
            std::str::from_utf8(bytes).map_err(|_| LineError::new(field, "expected UTF-8"))
        };
        check_arrival(
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
                return Err(LineError::new(field, "missing"));
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
                return Err(LineError::new("CreatedAt", why));
            }
            (None, sent) => sent,
        };
        if let Some(moment) = &created
            && occurred.is_some_and(|occurred| occurred < moment.at)
        {
            return Err(LineError::new(
                "OccurredAt",
                "it is before the message was created or sent",
            ));
        }
        fields.extend(created.map(|moment| moment.field));
        Ok(PastDelivery { account, fields })
    }
}

/// Checks that no column contradicts the delivery.
fn check_arrival(direction: &str, status: &str, error: &str) -> Result<(), LineError> {
    if !direction.is_empty() && !direction.to_ascii_lowercase().starts_with("outbound") {
        let why = "expected an outbound message";
        return Err(LineError::new("Direction", why));
    }
    match Status::parse(status) {
        Some(status) if status.is_undelivered() => {
            let why = "the message did not arrive; remove the column if that is wrong";
            return Err(LineError::new("Status", why));
        }
        None if !status.is_empty() => {
            let why = "it is no status of an outbound message; remove the column if that is wrong";
            return Err(LineError::new("Status", why));
        }
        Some(_) | None => {}
    }
    if error.bytes().any(|byte| byte != b'0') {
        let why = "the message did not arrive; expected no error, or 0";
        return Err(LineError::new("ErrorCode", why));
    }
    Ok(())
}

struct CreatedAt {
    at: Timestamp,
    /// The field of an app's event, in the format of the app or of Twilio.
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

/// Spreadsheets write semicolons in some countries.
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
    type Item = std::io::Result<(u64, Result<PastDelivery, LineError>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.records.next().transpose()?;
        Some(next.map(|(number, record)| (number, record.and_then(|record| self.read(&record)))))
    }
}
