//! The lines of a CSV of past messages: its columns by name, whoever wrote it, and of each line the fields of an
//! app's event.
//!
//! Besides our own names it knows those of Twilio's console (`From,To,Body,Status,SentDate,…,AccountSid,Sid,
//! Direction,…`) and of its API (`sid`, `date_created`, …). Numbers and texts are not even looked at.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, bail};
use csv::{ByteRecord, Reader, ReaderBuilder, Trim};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::domain::message::Status;
use crate::domain::sid::AccountSid;

/// A field of ours, and the columns that may hold it, the first that there is.
const FIELDS: [(&str, &[&str]); 4] = [
    ("MessageSid", &["messagesid", "sid"]),
    ("Reference", &["reference"]),
    ("OccurredAt", &["occurredat"]),
    ("Type", &["type"]),
];
const ACCOUNT: &[&str] = &["accountsid"];
const CREATED: &[&str] = &["createdat", "datecreated"];
/// A little later than creation, and better than nothing.
const SENT: &[&str] = &["datesent", "sentdate"];
const DIRECTION: &[&str] = &["direction"];
const STATUS: &[&str] = &["status"];

/// A message that arrived, as its line says it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Past {
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
    fn new(field: &'static str, why: impl std::fmt::Display) -> Self {
        Self { field, why: format!("{field}: {why}") }
    }
}

/// The lines, each with its number.
pub(super) struct Lines {
    reader: Reader<Box<dyn BufRead>>,
    columns: Columns,
    account: Option<AccountSid>,
}

/// Where each column is.
struct Columns {
    fields: Vec<(&'static str, usize)>,
    account: Option<usize>,
    created: Option<usize>,
    sent: Option<usize>,
    direction: Option<usize>,
    status: Option<usize>,
}

impl Lines {
    /// Reads the first line, which names the columns. `account`: whose messages they are where no column says.
    ///
    /// # Errors
    /// It cannot be read, or names no column of messages' SIDs.
    pub(super) fn begin(file: Box<dyn Read>, account: Option<AccountSid>) -> anyhow::Result<Self> {
        let mut file: Box<dyn BufRead> = Box::new(BufReader::new(file));
        let delimiter = delimiter(file.fill_buf().context("cannot be read")?);
        let mut reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .trim(Trim::All)
            .from_reader(file);
        let heads = reader.byte_headers().context("cannot be read")?;
        let heads: Vec<String> = heads.iter().map(bare).collect();
        let at = |names: &[&str]| {
            names.iter().find_map(|name| heads.iter().position(|head| head == name))
        };
        let fields = FIELDS.iter().filter_map(|(field, names)| Some((*field, at(names)?)));
        let columns = Columns {
            fields: fields.collect(),
            account: at(ACCOUNT),
            created: at(CREATED),
            sent: at(SENT),
            direction: at(DIRECTION),
            status: at(STATUS),
        };
        if columns.fields.iter().all(|(field, _)| *field != "MessageSid") {
            bail!("its first line names no column MessageSid (or Sid); expected a CSV with one");
        }
        Ok(Self { reader, columns, account })
    }

    fn read(&self, record: &ByteRecord) -> Result<Past, Bad> {
        let columns = &self.columns;
        let text = |field: &'static str, at: Option<usize>| {
            let bytes = at.and_then(|at| record.get(at)).unwrap_or_default();
            std::str::from_utf8(bytes).map_err(|_| Bad::new(field, "expected UTF-8"))
        };
        let direction = text("Direction", columns.direction)?;
        if direction.to_ascii_lowercase().starts_with("inbound") {
            return Err(Bad::new("Direction", "an inbound message is none that you sent"));
        }
        let status = Status::parse(&text("Status", columns.status)?.to_ascii_lowercase());
        if status.is_some_and(Status::is_undelivered) {
            let why = "it says that the message did not arrive; leave the column out where you know better";
            return Err(Bad::new("Status", why));
        }
        let account = text("AccountSid", columns.account)?;
        let account = match (account, self.account) {
            ("", Some(account)) => account,
            ("", None) => {
                let why = "missing; add the column, or set TWILIO_ACCOUNT_SID";
                return Err(Bad::new("AccountSid", why));
            }
            (account, _) => {
                AccountSid::parse(account).map_err(|error| Bad::new("AccountSid", error))?
            }
        };
        let mut fields = Vec::new();
        for (field, at) in &columns.fields {
            let value = text(field, Some(*at))?;
            if *field == "MessageSid" && value.is_empty() {
                return Err(Bad::new(field, "missing"));
            }
            fields.push(((*field).to_owned(), value.to_owned()));
        }
        let created = text("CreatedAt", columns.created)?;
        let sent = text("CreatedAt", columns.sent).ok().filter(|_| created.is_empty());
        let created = match (moment(created), sent.and_then(moment)) {
            (Some(created), _) => Some(created),
            (None, _) if !created.is_empty() => {
                let why =
                    "expected RFC 3339 with its offset, such as 2026-11-23T10:02:11Z, or RFC 2822";
                return Err(Bad::new("CreatedAt", why));
            }
            (None, sent) => sent,
        };
        fields.extend(created);
        Ok(Past { account, fields })
    }
}

/// The field of an app's event that such a moment goes into, as the app would write it or as Twilio does.
fn moment(text: &str) -> Option<(String, String)> {
    let field = match (text.parse::<Timestamp>(), rfc2822::parse(text)) {
        (Ok(_), _) => "CreatedAt",
        (Err(_), Ok(_)) => "DateCreated",
        (Err(_), Err(_)) => return None,
    };
    Some((field.to_owned(), text.to_owned()))
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

/// A column's name as it is compared: its letters and digits, in lower case.
fn bare(name: &[u8]) -> String {
    let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
    letters.map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}

impl Iterator for Lines {
    type Item = csv::Result<(u64, Result<Past, Bad>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut record = ByteRecord::new();
        let line = match self.reader.read_byte_record(&mut record) {
            Ok(true) => record.position().map_or(0, csv::Position::line),
            Ok(false) => return None,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok((line, self.read(&record))))
    }
}
