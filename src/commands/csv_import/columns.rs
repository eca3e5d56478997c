//! The columns of a CSV, found by their names.
//!
//! The names are our own, those of Twilio's console (`RangeEnd,To,Body,Status,SentDate,…,AccountSid,Sid,Direction,…`), of
//! its API (`sid`, `date_created`, …) and of its callbacks. Two columns with one meaning are an error.

use anyhow::bail;

/// The fields of an app's event, and the names of their columns.
const FIELDS: [(&str, &[&str]); 4] = [
    ("MessageSid", &["messagesid", "sid", "smssid"]),
    ("Reference", &["reference"]),
    ("OccurredAt", &["occurredat"]),
    ("Type", &["type"]),
];
const ACCOUNT: &[&str] = &["accountsid"];
const CREATED: &[&str] = &["createdat", "datecreated"];
/// Slightly later than creation; used if there is no time of creation.
const SENT: &[&str] = &["datesent", "sentdate"];
const DIRECTION: &[&str] = &["direction"];
const STATUS: &[&str] = &["status", "messagestatus", "smsstatus"];
const ERROR: &[&str] = &["errorcode"];

/// The index of each column.
pub(super) struct Columns {
    /// The number of all columns.
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
    ///
    /// # Errors
    /// No column has SIDs of messages, or two columns have one meaning.
    pub(super) fn by_name<'a>(heads: impl Iterator<Item = &'a [u8]>) -> anyhow::Result<Self> {
        let heads: Vec<String> = heads.map(bare).collect();
        let mut fields = Vec::new();
        for (field, names) in FIELDS {
            fields.extend(at(&heads, names)?.map(|at| (field, at)));
        }
        if fields.iter().all(|(field, _)| *field != "MessageSid") {
            bail!("its first line has no column MessageSid (or Sid); expected a CSV with one");
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
        bail!("its columns {first} and {second} ({head}) mean the same; remove one of them");
    }
    Ok(first)
}

/// The letters and digits of a column's name, in lower case.
fn bare(name: &[u8]) -> String {
    let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
    letters.map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}
