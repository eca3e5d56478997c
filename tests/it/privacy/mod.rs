//! No private value leaves the program. Canaries are sent through every input with all logs at
//! their most verbose level. Then the tests search all output: logs, metrics, responses, the
//! store's raw bytes, backups, and the output of the commands.

mod canaries;
mod echo;
mod gathered;
mod harness;
mod traffic;

use crate::harness::{LONG, eventually, form, get, http_client, json, sid};
use crate::privacy::canaries::{
    API_SECRET, CODE, OLD_TOKEN, PATH, PEOPLE, QUERY, TARGET, TARGET_IS, TEXT, TOKEN, TOKEN_IS,
};
use crate::privacy::harness::Harness;

/// Creates, opens and presses a link, and requests unknown links.
fn links(harness: &mut Harness) {
    let number = 0x5001;
    let asked = serde_json::json!({ "MessageSid": sid(number), "To": PEOPLE[0], "Link": TARGET });
    // The only response that must have the token: the app asked for the link.
    let link = harness.app(&json("/app/messages", &asked), &[TOKEN_IS]).json();
    let link = link.get("link").and_then(|link| link.as_str()).expect("a link").to_owned();
    let (_, token) = link.rsplit_once('/').expect("a path");
    harness.canaries.link_token(token);
    let path = format!("/c/{token}");
    harness.raw(&get(&path), &[]);
    // The target's own query is not Heardback's.
    harness.raw(&get(&format!("{path}?{QUERY}={CODE}")), &[]);
    harness.raw(&form(&path, &[("Body", TEXT), ("To", PEOPLE[1])]), &[TARGET_IS]);
    harness.raw(&form(&path, &[]), &[TARGET_IS]);
    for wrong in
        [format!("{path}/x"), format!("{path}x"), format!("/c/{PATH}"), format!("/c%2f{token}")]
    {
        harness.raw(&get(&wrong), &[]);
    }
    // The caller knows the values of its own request.
    harness
        .app(&form("/app/messages", &[("MessageSid", &sid(number)), ("Link", &link)]), &[TOKEN_IS]);
    let contradiction = [("MessageSid", sid(number + 1)), ("Link", link)];
    let contradiction: Vec<_> =
        contradiction.iter().map(|(name, it)| (*name, it.as_str())).collect();
    harness.app(&form("/app/messages", &contradiction), &[]);
}

/// Requests that are not valid HTTP.
fn noise(harness: &mut Harness) {
    let person = PEOPLE[1];
    for bytes in [
        format!("{person} {TEXT}\r\n\r\n"),
        format!("GET /{PATH}?{QUERY}={person} HTTP/9.9\r\nHost: {TOKEN}\r\n\r\n"),
        format!("POST /twilio/message HTTP/1.1\r\n{TEXT}\r\nX-Twilio-Signature: {person}\r\n\r\n"),
        format!("POST /app/events HTTP/1.1\r\nHost: x\r\nContent-Length: {person}\r\n\r\n{TEXT}"),
        format!(
            "POST /app/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{TEXT}\r\n"
        ),
        format!("GET http://{person}/{PATH} HTTP/1.1\r\nHost: {person}\r\nCookie: {TEXT}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", TEXT.repeat(4000)),
        format!(
            "POST /twilio/message HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\nBody={TEXT}"
        ),
    ] {
        harness.bytes("noise", bytes.as_bytes(), &[]);
    }
}

/// Confirms a message for each kind of error that its post may get.
fn posts(harness: &mut Harness, last: u16) {
    let statuses = [400, 404, 500, 502, 429, last];
    for (number, status) in (0x6001..).zip(statuses) {
        harness.echo.says(status);
        let before = harness.echo.posts();
        let own = sid(number);
        let fields = [
            ("MessageSid", own.as_str()),
            ("CreatedAt", "2026-01-01T00:00:00Z"),
            ("To", PEOPLE[0]),
        ];
        assert_eq!(harness.app(&form("/app/events", &fields), &[]).status, 200);
        eventually(&format!("a post that gets {status}"), LONG, || harness.echo.posts() > before);
        assert!(harness.echo.heard().contains("Basic "), "the stand-in got credentials");
        // A 404 refuses nothing before Twilio accepts a message of the account.
        if status == 400 {
            harness.reaches(number, "refused");
        }
        harness.app(&get(&format!("/app/messages/{own}")), &[]);
    }
}

fn everything(format: &str, last: u16, more: &[(&str, &str)]) {
    let mut harness = Harness::new(format, more);
    harness.operator();
    for (number, person) in (1_u32..).zip(PEOPLE) {
        for request in traffic::from_twilio(number, person) {
            harness.in_every_way(&request, false);
        }
        for request in traffic::from_app(number, person) {
            harness.in_every_way(&request, true);
        }
        harness.app(&get(&format!("/app/messages/{}", sid(number))), &[]);
    }
    harness.app(&get(&format!("/app/messages/{PATH}?{QUERY}={CODE}")), &[]);
    links(&mut harness);
    noise(&mut harness);
    posts(&mut harness, last);
    harness.operator();
    let store = harness.store();
    harness.gathered.folder("the store, running", &store);
    harness.commands();
    harness.ends();
    harness.gathered.folder("the store, stopped", &store);
    harness.commands();
    harness.starts();
    harness.operator();
    harness.ends();
    harness.gathered.folder("the store, reopened", &store);
    is_clean_and_was_used(&harness);
}

fn is_clean_and_was_used(harness: &Harness) {
    // The store must have the canaries; otherwise the search proves nothing.
    let raw = 1_u128.to_be_bytes();
    for place in
        ["the store, running", "the store, stopped", "the store, reopened", "the store's backup"]
    {
        assert!(harness.gathered.has(place, &raw), "the first message is in {place}");
        assert!(harness.gathered.has(place, TARGET.as_bytes()), "the stored target is in {place}");
    }
    for written in [sid(1).as_bytes(), TARGET.as_bytes(), b"\"type\":\"end\""] {
        assert!(harness.gathered.has("the store's export", written), "every record is exported");
    }
    assert!(harness.gathered.has("a command", b"records; "), "and imported");
    assert!(
        harness.gathered.has("the log", sid(1).as_bytes()),
        "messages are followed by their SIDs"
    );
    assert!(harness.gathered.has("the log", b"refused"), "Twilio's refusals are logged");
    assert!(harness.gathered.has("the log", b"DEBUG"), "the log is at its most verbose level");
    assert!(harness.gathered.has("/metrics", b"heardback_refusals_total"));
    assert!(
        harness.gathered.has("/messages/", b"class=\"timeline\""),
        "the operator's page shows it"
    );
    assert!(harness.gathered.has("an answer", b"problem+json"));
    let leaks = harness.gathered.leaks(&harness.canaries);
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
}

#[test]
fn no_private_value_leaves_with_every_log_level_in_json() {
    everything("json", 302, &[]);
}

#[test]
fn no_private_value_leaves_with_every_log_level_in_text() {
    // Posts use the token instead of an API key, and the key for phone numbers is in the store.
    let more = [("TWILIO_API_KEY", ""), ("TWILIO_API_SECRET", ""), ("HEARDBACK_PHONE_KEY", "")];
    everything("pretty", 401, &more);
}

#[test]
fn a_rejected_request_is_recorded_only_with_the_setting_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = folder.path().join("refused");
    let mut harness =
        Harness::new("json", &[("HEARDBACK_RECORD_REFUSED", &refused.display().to_string())]);
    let request = &traffic::from_twilio(1, PEOPLE[0])[3];
    let forged = request.signed(&harness.unknown_key(), crate::harness::BASE);
    harness.bytes("a forgery", &http_client::bytes(&forged), &[]);
    let kept = || std::fs::read_dir(&refused).into_iter().flatten().flatten();
    let is_whole = |name: std::ffi::OsString| name.to_string_lossy().ends_with(".http");
    eventually("the request is recorded", LONG, || kept().any(|entry| is_whole(entry.file_name())));
    let file = kept().find(|entry| is_whole(entry.file_name())).expect("kept").path();
    let bytes = std::fs::read(&file).expect("there");
    let found = harness.canaries.found_in(&bytes);
    for what in ["a phone number", "a signature", "a word of a text", "a name"] {
        assert!(found.keys().any(|it| it.starts_with(what)), "{what} is kept there: {found:?}");
    }
    let file = file.display().to_string();
    harness.command(&["doctor", &file], &[]);
    harness.command(&["doctor", "--json", &file], &[]);
    harness.operator();
    harness.ends();
    let store = harness.store();
    harness.gathered.folder("the store, stopped", &store);
    assert!(harness.gathered.has("a command", b"Not found"), "doctor read the recording");
    let leaks = harness.gathered.leaks(&harness.canaries);
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

#[test]
fn wrong_usage_and_wrong_settings_repeat_no_private_value() {
    let mut harness = Harness::new("json", &[]);
    harness.canaries.signature("ETeZxWx+KRQF1LOTxtueQM8wl3Y=");
    for private in [PEOPLE[0], PEOPLE[1], TOKEN, API_SECRET, "ETeZxWx+KRQF1LOTxtueQM8wl3Y="] {
        let (flag, field) = (format!("--json={private}"), format!("x{private}"));
        for words in [
            &[private][..],
            &["serve", private],
            &["check", &flag],
            &["check", private],
            &["sign", "https://hooks.example.com/app/events", "--form", &field],
            &["sign", "https://hooks.example.com/app/events", "--json", &field],
            &["restore", "/nowhere", private, private],
        ] {
            harness.command(words, &[]);
        }
        for setting in [
            "LISTEN",
            "OPS_LISTEN",
            "PUBLIC_URL",
            "STORE",
            "UPSTREAM_URL",
            "LINKS",
            "LOG",
            "LOG_FORMAT",
            "RESEND",
            "PENDING_TTL",
            "REPLY_WINDOW",
            "RETENTION",
            "GIVE_UP_AFTER",
            "MAX_MESSAGES",
            "MAX_PARKED",
            "UPSTREAM_CONCURRENCY",
            "DRY_RUN",
            "READ_CONFIRMS",
            "CALL_REDIRECT_URL",
            "IGNORE_CRAWLERS",
        ] {
            // A colon or a blank makes the value invalid for every setting that takes one word.
            let name = format!("HEARDBACK_{setting}");
            let wrong = format!("postgres: {private}");
            harness.command(&["check"], &[(&name, &wrong)]);
            // For a setting that is a number, a phone number could be valid.
            if !setting.starts_with("MAX_") {
                harness.command(&["check"], &[(&name, private)]);
            }
        }
        for name in [
            "TWILIO_ACCOUNT_SID",
            "TWILIO_API_KEY",
            "TWILIO_EDGE",
            "TWILIO_REGION",
            "TWILIO_SHARED_KEYS",
        ] {
            harness.command(&["check"], &[(name, private)]);
        }
    }
    harness.command(&["check"], &[("TWILIO_AUTH_TOKEN", OLD_TOKEN), ("HEARDBACK_LOG", "loud")]);
    assert!(
        harness.gathered.has("a command", b"HEARDBACK_LOG is \"loud\""),
        "a harmless value is repeated"
    );
    let leaks = harness.gathered.leaks(&harness.canaries);
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}
