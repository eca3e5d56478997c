//! `requeue`: reports messages again: named or all refused ones, or those reported since a time.

use std::io::Write;

use jiff::Timestamp;
use serde_json::json;

use crate::cli::operate::RequeueArgs;
use crate::domain::sid::MessageSid;
use crate::inbound::control::{Requeue, RequeueRefused, RequeueReported, RequeuedSome, Verdict};
use crate::tools::reach::{Reach, Wrong, at_or_ago};
use crate::tools::stdio::note;

/// What was asked for.
pub(super) struct Asked {
    which: Which,
    json: bool,
}

enum Which {
    These(Vec<MessageSid>),
    Refused(Option<u32>),
    ReportedSince(Timestamp),
}

impl Asked {
    /// Reads it.
    ///
    /// # Errors
    /// [`Wrong`], if one of them is no SID: nothing is requeued then.
    pub(super) fn read(args: &RequeueArgs) -> Result<Self, Wrong> {
        if let Some(text) = &args.reported_since {
            let since = at_or_ago("--reported-since", text)?;
            return Ok(Self { which: Which::ReportedSince(since), json: args.json });
        }
        if args.all {
            return Ok(Self { which: Which::Refused(args.code), json: args.json });
        }
        let read = |(at, sid): (usize, &String)| {
            MessageSid::parse(sid).map_err(|error| Wrong(format!("message {at}: {error}")))
        };
        let sids = (1..).zip(&args.sids).map(read).collect::<Result<_, _>>()?;
        Ok(Self { which: Which::These(sids), json: args.json })
    }
}

/// Does it, and says what became of each. Whether all that was named is queued.
///
/// # Errors
/// The store does not do it, or nobody reads what is written.
pub(super) async fn run(
    reach: &Reach,
    asked: &Asked,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let mut count = Count::default();
    let mut cursor = None;
    loop {
        let page = page(reach, &asked.which, cursor).await?;
        for verdict in page.verdicts {
            count.tell(verdict, asked.json, out)?;
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if !matches!(asked.which, Which::These(_)) {
        // The operator did not name these messages: one whose state changed meanwhile is no failure.
        count.not = 0;
    }
    if !asked.json && (count.queued > 1 || count.not == 0) {
        out.flush()?;
        note(format_args!("requeued {}", count.queued));
    }
    Ok(count.not == 0)
}

async fn page(
    reach: &Reach,
    which: &Which,
    cursor: Option<Vec<u8>>,
) -> anyhow::Result<RequeuedSome> {
    match which {
        Which::These(sids) => {
            let verdicts = reach.ask(Requeue { sids: sids.clone() }).await?;
            Ok(RequeuedSome { verdicts, next: None })
        }
        Which::Refused(code) => reach.ask(RequeueRefused { code: *code, cursor }).await,
        Which::ReportedSince(since) => reach.ask(RequeueReported { since: *since, cursor }).await,
    }
}

#[derive(Default)]
struct Count {
    queued: u64,
    not: u64,
}

impl Count {
    fn tell(
        &mut self,
        (sid, verdict): (MessageSid, Verdict),
        as_json: bool,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let (queued, why) = match verdict {
            Verdict::Queued => (true, None),
            Verdict::Otherwise(state) => (false, Some(format!("it is {}", state.as_str()))),
            Verdict::Unknown => (false, Some("it is not known".to_owned())),
        };
        *(if queued { &mut self.queued } else { &mut self.not }) += 1;
        if as_json {
            let line = json!({ "message_sid": sid, "requeued": queued, "reason": why });
            writeln!(out, "{line}")?;
        } else if let Some(why) = why {
            writeln!(out, "{sid} not requeued: {why}, and only a refused one can be")?;
        } else {
            writeln!(out, "{sid} requeued")?;
        }
        Ok(())
    }
}
