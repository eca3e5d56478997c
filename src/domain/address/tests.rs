//! Parsing of addresses, and which of them are one person's.

use super::*;
use crate::domain::sid::AccountSid;

fn recipient(address: &str) -> Recipient {
    let account = AccountSid::parse("AC0123456789abcdef0123456789abcdef").expect("valid");
    RecipientHashKey::new(b"key").recipient(account, &Address::parse(address).expect("valid"))
}

#[test]
fn decoration_does_not_make_another_person_but_a_channel_does() {
    let plain = recipient("+15551234567");
    assert_eq!(plain, recipient(" +1 (555) 123-45.67 "));
    assert_ne!(plain.person, recipient("whatsapp:+15551234567").person);
    assert_eq!(recipient("WhatsApp:+15551234567"), recipient("whatsapp:+1 555 123 4567"));
}

#[test]
fn one_person_is_known_by_every_notation_of_their_number() {
    for (one, other, same) in [
        ("+5215512345678", "+52 55 1234-5678", true),
        ("whatsapp:+5215512345678", "whatsapp:+525512345678", true),
        ("whatsapp:+5215512345678", "+525512345678", false),
        ("+54 9 11 2345-6789", "+541123456789", true),
        ("whatsapp:+551187654321", "whatsapp:+5511987654321", true),
        ("+551123456789", "+5511923456789", false),
        ("rcs:+15551234567", "+15551234567", true),
        ("SMS:+1 555 123 4567", "+15551234567", true),
        ("rcs:+5215512345678", "+525512345678", true),
        ("messenger:15551234567", "+15551234567", false),
        ("0015551234567", "+15551234567", false),
        ("tel:+1-555-123-4567", "+15551234567", true),
        ("TEL://+15551234567", "+15551234567", true),
        ("smsto:+15551234567", "+15551234567", true),
        ("+44 (0)7911 123456", "+447911123456", true),
        ("+44 [ 0 ] 7911/123456", "+447911123456", true),
        ("(+44) 7911 123456", "+447911123456", true),
        ("whatsapp:+44 0 7911 123456", "whatsapp:+447911123456", true),
        ("\u{2068}+15551234567\u{2069}", "+15551234567", true),
        ("whatsapp:\u{2066}+1 555\u{ad}1234567", "whatsapp:+15551234567", true),
        ("\u{feff}\u{200e}+1\u{200b}5551234567\u{202c}", "+15551234567", true),
        ("\u{ff0b}\u{ff11}\u{ff15}\u{ff15}\u{ff15}1234567", "+15551234567", true),
        ("+1 ٥٥٥ ١٢٣ ٤٥٦٧", "+15551234567", true),
        ("whatsapp\u{ff1a}+१५५५१२३४५६७", "whatsapp:+15551234567", true),
        ("+1\u{2212}555\u{2011}123\u{2014}4567", "+15551234567", true),
        ("whatsapp:+22961234567", "whatsapp:+2290161234567", true),
        ("whatsapp:us.13491208655302741918", "WhatsApp: US.13491208655302741918", true),
        ("whatsapp:US.1349120865530274191a", "whatsapp:US.1349120865530274191A", false),
        ("\u{202a}+1\u{a0}(555)\u{a0}123\u{2011}4567\u{202c}", "+15551234567", true),
    ] {
        assert_eq!(recipient(one).person == recipient(other).person, same, "{one} {other}");
    }
}

#[test]
fn without_the_key_no_person_can_be_guessed() {
    let address = Address::parse("+15550000001").expect("valid");
    let account = AccountSid::parse("AC0123456789abcdef0123456789abcdef").expect("valid");
    let person = |key: &[u8]| RecipientHashKey::new(key).recipient(account, &address).person;
    assert_eq!(person(b"one"), person(b"one"));
    assert_ne!(person(b"one"), person(b"another"));
    assert_ne!(
        RecipientHashKey::new(b"one").fingerprint(),
        RecipientHashKey::new(b"another").fingerprint()
    );
}

#[test]
fn a_caller_is_two_persons_and_an_agent_is_none() {
    let account = AccountSid::parse("AC0123456789abcdef0123456789abcdef").expect("valid");
    let caller = |text: &str| {
        RecipientHashKey::new(b"key").caller(account, &Address::parse(text).expect("valid"))
    };
    let both = (recipient("+15551234567"), recipient("whatsapp:+15551234567").person);
    assert_eq!(caller("+1 555 123 4567"), Some(both));
    assert_eq!(caller("whatsapp:+15551234567"), Some(both));
    for text in ["client:tommy", "sip:a@b.example", "12345", "rcs:agent", "messenger:1234567"] {
        assert_eq!(caller(text), None, "{text}");
    }
}

#[test]
fn calling_codes_are_those_of_e164() {
    for (number, code) in [
        ("+15551234567", Some(1)),
        ("+79161234567", Some(7)),
        ("+4915112345678", Some(49)),
        ("+420601123456", Some(420)),
        ("+35312345678", Some(353)),
        ("+85212345678", Some(852)),
        ("+989121234567", Some(98)),
        ("whatsapp:+5215512345678", Some(52)),
        ("12345", None),
        ("HEARDBACK", None),
    ] {
        assert_eq!(Address::parse(number).expect("valid").calling_code(), code, "{number}");
    }
}

#[test]
fn a_recipient_without_a_country_is_refused() {
    for text in ["15551234567", "5551234567", "12345", "", "BRAND", "+0123456789"] {
        assert!(Address::parse_recipient(text).is_err(), "{text}");
    }
    assert!(Address::parse_recipient("+1 555 123 4567").is_ok());
    assert!(Address::parse_recipient("messenger:1234567890123456").is_ok());
    assert!(Address::parse_recipient("whatsapp:15551234567").is_err());
}

#[test]
fn an_unreadable_recipient_is_refused_with_the_character_that_is_in_the_way() {
    let refused = |text: &str| Address::parse_recipient(text).expect_err(text).to_string();
    for (text, says) in [
        ("+1555867531O", "O (U+004F)"),
        ("+15558675310 ext 12", "e (U+0065)"),
        ("tel:+15558675310;ext=12", "; (U+003B)"),
        ("sms:+15558675310?body=hi", "? (U+003F)"),
        ("\"+15558675310\"", "\" (U+0022)"),
        ("whatsapp:\u{2068}+1555☎8675310", "U+260E"),
        ("+1555\u{7}8675310", "U+0007"),
        ("++15558675310", "+ (U+002B)"),
        ("whatsapp:tel:+15558675310", "t (U+0074)"),
        ("+39 (0)347 1234567", "(0)"),
        ("0044 7911 123456", "international prefix"),
        ("whatsapp:01115558675310", "international prefix"),
        ("sip:+15558675310@example.com", "sip:"),
        ("phone:+15558675310", "channel"),
        ("whatsapp:@handle", "E.164"),
        ("whatsapp:US.", "E.164"),
        ("whatsapp:USA.123", "E.164"),
        ("US-13491208655302741918", "E.164"),
    ] {
        let error = refused(text);
        assert!(error.contains(says), "{text}: {error}");
        assert!(!error.contains("867"), "{text}: {error}");
    }
}

#[test]
fn a_persons_address_is_recognised_where_it_must_not_be_kept_in_clear() {
    for text in [
        "+15551234567",
        "tel:+1 555 123 4567",
        "whatsapp:+15551234567",
        "whatsapp:US.1349120865",
        "whatsapp\u{ff1a}US.1349120865",
    ] {
        assert!(Address::is_personal(text), "{text}");
    }
    for text in
        ["login-1", "15551234567", "order:15551234567", "ab.123", "+1", "", "+15551234567#2"]
    {
        assert!(!Address::is_personal(text), "{text}");
    }
}

#[test]
fn user_ids_of_whatsapp_are_recipients() {
    for text in [
        "whatsapp:US.13491208655302741918",
        "WhatsApp: br.ENT.11815799212886844830",
        "US.13491208655302741918",
    ] {
        let address = Address::parse_recipient(text).expect(text);
        assert!(address.is_whatsapp() && address.is_whatsapp_id(), "{text}");
        assert!(address.to_number().is_none(), "{text}");
    }
    let address = Address::parse_user_id("BR.1502576394655843").expect("an id");
    assert_eq!(address.calling_code(), Some(55));
    for text in ["messenger:US.1", "+15551234567", "", "US.ENT."] {
        assert!(Address::parse_user_id(text).is_none(), "{text}");
    }
}

#[test]
fn nothing_prints_an_address() {
    let address = Address::parse("+15551234567").expect("valid");
    assert!(!format!("{address:?} {:?}", recipient("+15551234567")).contains("555"));
}
