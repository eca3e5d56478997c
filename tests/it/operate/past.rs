//! `import --csv`: past messages with proof of arrival.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::backup::binary::{about, run, text};
use crate::harness::running::{Running, command};
use crate::harness::{
    ACCOUNT, Harness, LONG, OTHER_ACCOUNT, RECIPIENT, SENDER, eventually, form, sid,
};
use crate::operate::{lines, register, stop};

/// A CSV file with these lines.
fn csv(heads: &str, rows: &[String]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(file, "{heads}").expect("written");
    for row in rows {
        writeln!(file, "{row}").expect("written");
    }
    file
}

fn plain(numbers: std::ops::RangeInclusive<u32>) -> tempfile::NamedTempFile {
    let rows: Vec<String> = numbers.map(|number| format!("{},{ACCOUNT}", sid(number))).collect();
    csv("MessageSid,AccountSid", &rows)
}

#[test]
fn past_messages_are_confirmed_and_reported_and_known_in_a_second_import() {
    let harness = Harness::new(&[]);
    // 1 is pending, 2 is unknown.
    register(&harness, 1, RECIPIENT, "login-1");
    let row = |number: u32| {
        let sid = sid(number);
        format!(
            "{sid},{ACCOUNT},login-{number},2026-11-20T10:00:00Z,2026-11-20T10:00:30Z,code_entered"
        )
    };
    let heads = "MessageSid,AccountSid,Reference,CreatedAt,OccurredAt,Type";
    let file = csv(heads, &[row(1), row(2)]);
    let words = ["import", "--csv", "--rate", "1000/s", &text(file.path())];
    let (code, stdout, stderr) = run(&words, &harness.store());
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "confirmed 2, known 0\n", ""));
    for number in [1, 2] {
        harness.reaches(number, "reported");
        let message = harness.message(number).expect("known");
        assert_eq!(message["reference"], format!("login-{number}"));
        let proof = (&message["evidence"], &message["evidence_basis"]);
        assert_eq!(proof, (&json!("code_entered"), &json!("direct")));
    }
    let shown = lines(&harness, &["show", "--json", &sid(2)]).remove(0).to_string();
    assert!(shown.contains("2026-11-20T10:00:00Z"), "the creation time: {shown}");
    assert_eq!(harness.twilio.posts().len(), 2);
    let again = lines(&harness, &[&["import", "--json"], &words[1..]].concat());
    let known = json!({"confirmed": 0, "known": 2, "none": {}, "refused": {}, "complete": true});
    assert_eq!(again, [known]);
    assert_eq!(harness.twilio.posts().len(), 2, "each once");
    assert!(harness.service.logs().contains("by import"), "{}", harness.service.logs());
}

#[test]
fn messages_imported_into_a_stopped_store_are_reported_when_it_serves() {
    let mut harness = Harness::new(&[]);
    stop(&mut harness);
    let file = plain(1..=30);
    // Nothing is posted during the import, so --rate is rejected.
    let path = text(file.path());
    let (code, _, stderr) = run(&["import", "--csv", "--rate", "1/m", &path], &harness.store());
    assert_eq!((code, stderr.contains("--rate: no service")), (Some(2), true), "{stderr}");
    let (code, stdout, stderr) = run(&["import", "--csv", &path], &harness.store());
    assert_eq!((code, stdout.as_str()), (Some(0), "confirmed 30, known 0\n"), "{stderr}");
    assert!(stderr.contains("once `heardback serve` has this store"), "{stderr}");
    assert!(harness.twilio.posts().is_empty());
    harness.service = Running::start(command(&harness.store(), &harness.twilio, &[]));
    harness.reaches(30, "reported");
    harness.reaches(1, "reported");
}

#[test]
fn a_stopped_store_judges_by_the_services_settings() {
    let mut harness = Harness::new(&[]);
    // Evidence for a reference is parked. With two messages of the reference, the policy selects one.
    let event =
        form("/app/events", &[("Reference", "login-7"), ("OccurredAt", "2026-11-20T12:00:00Z")]);
    assert_eq!(harness.send(&event).status, 202);
    stop(&mut harness);
    let row = format!("{},{ACCOUNT},login-7,2026-11-20T10:00:00Z", sid(1));
    let file = csv("MessageSid,AccountSid,Reference,CreatedAt", &[row]);
    let wrong = about(&["import", "--csv", &text(file.path())], &harness.store())
        .env("HEARDBACK_RESEND", "whichever")
        .output()
        .expect("it ran");
    assert_eq!(wrong.status.code(), Some(2), "{}", String::from_utf8_lossy(&wrong.stderr));
    let done = about(&["import", "--csv", &text(file.path())], &harness.store())
        .env("HEARDBACK_PENDING_TTL", "3d")
        .output()
        .expect("it ran");
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let shown = lines(&harness, &["show", "--json", &sid(1)]).remove(0);
    assert_eq!(shown["state"], "confirmed");
    let moment = |name: &str| -> jiff::Timestamp {
        shown[name].as_str().expect("a time").parse().expect("RFC 3339")
    };
    let days = moment("expires_at").duration_since(moment("remembered_at")).as_hours();
    assert!((71..=72).contains(&days), "{shown}");
}

#[test]
fn bad_lines_are_listed_without_their_text_and_the_import_continues() {
    let harness = Harness::new(&[]);
    register(&harness, 9, RECIPIENT, "login-9");
    let heads =
        "\u{feff}From,To,Body,Status,SentDate,AccountSid,Sid,Direction,Reference,OccurredAt";
    let row = |status: &str, account: &str, sid: &str, direction: &str, more: &str| {
        format!(
            "{SENDER},{RECIPIENT},\"my code, \"\"424242\"\", is late\",{status},\
             2026-11-20T10:00:00.000+00:00,{account},{sid},{direction},{more}"
        )
    };
    let out = "outbound-api";
    let rows = [
        row("delivered", ACCOUNT, &sid(1), out, "login-1,2026-11-20T10:01:00Z"),
        row("received", ACCOUNT, &sid(2), "inbound", ","),
        row("undelivered", ACCOUNT, &sid(3), out, ","),
        row("delivered", ACCOUNT, "", out, ","),
        row("delivered", ACCOUNT, RECIPIENT, out, ","),
        row("delivered", "", &sid(4), out, ","),
        row("delivered", "AC1", &sid(5), out, ","),
        row("delivered", ACCOUNT, &sid(6), out, ",yesterday"),
        row("delivered", ACCOUNT, &sid(9), out, "another-reference,"),
        row("delivered", OTHER_ACCOUNT, &sid(9), out, ","),
        row("delivered", ACCOUNT, &sid(7), out, ","),
        sid(8),
    ];
    let file = csv(heads, &rows);
    let words = ["import", "--csv", "--rate", "1000/s", &text(file.path())];
    let (code, stdout, stderr) = run(&words, &harness.store());
    assert_eq!((code, stderr.as_str()), (Some(1), ""), "{stdout}");
    let lines: Vec<&str> = stdout.lines().collect();
    let expected = [
        (3, "Direction: "),
        (4, "Status: "),
        (5, "MessageSid: missing"),
        (6, "MessageSid: expected MessageSid"),
        (7, "AccountSid: missing; add the column, or set TWILIO_ACCOUNT_SID"),
        (8, "AccountSid: expected AccountSid"),
        (9, "OccurredAt: expected RFC 3339"),
        (10, "Reference contradicts"),
        (11, "AccountSid contradicts"),
        (13, "line: expected 10 columns, as the first line has; found 1"),
    ];
    for ((number, why), line) in expected.iter().zip(&lines) {
        assert!(line.starts_with(&format!("line {number} refused: {why}")), "{line}\n{stdout}");
    }
    assert_eq!(
        lines.last(),
        Some(
            &"confirmed 2, known 0, refused 10 (AccountSid 3, Direction 1, MessageSid 2, \
              OccurredAt 1, Reference 1, Status 1, line 1)"
        )
    );
    for hidden in [RECIPIENT.trim_start_matches('+'), "424242", "yesterday", "another-reference"] {
        assert!(!stdout.contains(hidden), "{stdout}");
    }
    assert_eq!(harness.state(9).as_deref(), Some("pending"), "the others are unchanged");
    assert!(harness.message(2).is_none() && harness.message(3).is_none());
    let mut command = about(&["import", "--json", "--csv", words[4]], &harness.store());
    let output = command.env("TWILIO_ACCOUNT_SID", ACCOUNT).output().expect("it ran");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    let stdout: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&stdout[0]["line"], &stdout[0]["result"]), (&json!(3), &json!("refused")));
    let last = stdout.last().expect("a sum");
    // 7 had no account of its own.
    assert_eq!((&last["confirmed"], &last["known"]), (&json!(1), &json!(2)), "{last}");
    assert_eq!((output.status.code(), &last["complete"]), (Some(1), &json!(true)), "{last}");
}

#[test]
fn columns_have_several_names_and_the_account_comes_from_the_environment() {
    let harness = Harness::new(&[]);
    let created = "Fri, 20 Nov 2026 10:00:00 +0000";
    for (number, heads, row) in [
        (1, "sid;date_created", format!("{};\"{created}\"", sid(1))),
        (2, "MESSAGE SID\tDate Created", format!("{}\t{created}", sid(2))),
        (3, "message_sid", sid(3)),
    ] {
        let file = csv(heads, &[row]);
        let mut command = about(&["import", "--csv", &text(file.path())], &harness.store());
        let output = command.env("TWILIO_ACCOUNT_SID", ACCOUNT).output().expect("it ran");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{heads} {stderr}");
        harness.reaches(number, "reported");
    }
    let shown = lines(&harness, &["show", "--json", &sid(1)]).remove(0).to_string();
    assert!(shown.contains("2026-11-20T10:00:00.999Z"), "{shown}");
    // From stdin, too.
    let mut command = about(&["import", "--csv", "-"], &harness.store());
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.env("TWILIO_ACCOUNT_SID", ACCOUNT).spawn().expect("spawned");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(format!("Sid\n{}\n", sid(4)).as_bytes()).expect("written");
    drop(stdin);
    assert!(child.wait_with_output().expect("it ran").status.success());
    harness.reaches(4, "reported");
}

#[test]
fn a_wrong_argument_or_a_missing_file_exits_with_2_and_opens_no_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let none = csv("From,To,Body", &["a,b,c".to_owned()]);
    let empty = csv("", &[]);
    let good = plain(1..=1);
    for (words, expected) in [
        (vec!["import", "--csv", "--rate", "fast"], "such as 10/s or 600/m"),
        (vec!["import", "--csv", "/nowhere.csv"], "/nowhere.csv: "),
        (vec!["import", "--rate", "1/s", "x.csv"], "--csv"),
    ] {
        let mut words = words;
        let path = text(good.path());
        if words.len() == 4 && words[1] == "--csv" {
            words.push(&path);
        }
        let (code, stdout, stderr) = run(&words, folder.path());
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{words:?} {stderr}");
        assert!(stderr.contains(expected), "{words:?} {stderr}");
    }
    let mut utf16 = tempfile::NamedTempFile::new().expect("a file");
    utf16.write_all(b"\xff\xfeS\0i\0d\0\r\0\n\0").expect("written");
    let column = "no column MessageSid";
    for (file, why) in [(none, column), (empty, column), (utf16, "save it as CSV in UTF-8")] {
        let (code, _, stderr) = run(&["import", "--csv", &text(file.path())], folder.path());
        assert_eq!((code, stderr.contains(why)), (Some(2), true), "{stderr}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0);
}

#[test]
fn a_running_service_gets_at_most_the_rate_and_an_interrupted_import_can_run_again() {
    let harness = Harness::new(&[]);
    let file = plain(1..=3);
    let words = ["import", "--csv", "--rate", "1/m", &text(file.path())];
    let mut command = about(&words, &harness.store());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned");
    harness.reaches(1, "reported");
    // The second line follows after a minute.
    assert!(harness.message(2).is_none());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("signalled");
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), stderr.contains("stopped")), (Some(1), true), "{stderr}");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(stdout, "confirmed 1, known 0\n");
    let words = ["import", "--csv", "--rate", "1000/s", &text(file.path())];
    let (code, stdout, stderr) = run(&words, &harness.store());
    assert_eq!((code, stdout.as_str()), (Some(0), "confirmed 2, known 1\n"), "{stderr}");
    eventually("each is reported once", LONG, || harness.twilio.posts().len() == 3);
}

#[test]
fn a_full_store_stops_the_import_and_the_output_counts_the_confirmed_lines() {
    let mut harness = Harness::new(&[("HEARDBACK_MAX_MESSAGES", "2")]);
    let file = plain(1..=4);
    let path = text(file.path());
    let words = ["import", "--csv", "--rate", "1000/s", &path];
    let (code, stdout, stderr) = run(&words, &harness.store());
    assert_eq!((code, stdout.as_str()), (Some(1), "confirmed 2, known 0\n"), "{stderr}");
    assert!(
        stderr.contains("the import stopped before line 4: the service rejected the request"),
        "{stderr}"
    );
    stop(&mut harness);
    let mut command = about(&["import", "--csv", &path], &harness.store());
    let output = command.env("HEARDBACK_MAX_MESSAGES", "3").output().expect("it ran");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!((output.status.code(), stdout.as_str()), (Some(1), "confirmed 1, known 2\n"));
    let mut command = about(&["import", "--csv", "--json", &path], &harness.store());
    let output = command.env("HEARDBACK_MAX_MESSAGES", "3").output().expect("it ran");
    let counts: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let expected =
        json!({"confirmed": 0, "known": 3, "none": {}, "refused": {}, "complete": false});
    assert_eq!((output.status.code(), counts), (Some(1), expected));
}

#[test]
fn an_import_that_waited_for_its_first_line_confirms_no_two_lines_at_once() {
    let interval = Duration::from_millis(500);
    let harness = Harness::new(&[]);
    let mut command = about(&["import", "--csv", "--rate", "2/s", "-"], &harness.store());
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("spawned");
    let mut stdin = child.stdin.take().expect("piped");
    writeln!(stdin, "Sid,AccountSid").expect("written");
    let threads = std::path::PathBuf::from(format!("/proc/{}/task", child.id()));
    let reads = || {
        let mut names = fs::read_dir(&threads).expect("runs").map(|thread| {
            fs::read_to_string(thread.expect("readable").path().join("comm")).unwrap_or_default()
        });
        names.any(|name| name.trim() == "heardback-csv")
    };
    eventually("the import waits for a line", LONG, reads);
    let began = Instant::now();
    eventually("the interval has passed", LONG, || began.elapsed() > 2 * interval);
    let began = Instant::now();
    write!(stdin, "{},{ACCOUNT}\n{},{ACCOUNT}\n", sid(1), sid(2)).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let counts = String::from_utf8_lossy(&output.stdout);
    assert_eq!((output.status.code(), counts.as_ref()), (Some(0), "confirmed 2, known 0\n"));
    assert!(began.elapsed() >= 2 * interval, "each confirmation has its own interval");
}

#[test]
fn an_account_is_known_if_it_is_a_sid_of_the_accounts_file_and_not_if_it_only_occurs_in_it() {
    let harness = Harness::new(&[]);
    let file = plain(1..=1);
    let imported = |accounts: &str| {
        let mut path = tempfile::NamedTempFile::new().expect("a file");
        path.write_all(accounts.as_bytes()).expect("written");
        let mut command = about(&["import", "--csv", &text(file.path())], &harness.store());
        let output = command.env("HEARDBACK_ACCOUNTS_FILE", path.path()).output().expect("it ran");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).expect("UTF-8"))
    };
    let other = format!("[[account]]\nsid = '{OTHER_ACCOUNT}'\nauth_tokens = ['hush-hush']\n");
    let (code, said) = imported(&format!("{other}# Until May: {ACCOUNT}\n"));
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("it is none of TWILIO_ACCOUNT_SID and HEARDBACK_ACCOUNTS_FILE"),
        "{said}"
    );
    let (code, said) = imported(&format!("{other}auth_tokens = hush-{ACCOUNT}\n"));
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("HEARDBACK_ACCOUNTS_FILE: line 4, column ") && !said.contains("hush"),
        "{said}"
    );
    let (code, said) = imported(&format!("{other}[[account]]\nsid = '{ACCOUNT}'\n"));
    assert_eq!((code, said.as_str()), (Some(0), "confirmed 1, known 0\n"));
}
