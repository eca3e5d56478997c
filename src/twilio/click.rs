//! Clicks on links that Twilio shortened: direct evidence, if a person clicked.
//!
//! The callback distinguishes clicks from previews by machines; the event of Event Streams does not. Clicks of known
//! crawlers are no evidence, if the settings say so.

use crate::domain::matching::Reason;
use crate::domain::sid::{AccountSid, kind};
use crate::domain::signal::{
    Evidence, EvidenceTarget, Malformed, Signal, SignalSource, TimeSource,
};
use crate::twilio::callback::{EventMeta, ParseContext};
use crate::twilio::crawlers;
use crate::twilio::fields::{Fields, missing};

/// Parses a Link Shortening callback. `None` for other event types than click and preview.
///
/// # Errors
/// [`Malformed`].
pub fn click(fields: &Fields, context: &ParseContext<'_>) -> Result<Option<Signal>, Malformed> {
    let account = context.account(fields)?.ok_or_else(|| missing("AccountSid"))?;
    if fields.get("EventType").is_none() {
        return Err(missing("EventType"));
    }
    // `ClickTime` is the time of a click, and a named message needs none.
    clicked(fields, context, account, &EventMeta { when: None, event: None })
}

/// A click for a known account. Without an `event_type` it is a click.
pub(super) fn clicked(
    fields: &Fields,
    context: &ParseContext<'_>,
    account: AccountSid,
    meta: &EventMeta,
) -> Result<Option<Signal>, Malformed> {
    let evidence = match fields.get("EventType") {
        Some("click") | None => {
            let sid = fields.sid::<kind::MessageKind>("SmsSid", Some("MessageSid"))?;
            let target = EvidenceTarget::Message(sid.ok_or_else(|| missing("SmsSid"))?);
            let at = meta.when.map(|when| when.at);
            let claimed = fields.timestamp("ClickTime").ok().flatten().or(at);
            let occurred_at = claimed.unwrap_or(context.now).min(context.now);
            let (label, time_source) = ("click".to_owned(), TimeSource::Exact);
            let source = SignalSource::Click;
            let evidence = Evidence { account, target, label, occurred_at, time_source, source };
            if is_crawler(fields, context) { Err(Reason::Crawler) } else { Ok(evidence) }
        }
        Some("preview") => Err(Reason::Preview),
        Some(_) => return Ok(None),
    };
    Ok(Some(Signal {
        source: SignalSource::Click,
        // A repeated click proves no more, because it names its message. Only an event has an id.
        dedup_ids: meta.event.iter().cloned().collect(),
        code: None,
        evidence,
        names: None,
        message_update: None,
        seen_at: context.now,
        trace: context.trace,
    }))
}

fn is_crawler(fields: &Fields, context: &ParseContext<'_>) -> bool {
    context.ignores_crawlers && fields.get("UserAgent").is_some_and(crawlers::is_known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::address::RecipientHashKey;
    use crate::twilio::fields::FieldSpelling;

    const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1";

    fn read(more: &str, ignores_crawlers: bool) -> Result<Option<Signal>, Malformed> {
        let json = format!(
            r#"{{"account_sid":"AC0123456789abcdef0123456789abcdef","sms_sid":"SM0123456789abcdef0123456789abcdef",{more}}}"#
        );
        let fields = Fields::from_json(json.as_bytes(), FieldSpelling::Any)?;
        let key = RecipientHashKey::new(b"key");
        let context = ParseContext::example(&key, "2026-11-23T10:05:00Z");
        click(&fields, &ParseContext { ignores_crawlers, ..context })
    }

    #[test]
    fn a_click_is_evidence_and_a_preview_or_a_crawler_is_none() {
        let of =
            |kind: &str, agent: &str| format!(r#""event_type":"{kind}","user_agent":"{agent}""#);
        for (kind, agent, ignores, expected) in [
            ("click", SAFARI, true, Ok(())),
            ("click", "", true, Ok(())),
            ("click", "WhatsApp/2.23.20.0 A", true, Err(Reason::Crawler)),
            ("click", "WhatsApp/2.23.20.0 A", false, Ok(())),
            ("preview", SAFARI, true, Err(Reason::Preview)),
            ("preview", SAFARI, false, Err(Reason::Preview)),
        ] {
            let signal = read(&of(kind, agent), ignores).expect("read").expect("a signal");
            assert_eq!(signal.evidence.map(|_| ()), expected, "{kind} by {agent}");
        }
        assert_eq!(read(&of("shortened", SAFARI), true), Ok(None));
        assert!(read(r#""user_agent":"x""#, true).is_err(), "it has to say what it is");
    }

    #[test]
    fn it_happened_when_twilio_says_but_never_later_than_now() {
        for (told, expected) in [
            (r#""click_time":"2026-11-23T10:01:02.345Z""#, "2026-11-23T10:01:02.345Z"),
            (r#""click_time":"2036-11-23T10:01:02.345Z""#, "2026-11-23T10:05:00Z"),
            (r#""click_time":"a while ago""#, "2026-11-23T10:05:00Z"),
            (r#""link":"https://example.com""#, "2026-11-23T10:05:00Z"),
        ] {
            let signal = read(&format!(r#""event_type":"click",{told}"#), true).expect("read");
            let evidence = signal.expect("a signal").evidence.expect("evidence");
            assert_eq!(evidence.occurred_at, expected.parse().expect("valid"), "{told}");
            assert_eq!(evidence.label, "click");
        }
    }
}
