//! The operator's use cases, one file each. Commands, the control socket and the page call the same functions, so a use
//! case has one result and one log line.
//!
//! A command sends an [`AdminRequest`] over the control socket, or calls [`answer`] with a store that it has opened.

pub mod clock;
pub mod confirm_imported;
pub mod digest;
pub mod error;
pub mod forget;
pub mod hold;
mod labels;
pub mod list;
pub mod listener;
pub mod monitor;
pub mod page;
pub mod posting;
pub mod record_view;
pub mod requeue;
pub mod scrape;
pub mod show;
pub mod snapshot;
pub mod socket;
pub mod stats;
pub mod store_gauges;
pub mod trace_lookup;
pub mod transfer;
mod trends;

use std::io;

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

use crate::admin::error::AdminError;
use crate::admin::list::ListQuery;
use crate::admin::requeue::RequeueSelection;
use crate::domain::hex::hex;
use crate::domain::message::Reference;
use crate::domain::sid::AccountSid;
use crate::domain::trace::TraceParent;
use crate::store::{ExportRecord, Store};
use crate::telemetry::readiness::Readiness;

/// A request of a command. A `cursor` comes from the answer before, and a `limit` is the most records of the answer.
///
/// Deliberately absent: `Debug`, because a request may contain recipients' addresses.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminRequest {
    /// One page of records; answered with [`ListPage`](crate::store::ListPage).
    List { query: ListQuery, cursor: Option<Vec<u8>>, limit: usize },
    /// The newest records; answered with [`list::NewestRecords`].
    Newest { query: ListQuery, limit: usize },
    /// All records of a message's SID or of a reference; answered with [`show::ShownRecords`].
    Show { sid_or_reference: Reference },
    /// Counts of all records at a time; answered with [`stats::Summary`].
    Stats(Timestamp),
    /// Puts an account on hold; answered with [`hold::HoldOutcome`].
    Hold(AccountSid),
    /// Ends the hold of an account; answered with [`hold::HoldOutcome`].
    Resume(AccountSid),
    /// Requeues one page of messages; answered with [`requeue::RequeuedPage`].
    Requeue { selection: RequeueSelection, cursor: Option<Vec<u8>> },
    /// The state of the clock; answered with [`clock::ClockState`].
    Clock { confirm: bool },
    /// Erases the records of recipients; answered with [`forget::Erased`].
    Forget { addresses: Vec<String> },
    /// The phone key that the store keeps; answered with its hexadecimal digits, or `null`.
    PhoneKey,
    /// The identity of the store; answered with [`transfer::Identity`].
    Identify,
    /// One page of all records for an export; answered with [`Records`](crate::store::Records).
    Export { cursor: Option<Vec<u8>>, limit: usize },
    /// Imports records; answered with [`ImportOutcome`](crate::store::ImportOutcome).
    Import {
        /// The check of the key that hashed the recipients.
        key_check: String,
        records: Vec<ExportRecord>,
    },
    /// One page of counts and checksums of all records; answered with [`digest::DigestPage`].
    Digest { cursor: Option<Vec<u8>>, limit: usize },
    /// Compares records of an export with the store; answered with [`digest::Comparison`].
    Compare {
        /// The check of the key that hashed the recipients.
        key_check: String,
        records: Vec<ExportRecord>,
    },
    /// One step of matching parked evidence again after an import; answered with [`Reconsidered`](crate::store::Reconsidered).
    Rematch { cursor: Option<Vec<u8>>, limit: usize },
    /// Confirms a message that an operator's CSV lists; answered with [`confirm_imported::LineOutcome`].
    ConfirmImported {
        account: AccountSid,
        /// The fields of an app's event.
        fields: Vec<(String, String)>,
        imported_at: Timestamp,
    },
    /// The records of each trace; answered with a list of [`trace_lookup::TracedRecords`].
    TraceLookup(Vec<TraceParent>),
}

/// The store and the process that a request is carried out in.
pub struct AdminContext<'a> {
    pub store: &'a dyn Store,
    /// The state of the service that has the store open; `None` if a command has opened it.
    pub service: Option<&'a Readiness>,
    /// Removes the recordings of rejected requests, and returns their number.
    pub clear_recordings: &'a dyn Fn() -> io::Result<u64>,
}

/// Carries out a request. The answer is JSON, of the type that the request's variant names.
///
/// # Errors
/// See [`AdminError`].
pub async fn answer(
    context: &AdminContext<'_>,
    request: AdminRequest,
) -> Result<Vec<u8>, AdminError> {
    let AdminContext { store, service, clear_recordings } = *context;
    Ok(match request {
        AdminRequest::List { query, cursor, limit } => {
            json(&list::page(store, &query, cursor, limit).await?)
        }
        AdminRequest::Newest { query, limit } => {
            json(&list::newest(store, service, &query, limit).await?)
        }
        AdminRequest::Show { sid_or_reference } => {
            json(&show::show(store, service, &sid_or_reference).await?)
        }
        AdminRequest::Stats(now) => json(&stats::stats(store, service, now).await?),
        AdminRequest::Hold(account) => json(&hold::hold(store, account).await?),
        AdminRequest::Resume(account) => json(&hold::resume(store, account).await?),
        AdminRequest::Requeue { selection, cursor } => {
            json(&requeue::requeue(store, &selection, cursor).await?)
        }
        AdminRequest::Clock { confirm } => json(&clock::check(store, confirm).await?),
        AdminRequest::Forget { addresses } => {
            json(&forget::forget(store, clear_recordings, &addresses).await?)
        }
        AdminRequest::PhoneKey => {
            let key = store.own_recipient_hash_key();
            json(&key.map(|key| hex(key.expose_secret())))
        }
        AdminRequest::Identify => json(&transfer::identity(store)),
        AdminRequest::Export { cursor, limit } => json(&store.records(cursor, limit).await?),
        AdminRequest::Import { key_check, records } => {
            json(&transfer::import(store, &key_check, records).await?)
        }
        AdminRequest::Digest { cursor, limit } => {
            json(&digest::digest(store, cursor, limit).await?)
        }
        AdminRequest::Compare { key_check, records } => {
            json(&digest::compare(store, &key_check, records).await?)
        }
        AdminRequest::Rematch { cursor, limit } => {
            json(&transfer::reconsider(store, cursor, limit).await?)
        }
        AdminRequest::ConfirmImported { account, fields, imported_at } => {
            json(&confirm_imported::confirm_imported(store, account, fields, imported_at).await?)
        }
        AdminRequest::TraceLookup(traces) => {
            json(&trace_lookup::trace_lookup(store, &traces).await?)
        }
    }?)
}

fn json(answer: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(answer)
}
