//! `replay` as a process beside a real service: rejected and hand-written recordings get their
//! result, and the output has no value of a request.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use heardback::recording::Recording;
use heardback::twilio::signature::SigningKey;
use serde_json::{Value, json};

use crate::harness::running::{BINARY, settings};
use crate::harness::{
    ACCOUNT, Harness, LONG, OTHER_ACCOUNT, RECIPIENT, SENDER, TOKEN, eventually, form, get,
    http_client, key, sid, status_callback,
};

/// A text that only its recipient may read.
const TEXT: &str = "my code is 424242";

/// The public URL, as with a proxy whose scheme differs.
const ELSEWHERE: &str = "http://hooks.example.com";

/// The files of a harness.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, recording: &Recording) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, recording.to_bytes()).expect("written");
        path.display().to_string()
    }
}

/// `heardback replay` with the settings of that service and these: exit code, stdout, stderr.
fn replay(harness: &Harness, words: &[&str], more: &[(&str, &str)]) -> (i32, String, String) {
    let listen = harness.service.public.to_string();
    let mut command = Command::new(BINARY);
    command.arg("replay").args(words).env_clear().stdin(Stdio::null());
    command.envs(settings(&harness.store(), &harness.twilio)).env("HEARDBACK_LISTEN", listen);
    let Output { status, stdout, stderr } =
        command.envs(more.iter().copied()).output().expect("it ran");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let (stdout, stderr) = (text(stdout), text(stderr));
    for hidden in [TOKEN, RECIPIENT.trim_start_matches('+'), SENDER.trim_start_matches('+'), TEXT] {
        assert!(!format!("{stdout}{stderr}").contains(hidden), "{hidden} in\n{stdout}{stderr}");
    }
    (status.code().expect("no signal"), stdout, stderr)
}

/// The results as JSON, and the exit code. Most files here are hand-written; the flag does not
/// affect recordings of a service.
fn verdicts(harness: &Harness, words: &[&str], more: &[(&str, &str)]) -> (i32, Vec<Value>) {
    let (code, told, talk) = replay(harness, &[&["--json", "--unproven"], words].concat(), more);
    assert_eq!(talk, "", "{told}");
    (code, told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

fn results(verdicts: &[Value]) -> Vec<&str> {
    verdicts.iter().map(|verdict| verdict["result"].as_str().expect("a word")).collect()
}

fn reply(number: u32) -> Recording {
    let inbound = format!("SM{number:032x}");
    let fields = [
        ("MessageSid", inbound.as_str()),
        ("AccountSid", ACCOUNT),
        ("From", RECIPIENT),
        ("To", SENDER),
        ("Body", TEXT),
    ];
    form("/twilio/message", &fields)
}

fn quoting(number: u32, quoted: u32) -> Recording {
    let mut recording = reply(number);
    recording.body.extend(format!("&OriginalRepliedMessageSid={}", sid(quoted)).into_bytes());
    recording
}

/// A message without a creation time.
fn undated(number: u32) -> Recording {
    let sid = sid(number);
    form("/app/messages", &[("MessageSid", sid.as_str()), ("To", RECIPIENT), ("From", SENDER)])
}

fn registration(number: u32) -> Recording {
    let sid = sid(number);
    let created = ("CreatedAt", "2026-11-23T10:00:00Z");
    let fields = [("MessageSid", sid.as_str()), ("To", RECIPIENT), ("From", SENDER), created];
    form("/app/messages", &fields)
}

fn call(number: u32, status: &str, more: &[(&str, &str)]) -> Recording {
    let call = format!("CA{number:032x}");
    let mut fields = vec![
        ("CallSid", call.as_str()),
        ("AccountSid", ACCOUNT),
        ("From", RECIPIENT),
        ("To", SENDER),
        ("Direction", "inbound"),
        ("CallStatus", status),
    ];
    fields.extend(more);
    form("/twilio/call", &fields)
}

fn recorded(folder: &Path, count: usize) -> Vec<PathBuf> {
    let list = || {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "http"));
        paths.sort();
        paths
    };
    eventually("the request is recorded", LONG, || list().len() >= count);
    list()
}

#[test]
fn a_request_rejected_for_a_wrong_setting_counts_once_the_setting_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = folder.path().join("refused");
    let harness = Harness::new(&[("HEARDBACK_RECORD_REFUSED", &refused.display().to_string())]);
    assert_eq!(harness.send(&registration(1)).status, 201);
    // Signed for another spelling of the public URL.
    let wrong = quoting(901, 1).signed(&key(), ELSEWHERE);
    assert_eq!(harness.service.exchange(&http_client::bytes(&wrong)).status, 403);
    let file = recorded(&refused, 1).remove(0).display().to_string();

    let (code, told, talk) = replay(&harness, &["--dry-run", &file], &[]);
    assert_eq!((code, talk.as_str()), (0, ""), "{told}");
    assert!(told.contains("would send") && told.contains("token 1 of TWILIO_AUTH_TOKEN"), "{told}");
    assert_eq!(harness.state(1).as_deref(), Some("pending"), "nothing was sent");

    let (code, told, talk) = replay(&harness, &[&file], &[]);
    assert_eq!((code, talk.as_str()), (0, ""), "{told}");
    assert!(told.contains("POST /twilio/message  200     confirmed"), "{told}");
    assert!(told.contains(&sid(1)), "{told}");
    harness.reaches(1, "reported");

    // It counts once, whatever follows.
    assert_eq!(harness.send(&registration(2)).status, 201);
    let (code, again) = verdicts(&harness, &[&file], &[]);
    assert_eq!((code, results(&again)), (0, vec!["none"]));
    assert_eq!(harness.state(2).as_deref(), Some("pending"));
    assert_eq!(harness.twilio.posts().len(), 1);
}

#[test]
fn a_request_without_a_time_proves_no_newer_message_unless_a_flag_allows_it() {
    let harness = Harness::new(&[]);
    let files = Files::new();
    let mut tracked = status_callback(3, "sent");
    tracked.target.push_str("?feedback=1");
    let as_of_now = [
        files.write("reply.http", &reply(901)),
        files.write("ringing.http", &call(1, "ringing", &[])),
        files.write("person.http", &form("/app/events", &[("To", RECIPIENT), ("From", SENDER)])),
        files.write("reference.http", &form("/app/events", &[("Reference", "login-1")])),
        // These would shield a newer message, and confirm it instead of their own.
        files.write("message.http", &undated(2)),
        files.write("tracked.http", &tracked),
    ];
    // A newer message, which none of them can be about.
    assert_eq!(harness.send(&undated(1)).status, 201);
    let words: Vec<&str> = as_of_now.iter().map(String::as_str).collect();
    let (code, told) = verdicts(&harness, &words, &[]);
    assert_eq!((code, results(&told)), (1, vec!["not_sent"; 6]));
    for verdict in &told {
        assert!(verdict["detail"].as_str().expect("why").contains("--as-of-now"), "{verdict}");
        assert_eq!(verdict["status"], Value::Null);
    }
    assert_eq!(harness.state(1).as_deref(), Some("pending"));

    assert!(harness.message(2).is_none() && harness.message(3).is_none());

    // Requests with a time of their own are safe, so they are sent.
    let long_ago = "Mon, 23 Nov 2020 10:00:00 +0000";
    let over = [("Timestamp", long_ago), ("CallDuration", "9")];
    let then = "2020-11-23T10:00:00Z";
    let dated = [
        files.write("over.http", &call(2, "completed", &over)),
        files.write(
            "then.http",
            &form("/app/events", &[("To", RECIPIENT), ("From", SENDER), ("OccurredAt", then)]),
        ),
    ];
    let words: Vec<&str> = dated.iter().map(String::as_str).collect();
    let (code, told) = verdicts(&harness, &words, &[]);
    assert_eq!(code, 0, "{told:?}");
    assert!(!results(&told).contains(&"confirmed"), "{told:?}");
    assert_eq!(harness.state(1).as_deref(), Some("pending"));

    let (code, told) = verdicts(&harness, &["--as-of-now", &as_of_now[0]], &[]);
    assert_eq!(code, 0, "{told:?}");
    assert!(
        told[0]["status"].is_u64(),
        "the request is sent and counts at the current time: {told:?}"
    );
}

#[test]
fn with_exported_spans_the_results_are_still_known() {
    // There is no collector at that address.
    let harness = Harness::new(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")]);
    let files = Files::new();
    assert_eq!(harness.send(&registration(1)).status, 201);
    let (code, told) = verdicts(&harness, &[&files.write("q.http", &quoting(901, 1))], &[]);
    assert_eq!((code, results(&told)), (0, vec!["confirmed"]));
}

#[test]
fn each_route_has_its_result() {
    let harness = Harness::new(&[("HEARDBACK_APP_KEYS", "an app key of some length")]);
    let files = Files::new();
    let click = |number: u32, kind: &str| {
        let body = json!({
            "event_type": kind, "sms_sid": sid(number), "account_sid": ACCOUNT, "to": RECIPIENT,
            "from": SENDER, "link": "https://example.com/", "click_time": "2026-11-23T10:00:00Z",
        });
        crate::harness::json("/twilio/click", &body)
    };
    let event = |fields: &[(&str, &str)]| form("/app/events", fields);
    let s = sid;
    let mut passed_on = quoting(902, 9);
    passed_on.target = "/app/twilio/message".to_owned();
    let recordings = [
        ("remembered", registration(1)),
        ("known", registration(1)),
        ("known", get(&format!("/app/messages/{}", s(1)))),
        ("refused", get(&format!("/app/messages/{}", s(404)))),
        ("confirmed", event(&[("MessageSid", &s(2)), ("Type", "code_entered")])),
        ("already", event(&[("MessageSid", &s(2)), ("Type", "code_entered")])),
        ("parked", event(&[("Reference", "nobody-s"), ("OccurredAt", "2026-11-23T10:00:00Z")])),
        ("refused", event(&[("MessageSid", "SM1")])),
        ("taken", status_callback(3, "delivered")),
        ("confirmed", quoting(901, 1)),
        ("parked", passed_on),
        ("none", click(3, "preview")),
        ("taken", crate::harness::json("/twilio/events", &json!([]))),
        ("refused", form("/twilio/status", &[("AccountSid", ACCOUNT)])),
        ("not_sent", get("/c/0123456789abcdefghijk")),
        ("not_sent", get("/twilio/click/a-secret-of-somebody")),
        ("not_sent", get("/wp-login.php")),
        ("not_sent", form("/twilio/message", &[("AccountSid", OTHER_ACCOUNT)])),
    ];
    let names: Vec<String> = recordings
        .iter()
        .enumerate()
        .map(|(at, (_, recording))| files.write(&format!("{at:02}.http"), recording))
        .collect();
    let words: Vec<&str> = names.iter().map(String::as_str).collect();
    let app_key = [("HEARDBACK_APP_KEYS", "an app key of some length")];
    let (code, told) = verdicts(&harness, &words, &app_key);
    let expected: Vec<&str> = recordings.iter().map(|(result, _)| *result).collect();
    assert_eq!(results(&told), expected, "{told:#?}");
    assert_eq!(code, 1, "some got no 2xx");
    let statuses: Vec<_> = told.iter().map(|verdict| verdict["status"].as_u64()).collect();
    let (yes, no) = (|status| Some(status), None);
    assert_eq!(
        statuses,
        [
            yes(201),
            yes(200),
            yes(200),
            yes(404),
            yes(200),
            yes(200),
            yes(202),
            yes(400),
            yes(204),
            yes(200),
            yes(204),
            yes(204),
            yes(204),
            yes(400),
            no,
            no,
            no,
            no,
        ]
    );
    assert_eq!(told[8]["detail"], "untracked, delivered");
    assert_eq!(told[9]["message_sids"], json!([s(1)]));
    assert_eq!(
        (&told[6]["detail"], &told[10]["detail"]),
        (&json!("no_message"), &json!("no_message"))
    );
    assert_eq!(told[15]["request"], "GET /twilio/click/{secret}");
    let shown = format!("{told:?}");
    for hidden in ["a-secret-of-somebody", "0123456789abcdefghijk", "wp-login"] {
        assert!(!shown.contains(hidden), "{hidden}");
    }
    // With a wrong app key each of the app's requests is rejected, with the possible cause.
    let wrong = [("HEARDBACK_APP_KEYS", "another app key than that")];
    let (code, told) = verdicts(&harness, &[&names[0]], &wrong);
    assert_eq!((code, &told[0]["status"], results(&told)), (1, &json!(403), vec!["refused"]));
}

#[test]
fn each_account_has_its_own_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let accounts = folder.path().join("accounts.toml");
    let second = "0badcafe98765432100123456789beef";
    let text = format!(
        "[[account]]\nsid = \"{OTHER_ACCOUNT}\"\nauth_tokens = [\"{second}\"]\napp_keys = [\"one of its own, long\"]\n"
    );
    fs::write(&accounts, text).expect("written");
    let path = accounts.display().to_string();
    let more = [("HEARDBACK_ACCOUNTS_FILE", path.as_str())];
    let harness = Harness::new(&more);
    let files = Files::new();
    let inbound = sid(901);
    let of = |target: &str, account: &str| {
        let fields = [
            ("MessageSid", inbound.as_str()),
            ("AccountSid", account),
            ("MessageStatus", "sent"),
            ("From", SENDER),
            ("To", RECIPIENT),
        ];
        form(target, &fields)
    };
    let event = json!([{
        "specversion": "1.0", "id": "EZ1", "type": "com.twilio.messaging.message.sent",
        "source": format!("/2010-04-01/Accounts/{OTHER_ACCOUNT}/Messages/{}", sid(5)),
        "data": {"messageSid": sid(5), "messageStatus": "SENT", "accountSid": OTHER_ACCOUNT},
    }]);
    let names = [
        files.write("1.http", &of("/twilio/status", ACCOUNT)),
        files.write("2.http", &of("/app/twilio/status", ACCOUNT)),
        files.write("3.http", &crate::harness::json("/twilio/events", &event)),
    ];
    let mut theirs = of("/twilio/status", OTHER_ACCOUNT);
    theirs.body =
        String::from_utf8(theirs.body).expect("ASCII").replace(&inbound, &sid(902)).into_bytes();
    let fourth = files.write("4.http", &theirs);
    theirs.target = "/app/twilio/status".to_owned();
    let fifth = files.write("5.http", &theirs);
    let words = [&names[0], &names[1], &names[2], &fourth, &fifth].map(String::as_str);
    let (code, told) = verdicts(&harness, &words, &more);
    assert_eq!(code, 0, "{told:#?}");
    let (_, would) = verdicts(&harness, &[&["--dry-run"], &words[..]].concat(), &more);
    let keys: Vec<_> = would.iter().map(|verdict| verdict["signed_with"].as_str()).collect();
    let (own, file) = ("token 1 of TWILIO_AUTH_TOKEN", "account 1 of HEARDBACK_ACCOUNTS_FILE");
    let (token, app) = (format!("token 1 of {file}"), format!("app key 1 of {file}"));
    let expected = [own, own, &token, &token, &app].map(Some);
    assert_eq!(keys, expected);
}

#[test]
fn the_signature_is_for_the_public_url_whatever_the_target_address() {
    let harness = Harness::new(&[]);
    let files = Files::new();
    // Blanks, apostrophes and umlauts, which the client encodes differently.
    let target = "/twilio/status?reference=it's+|%7C\u{fc}";
    let mut odd = status_callback(1, "sent");
    odd.target = target.to_owned();
    let file = files.write("odd.http", &odd);
    let to = format!("http://{}/", harness.service.public);
    let nowhere = [("HEARDBACK_LISTEN", "127.0.0.1:0")];
    let (code, told) = verdicts(&harness, &["--to", &to, &file], &nowhere);
    assert_eq!((code, results(&told)), (0, vec!["taken"]), "{told:?}");
    assert_eq!(harness.state(1).as_deref(), Some("untracked"));
    let anywhere = format!("0.0.0.0:{}", harness.service.public.port());
    let (code, told) = verdicts(&harness, &[&file], &[("HEARDBACK_LISTEN", &anywhere)]);
    assert_eq!((code, &told[0]["detail"]), (0, &json!("untracked, sent")), "{told:?}");
    let (code, _, talk) = replay(&harness, &[&file], &nowhere);
    assert_eq!(code, 2);
    assert!(talk.contains("name it with --to"), "{talk}");
    let (code, _, talk) = replay(&harness, &["--to", "somewhere", &file], &[]);
    assert_eq!((code, talk.contains("expected a URL such as")), (2, true), "{talk}");

    // A file that is no recording: no request is sent.
    let before = harness.service.metric("heardback_messages{state=\"untracked\"}");
    let (code, told, talk) = replay(&harness, &[&file, "/nowhere.http"], &[]);
    assert_eq!((code, told.as_str()), (2, ""));
    assert!(talk.contains("/nowhere.http: "), "{talk}");
    assert_eq!(harness.service.metric("heardback_messages{state=\"untracked\"}"), before);

    // There is no listener.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("bound").to_string();
    drop(free);
    let (code, told) = verdicts(&harness, &[&file], &[("HEARDBACK_LISTEN", &address)]);
    assert_eq!((code, results(&told)), (1, vec!["unreachable"]), "{told:?}");
}

#[test]
fn a_prefix_that_the_proxy_strips_is_signed_and_not_sent() {
    let public = [("HEARDBACK_PUBLIC_URL", "https://example.com/hooks")];
    let harness = Harness::new(&public);
    let files = Files::new();
    let mut before = status_callback(2, "sent");
    before.target = format!("/hooks{}", before.target);
    let names = [
        files.write("behind.http", &status_callback(1, "sent")),
        files.write("before.http", &before),
    ];
    let (code, told) = verdicts(&harness, &[&names[0], &names[1]], &public);
    assert_eq!((code, results(&told)), (0, vec!["taken", "taken"]), "{told:?}");
    assert!(told.iter().all(|verdict| verdict["request"] == "POST /twilio/status"), "{told:?}");
}

#[test]
fn a_recording_without_its_values_or_its_body_is_not_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = folder.path().join("refused");
    let harness = Harness::new(&[("HEARDBACK_RECORD_REFUSED", &refused.display().to_string())]);
    assert_eq!(harness.service.exchange(&http_client::bytes(&quoting(901, 1))).status, 403);
    let body = json!({"MessageSid": sid(1), "Type": "code_entered"});
    let other = SigningKey::new(b"another key");
    let event = crate::harness::json("/app/events", &body);
    let forged = event.signed(&other, crate::harness::BASE);
    assert_eq!(harness.service.exchange(&http_client::bytes(&forged)).status, 403);
    let paths: Vec<String> =
        recorded(&refused, 2).iter().map(|path| path.display().to_string()).collect();
    let words: Vec<&str> = paths.iter().map(String::as_str).collect();
    let (code, told) = verdicts(&harness, &words, &[]);
    assert_eq!((code, results(&told)), (1, vec!["not_sent"; 2]));
    let whys: BTreeMap<_, _> = told
        .iter()
        .map(|verdict| (verdict["request"].to_string(), verdict["detail"].to_string()))
        .collect();
    assert!(whys["\"POST /twilio/message\""].contains("without its values"), "{whys:?}");
    assert!(whys["\"POST /app/events\""].contains("without its body"), "{whys:?}");
}

#[test]
fn the_table_fits_the_terminal() {
    let harness = Harness::new(&[]);
    let files = Files::new();
    let names = [
        files.write("reply.http", &reply(901)),
        files.write("s.http", &status_callback(1, "sent")),
    ];
    for width in [40, 80, 120] {
        let width_told = width.to_string();
        let (_, told, _) = replay(
            &harness,
            &["--unproven", &names[0], &names[1]],
            &[("COLUMNS", width_told.as_str())],
        );
        let whole = |line: &str| line.chars().count() <= width;
        assert!(told.lines().all(whole), "{width}\n{told}");
    }
}

/// Without the flag for hand-written recordings.
fn proven(harness: &Harness, words: &[&str]) -> (i32, Vec<Value>) {
    let (code, told, talk) = replay(harness, &[&["--json"], words].concat(), &[]);
    assert_eq!(talk, "", "{told}");
    (code, told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

#[test]
fn a_request_without_a_known_signature_is_not_signed_for_its_sender() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = folder.path().join("refused");
    let harness = Harness::new(&[("HEARDBACK_RECORD_REFUSED", &refused.display().to_string())]);
    assert_eq!(harness.send(&registration(1)).status, 201);
    let sid = sid(1);
    let event = form("/app/events", &[("MessageSid", &sid), ("Type", "code_entered")]);
    let forged = event.signed(&SigningKey::new(b"a stranger's"), crate::harness::BASE);
    assert_eq!(harness.service.exchange(&http_client::bytes(&forged)).status, 403);
    let file = recorded(&refused, 1).remove(0).display().to_string();
    // Recordings of a service are not hand-written, so the flag does not apply.
    for words in [vec![file.as_str()], vec!["--unproven", &file]] {
        let (code, told) = proven(&harness, &words);
        assert_eq!((code, results(&told)), (1, vec!["not_sent"]), "{told:?}");
        assert!(told[0]["detail"].as_str().expect("why").contains("forged"), "{told:?}");
    }
    assert_eq!(harness.state(1).as_deref(), Some("pending"));

    // A signature that doctor can explain is no proof: these were created or changed without a key.
    let files = Files::new();
    let known = SigningKey::new(ACCOUNT.as_bytes());
    let mut bare = get("/app/events").signed(&key(), crate::harness::BASE);
    bare.method = "POST".to_owned();
    bare.headers.extend(event.headers.clone());
    bare.body.clone_from(&event.body);
    let claim = json!({"MessageSid": sid, "Type": "code_entered"});
    let mut altered = crate::harness::json("/app/events", &json!({}));
    altered = altered.signed(&key(), crate::harness::BASE);
    altered.body = claim.to_string().into_bytes();
    let mut longer = form("/app/events", &[("Type", "x")]).signed(&key(), crate::harness::BASE);
    longer.body.extend(format!("&MessageSid={sid}").bytes());
    let names = [
        files.write("unsigned.http", &event),
        files.write("sid.http", &event.signed(&known, crate::harness::BASE)),
        files.write("empty.http", &event.signed(&SigningKey::new(b""), crate::harness::BASE)),
        files.write("url.http", &bare),
        files.write("altered.http", &altered),
        files.write("longer.http", &longer),
    ];
    let words: Vec<&str> = names.iter().map(String::as_str).collect();
    let (code, told) = proven(&harness, &words);
    assert_eq!((code, results(&told)), (1, vec!["not_sent"; 6]), "{told:?}");
    assert_eq!(harness.state(1).as_deref(), Some("pending"));
    for verdict in &told {
        assert!(verdict["detail"].as_str().expect("why").contains("--unproven"), "{verdict}");
    }
    // A request that the app did sign is sent, whatever URL it was signed for.
    let good = files.write("good.http", &event.signed(&key(), ELSEWHERE));
    let (code, told) = proven(&harness, &[&good]);
    assert_eq!((code, results(&told)), (0, vec!["confirmed"]), "{told:?}");
}

#[test]
fn the_key_of_one_account_is_not_replaced_by_that_of_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let accounts = folder.path().join("accounts.toml");
    let second = "0badcafe98765432100123456789beef";
    let text = format!("[[account]]\nsid = \"{OTHER_ACCOUNT}\"\nauth_tokens = [\"{second}\"]\n");
    fs::write(&accounts, text).expect("written");
    let path = accounts.display().to_string();
    let more = [("HEARDBACK_ACCOUNTS_FILE", path.as_str())];
    let harness = Harness::new(&more);
    let files = Files::new();
    // The request names no account: it belongs to the signer's account, not to the first of the
    // settings.
    let event = form("/app/events", &[("MessageSid", &sid(1)), ("Type", "code_entered")]);
    let theirs = event.signed(&SigningKey::new(second.as_bytes()), crate::harness::BASE);
    let file = files.write("theirs.http", &theirs);
    let (code, told, _) = replay(&harness, &["--dry-run", "--json", &file], &more);
    let told: Value = serde_json::from_str(told.trim()).expect("JSON");
    assert_eq!(code, 0, "{told}");
    let signed = told["signed_with"].as_str().expect("a key");
    assert!(signed.contains("HEARDBACK_ACCOUNTS_FILE"), "{signed}");
}

#[test]
fn a_path_that_a_proxy_would_change_is_not_sent() {
    let harness = Harness::new(&[]);
    let files = Files::new();
    assert_eq!(harness.send(&undated(1)).status, 201);
    for (at, target) in [
        "/app/messages/../../twilio/message",
        "/app/messages/%2e%2E/%2e./twilio/message",
        "/app/messages/..\\..\\twilio\\message",
        "/twilio/./message",
        "/twilio/message#x",
    ]
    .into_iter()
    .enumerate()
    {
        let mut recording = reply(901);
        target.clone_into(&mut recording.target);
        let file = files.write(&format!("{at}.http"), &recording);
        let (code, told) = verdicts(&harness, &[&file], &[]);
        assert_eq!((code, results(&told)), (1, vec!["not_sent"]), "{target} {told:?}");
    }
    assert_eq!(harness.state(1).as_deref(), Some("pending"));
}

#[test]
fn an_endless_file_is_no_recording() {
    let harness = Harness::new(&[]);
    let (code, told, talk) = replay(&harness, &["/dev/zero"], &[]);
    assert_eq!((code, told.as_str()), (2, ""));
    assert!(talk.contains("/dev/zero: more than 4194304 bytes"), "{talk}");
}
