//! Webhooks that the service forwards to the app.

use super::*;
use crate::conversation::TEXTING;
use crate::judge::forwarding::{Counts, counts};
use crate::signals::QUOTING;

fn forward(history: &mut HistoryBuilder, form: &str, signature: Credential) -> u64 {
    let forward = history.next;
    history.next += 1;
    history.push(EventKind::Forwarded { forward, form: form.to_owned(), signature });
    forward
}

fn end(history: &mut HistoryBuilder, forward: u64) {
    history.push(EventKind::AppEnded { forward, how: "answered".to_owned() });
}

/// The answer to the last request is the app's.
fn answered_by_app(history: &mut HistoryBuilder) {
    let last = history.events.last_mut().map(|event| &mut event.kind);
    if let Some(EventKind::Answered { is_from_app, .. }) = last {
        *is_from_app = true;
    }
}

#[test]
fn i15_the_app_gets_each_request_at_most_as_often_as_twilio_sent_it() {
    let form = format!("form of x about {SID}");
    let mut history = HistoryBuilder::new();
    history.request(Role::Honest, SID, (false, false), Some(200));
    let first = forward(&mut history, &form, Credential::Right);
    end(&mut history, first);
    history.request(Role::Replay, SID, (false, false), None);
    forward(&mut history, &form, Credential::Right);
    assert_eq!(history.broken(), NONE);
    forward(&mut history, &form, Credential::Right);
    assert_eq!(history.broken(), ["I15"], "three forwards of two requests");
    let mut history = HistoryBuilder::new();
    forward(&mut history, &form, Credential::Right);
    history.request(Role::Honest, SID, (false, false), Some(200));
    assert_eq!(history.broken(), ["I15"], "before it was sent");
    let mut history = HistoryBuilder::new();
    history.request(Role::Hostile, FORGED, (false, false), Some(403));
    forward(&mut history, &format!("form of x about {FORGED}"), Credential::Right);
    assert_eq!(history.broken(), ["I15"], "a forged request");
}

#[test]
fn i15_a_forward_is_signed_by_a_token_that_is_valid_or_was_revoked_meanwhile() {
    let form = format!("form of x about {SID}");
    for (signature, is_rotated, wanted) in [
        (Credential::Former, true, &NONE[..]),
        (Credential::Former, false, &["I15"]),
        (Credential::Wrong, true, &["I15"]),
    ] {
        let mut history = HistoryBuilder::new();
        history.request(Role::Honest, SID, (false, false), Some(200));
        if is_rotated {
            history.fault("credentials rotated");
        }
        forward(&mut history, &form, signature);
        assert_eq!(history.broken(), wanted, "{signature:?}, rotated: {is_rotated}");
    }
}

/// A text of the conversation. The app does not get it yet.
fn text(history: &mut HistoryBuilder, form: &str) {
    let (req, role, kind) = (history.next, Role::Honest, TEXTING.to_owned());
    history.next += 1;
    let (account, sid, form) = (ACCOUNT.to_owned(), SID.to_owned(), form.to_owned());
    let (registers, proves) = (false, false);
    history.push(EventKind::Sent { req, role, kind, account, sid, registers, proves, form });
}

/// Two texts that reach the app, the second before or after the end of the first.
fn converse(history: &mut HistoryBuilder, overlap: bool) {
    text(history, "first");
    text(history, "second");
    let earlier = forward(history, "first", Credential::Right);
    if !overlap {
        end(history, earlier);
    }
    let later = forward(history, "second", Credential::Right);
    history.state("pending").state("pending");
    if overlap {
        end(history, earlier);
    }
    end(history, later);
}

#[test]
fn i15_texts_of_one_person_reach_the_app_one_at_a_time() {
    for (overlap, receivers, wanted) in
        [(false, 1, &NONE[..]), (true, 1, &["I15"]), (true, 2, &NONE[..])]
    {
        let mut history = HistoryBuilder::new();
        converse(&mut history, overlap);
        if let Some(EventKind::Plan { receivers: planned, .. }) =
            history.events.first_mut().map(|event| &mut event.kind)
        {
            *planned = receivers;
        }
        assert_eq!(history.broken(), wanted, "overlap: {overlap}, receivers: {receivers}");
    }
}

/// A registered message, and a reply that the app answered. The service logged that it is in memory, or not.
fn reply(is_from_app: bool, is_deferred: bool) -> HistoryBuilder {
    let mut history = HistoryBuilder::new();
    history.push(EventKind::Started { run: 1 });
    history.push(EventKind::Ready { run: 1 });
    history.request(Role::Honest, SID, REGISTERS, Some(201));
    history.signal(QUOTING, Role::Honest, SID, PROVES, Some(200));
    if is_from_app {
        answered_by_app(&mut history);
    }
    if is_deferred {
        let about = SID.replacen("SMa1", "SMd4", 1);
        history.push(EventKind::Deferred { run: 1, about });
    }
    let how = "signal: 9 (SIGKILL)".to_owned();
    history.push(EventKind::Ended { run: 1, how, expected: true });
    history.stored(SID, "pending", None);
    history
}

#[test]
fn i15_evidence_that_the_app_answered_is_lost_only_in_memory() {
    assert_eq!(reply(true, false).broken(), ["I1", "I15"]);
    assert_eq!(reply(false, false).broken(), ["I1"], "another answer in its place");
    assert_eq!(reply(true, true).broken(), NONE, "in memory when the process was killed");
}

#[test]
fn i2_evidence_counts_although_the_app_failed() {
    for (kind, wanted) in [(QUOTING, &NONE[..]), ("click", &["I2"])] {
        let mut history = HistoryBuilder::new();
        history.request(Role::Honest, SID, REGISTERS, Some(201));
        history.signal(kind, Role::Honest, SID, PROVES, Some(502));
        assert_eq!(history.post(201).stored(SID, "reported", None).broken(), wanted, "{kind}");
    }
}

#[test]
fn forwards_are_counted_by_the_answer_that_twilio_got() {
    let mut history = reply(true, true);
    history.signal(QUOTING, Role::Honest, SID, PROVES, Some(200));
    history.signal(QUOTING, Role::Honest, SID, PROVES, Some(502));
    history.signal(QUOTING, Role::Honest, SID, PROVES, None);
    forward(&mut history, "x", Credential::Right);
    converse(&mut history, false);
    let Counts { forwarded, by_app, accepted, failed, deferred, overlapping } =
        counts(&Facts::of(&history.events));
    assert_eq!((forwarded, by_app, accepted, failed, deferred, overlapping), (3, 1, 1, 1, 1, 2));
}
