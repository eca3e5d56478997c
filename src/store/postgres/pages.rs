//! Reads rows of one kind in the order of their keys, a page at a time.

use sqlx::PgConnection;

use crate::domain::address::RecipientHash;
use crate::domain::click_link::LinkId;
use crate::domain::hex;
use crate::domain::sid::AccountSid;
use crate::domain::signal::DedupKey;
use crate::store::engine::StoredRow;
use crate::store::postgres::error::TransactionError;
use crate::store::postgres::load::timestamp;

type Result<T> = std::result::Result<T, TransactionError>;

/// A kind of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowKind {
    Hold,
    Counted,
    Names,
    Automatic,
    Parked,
    Message,
    Link,
    Sender,
}

impl RowKind {
    /// The order of an export. Holds come first, so that an import reports nothing that was on hold. Deduplication keys
    /// come before evidence, so that no act counts twice. Evidence comes before messages, which may be confirmed by it
    /// meanwhile, and links after messages, which may be found in them meanwhile.
    pub(super) const ALL: [Self; 8] = [
        Self::Hold,
        Self::Counted,
        Self::Names,
        Self::Automatic,
        Self::Parked,
        Self::Message,
        Self::Link,
        Self::Sender,
    ];

    fn letter(self) -> u8 {
        match self {
            Self::Hold => b'h',
            Self::Counted => b'c',
            Self::Names => b'n',
            Self::Automatic => b'a',
            Self::Parked => b'p',
            Self::Message => b'm',
            Self::Link => b'l',
            Self::Sender => b's',
        }
    }

    /// The rows after a key, each with its key as text and with its columns as text.
    fn statement(self) -> &'static str {
        match self {
            Self::Hold => {
                "SELECT account, account, since::text FROM hold
                 WHERE account > $1 COLLATE \"C\" ORDER BY account LIMIT $2"
            }
            Self::Counted => {
                "SELECT key, key, at::text FROM counted
                 WHERE key > $1 COLLATE \"C\" ORDER BY key LIMIT $2"
            }
            Self::Names => {
                "SELECT account || encode(person, 'hex'), account || encode(person, 'hex'), body::text FROM tied_name
                 WHERE (account, person) > (left($1, 34) COLLATE \"C\", decode(substr($1, 35), 'hex'))
                 ORDER BY account, person LIMIT $2"
            }
            Self::Automatic => {
                "SELECT encode(person, 'hex'), encode(person, 'hex'), body::text FROM automatic
                 WHERE person > decode($1, 'hex') ORDER BY person LIMIT $2"
            }
            Self::Parked => {
                "SELECT jsonb_build_array(waits_for, parked_at, encode(digest, 'hex'))::text, '', body::text FROM parked
                 WHERE $1 = '' OR (waits_for, parked_at, digest) >
                     (($1::jsonb->>0) COLLATE \"C\", ($1::jsonb->>1)::bigint, decode($1::jsonb->>2, 'hex'))
                 ORDER BY waits_for, parked_at, digest LIMIT $2"
            }
            Self::Message => {
                "SELECT sid, '', body::text FROM message
                 WHERE sid > $1 COLLATE \"C\" ORDER BY sid LIMIT $2"
            }
            Self::Link => {
                "SELECT id, id, body::text FROM link WHERE id > $1 COLLATE \"C\" ORDER BY id LIMIT $2"
            }
            Self::Sender => {
                "SELECT account || address, account || address, service FROM sender
                 WHERE (account, address) > (left($1, 34) COLLATE \"C\", substr($1, 35) COLLATE \"C\")
                 ORDER BY account, address LIMIT $2"
            }
        }
    }

    fn row(self, key: &str, value: &str) -> Result<StoredRow> {
        let damaged = || TransactionError::Damaged("its key is unknown".to_owned());
        let milliseconds = || value.parse().map(timestamp).map_err(|_| damaged());
        // A SID has 34 characters.
        let split = |text: &str| {
            let (account, rest) = text.split_at_checked(34)?;
            Some((account.parse::<AccountSid>().ok()?, rest.to_owned()))
        };
        Ok(match self {
            Self::Hold => StoredRow::Hold(key.parse().map_err(|_| damaged())?, milliseconds()?),
            Self::Counted => {
                let key = if let Some(digest) = key.strip_prefix("event:") {
                    hex::bytes(digest).map(DedupKey::Event)
                } else {
                    let message = key.parse().ok().map(DedupKey::Message);
                    message.or_else(|| key.parse().ok().map(DedupKey::Call))
                };
                StoredRow::Counted(key.ok_or_else(damaged)?, milliseconds()?)
            }
            Self::Names => {
                let (account, person) = split(key).ok_or_else(damaged)?;
                let person = hex::bytes(&person).map(RecipientHash::from_bytes);
                StoredRow::Names(account, person.ok_or_else(damaged)?, serde_json::from_str(value)?)
            }
            Self::Automatic => {
                let person = hex::bytes(key).map(RecipientHash::from_bytes).ok_or_else(damaged)?;
                StoredRow::Automatic(person, serde_json::from_str(value)?)
            }
            Self::Parked => StoredRow::Parked(serde_json::from_str(value)?),
            Self::Message => StoredRow::Message(serde_json::from_str(value)?),
            Self::Link => {
                let id = hex::bytes(key).map(LinkId::from_bytes).ok_or_else(damaged)?;
                StoredRow::Link(id, serde_json::from_str(value)?)
            }
            Self::Sender => {
                let (account, address) = split(key).ok_or_else(damaged)?;
                StoredRow::Sender(account, address, value.parse().map_err(|_| damaged())?)
            }
        })
    }
}

/// The place of a page: a kind, and the key of the last row before the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) kind: RowKind,
    after: String,
}

impl Cursor {
    pub(super) fn start(kind: RowKind) -> Self {
        Self { kind, after: String::new() }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&[self.kind.letter()], self.after.as_bytes()].concat()
    }

    /// Reads a cursor. It comes from a client, so it may be anything.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (letter, after) = bytes.split_first()?;
        let kind = RowKind::ALL.into_iter().find(|kind| kind.letter() == *letter)?;
        Some(Self { kind, after: String::from_utf8(after.to_vec()).ok()? })
    }
}

/// Up to `limit` rows of the cursor's kind, and the cursor after the last of them. `None`: there are no more.
pub(super) async fn page(
    connection: &mut PgConnection,
    cursor: &Cursor,
    limit: usize,
) -> Result<(Vec<StoredRow>, Option<Cursor>)> {
    let most = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
    let mut found: Vec<(String, String, String)> = sqlx::query_as(cursor.kind.statement())
        .bind(&cursor.after)
        .bind(most)
        .fetch_all(connection)
        .await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().map(|(key, ..)| key.clone()).filter(|_| has_more);
    let rows = found.iter().map(|(_, key, value)| cursor.kind.row(key, value));
    let rows = rows.collect::<Result<Vec<_>>>()?;
    Ok((rows, last.map(|after| Cursor { kind: cursor.kind, after })))
}
