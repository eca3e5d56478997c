//! The columns of a CSV by name, whoever wrote it.
//!
//! Besides our own names it knows those of Twilio's console (`RangeEnd,To,Body,Status,SentDate,…,AccountSid,Sid,
//! Direction,…`), of its API (`sid`, `date_created`, …) and of its callbacks. Two columns of one meaning are none:
//! nobody can say which of them to believe.

use anyhow::bail;

/// The fields of an app's event that a column may hold, and the columns' names.
const FIELDS: [(&str, &[&str]); 4] = [
    ("MessageSid", &["messagesid", "sid", "smssid"]),
    ("Reference", &["reference"]),
    ("OccurredAt", &["occurredat"]),
    ("Type", &["type"]),
];
const ACCOUNT: &[&str] = &["accountsid"];
const CREATED: &[&str] = &["createdat", "datecreated"];
/// A little later than creation, and better than nothing.
const SENT: &[&str] = &["datesent", "sentdate"];
const DIRECTION: &[&str] = &["direction"];
const STATUS: &[&str] = &["status", "messagestatus", "smsstatus"];
const ERROR: &[&str] = &["errorcode"];

/// Where each column is.
pub(super) struct Columns {
    /// How many there are, of whatever name.
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
    /// From the first line's.
    ///
    /// # Errors
    /// None of them has messages' SIDs, or two mean the same.
    pub(super) fn by_name<'a>(heads: impl Iterator<Item = &'a [u8]>) -> anyhow::Result<Self> {
        let heads: Vec<String> = heads.map(bare).collect();
        let mut fields = Vec::new();
        for (field, names) in FIELDS {
            fields.extend(at(&heads, names)?.map(|at| (field, at)));
        }
        if fields.iter().all(|(field, _)| *field != "MessageSid") {
            bail!("its first line names no column MessageSid (or Sid); expected a CSV with one");
        }
        Ok(Self {
            count: heads.len(),
            fields,
            account: at(&heads, ACCOUNT)?,
            created: at(&heads, CREATED)?,
            sent: at(&heads, SENT)?,
            direction: at(&heads, DIRECTION)?,
            status: at(&heads, STATUS)?,
            error: at(&heads, ERROR)?,
        })
    }
}

fn at(heads: &[String], names: &[&str]) -> anyhow::Result<Option<usize>> {
    let mut found = heads.iter().enumerate().filter(|(_, head)| names.contains(&head.as_str()));
    let first = found.next().map(|(at, _)| at);
    if let Some((second, head)) = found.next() {
        let first = first.map_or(0, |at| at + 1);
        let second = second + 1;
        bail!(
            "its columns {first} and {second} ({head}) mean the same; expected one of them: take the other out"
        );
    }
    Ok(first)
}

/// A column's name as it is compared: its letters and digits, in lower case.
fn bare(name: &[u8]) -> String {
    let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
    letters.map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}
