//! The queries of operators and of the click page: they read beside the writers.

use std::cmp::Reverse;
use std::sync::PoisonError;

use jiff::Timestamp;

use crate::domain::click_link::{Link, LinkId};
use crate::domain::hex;
use crate::domain::message::{Message, Reference, State};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::stats::{MessageStats, StatusBucket};
use crate::store::engine::{Backend as _, MAX_RELATED, StoredRow, list_entry, live_link};
use crate::store::postgres::pages::{Cursor, RowKind, page};
use crate::store::postgres::store::PostgresStore;
use crate::store::postgres::tally;
use crate::store::{Filter, ListPage, Records, StoreError};

/// The rows of a page that is read to find the rows of people.
const PAGE: usize = 1000;

impl PostgresStore {
    pub(super) async fn now(&self) -> Result<Timestamp, StoreError> {
        if let Some(clock) = &self.database.clock {
            return Ok(clock());
        }
        self.read(|database, mut transaction| async move { database.now(&mut transaction).await })
            .await
    }

    pub(super) async fn messages(
        &self,
        statement: &'static str,
        first: Option<String>,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |_, mut transaction| async move {
            let rows: Vec<(String,)> = sqlx::query_as(statement)
                .bind(limit)
                .bind(first)
                .fetch_all(&mut *transaction)
                .await?;
            let messages = rows.iter().map(|(body,)| Ok(serde_json::from_str(body)?));
            messages.collect()
        })
        .await
    }

    pub(super) async fn page(
        &self,
        cursor: Cursor,
        limit: usize,
    ) -> Result<(Vec<StoredRow>, Option<Cursor>), StoreError> {
        self.read(
            move |_, mut transaction| async move { page(&mut transaction, &cursor, limit).await },
        )
        .await
    }

    pub(super) async fn each_row<T>(
        &self,
        kinds: &[RowKind],
        mut visit: impl FnMut(StoredRow) -> Option<T> + Send,
    ) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        for kind in kinds {
            let mut next = Some(Cursor::start(*kind));
            while let Some(cursor) = next {
                let (rows, after) = self.page(cursor, PAGE).await?;
                found.extend(rows.into_iter().filter_map(&mut visit));
                next = after;
            }
        }
        Ok(found)
    }

    pub(super) async fn find_link(&self, id: LinkId) -> Result<Option<Link>, StoreError> {
        let now = self.now().await?;
        self.read(move |database, mut transaction| async move {
            let id = hex::hex(id.as_bytes());
            let row: Option<(String,)> =
                sqlx::query_as("SELECT body::text FROM link WHERE id = $1")
                    .bind(id)
                    .fetch_optional(&mut *transaction)
                    .await?;
            let link = row.map(|(body,)| serde_json::from_str(&body)).transpose()?;
            Ok(link.and_then(|link| live_link(link, &database.config.policy, now)))
        })
        .await
    }

    pub(super) async fn find_list(
        &self,
        filter: Filter,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<ListPage, StoreError> {
        let now = self.now().await?;
        let kind = match filter {
            Filter::Messages(_) => RowKind::Message,
            Filter::Parked | Filter::Orphaned => RowKind::Parked,
        };
        let cursor = cursor.as_deref().and_then(Cursor::from_bytes);
        let cursor = cursor.filter(|cursor| cursor.kind == kind);
        let mut next = Some(cursor.unwrap_or_else(|| Cursor::start(kind)));
        let mut listed = ListPage::default();
        while let Some(cursor) = next {
            // As many rows as there is room for: so the next page starts at the first row that is not listed.
            let room = limit.saturating_sub(listed.entries.len());
            if room == 0 {
                listed.next = Some(cursor.to_bytes());
                break;
            }
            let (rows, after) = self.page(cursor, room).await?;
            listed.entries.extend(rows.into_iter().filter_map(|row| list_entry(filter, row, now)));
            next = after;
        }
        Ok(listed)
    }

    pub(super) async fn find_message(
        &self,
        sid: MessageSid,
    ) -> Result<Option<Message>, StoreError> {
        let now = self.now().await?;
        let statement = "SELECT body::text FROM message WHERE sid = $2 LIMIT $1";
        let found = self.messages(statement, Some(sid.to_string()), 1).await?;
        Ok(found.into_iter().next().map(|mut message| {
            message.apply_expiry(now);
            message
        }))
    }

    pub(super) async fn find_by_reference(
        &self,
        reference: Reference,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let now = self.now().await?;
        let accounts: Vec<AccountSid> = self.find_stats().await?.accounts().collect();
        let mut found = self
            .run_alone(move |rows| {
                let mut found = Vec::new();
                for account in &accounts {
                    let Ok(sids) = rows.sids_with_reference(*account, &reference, MAX_RELATED);
                    for sid in sids {
                        let Ok(message) = rows.message(sid);
                        found.extend(message);
                    }
                }
                Ok(found)
            })
            .await?;
        found.sort_by_key(|message| Reverse(message.created_at));
        found.truncate(limit);
        for message in &mut found {
            message.apply_expiry(now);
        }
        Ok(found)
    }

    pub(super) async fn find_stats(&self) -> Result<MessageStats, StoreError> {
        let news = self.database.news.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.read(move |_, mut transaction| async move {
            let sums: Vec<(String, i64)> = sqlx::query_as(
                "SELECT key, sum(n)::bigint FROM tally WHERE key LIKE 'stats:%' GROUP BY key",
            )
            .fetch_all(&mut *transaction)
            .await?;
            let oldest: Vec<(i16, i64)> = sqlx::query_as(
                "SELECT state, (SELECT min(stands_since) FROM message WHERE message.state = k.state)
                 FROM unnest(ARRAY[1, 3, 4, 6]::smallint[]) AS k(state)
                 WHERE EXISTS (SELECT FROM message WHERE message.state = k.state)
                 UNION ALL
                 SELECT -1::smallint, min(parked_at) FROM parked WHERE NOT orphaned AND waiting HAVING count(*) > 0
                 UNION ALL
                 SELECT -2::smallint, min(parked_at) FROM parked WHERE orphaned HAVING count(*) > 0",
            )
            .fetch_all(&mut *transaction)
            .await?;
            let oldest = oldest.into_iter().filter_map(|(number, at)| {
                let bucket = match number {
                    -1 => StatusBucket::Parked,
                    -2 => StatusBucket::Orphaned,
                    number => StatusBucket::Message(
                        State::ALL.get(usize::try_from(number).ok()?).copied()?,
                    ),
                };
                Some((bucket, at.div_euclid(1000)))
            });
            Ok(tally::stats(&news, &sums, oldest.collect()))
        })
        .await
    }

    pub(super) async fn find_records(
        &self,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Records, StoreError> {
        let limit = limit.max(1);
        let mut page = Records::default();
        let start = || Cursor::start(RowKind::Hold);
        let mut cursor = cursor.as_deref().and_then(Cursor::from_bytes).unwrap_or_else(start);
        loop {
            let room = limit - page.records.len();
            let kind = cursor.kind;
            let (rows, next) = self.page(cursor, room).await?;
            page.records.extend(rows.into_iter().filter_map(StoredRow::exported));
            let following = RowKind::ALL.iter().skip_while(|other| **other != kind).nth(1);
            let Some(next) = next.or_else(|| following.copied().map(Cursor::start)) else {
                return Ok(page);
            };
            if page.records.len() >= limit {
                page.next = Some(next.to_bytes());
                return Ok(page);
            }
            cursor = next;
        }
    }

    pub(super) async fn count_evictable(&self) -> Result<u64, StoreError> {
        let now = self.now().await?.as_millisecond();
        self.read(move |_, mut transaction| async move {
            let (count,): (i64,) = sqlx::query_as(
                "SELECT count(*) FROM message WHERE evict_rank IS NOT NULL AND evict_from <= $1",
            )
            .bind(now)
            .fetch_one(&mut *transaction)
            .await?;
            Ok(u64::try_from(count).unwrap_or_default())
        })
        .await
    }
}
