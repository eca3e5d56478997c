//! SIGHUP: accounts and secrets are read again by the real binary, under traffic, and nothing is lost.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use heardback::recording::Recording;
use heardback::twilio::signature::SigningKey;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::http_client::{self, Line};
use crate::harness::running::{BINARY, Running, command, wrapped};
use crate::harness::twilio::Twilio;
use crate::harness::{
    ACCOUNT, BASE, LONG, OTHER_ACCOUNT, RECIPIENT, SENDER, TOKEN, eventually, form, sid,
};

const NEXT: &str = "fedcba9876543210fedcba9876543210";
const APP_KEY: &str = "what every account's app signs with";

struct Harness {
    service: Running,
    twilio: Twilio,
    folder: tempfile::TempDir,
}

impl Harness {
    /// Starts with this accounts file and no account in the environment.
    fn new(accounts: &str) -> Self {
        let twilio = Twilio::start();
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("accounts.toml");
        std::fs::write(&file, accounts).expect("written");
        std::fs::write(folder.path().join("phone"), "a key for phone numbers").expect("written");
        std::fs::write(folder.path().join("click"), "a-secret-of-a-path").expect("written");
        let mut command = command(&folder.path().join("store"), &twilio, &[]);
        command
            .env_remove("TWILIO_ACCOUNT_SID")
            .env_remove("TWILIO_AUTH_TOKEN")
            .env("HEARDBACK_ACCOUNTS_FILE", &file)
            .env("HEARDBACK_PHONE_KEY_FILE", folder.path().join("phone"))
            .env("HEARDBACK_CLICK_PATH_SECRET_FILE", folder.path().join("click"))
            .env("HEARDBACK_APP_KEYS", APP_KEY);
        let service = Running::start(command);
        Self { service, twilio, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the accounts file and sends SIGHUP.
    fn reload(&self, accounts: &str, result: &str) {
        std::fs::write(self.path("accounts.toml"), accounts).expect("written");
        let metric = format!("heardback_config_reloads_total{{result=\"{result}\"}}");
        let before = self.service.metric(&metric);
        self.service.signal(Signal::HUP);
        eventually("the file was read again", LONG, || self.service.metric(&metric) > before);
    }

    fn send(&self, request: &Recording, secret: &str) -> u16 {
        self.service.exchange(&bytes(request, secret)).status
    }
}

fn bytes(request: &Recording, secret: &str) -> Vec<u8> {
    http_client::bytes(&request.signed(&SigningKey::new(secret.as_bytes()), BASE))
}

fn account(sid: &str, tokens: &[&str]) -> String {
    format!("[[account]]\nsid = \"{sid}\"\nauth_tokens = {tokens:?}\n")
}

fn status(account: &str, number: u32) -> Recording {
    let sid = sid(number);
    let fields = [
        ("MessageSid", sid.as_str()),
        ("MessageStatus", "sent"),
        ("AccountSid", account),
        ("To", RECIPIENT),
        ("From", SENDER),
    ];
    form("/twilio/status", &fields)
}

fn event(account: &str, number: u32) -> Recording {
    form("/app/events", &[("MessageSid", &sid(number)), ("AccountSid", account)])
}

#[test]
fn a_token_is_rotated_under_traffic_and_no_callback_is_lost() {
    let harness = Harness::new(&account(ACCOUNT, &[TOKEN]));
    let (public, stop) = (harness.service.public, AtomicBool::new(false));
    let stop = &stop;
    let answers: Vec<u16> = thread::scope(|scope| {
        let callers: Vec<_> = (0..4_u32)
            .map(|caller| {
                scope.spawn(move || {
                    // One connection, kept during the whole test.
                    let mut line = Line::open(public);
                    let mut answers = Vec::new();
                    for number in (caller * 100_000).. {
                        if stop.load(Ordering::Acquire) {
                            break;
                        }
                        line.send(&bytes(&status(ACCOUNT, number), TOKEN));
                        answers.push(line.answer().expect("an answer").status);
                    }
                    answers
                })
            })
            .collect();
        let counted = "heardback_http_requests_total{route=\"/twilio/status\",status=\"204\"}";
        eventually("the callers have sent requests", LONG, || {
            harness.service.metric(counted) > 100
        });
        for _ in 0..5 {
            harness.reload(&account(ACCOUNT, &[TOKEN, NEXT]), "done");
            harness.reload(&account(ACCOUNT, &[NEXT, TOKEN]), "done");
        }
        let before = harness.service.metric(counted);
        eventually("the callers go on", LONG, || harness.service.metric(counted) > before + 100);
        stop.store(true, Ordering::Release);
        callers.into_iter().flat_map(|caller| caller.join().expect("it called")).collect()
    });
    assert!(answers.len() > 200, "{}", answers.len());
    assert!(answers.iter().all(|status| *status == 204), "every callback was accepted");

    let matched = |key: &str| {
        harness.service.metric(&format!(
            "heardback_key_last_matched_timestamp_seconds\
             {{route=\"/twilio/status\",account=\"{ACCOUNT}\",key=\"{key}\"}}"
        ))
    };
    // The labels follow the order of the keys.
    harness.reload(&account(ACCOUNT, &[NEXT, TOKEN]), "done");
    assert_eq!(harness.send(&status(ACCOUNT, 1), TOKEN), 204);
    assert_eq!((matched("token 1"), matched("token 2") > 0), (0, true));
    harness.reload(&account(ACCOUNT, &[NEXT]), "done");
    assert_eq!(matched("token 2"), 0, "a removed key has no label");
    assert_eq!(harness.send(&status(ACCOUNT, 1), TOKEN), 403, "the old token was removed");
    assert_eq!(harness.send(&status(ACCOUNT, 1), NEXT), 204);
}

#[test]
fn an_invalid_file_is_refused_as_a_whole_and_nothing_changes() {
    let harness = Harness::new(&account(ACCOUNT, &[TOKEN]));
    let bad = format!(
        "{}{}extra = \"hush\"\n[[account]]\nsid = \"hush\"\n",
        account(ACCOUNT, &[NEXT]),
        account(OTHER_ACCOUNT, &["hush"])
    );
    harness.reload(&bad, "refused");
    harness.service.says("nothing has changed");
    let logs = harness.service.logs();
    let line = logs.lines().find(|line| line.contains("nothing has changed")).expect("said");
    for words in ["\"level\":\"ERROR\"", "account 2 (", "extra is unknown", "account 3: sid"] {
        assert!(line.contains(words), "{words} is not in {line}");
    }
    assert!(!logs.contains("hush"), "{line}");
    assert_eq!(harness.send(&status(ACCOUNT, 1), TOKEN), 204, "unchanged");
    assert_eq!(harness.send(&status(ACCOUNT, 1), NEXT), 403);
    assert_eq!(harness.send(&status(OTHER_ACCOUNT, 1), "hush"), 403);

    std::fs::remove_file(harness.path("accounts.toml")).expect("removed");
    harness.service.signal(Signal::HUP);
    harness.service.says("cannot be read");
    assert_eq!(harness.send(&status(ACCOUNT, 2), TOKEN), 204);
    harness.reload(&account(ACCOUNT, &[NEXT]), "done");
    assert_eq!(harness.send(&status(ACCOUNT, 3), NEXT), 204, "a valid file is accepted again");
}

#[test]
fn a_setting_that_needs_a_restart_is_logged_and_stays() {
    let harness = Harness::new(&account(ACCOUNT, &[TOKEN]));
    std::fs::write(harness.path("phone"), "another key for phones").expect("written");
    std::fs::write(harness.path("click"), "another-secret-of-a-path").expect("written");
    harness.reload(&account(ACCOUNT, &[TOKEN, NEXT]), "done");
    for setting in ["HEARDBACK_PHONE_KEY", "HEARDBACK_CLICK_PATH_SECRET"] {
        harness
            .service
            .says(&format!("{setting} has changed, which has no effect before a restart"));
    }
    assert_eq!(harness.send(&status(ACCOUNT, 1), NEXT), 204, "the other changes are in place");
}

#[test]
fn an_account_is_added_and_removed_with_its_posts() {
    let harness = Harness::new(&account(ACCOUNT, &[TOKEN]));
    assert_eq!(harness.send(&event(OTHER_ACCOUNT, 1), APP_KEY), 403);
    let both = account(ACCOUNT, &[TOKEN]) + &account(OTHER_ACCOUNT, &[NEXT]);
    harness.reload(&both, "done");
    assert_eq!(harness.send(&event(OTHER_ACCOUNT, 1), APP_KEY), 200);
    let posted =
        |number: u32| harness.twilio.posts().iter().any(|post| post.contains(&sid(number)));
    eventually("the confirmation is posted", LONG, || posted(1));

    // A confirmation of a removed account waits and is logged; the other accounts go on.
    harness.twilio.reply_with(crate::harness::twilio::TwilioReply::Status(503));
    assert_eq!(harness.send(&event(OTHER_ACCOUNT, 2), APP_KEY), 200);
    let retried = "heardback_upstream_settled_total{settlement=\"retry\"}";
    eventually("the post was attempted", LONG, || harness.service.metric(retried) > 0);
    harness.reload(&account(ACCOUNT, &[TOKEN]), "done");
    harness.twilio.reply_with(crate::harness::twilio::TwilioReply::Status(200));
    let paused = format!("heardback_lane_paused{{account=\"{OTHER_ACCOUNT}\"}}");
    eventually("its lane is paused", LONG, || harness.service.metric(&paused) == 1);
    harness.service.says("not among those that are configured");
    assert_eq!(harness.send(&event(ACCOUNT, 3), APP_KEY), 200);
    eventually("the other account's is posted", LONG, || posted(3));
}

#[test]
fn a_hangup_during_the_wait_for_the_store_ends_nothing_and_is_handled_afterwards() {
    let twilio = Twilio::start();
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    std::fs::create_dir(&store).expect("made");
    // The previous process has not released the store yet.
    let lock = std::fs::File::create(store.join("heardback.lock")).expect("made");
    lock.lock().expect("ours");
    let noted = folder.path().join("pid");
    let noting = format!("echo $$ >{0}.new; mv {0}.new {0}; exec {BINARY} serve", noted.display());
    let hanging_up = thread::spawn(move || {
        let mut pid = None;
        eventually("the service has a process id", LONG, || {
            let noted = std::fs::read_to_string(&noted).ok();
            pid = noted.and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?));
            pid.is_some()
        });
        let pid = pid.expect("noted");
        let status = format!("/proc/{}/status", pid.as_raw_nonzero());
        let catches_hangups = || {
            let status = std::fs::read_to_string(&status).unwrap_or_default();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = caught.and_then(|caught| u64::from_str_radix(caught.trim(), 16).ok());
            caught.is_some_and(|caught| caught & 1 == 1)
        };
        eventually("the service handles SIGHUP", LONG, catches_hangups);
        kill_process(pid, Signal::HUP).expect("signalled");
        drop(lock);
    });
    let service = Running::start(wrapped(&["/bin/sh", "-c", &noting], &store, &twilio, &[]));
    hanging_up.join().expect("it did");
    let reloaded = || service.metric("heardback_config_reloads_total{result=\"done\"}") == 1;
    eventually("the SIGHUP was handled", LONG, reloaded);
}
