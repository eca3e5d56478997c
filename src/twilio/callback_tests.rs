//! Parsing of callbacks.

use super::*;
use crate::twilio::fields::FieldSpelling;
use crate::twilio::form;

const BASE: &str = "MessageSid=SM0123456789abcdef0123456789abcdef&AccountSid=AC0123456789abcdef0123456789abcdef&From=%2B15551234567&To=%2B15017122661&";

fn fields_of(form: &str) -> Fields {
    Fields::from_pairs(&form::pairs(form.as_bytes()), FieldSpelling::Twilio).expect("UTF-8")
}

fn context(recipient_hash_key: &RecipientHashKey) -> ParseContext<'_> {
    ParseContext::example(recipient_hash_key, "1970-01-01T00:00:00Z")
}

fn read(form: &str) -> Result<Signal, Malformed> {
    reply(&fields_of(form), &context(&RecipientHashKey::new(b"key")))
}

#[test]
fn a_form_at_the_route_of_the_other_direction_is_rejected() {
    let recipient_hash_key = RecipientHashKey::new(b"key");
    let context = context(&recipient_hash_key);
    for (more, is_reply, is_status) in [
        ("SmsStatus=received", true, false),
        ("MessageStatus=receiving", true, false),
        ("MessageStatus=sent", false, true),
        ("SmsStatus=delivered", false, true),
        ("MessageStatus=DELIVERED&Body=hi", false, true),
        ("MessageStatus=sent&SmsStatus=received", false, false),
    ] {
        let fields = fields_of(&format!("{BASE}{more}"));
        assert_eq!(reply(&fields, &context).is_ok(), is_reply, "{more}");
        assert_eq!(status(&fields, &fields, &context).is_ok(), is_status, "{more}");
    }
}

#[test]
fn opting_out_or_in_and_asking_for_help_is_no_evidence() {
    for end in [
        "OptOutType=STOP&Body=STOP",
        "OptOutType=START&Body=Go",
        "OptOutType=HELP&Body=?",
        "Body=stop",
        "Body=+Stop.%0A",
        "Body=UNSUBSCRIBE",
        "Body=help",
        "Body=Arre%CC%82t",
        "Body=%D1%81%D1%82%D0%BE%D0%BF",
        "Body=%E9%80%80%E8%AE%A2",
        "Body=ayuda%21",
    ] {
        let signal = read(&format!("{BASE}{end}")).expect(end);
        assert_eq!(signal.evidence, Err(Reason::OptOut), "{end}");
        assert!(!signal.dedup_ids.is_empty(), "it still counts as seen: {end}");
    }
    for end in ["Body=yes", "Body=stop+it", "Body=", "Body=123456", "OptOutType=&Body=ok"] {
        assert!(read(&format!("{BASE}{end}")).expect(end).evidence.is_ok(), "{end}");
    }
}

#[test]
fn a_quoted_message_is_named_directly() {
    let quoted = "OriginalRepliedMessageSid=MM0123456789abcdef0123456789abcdef";
    let signal = read(&format!("{BASE}{quoted}")).expect("read");
    assert!(matches!(signal.evidence.expect("evidence").target, EvidenceTarget::Message(_)));
}

#[test]
fn a_reply_that_quotes_an_unknown_message_proves_nothing_and_is_not_rejected() {
    for quoted in [
        "OriginalRepliedMessageSid=wamid.HBgLMTU1NTEyMzQ1Njc",
        "OriginalRepliedMessageSender=whatsapp%3A%2B14155238886",
    ] {
        let signal = read(&format!("{BASE}{quoted}")).expect("read");
        assert_eq!(signal.evidence, Err(Reason::QuoteUnknown), "{quoted}");
    }
}

#[test]
fn a_flaw_in_an_optional_field_does_not_reject_a_reply() {
    let signal = read(&format!("{BASE}MessagingServiceSid=x")).expect("read");
    let EvidenceTarget::Person { sender, .. } = signal.evidence.expect("evidence").target else {
        panic!("a person is named");
    };
    assert_eq!(sender.service, None);
}

#[test]
fn a_missing_field_and_another_account_give_different_errors() {
    assert_eq!(read("AccountSid="), Err(missing("MessageSid")));
    let other = BASE.replace("AC0", "AC1");
    assert_eq!(read(&other), Err(Malformed::OtherAccount));
    let twice = format!("{BASE}MessageSid=SM1123456789abcdef0123456789abcdef");
    assert!(matches!(read(&twice), Err(Malformed::Ambiguous { field: "MessageSid" })));
    let call = BASE.replace("=SM0", "=CA0");
    assert!(matches!(read(&call), Err(Malformed::NotAMessage { field: "MessageSid", .. })));
}
