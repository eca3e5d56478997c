//! Records for a real store: the default policy, a message, a confirmation of it, and a list of all records.

use std::time::Duration;

use heardback::domain::matching::{Policy, Resend};
use heardback::domain::message::Status;
use heardback::domain::sid::{AccountSid, MessageSid};
use heardback::domain::signal::{
    Evidence, EvidenceTarget, MessageUpdate, Signal, SignalSource, TimeSource,
};
use heardback::store::{Filter, ListEntry, Store, StoreError};
use jiff::Timestamp;

/// The policy of the default settings.
pub(crate) fn default_policy() -> Policy {
    Policy {
        pending_ttl: Duration::from_hours(7 * 24),
        reply_window: Duration::from_hours(1),
        event_window: Duration::from_mins(15),
        retention: Duration::from_hours(30 * 24),
        read_confirms: false,
        resend: Resend::default(),
    }
}

/// A message whose feedback was requested, as a status callback of Twilio describes it.
pub(crate) fn sent_message(sid: MessageSid, account: AccountSid, now: Timestamp) -> MessageUpdate {
    MessageUpdate {
        sid,
        account,
        tracked: true,
        strict: false,
        by_twilio: false,
        recipient: None,
        number: None,
        names: None,
        from: Some("+14155550123".to_owned()),
        service: None,
        reference: None,
        status: Some(Status::Sent),
        error_code: None,
        code: None,
        link: None,
        created_at: None,
        seen_at: now,
        trace: None,
    }
}

/// The app's event that the code of a message was entered.
pub(crate) fn code_entered(sid: MessageSid, account: AccountSid, now: Timestamp) -> Signal {
    let evidence = Evidence {
        account,
        target: EvidenceTarget::Message(sid),
        label: "code_entered".to_owned(),
        occurred_at: now,
        time_source: TimeSource::Exact,
        source: SignalSource::App,
    };
    Signal {
        source: SignalSource::App,
        dedup_ids: Vec::new(),
        code: None,
        evidence: Ok(evidence),
        names: None,
        message_update: None,
        seen_at: now,
        trace: None,
    }
}

/// All entries that match the filter.
pub(crate) async fn list_all(
    store: &dyn Store,
    filter: Filter,
) -> Result<Vec<ListEntry>, StoreError> {
    let (mut entries, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.list(filter, cursor, 1000).await?;
        entries.extend(page.entries);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(entries);
        }
    }
}
