//! The columns of a CSV, found by their names.
//!
//! The names are our own, those of Twilio's console (`RangeEnd,To,Body,Status,SentDate,…,AccountSid,Sid,Direction,…`), of
//! its API (`sid`, `date_created`, …) and of its callbacks. Two columns with one meaning are an error.

use anyhow::bail;

/// The fields of an app's event, and the names of their columns.
const EVENT_FIELDS: [(&str, &[&str]); 4] = [
    ("MessageSid", &["messagesid", "sid", "smssid"]),
    ("Reference", &["reference"]),
    ("OccurredAt", &["occurredat"]),
    ("Type", &["type"]),
];
const ACCOUNT_NAMES: &[&str] = &["accountsid"];
const CREATED_NAMES: &[&str] = &["createdat", "datecreated"];
/// The time of sending, which is slightly later than creation. It is used if there is no time of creation.
const SENT_NAMES: &[&str] = &["datesent", "sentdate"];
const DIRECTION_NAMES: &[&str] = &["direction"];
const STATUS_NAMES: &[&str] = &["status", "messagestatus", "smsstatus"];
const ERROR_NAMES: &[&str] = &["errorcode"];

pub(super) struct Columns {
    pub(super) count: usize,
    pub(super) fields: Vec<(&'static str, usize)>,
    pub(super) account: Option<usize>,
    pub(super) created: Option<usize>,
    pub(super) sent: Option<usize>,
    pub(super) direction: Option<usize>,
    pub(super) status: Option<usize>,
    pub(super) error: Option<usize>,
}

impl Columns {
    /// Finds the columns in the first line.
    pub(super) fn by_name<'a>(heads: impl Iterator<Item = &'a [u8]>) -> anyhow::Result<Self> {
        let heads: Vec<String> = heads.map(normalized).collect();
        let mut fields = Vec::new();
        for (field, names) in EVENT_FIELDS {
            fields.extend(column(&heads, names)?.map(|at| (field, at)));
        }
        if fields.iter().all(|(field, _)| *field != "MessageSid") {
            bail!("its first line has no column MessageSid (or Sid); expected a CSV with one");
        }
        Ok(Self {
            count: heads.len(),
            fields,
            account: column(&heads, ACCOUNT_NAMES)?,
            created: column(&heads, CREATED_NAMES)?,
            sent: column(&heads, SENT_NAMES)?,
            direction: column(&heads, DIRECTION_NAMES)?,
            status: column(&heads, STATUS_NAMES)?,
            error: column(&heads, ERROR_NAMES)?,
        })
    }
}

/// The index of the column that has one of these names.
fn column(heads: &[String], names: &[&str]) -> anyhow::Result<Option<usize>> {
    let mut found = heads.iter().enumerate().filter(|(_, head)| names.contains(&head.as_str()));
    let first = found.next().map(|(at, _)| at);
    if let Some((second, head)) = found.next() {
        let first = first.map_or(0, |at| at + 1);
        let second = second + 1;
        bail!("its columns {first} and {second} ({head}) mean the same; remove one of them");
    }
    Ok(first)
}

/// The letters and digits of a column's name, in lower case.
fn normalized(name: &[u8]) -> String {
    let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
    letters.map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}
