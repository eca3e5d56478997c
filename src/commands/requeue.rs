//! `requeue`: reports messages again: named or all refused messages, or those reported since a time.

use std::io::Write;

use serde_json::json;

use crate::admin::AdminRequest;
use crate::admin::requeue::{RequeueOutcome, RequeueSelection, RequeuedPage};
use crate::cli::operate::RequeueArgs;
use crate::commands::pipe_tolerant_stdout::note;
use crate::commands::store_access::StoreAccess;
use crate::domain::sid::MessageSid;

/// Requeues the messages. Returns whether all named messages are queued.
pub(super) async fn run(
    store: &StoreAccess,
    args: &RequeueArgs,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let selection = match args.reported_since {
        Some(since) => RequeueSelection::ReportedSince(since),
        None if args.all => RequeueSelection::Refused(args.code),
        None => RequeueSelection::Named(args.sids.clone()),
    };
    let mut counts = RequeueCounts::default();
    let mut cursor = None;
    loop {
        let selection = selection.clone();
        let page: RequeuedPage = store.request(AdminRequest::Requeue { selection, cursor }).await?;
        for outcome in page.outcomes {
            counts.add(outcome, args.common.json, out)?;
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if args.sids.is_empty() {
        // The command line does not name these messages: a state that changed meanwhile is no failure.
        counts.rejected = 0;
    }
    if !args.common.json && (counts.queued > 1 || counts.rejected == 0) {
        out.flush()?;
        note(format_args!("requeued {}", counts.queued));
    }
    Ok(counts.rejected == 0)
}

#[derive(Default)]
struct RequeueCounts {
    queued: u64,
    rejected: u64,
}

impl RequeueCounts {
    fn add(
        &mut self,
        (sid, outcome): (MessageSid, RequeueOutcome),
        as_json: bool,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let (queued, why) = match outcome {
            RequeueOutcome::Queued => (true, None),
            RequeueOutcome::NotQueued(state) => (false, Some(format!("it is {}", state.as_str()))),
            RequeueOutcome::Unknown => (false, Some("it is unknown".to_owned())),
        };
        *(if queued { &mut self.queued } else { &mut self.rejected }) += 1;
        if as_json {
            let line = json!({ "message_sid": sid, "requeued": queued, "reason": why });
            writeln!(out, "{line}")?;
        } else if let Some(why) = why {
            writeln!(out, "{sid} not requeued: {why}; only a refused message can be requeued")?;
        } else {
            writeln!(out, "{sid} requeued")?;
        }
        Ok(())
    }
}
