//! Two releases on one database: docs/design.md, "Rolling deploys". The next release is built from this one and a further
//! migration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::deploy::image::context;
use crate::harness::running::{BINARY, wrapped};
use crate::harness::twilio::Twilio;
use crate::postgres::Postgres;
use crate::traffic::{Ending, Place, Traffic, serve, stop};

/// The messages before and after each step of a deploy.
const SOME: u32 = 20;

/// A copy of the build's files in which these parts are replaced.
fn patched(folder: &Path, replacements: &[(&str, &str, &str)]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    context::copy(root, folder).expect("copied");
    for (file, old, new) in replacements {
        let text = fs::read_to_string(folder.join(file)).expect("readable");
        assert_eq!(text.matches(old).count(), 1, "{file} has {old:?} once");
        fs::write(folder.join(file), text.replace(old, new)).expect("written");
    }
}

/// Builds the next release in the target folder of this one.
fn next_release(folder: &Path) -> PathBuf {
    let first = "include_str!(\"../../../migrations/0001_rows.sql\"))]";
    let second = "include_str!(\"../../../migrations/0001_rows.sql\")), \
                  (2, \"note\", include_str!(\"../../../migrations/0002_note.sql\"))]";
    let schema = "src/store/postgres/schema.rs";
    let binary = "autobins = false\ndefault-run = \"heardback-next\"\n\n\
                  [[bin]]\nname = \"heardback-next\"\npath = \"src/main.rs\"\n";
    patched(
        folder,
        &[
            (schema, first, second),
            (schema, "LATEST: i64 = 1;", "LATEST: i64 = 2;"),
            (schema, "MIGRATIONS: [(i64, &str, &str); 1]", "MIGRATIONS: [(i64, &str, &str); 2]"),
            ("Cargo.toml", "default-run = \"heardback\"\n", binary),
        ],
    );
    let migration = "ALTER TABLE message ADD COLUMN note text;\n\
                     CREATE INDEX message_note ON message (note) WHERE note IS NOT NULL;\n";
    fs::write(folder.join("migrations/0002_note.sql"), migration).expect("written");
    let target = Path::new(BINARY).ancestors().nth(2).expect("a target folder");
    // With an example, Cargo selects the features of the tests' dependencies, which are built already.
    let built = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--locked", "--quiet", "--bin", "heardback-next"])
        .args(["--example", "docker-context", "--target-dir"])
        .arg(target)
        .current_dir(folder)
        .status();
    assert!(built.expect("cargo runs").success(), "the next release is built");
    target.join("debug/heardback-next")
}

#[test]
fn two_releases_share_a_database_while_receivers_are_replaced_one_by_one_and_back() {
    let Some(postgres) = Postgres::new() else { return };
    let twilio = Twilio::start();
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    let key = "a-phone-key-of-the-service-271828";
    let old = Place::new(postgres.url(), Some(key));
    let next = Place { program: next_release(&at("source")), ..old.clone() };

    let words = [next.program.to_str().expect("UTF-8"), "serve"];
    let more = [("HEARDBACK_STORE", next.store.as_str()), ("HEARDBACK_PHONE_KEY", key)];
    let refused = wrapped(&words, &at("refused"), &twilio, &more).output().expect("it ran");
    let log = String::from_utf8(refused.stderr).expect("UTF-8");
    assert_eq!(refused.status.code(), Some(1), "{log}");
    assert!(
        log.contains("has version 1, this release needs 2; run `heardback store migrate`"),
        "{log}"
    );

    let first = serve(&old, &twilio, &at("first"));
    let second = serve(&old, &twilio, &at("second"));
    let traffic = Traffic::to(&[&first, &second]);
    thread::scope(|scope| {
        let _ending = Ending(&traffic);
        scope.spawn(|| traffic.run());
        traffic.passes(SOME);
        next.run(&["store", "migrate"]);
        traffic.passes(SOME);
        let third = serve(&next, &twilio, &at("third"));
        traffic.redirect(&[&second, &third]);
        stop(first);
        traffic.passes(SOME);
        // What the next release writes into its column survives the rewriting of rows by this one.
        postgres.sql("UPDATE message SET note = sid");
        let noted = postgres.sql("SELECT count(*) FROM message WHERE note = sid");

        let restarted = serve(&old, &twilio, &at("restarted"));
        traffic.redirect(&[&third, &restarted]);
        stop(second);
        traffic.passes(SOME);
        traffic.redirect(&[&restarted]);
        stop(third);
        traffic.passes(SOME);

        let last = [at("fourth"), at("fifth")].map(|run| serve(&next, &twilio, &run));
        traffic.redirect(&[&last[0], &last[1]]);
        stop(restarted);
        traffic.passes(SOME);
        traffic.finish(&last[0], &twilio);
        assert_eq!(postgres.sql("SELECT count(*) FROM message WHERE note = sid"), noted);
        assert!(next.run(&["verify-store"]).contains(": sound\n"));
        last.into_iter().for_each(stop);
    });
}
