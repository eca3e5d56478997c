//! A reader that closes its end of a pipe: the exit code still gives the result of the command.

use std::path::Path;
use std::process::Stdio;

use crate::backup::binary::{about, run, text};
use crate::harness::running::settings;
use crate::harness::sid;
use crate::operate::filled;

/// The exit code if the readers of stdout and stderr, or of stdout alone, close them before a byte is written.
fn unread(words: &[&str], store: &Path, more: &[(String, String)], both: bool) -> Option<i32> {
    let mut command = about(words, store);
    command.envs(more.iter().map(|(name, value)| (name, value)));
    // The reader is gone before the command starts: each write fails.
    let closed = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        Stdio::from(writer)
    };
    command.stdout(closed()).stderr(if both { closed() } else { Stdio::null() });
    command.status().expect("it ran").code()
}

#[test]
fn every_command_has_the_same_exit_code_when_its_output_is_closed() {
    let harness = filled();
    let store = harness.store();
    let folder = tempfile::tempdir().expect("a folder");
    let more: Vec<(String, String)> = settings(&store, &harness.twilio);
    let recording = folder.path().join("r.http");
    std::fs::write(&recording, "POST /twilio/status HTTP/1.1\r\n\r\n").expect("written");
    let (one, three, recording) = (sid(1), sid(3), text(&recording));
    let dir = text(folder.path());
    for words in [
        &["list"][..],
        &["list", "--json"],
        &["list", "--parked"],
        &["show", &one],
        &["show", "nobody"],
        &["show", "--json", &one],
        &["stats"],
        &["stats", "--json"],
        &["check"],
        &["check", "--json"],
        &["doctor", &recording],
        &["doctor", "--json", &recording],
        &["sign", "https://example.com/", "--form", "a=b"],
        &["verify-store"],
        &["man"],
        &["man", "--dir", &dir],
        &["completions", "bash"],
        &["--help"],
        &["list", "--help"],
        &["--version"],
        &["no-such-command"],
        &["hold"],
        &["resume"],
        &["requeue", "--all"],
        &["requeue", &three, &one],
        &["forget", "+15550009999"],
    ] {
        for both in [false, true] {
            let read = about(words, &store).envs(more.iter().map(|(k, v)| (k, v))).output();
            let expected = read.expect("it ran").status.code();
            let code = unread(words, &store, &more, both);
            assert_eq!(code, expected, "{words:?}, stderr closed too: {both}");
        }
    }
}

#[test]
fn an_export_whose_reader_closes_it_fails() {
    let harness = filled();
    assert_eq!(unread(&["export"], &harness.store(), &[], false), Some(1));
    assert_eq!(run(&["export"], &harness.store()).0, Some(0));
}

#[test]
fn the_demo_runs_to_its_end_when_its_output_is_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(unread(&["demo"], folder.path(), &[], true), Some(0));
}
