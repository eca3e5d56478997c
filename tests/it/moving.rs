//! The runbook of docs/moving.md under traffic: from sled to PostgreSQL and back, with the real binary. Nothing is lost, and
//! nothing is confirmed or posted twice.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr as _;
use std::thread;

use rustix::process::Signal;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::harness::running::{BINARY, Running};
use crate::harness::twilio::Twilio;
use crate::harness::{
    ACCOUNT, Harness, LONG, SENDER, eventually, form, get, http_client, sid, signed,
};
use crate::postgres::Postgres;
use crate::traffic::{Ending, Place, Traffic, serve, stop};

/// The messages before the first move: more than an import sends in one request.
const MANY: u32 = 120;
/// The messages before and after each step of a move.
const SOME: u32 = 20;

/// The part of the runbook between the end of the old side and the end of the hold.
fn moved(old: &Place, new: &Place, traffic: &Traffic, file: &Path, is_here: impl Fn(u32) -> bool) {
    let name = file.display().to_string();
    old.run(&["export", "--out", &name]);
    let before = old.run(&["export", "--digest"]);
    interrupt_import(new, file, is_here);
    traffic.passes(SOME);
    new.run(&["import", &name]);
    traffic.passes(SOME);
    assert_eq!(new.run(&["import", "--verify", &name]), before, "old and new are equal");
    assert!(before.lines().any(|line| line.starts_with("all ")), "{before}");
}

/// An import that is killed after its first records.
fn interrupt_import(new: &Place, file: &Path, is_here: impl Fn(u32) -> bool) {
    let text = std::fs::read_to_string(file).expect("readable");
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().find(|line| line.contains("\"type\":\"message\"")).expect("a message");
    let first: serde_json::Value = serde_json::from_str(first).expect("JSON");
    let first = first["sid"].as_str().expect("a SID");
    let first = u32::from_str_radix(&first[24..], 16).expect("a number");
    let mut import = new.command(&["import", "-"]).stdin(Stdio::piped()).spawn().expect("spawned");
    let mut pipe = import.stdin.take().expect("piped");
    // Without its last lines, so that it waits for more. Counted ids and names come before the messages.
    let most = lines[..lines.len() - 5].join("\n") + "\n";
    pipe.write_all(most.as_bytes()).expect("it reads");
    eventually("the first message is imported", LONG * 2, || is_here(first));
    import.kill().expect("killed");
    assert!(!import.wait().expect("it ends").success());
    drop(pipe);
}

/// Whether a receiver answers for a message.
fn knows(receiver: &Running, number: u32) -> bool {
    let request = get(&format!("/app/messages/{}", sid(number)));
    receiver.exchange(&http_client::bytes(&signed(&request))).status == 200
}

#[test]
fn a_service_moves_to_postgresql_and_back_under_traffic_and_loses_and_doubles_nothing() {
    let Some(postgres) = Postgres::new() else { return };
    let twilio = Twilio::start();
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    let sled = Place::sled(&at("sled"), None);
    let old = serve(&sled, &twilio, &at("sled"));
    let traffic = Traffic::to(&[&old]);
    thread::scope(|scope| {
        let _ending = Ending(&traffic);
        scope.spawn(|| traffic.run());
        traffic.passes(MANY);
        let migrated = Place::new(postgres.url(), None);
        migrated.run(&["store", "migrate"]);
        let key = sled.run(&["store", "key"]);
        let database = Place::new(postgres.url(), Some(key.trim()));
        let receivers = [at("run-1"), at("run-2")].map(|run| serve(&database, &twilio, &run));
        database.run(&["hold", ACCOUNT]);
        traffic.redirect(&[&receivers[0], &receivers[1]]);
        traffic.passes(SOME);
        stop(old);
        let is_here = |number| knows(&receivers[0], number);
        moved(&sled, &database, &traffic, &at("old.jsonl"), is_here);
        assert!(database.run(&["verify-store"]).contains(": sound\n"));
        database.run(&["resume", ACCOUNT]);
        traffic.passes(SOME);

        let again = Place::sled(&at("again"), Some(key.trim()));
        let new = serve(&again, &twilio, &at("again"));
        again.run(&["hold", ACCOUNT]);
        traffic.redirect(&[&new]);
        traffic.passes(SOME);
        receivers.into_iter().for_each(stop);
        moved(&database, &again, &traffic, &at("database.jsonl"), |number| knows(&new, number));
        again.run(&["resume", ACCOUNT]);
        traffic.passes(SOME);
        traffic.finish(&new, &twilio);
        stop(new);
    });
}

#[test]
fn a_store_at_rest_and_its_copy_in_the_database_have_the_same_digest() {
    let Some(postgres) = Postgres::new() else { return };
    let mut harness = Harness::new(&[]);
    for number in 1..=4 {
        let sid = sid(number);
        let fields = [
            ("MessageSid", sid.as_str()),
            ("To", "+15551234567"),
            ("From", SENDER),
            ("Link", "https://example.com/"),
        ];
        assert_eq!(harness.send(&form("/app/messages", &fields)).status, 201);
    }
    harness.confirm(1);
    harness.reaches(1, "reported");
    let source = Place::sled(&harness.store(), None);
    source.run(&["hold", ACCOUNT]);
    harness.confirm(2);
    let parked = form("/app/events", &[("Reference", "login-77"), ("Type", "password_used")]);
    assert_eq!(harness.send(&parked).status, 202);
    let key = source.run(&["store", "key"]);
    harness.service.signal(Signal::TERM);
    assert!(harness.service.ends_within(LONG).success());
    assert_eq!(source.run(&["store", "key"]), key, "stopped or not");
    assert!(key.starts_with("hex:") && key.trim().len() == 4 + 64, "32 bytes");

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("old.jsonl").display().to_string();
    source.run(&["export", "--out", &file]);
    let digest = source.run(&["export", "--digest"]);
    for kind in [
        "messages confirmed",
        "messages pending",
        "messages reported",
        "parked",
        "click links",
        "accounts on hold",
    ] {
        assert!(digest.lines().any(|line| line.starts_with(kind)), "{kind}: {digest}");
    }
    let copy = Place::new(postgres.url(), Some(key.trim()));
    let before = copy.command(&["import", "--verify", &file]).output().expect("it ran");
    let talk = String::from_utf8(before.stderr).expect("UTF-8");
    assert_eq!(before.status.code(), Some(1), "{talk}");
    assert!(talk.contains(&format!("missing {}", sid(2))), "{talk}");
    copy.run(&["import", &file]);
    assert_eq!(copy.run(&["export", "--digest"]), digest);
    assert_eq!(copy.run(&["import", "--verify", &file]), digest);
    assert!(copy.run(&["verify-store"]).ends_with(&digest));

    sql(&postgres, "UPDATE tally SET n = n + 1 WHERE key = 'state:pending'");
    let wrong = copy.command(&["verify-store"]).output().expect("it ran");
    let told = String::from_utf8(wrong.stdout).expect("UTF-8");
    assert_eq!(wrong.status.code(), Some(1), "{told}");
    assert!(told.contains("state:pending: 3 stored, 2 counted"), "{told}");
}

#[test]
fn a_store_whose_service_has_the_key_and_a_database_print_no_key() {
    let harness = Harness::new(&[("HEARDBACK_PHONE_KEY", "a-phone-key-of-the-service-271828")]);
    let place = Place::sled(&harness.store(), None);
    let output = place.command(&["store", "key"]).output().expect("it ran");
    let talk = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(1), true), "{talk}");
    assert!(talk.contains("its service has it in HEARDBACK_PHONE_KEY"), "{talk}");
    let database = Place::new(
        "postgres://owner@localhost/postgres".to_owned(),
        Some("a-phone-key-of-the-service-271828"),
    );
    let output = database.command(&["store", "key"]).output().expect("it ran");
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true));
}

#[test]
fn the_demo_on_a_database_confirms_from_one_receiver_to_the_other_and_leaves_no_schema() {
    let Some(postgres) = Postgres::new() else { return };
    let demo = Command::new(BINARY).args(["demo", "--store", &postgres.url()]).env_clear().output();
    let demo = demo.expect("it ran");
    let text = String::from_utf8(demo.stdout).expect("UTF-8");
    let talk = String::from_utf8(demo.stderr).expect("UTF-8");
    assert!(demo.status.success(), "{text}{talk}");
    for words in
        ["receiver 1", "receiver 2", "schema heardback_demo_", "Every result is as expected."]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'heardback\\_demo\\_%'";
    assert_eq!(sql(&postgres, left), Some(0));
}

/// Runs a statement on the schema. Returns the number that it selects.
fn sql(postgres: &Postgres<'_>, statement: &'static str) -> Option<i64> {
    let options = PgConnectOptions::from_str(&postgres.url()).expect("a URL");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let mut connection = PgConnection::connect_with(&options).await.expect("connected");
        let row: Option<(i64,)> =
            sqlx::query_as(statement).fetch_optional(&mut connection).await.expect("it runs");
        row.map(|(number,)| number)
    })
}
