//! `doctor` as a process: on requests that a real service rejected and recorded, and beside a
//! running service. No personal data and no secret is shown, and no unneeded value is recorded.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use heardback::recording::Recording;
use heardback::twilio::signature::SigningKey;
use serde_json::{Value, json};

use crate::harness::running::{BINARY, Running, command, settings};
use crate::harness::twilio::{Twilio, TwilioReply};
use crate::harness::{
    ACCOUNT, BASE, Harness, LONG, RECIPIENT, SENDER, TOKEN, eventually, form, http_client, key,
    status_callback,
};

/// A text that only its recipient may read.
const TEXT: &str = "my code is 424242";

/// `heardback doctor` with the service's settings and these: exit code, stdout, stderr.
fn doctor(harness: &Harness, words: &[&str], more: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(BINARY);
    command.arg("doctor").args(words).env_clear().stdin(Stdio::null());
    command.envs(settings(&harness.store(), &harness.twilio)).envs(more.iter().copied());
    let Output { status, stdout, stderr } = command.output().expect("it ran");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let (stdout, stderr) = (text(stdout), text(stderr));
    for hidden in [TOKEN, RECIPIENT.trim_start_matches('+'), SENDER.trim_start_matches('+'), TEXT] {
        assert!(
            !format!("{stdout}{stderr}").contains(hidden),
            "{hidden} shows in\n{stdout}{stderr}"
        );
    }
    (status.code().expect("no signal"), stdout, stderr)
}

/// A service that records rejected requests, and the folder of the recordings.
fn recorder() -> (Harness, tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = folder.path().join("refused");
    let harness = Harness::new(&[("HEARDBACK_RECORD_REFUSED", &refused.display().to_string())]);
    (harness, folder, refused)
}

/// The recordings, oldest first, once there are this many.
fn recorded(folder: &Path, count: usize) -> Vec<PathBuf> {
    let list = || {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let mut paths: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|end| end == "http")).collect();
        paths.sort();
        paths
    };
    eventually("the request is recorded", LONG, || list().len() >= count);
    list()
}

fn reply() -> Recording {
    let fields = [
        ("MessageSid", "SM00000000000000000000000000000777"),
        ("AccountSid", ACCOUNT),
        ("From", RECIPIENT),
        ("To", SENDER),
        ("Body", TEXT),
    ];
    form("/twilio/message", &fields)
}

#[test]
fn a_request_that_misses_a_route_is_recorded_without_values_and_explained() {
    let (harness, _folder, refused) = recorder();
    let mut request = reply();
    request.target = "/hooks/plover/twilio/messages?name=plover".to_owned();
    let request = request.signed(&key(), "https://hooks.example.com");
    assert_eq!(harness.service.exchange(&http_client::bytes(&request)).status, 404);
    let file = recorded(&refused, 1).remove(0);
    let kept = fs::read_to_string(&file).expect("there");
    for left_away in ["plover", TEXT, RECIPIENT.trim_start_matches('+')] {
        assert!(!kept.contains(left_away), "{kept}");
    }
    let (code, said, talk) = doctor(&harness, &[&file.display().to_string()], &[]);
    assert_eq!((code, talk.as_str()), (0, ""), "{said}");
    assert!(said.contains("The nearest route is /twilio/message."), "{said}");
}

#[test]
fn a_rejected_request_is_recorded_and_explained() {
    let (harness, _folder, refused) = recorder();
    let mut request = reply().signed(&key(), "http://hooks.example.com");
    request.headers.push(("Cookie".to_owned(), "session=hush".to_owned()));
    request.headers.push(("Authorization".to_owned(), "Basic hush".to_owned()));
    request.headers.push(("X-Forwarded-For".to_owned(), "192.0.2.77".to_owned()));
    request.headers.push(("X-Forwarded-Proto".to_owned(), "http".to_owned()));
    assert_eq!(harness.service.exchange(&http_client::bytes(&request)).status, 403);
    let file = recorded(&refused, 1).remove(0);
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(name.ends_with("Z-twilio-message-mismatch.http"), "{name}");
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    let kept = fs::read_to_string(&file).expect("there");
    for left_away in ["hush", "192.0.2.77"] {
        assert!(!kept.contains(left_away), "{kept}");
    }
    assert!(kept.contains("X-Forwarded-Proto: http"), "{kept}");

    let path = file.display().to_string();
    let (code, said, talk) = doctor(&harness, &[&path], &[]);
    assert_eq!((code, talk.as_str()), (0, ""), "{said}");
    assert!(said.contains("It was signed for http, not for https."), "{said}");
    assert!(said.contains("Signed with token 1 of TWILIO_AUTH_TOKEN."), "{said}");
    let (code, said, _) = doctor(&harness, &["--json", &path], &[]);
    assert_eq!(code, 0);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        (&said[0]["outcome"], &said[0]["causes"][0]["id"]),
        (&json!("found"), &json!("scheme_http"))
    );
    // With other settings the cause is not found; without settings it is wrong usage.
    let other = [("TWILIO_AUTH_TOKEN", "00000000000000000000000000000000")];
    let (code, said, _) = doctor(&harness, &[&path], &other);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("Not found") && said.contains("The token may be another one"), "{said}");
    let (code, said, talk) = doctor(&harness, &["/nowhere.http", &path], &[]);
    assert_eq!((code, said.as_str()), (2, ""));
    assert!(talk.contains("/nowhere.http: "), "{talk}");
    let (code, _, talk) = doctor(&harness, &[&path], &[("TWILIO_ACCOUNT_SID", "")]);
    assert_eq!(code, 2, "{talk}");
}

#[test]
fn the_hash_of_a_json_body_is_recorded_without_the_body_and_is_enough() {
    let (harness, _folder, refused) = recorder();
    let body = json!({"To": RECIPIENT, "Type": "code_entered"});
    let good = crate::harness::json("/app/events", &body).signed(&key(), BASE);
    let mut altered = good.clone();
    altered.body = body.to_string().replace("code", "mode").into_bytes();
    assert_eq!(harness.service.exchange(&http_client::bytes(&altered)).status, 403);
    let file = recorded(&refused, 1).remove(0);
    let kept = fs::read_to_string(&file).expect("there");
    assert!(kept.contains("# body sha256: ") && !kept.contains(RECIPIENT), "{kept}");
    let (code, said, _) = doctor(&harness, &[&file.display().to_string()], &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("bodySHA256 does not match it"), "{said}");
}

#[test]
fn an_unsigned_request_is_recorded_without_values() {
    let (harness, _folder, refused) = recorder();
    let mut unsigned =
        form("/twilio/status?reference=hush-7", &[("To", RECIPIENT), ("Body", TEXT)]);
    assert_eq!(harness.service.exchange(&http_client::bytes(&unsigned)).status, 403);
    let file = recorded(&refused, 1).remove(0);
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(name.ends_with("twilio-status-missing-unverifiable.http"), "{name}");
    let kept = fs::read_to_string(&file).expect("there");
    assert!(kept.contains("To=hashed-") && kept.contains("reference=hashed-"), "{kept}");
    for hidden in ["15551234567", "424242", "hush"] {
        assert!(!kept.contains(hidden), "{kept}");
    }
    let (code, said, _) = doctor(&harness, &[&file.display().to_string()], &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("There is no X-Twilio-Signature"), "{said}");
    // A second one within the interval is not recorded, so that noise does not fill the disk. A
    // signed request still is.
    assert_eq!(harness.service.exchange(&http_client::bytes(&unsigned)).status, 403);
    unsigned = unsigned.signed(&SigningKey::new(b"a guess"), BASE);
    assert_eq!(harness.service.exchange(&http_client::bytes(&unsigned)).status, 403);
    let names = recorded(&refused, 2);
    let noise = names.iter().filter(|path| path.to_string_lossy().contains("unverifiable")).count();
    assert!((1..=2).contains(&noise) && names.len() <= 3, "{names:?}");
}

#[test]
fn a_valid_request_is_not_recorded_and_without_the_setting_no_request_is() {
    let (harness, folder, refused) = recorder();
    assert_eq!(harness.send(&status_callback(1, "sent")).status, 204);
    assert_eq!(harness.confirm(1).status, 200);
    assert_eq!(fs::read_dir(&refused).expect("made at start").count(), 0);
    drop(harness);
    let plain = Harness::new(&[]);
    assert_eq!(plain.service.exchange(&http_client::bytes(&reply())).status, 403);
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 1);
}

#[test]
fn an_unusable_folder_is_named_at_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = folder.path().join("open");
    fs::create_dir(&open).expect("made");
    fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).expect("ours");
    let twilio = Twilio::start();
    let path = open.display().to_string();
    let mut command =
        command(&folder.path().join("store"), &twilio, &[("HEARDBACK_RECORD_REFUSED", &path)]);
    let output = command.stdin(Stdio::null()).output().expect("it ran");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("HEARDBACK_RECORD_REFUSED") && said.contains("chmod 700"), "{said}");
}

#[test]
fn beside_a_running_service_it_finds_no_fault_and_disturbs_nothing() {
    let harness = Harness::new(&[]);
    let public = format!("http://{}", harness.service.public);
    let ops = harness.service.ops.to_string();
    let more = [("HEARDBACK_PUBLIC_URL", public.as_str()), ("HEARDBACK_OPS_LISTEN", ops.as_str())];
    let (code, said, talk) = doctor(&harness, &[], &more);
    assert_eq!((code, talk.as_str()), (0, ""), "{said}");
    for line in [
        "ok    settings    sound",
        "in use (pid ",
        "accepts token 1 of TWILIO_AUTH_TOKEN",
        "/ answers with our greeting",
        &format!("ok    service     at {ops}: ready"),
        &format!("inbound message   {public}/twilio/message#rc=3"),
        "Nothing failed",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
    assert!(!said.contains('\u{1b}'), "no colour for a pipe");
    let (code, said, _) = doctor(&harness, &["--json"], &more);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &said["ok"]), (0, &json!(true)));
    assert_eq!(said["webhooks"][0]["public_url"], public.as_str());
    assert!(harness.twilio.posts().iter().all(|asked| asked.starts_with("GET ")), "a post");
    assert_eq!(harness.send(&status_callback(2, "sent")).status, 204, "the service goes on");
}

#[test]
fn without_a_service_it_reports_that_and_creates_no_store() {
    let mut harness = Harness::new(&[]);
    harness.service.signal(rustix::process::Signal::TERM);
    harness.service.ends_within(LONG);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nowhere = free.local_addr().expect("bound").to_string();
    drop(free);
    let public = format!("http://{nowhere}");
    let store = format!("sled:{}", harness.store().with_file_name("none").display());
    let more =
        [("HEARDBACK_PUBLIC_URL", public.as_str()), ("HEARDBACK_OPS_LISTEN", nowhere.as_str())];
    let (code, said, _) = doctor(&harness, &[], &more);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("no service has it open"), "{said}");
    assert!(said.contains(&format!("no running service found at {nowhere}")), "{said}");
    assert!(said.contains("cannot be reached from here"), "{said}");
    let absent = [more[0], more[1], ("HEARDBACK_STORE", &store)];
    let (code, said, _) = doctor(&harness, &[], &absent);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("there is no store at"), "{said}");
    assert!(!harness.store().with_file_name("none").exists());
    // The service can still be started.
    harness.service = Running::start(command(&harness.store(), &harness.twilio, &[]));
}

#[test]
fn a_token_that_twilio_rejects_is_a_failure() {
    let harness = Harness::new(&[]);
    harness.twilio.reply_with(TwilioReply::Status(401));
    let ops = harness.service.ops.to_string();
    let public = format!("http://{}", harness.service.public);
    let more = [("HEARDBACK_PUBLIC_URL", public.as_str()), ("HEARDBACK_OPS_LISTEN", ops.as_str())];
    let (code, said, _) = doctor(&harness, &[], &more);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("FAIL  twilio") && said.contains("rejects token 1"), "{said}");
}
