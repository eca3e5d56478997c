//! Neither a number, nor a text, nor a code, nor a secret of a send reaches the disk, the log or the metrics.

use std::fs;
use std::path::Path;

use crate::harness::{ACCOUNT, TOKEN};
use crate::send::api::{Reply, basic};
use crate::send::{Desk, create_as};

const NUMBER: &str = "4915770192837";
const TEXT: &str = "brinjalvortex";
const CODE: &str = "73914628";
const GUESS: &str = "wharfinger-guess-0123456789";

fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files(&path, found);
        } else if let Ok(bytes) = fs::read(&path) {
            found.push((path.display().to_string(), bytes));
        }
    }
}

#[test]
fn nothing_private_of_a_send_is_written_anywhere() {
    let recordings = tempfile::tempdir().expect("a folder");
    let folder = recordings.path().to_str().expect("UTF-8");
    let desk = Desk::new(&[
        ("HEARDBACK_LOG", "trace"),
        ("HEARDBACK_RECORD_REFUSED", folder),
        ("HEARDBACK_SEND_TIMEOUT", "1s"),
    ]);
    let form =
        format!("To=%2B{NUMBER}&From=%2B15017122661&Body={TEXT}+{CODE}&Heardback.Code={CODE}");
    let mut answers = Vec::new();
    let secret = format!("{TEXT} {NUMBER} {CODE}");
    let error = format!("{{\"code\":21211,\"message\":\"+{NUMBER} {TEXT}\",\"status\":400}}");
    for reply in [
        Reply::Created,
        Reply::Bytes(
            format!("HTTP/1.1 400 X\r\nContent-Length: {}\r\n\r\n{error}", error.len()).into(),
        ),
        Reply::Bytes(
            format!("HTTP/1.1 200 X\r\nContent-Length: {}\r\n\r\n{secret}", secret.len()).into(),
        ),
        Reply::BytesAndClose(format!("{secret}\r\n\r\n").into()),
        Reply::BytesAndClose(
            format!("HTTP/1.1 201 X\r\n{TEXT}-{NUMBER}: {CODE}\r\n\r\n{secret}").into(),
        ),
        Reply::Close,
        Reply::Hold,
    ] {
        desk.api.reply_with(reply);
        answers.push(desk.send_form(&form));
    }
    for form in [
        format!("{form}&Heardback.Code=1"),
        format!("{form}&Heardback.{TEXT}=1"),
        format!("{form}%"),
    ] {
        answers.push(desk.send_form(&form));
    }
    desk.send(&create_as(ACCOUNT, &basic(ACCOUNT, GUESS), &form));
    desk.send(&create_as(ACCOUNT, GUESS, &form));
    assert_eq!(desk.harness.state(1).as_deref(), Some("pending"));
    let mut found = vec![
        ("the log".to_owned(), desk.harness.service.logs().into_bytes()),
        ("the metrics".to_owned(), desk.harness.service.operator("/metrics").body),
        ("the page".to_owned(), desk.harness.service.operator("/").body),
    ];
    // The caller knows the values of its own request, and of Twilio's answer. An error of Heardback's repeats none.
    let own = answers.into_iter().filter(|answer| answer.text().contains("Heardback: "));
    found.extend(own.map(|answer| ("an answer".to_owned(), answer.body)));
    files(&desk.harness.store(), &mut found);
    files(recordings.path(), &mut found);
    assert!(found.len() > 8, "{}", found.len());
    let credentials = basic(ACCOUNT, TOKEN);
    let guess = basic(ACCOUNT, GUESS);
    for (place, bytes) in found {
        let text = String::from_utf8_lossy(&bytes);
        for private in [
            NUMBER,
            &NUMBER[2..],
            TEXT,
            CODE,
            TOKEN,
            GUESS,
            credentials.trim_start_matches("Basic "),
            guess.trim_start_matches("Basic "),
        ] {
            assert!(!text.contains(private), "{private} is in {place}: {text:.2000}");
        }
    }
}
