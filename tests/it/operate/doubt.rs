//! `import --csv` with doubtful files: an ambiguous or contradictory line confirms nothing. Also the end of an import by a
//! closed pipe or a signal.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use crate::backup::binary::{about, run, text};
use crate::harness::{ACCOUNT, Harness, LONG, OTHER_ACCOUNT, eventually, sid};

fn file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(content.as_bytes()).expect("written");
    file
}

fn imported(harness: &Harness, content: &str) -> (Option<i32>, String, String) {
    let file = file(content);
    run(&["import", "--csv", "--rate", "1000/s", &text(file.path())], &harness.store())
}

#[test]
fn a_stray_quote_hides_no_line_without_an_error() {
    let harness = Harness::new(&[]);
    let row = |number: u32, note: &str| format!("{},{ACCOUNT},{note}\n", sid(number));
    let heads = "MessageSid,AccountSid,Note\n";
    let open = [heads, &row(1, "a"), &row(2, "\"b"), &row(3, "c"), &row(4, "d")].concat();
    let (code, stdout, _) = imported(&harness, &open);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(
        stdout.contains("line 3 refused: line: a quote opens in it and is never closed"),
        "{stdout}"
    );
    assert!(
        stdout.contains("of lines 3 to 5") && stdout.contains("confirmed 1, known 0"),
        "{stdout}"
    );
    let closed = [heads, &row(5, "\"e"), &row(6, "f"), &row(7, "\"g\""), &row(8, "h")].concat();
    let (code, stdout, _) = imported(&harness, &closed);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(
        stdout.contains("line 2 refused: line: a quote opens in it and closes on line 4"),
        "{stdout}"
    );
    assert!(harness.message(6).is_none() && harness.message(3).is_none());
    let long = format!("{heads}{}{}", row(9, &"x".repeat(70_000)), row(10, "j"));
    let (code, stdout, _) = imported(&harness, &long);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(
        stdout.contains("line 2 refused: line: the record is longer than 65536 bytes"),
        "{stdout}"
    );
    assert!(stdout.contains("confirmed 1, known 0"), "{stdout}");
}

#[test]
fn a_quoted_text_may_have_line_breaks() {
    let harness = Harness::new(&[]);
    let row = |body: &str, number: u32| {
        format!("+15558675310,{body},delivered,{ACCOUNT},{}\n", sid(number))
    };
    let bodies = [
        "\"Your code is 111111\n\nDo not share it.\"",
        "\"She said \"\"hi, you\"\",\r\nthen left\"",
        "\"\n\"",
        "plain",
    ];
    let rows: String = (1..).zip(bodies).map(|(number, body)| row(body, number)).collect();
    let (code, out, _) = imported(&harness, &format!("To,Body,Status,AccountSid,Sid\n{rows}"));
    assert_eq!((code, out.as_str()), (Some(0), "confirmed 4, known 0\n"));
    // Both records have the columns of the header, and each contains a message that did not arrive.
    let swallowing = [
        format!(
            "+15558675310,\"stray,undelivered,{ACCOUNT},{}\n+15558675310,x\",delivered,{ACCOUNT},{}\n",
            sid(5),
            sid(6)
        ),
        format!("+15558675310,\"a\nb\"c,delivered,{ACCOUNT},{}\n", sid(7)),
    ];
    for record in swallowing {
        let (code, out, _) =
            imported(&harness, &format!("To,Body,Status,AccountSid,Sid\n{record}"));
        assert_eq!(code, Some(1), "{out}");
        assert!(
            out.contains("it is probably a stray quote") && out.contains("confirmed 0"),
            "{out}"
        );
    }
    assert!((5..8).all(|number| harness.message(number).is_none()));
}

#[test]
fn a_line_that_contradicts_its_delivery_is_refused() {
    let harness = Harness::new(&[]);
    for (number, (head, value)) in (1..).zip([
        ("MessageStatus", "undelivered"),
        ("SmsStatus", "failed"),
        ("ErrorCode", "30003"),
        ("Status", "undel"),
        ("Status", "Delivery failed"),
        ("Status", "received"),
        ("Direction", "incoming"),
        ("CreatedAt,OccurredAt", "2026-11-20T10:00:00Z,2026-11-20T09:59:59Z"),
    ]) {
        let sid = sid(number);
        let content = format!("Sid,AccountSid,{head}\n{sid},{ACCOUNT},{value}\n");
        let (code, stdout, _) = imported(&harness, &content);
        assert_eq!(code, Some(1), "{head} {value} {stdout}");
        assert!(stdout.contains("confirmed 0, known 0, refused 1"), "{head} {value} {stdout}");
        assert!(harness.message(number).is_none());
    }
    let fine = format!("Sid,AccountSid,Status,ErrorCode\n{},{ACCOUNT},Delivered,0\n", sid(20));
    assert_eq!(imported(&harness, &fine).0, Some(0));
    for heads in ["Sid,MessageSid", "Sid,Status,MessageStatus", "Sid,Sid"] {
        let (code, stdout, stderr) = imported(&harness, &format!("{heads}\n"));
        assert_eq!(
            (code, stderr.contains("mean the same")),
            (Some(2), true),
            "{heads} {stdout}{stderr}"
        );
    }
}

#[test]
fn an_account_outside_the_settings_is_refused() {
    let harness = Harness::new(&[]);
    let file = file(&format!("Sid,AccountSid\n{},{OTHER_ACCOUNT}\n", sid(1)));
    let mut command = about(&["import", "--csv", &text(file.path())], &harness.store());
    let output = command.env("TWILIO_ACCOUNT_SID", ACCOUNT).output().expect("it ran");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(stdout.contains("line 2 refused: AccountSid: it is none of"), "{stdout}");
    assert!(harness.message(1).is_none());
}

#[test]
fn an_import_continues_when_the_reader_of_stdout_closes_it() {
    let harness = Harness::new(&[]);
    let bad = "x,y\n".repeat(2_000);
    let file = file(&format!("Sid,AccountSid\n{bad}{},{ACCOUNT}\n", sid(1)));
    let mut command = about(&["import", "--csv", &text(file.path())], &harness.store());
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("spawned");
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("UTF-8");
    let code = child.wait().expect("it ran").code();
    assert_eq!((code, stderr.contains("closed by its reader")), (Some(1), true), "{stderr}");
    harness.reaches(1, "reported");
}

#[test]
fn a_signal_ends_the_wait_for_a_line() {
    let harness = Harness::new(&[]);
    let mut command = about(&["import", "--csv", "-"], &harness.store());
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("spawned");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(format!("Sid,AccountSid\n{},{ACCOUNT}\n", sid(1)).as_bytes()).expect("written");
    harness.reaches(1, "reported");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("signalled");
    eventually("the command ends", LONG, || child.try_wait().expect("asked").is_some());
    drop(stdin);
    let output = child.wait_with_output().expect("it ended");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "confirmed 1, known 0\n");
    assert_eq!(output.status.code(), Some(1));
}
