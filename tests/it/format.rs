//! Older formats: a store is refused and left unchanged, an export is imported.

use std::fs;

use heardback::domain::matching::TypedCode;
use heardback::domain::signal::{Source, TimeSource};
use heardback::store::Record;
use heardback::store::sled::OpenError;

use crate::given::{Hands, registered, sled, try_sled};

#[tokio::test]
async fn a_store_of_an_older_format_is_refused_untouched_with_words_that_say_how_to_bring_it_along()
{
    let folder = tempfile::tempdir().expect("a folder");
    let store = sled(folder.path(), Hands::default().clock());
    store.remember(registered(1, 0)).await.expect("remembered");
    store.close().await;
    drop(store);
    let db = fs::read(folder.path().join("db")).expect("there");
    for found in 1..5 {
        fs::write(folder.path().join("FORMAT"), format!("{found}\n")).expect("written");
        let refused = try_sled(folder.path(), Hands::default().clock()).err().expect("refused");
        assert!(matches!(refused, OpenError::OlderFormat { .. }), "{refused}");
        let words = refused.to_string();
        for part in ["heardback export", "heardback import", "move the folder away"] {
            assert!(words.contains(part), "{words}");
        }
        assert_eq!(fs::read(folder.path().join("db")).expect("there"), db);
    }
    fs::write(folder.path().join("FORMAT"), "5\n").expect("written");
    assert_eq!(sled(folder.path(), Hands::default().clock()).counts().total(), 1);
}

fn read(line: &str) -> Record {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

const MESSAGE: &str = r#"{"type":"message","sid":"SM0123456789abcdef0123456789abcdef","account":"AC0123456789abcdef0123456789abcdef","state":"undelivered","recipient":null,"from":null,"service":null,"reference":null,"status":"undelivered","error_code":30003,"created_at":"2026-11-23T10:00:00Z","created_at_known":true,"remembered_at":"2026-11-23T10:00:00Z","expires_at":"2026-11-30T10:00:00Z","since":"2026-11-23T10:00:00Z","proof":null,"delivery":{"attempts":0,"due_at":null,"lease":null,"spent":{"secs":0,"nanos":0}},"reported_at":null,"refusal":null,"code":CODE,"converted_by":null,"parked_at":null,"last_attempt":null,"trace":null}"#;
const PARKED: &str = r#"{"type":"parked","evidence":{"account":"AC0123456789abcdef0123456789abcdef","named":{"reference":"login-1"},"label":"code_entered","occurred_at":"2026-11-23T10:00:00Z"},"parked_at":"2026-11-23T10:00:00Z","until":"2026-11-30T10:00:00Z","reason":"no_message","orphaned":false,"held_number":HELD,"trace":null}"#;

#[test]
fn what_a_release_before_this_one_exported_is_read() {
    let hmac = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let known = format!(r#"{{"known":"{hmac}"}}"#);
    for (code, kept) in [("null", false), (r#""forgotten""#, false), (known.as_str(), true)] {
        let Record::Message(message) = read(&MESSAGE.replace("CODE", code)) else {
            panic!("{code}")
        };
        assert_eq!(message.code.is_some(), kept, "{code}");
        assert!(message.held.is_none() && !message.receipts.undelivered);
    }
    for (held, code) in [("true", Some(TypedCode::default())), ("false", None)] {
        let Record::Parked(parked) = read(&PARKED.replace("HELD", held)) else { panic!("{held}") };
        assert_eq!(parked.code, code, "{held}");
        let evidence = &parked.evidence;
        assert_eq!((evidence.time_source, evidence.source), (TimeSource::App, Source::App));
    }
    let sender = r#"{"type":"sender","address":"+15017122661","service":"MG0123456789abcdef0123456789abcdef"}"#;
    assert!(matches!(read(sender), Record::Sender { account: None, .. }), "learned anew");
}
