//! What a line of an export is read as, and what is said of one that is none. Beside `ledger.rs` only for its
//! length.

use std::io::BufReader;

use super::*;

const HEAD: &str = r#"{"type":"heardback","format":2,"release":"0.1.0","at":"2026-01-31T12:00:00.000Z","persons":"00"}"#;
const HOLD: &str = r#"{"type":"hold","account":"AC0123456789abcdef0123456789abcdef","since":"2026-01-31T12:00:00.123Z"}"#;
const END: &str = r#"{"type":"end","holds":1,"counted":0,"messages":0,"links":0,"senders":0,"names":0,"automatic":0,"parked":0}"#;

/// How many records these lines hold, or what is wrong with them.
fn read(lines: &[&str]) -> Result<u64, String> {
    let text = lines.join("\n");
    let told = |error: anyhow::Error| format!("{error:#}");
    let mut lines = ExportReader::begin(BufReader::new(text.as_bytes())).map_err(told)?;
    while lines.next().map_err(told)?.is_some() {}
    Ok(lines.tally().total())
}

#[test]
fn a_tally_is_told_by_what_there_is() {
    let tally = RecordTotals { messages: 2, holds: 1, ..RecordTotals::default() };
    assert_eq!(tally.describe(), "3 records: 2 messages, 1 accounts on hold");
    assert_eq!(RecordTotals::default().describe(), "0 records");
}

#[test]
fn a_whole_file_is_read() {
    assert_eq!(read(&[HEAD, HOLD, END]), Ok(1));
    assert_eq!(read(&[HEAD, HOLD, END, ""]), Ok(1));
    assert_eq!(read(&[&format!("\u{feff}{HEAD}"), HOLD, END]), Ok(1));
}

#[test]
fn what_is_wrong_with_a_file_is_said_by_line_and_never_repeated() {
    let secret = "+15551234567";
    let odd = format!(r#"{{"type":"{secret}"}}"#);
    let short = format!(r#"{{"type":"hold","account":"{secret}"}}"#);
    let long = format!(r#"{{"type":"hold","account":"{}"}}"#, secret.repeat(2_000));
    let unproven = r#"{"type":"sender","account":"AC0123456789abcdef0123456789abcdef","address":"","service":"MG0123456789abcdef0123456789abcdef"}"#;
    let later = HEAD.replace(r#""format":2"#, r#""format":3"#);
    let earlier = HEAD.replace(r#""format":2"#, r#""format":1"#);
    for (lines, said) in [
        (&[secret][..], "line 1 is no header"),
        (&[HOLD, END], "line 1 is no header"),
        (&[&later], "it has export format 3 of release 0.1.0"),
        (&[&earlier], "this release reads format 2 only"),
        (&[HEAD], "it has no end: it was cut after line 1"),
        (&[HEAD, HOLD], "it has no end: it was cut after line 2"),
        (&[HEAD, HOLD, secret], "line 3 cannot be read: it is no JSON"),
        (&[HEAD, HOLD, "", END], "line 3 cannot be read: it is no JSON"),
        (&[HEAD, HOLD, &odd], "line 3 cannot be read: unknown record type"),
        (&[HEAD, &short], "line 2 cannot be read: unknown record type"),
        (&[HEAD, &long], "line 2 cannot be read: it is longer than"),
        (&[HEAD, unproven], "line 2 cannot be read: a sender has"),
        (&[HEAD, HEAD], "line 2 is a second header"),
        (&[HEAD, END], "line 2, its end, counts 1 records; 0 came"),
        (&[HEAD, HOLD, END, HOLD], "line 4 comes after the end"),
    ] {
        let told = read(lines).expect_err(said);
        assert!(told.contains(said), "{told}");
        assert!(!told.contains("555"), "{told}");
    }
}

#[test]
fn a_strangers_header_does_nothing_to_a_terminal() {
    let later = HEAD.replace(r#""format":2"#, r#""format":3"#);
    let told = read(&[&later.replace("0.1.0", r"\u001b[2J")]).expect_err("another format");
    assert!(told.contains("release unknown") && !told.contains('\u{1b}'), "{told:?}");
    assert!(read(&[&later]).expect_err("another format").contains("release 0.1.0"));
}
