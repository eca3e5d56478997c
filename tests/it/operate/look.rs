//! `list`, `show` and `stats`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::backup::binary::{about, run};
use crate::harness::twilio::TwilioReply;
use crate::harness::{ACCOUNT, Harness, LONG, OTHER_ACCOUNT, RECIPIENT, eventually, form, sid};
use crate::operate::{filled, lines, output_of, stop};

/// The SIDs in the output, in their order.
fn sids(harness: &Harness, words: &[&str]) -> Vec<String> {
    let lines = lines(harness, &[&["list", "--json"], words].concat());
    let sids = lines.iter().map(|line| line["message_sid"].as_str().unwrap_or("none").to_owned());
    sids.collect()
}

fn numbered(numbers: &[u32]) -> Vec<String> {
    numbers.iter().map(|number| sid(*number)).collect()
}

#[test]
fn a_running_service_and_its_stopped_store_give_the_same_output() {
    let mut harness = filled();
    let commands: [&[&str]; 12] = [
        &["list", "--json"],
        &["list", "--json", "--limit", "3"],
        &["list", "--json", "--state", "refused"],
        &["list", "--json", "--parked"],
        &["list", "--json", "--orphans"],
        &["list", "--json", "--calling-code", "49"],
        &["show", "--json", "login-0"],
        &["show", "login-77"],
        &["show", &sid(1)],
        &["show", "login-78", "--json"],
        &["show", "nobody-s"],
        &["stats", "--json"],
    ];
    let running = commands.map(|words| output_of(&harness, words));
    stop(&mut harness);
    for (words, running) in commands.iter().zip(running) {
        assert_eq!(output_of(&harness, words), running, "{words:?}");
        assert!(words.contains(&"nobody-s") || running.0 == Some(0), "{words:?} {running:?}");
        assert!(
            words.contains(&"--orphans") || words.contains(&"nobody-s") || !running.1.is_empty()
        );
    }
}

#[test]
fn a_list_has_exactly_the_records_that_its_flags_select() {
    let harness = filled();
    for (words, numbers) in [
        (&["--state", "pending"][..], &[4, 5, 6][..]),
        (&["--state", "refused"], &[2, 3]),
        (&["--code", "20404"], &[3]),
        (&["--calling-code", "49"], &[6]),
        (&["--calling-code", "+1", "--state", "pending"], &[4, 5]),
        (&["--older-than", "1h"], &[]),
        (&["--newer-than", "1h"], &[1, 2, 3, 4, 5, 6, 7]),
        (&["--parked", "--older-than", "1h"], &[]),
        (&["--orphans"], &[]),
        // 1 was confirmed under the same reference.
        (&["--converted"], &[4]),
    ] {
        let mut found = sids(&harness, words);
        found.sort();
        assert_eq!(found, numbered(numbers), "{words:?}");
    }
    // The newest state comes first: 7 was seen last, and 3 was refused before that.
    assert_eq!(sids(&harness, &["--limit", "3"]), numbered(&[7, 3, 2]));
    let parked = lines(&harness, &["list", "--json", "--parked", "--newer-than", "1h"]);
    let mut named: Vec<_> = parked.iter().map(|line| line["reference"].to_string()).collect();
    named.sort();
    assert_eq!(named, ["\"login-77\"", "\"login-78\""]);
}

#[test]
fn a_line_has_the_fields_of_the_apps_view_and_no_number() {
    let harness = filled();
    let app = harness.message(3).expect("there");
    let line = lines(&harness, &["list", "--json", "--code", "20404"]).remove(0);
    for (name, value) in app.as_object().expect("an object") {
        assert_eq!(&line[name], value, "{name}");
    }
    assert_eq!(line["calling_code"], 1);
    assert_eq!(line["refusal"]["message"], "Not this one");
    let digits = RECIPIENT.trim_start_matches('+');
    for words in [&["list"][..], &["list", "--json"], &["show", "login-0"], &["stats"]] {
        let (_, stdout, stderr) = run(words, &harness.store());
        assert!(!format!("{stdout}{stderr}").contains(digits), "{stdout}");
    }
}

#[test]
fn the_table_fits_every_width_and_has_all_records() {
    let harness = filled();
    for width in [36, 50, 80, 160] {
        for words in [&["list"][..], &["list", "--parked"], &["stats"]] {
            let mut command = about(words, &harness.store());
            let output = command.env("COLUMNS", width.to_string()).output().expect("it ran");
            let table = String::from_utf8(output.stdout).expect("UTF-8");
            let fits = |line: &str| line.chars().count() <= width;
            assert!(table.lines().all(fits), "{width}\n{table}");
            let names = (1..=7).map(sid).all(|sid| table.contains(&sid));
            assert!(names || words != ["list"], "{width}\n{table}");
        }
    }
    // Without a terminal, a record is one line.
    let (_, table) = output_of(&harness, &["list", "--state", "refused"]);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[0].starts_with("message ") && lines[0].contains(" next "), "{table}");
    assert!(lines.iter().any(|line| line.contains("21609 Not this one")), "{table}");
}

#[test]
fn show_prints_the_history_of_a_message() {
    let harness = filled();
    let (code, text) = output_of(&harness, &["show", &sid(1)]);
    assert_eq!(code, Some(0));
    for words in [
        "  reported\n",
        &format!("  account       {ACCOUNT}\n"),
        "  reference     login-0\n",
        "confirmed by code entered (direct)\n",
        "reported, HTTP 200 in ",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    let shown = lines(&harness, &["show", "--json", "login-0"]);
    assert_eq!(shown.len(), 4);
    assert!(shown.iter().all(|message| !message["life"].as_array().expect("a list").is_empty()));
    let (code, _, stderr) = run(&["show", "nobody-s"], &harness.store());
    assert_eq!(code, Some(1));
    assert!(stderr.contains("nobody-s is unknown"), "{stderr}");
    let (_, waits) = output_of(&harness, &["show", "login-77"]);
    assert!(waits.starts_with("password_used at ") && waits.contains("no_message"), "{waits}");
}

#[test]
fn the_statistics_add_up() {
    let harness = filled();
    let (code, text) = output_of(&harness, &["stats", "--json"]);
    let stats: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(code, Some(0));
    let counts = ["pending", "reported", "refused", "untracked", "confirmed", "parked", "orphaned"];
    let counts = counts.map(|name| stats["waiting"][name]["count"].as_u64().expect("a count"));
    assert_eq!(counts, [3, 1, 2, 1, 0, 2, 0]);
    assert!(stats["waiting"]["pending"]["oldest"].is_string());
    assert!(stats["waiting"]["confirmed"]["oldest"].is_null());
    let day = &stats["funnel"][0];
    assert_eq!(
        (&day["of"], &day["sent"], &day["confirmed"]),
        (&json!("24h"), &json!(6), &json!(3))
    );
    assert_eq!((&day["conversion"], &day["reported"]), (&json!(0.5), &json!(1)));
    let codes = stats["calling_codes"].as_array().expect("a list");
    let codes: Vec<_> = codes.iter().map(|share| (&share["of"], &share["sent"])).collect();
    assert_eq!(codes, [(&json!("+1"), &json!(5)), (&json!("+49"), &json!(1))]);
    let since = day["since"].as_str().expect("since when");
    assert!(since.ends_with(":00:00Z"), "the beginning of an hour: {since}");
    let (_, text) = output_of(&harness, &["stats"]);
    assert!(text.contains("24h, since "), "{text}");
    assert!(text.contains("50.0 %") && text.contains("+49"), "{text}");
}

#[test]
fn an_account_on_hold_has_no_next_post_and_the_last_response_is_shown() {
    let harness = filled();
    harness.twilio.reply_with(TwilioReply::Status(503));
    harness.confirm(4);
    harness.service.says(&format!("{} not reported: ", sid(4)));
    assert_eq!(output_of(&harness, &["hold", ACCOUNT]).0, Some(0));
    harness.confirm(5);
    let (_, table) = output_of(&harness, &["list", "--state", "confirmed"]);
    let row =
        |number: u32| table.lines().find(|line| line.starts_with(&sid(number))).expect("a row");
    assert!(row(4).contains("  on hold  HTTP 503"), "{table}");
    assert!(row(5).contains("  on hold  ") && !row(5).contains("HTTP"), "{table}");
    let (_, life) = output_of(&harness, &["show", &sid(5)]);
    assert!(life.contains("  next          on hold\n"), "{life}");
    // A message that is not reported does not change.
    assert!(!output_of(&harness, &["list", "--state", "refused"]).1.contains("on hold"));
    assert_eq!(output_of(&harness, &["resume", ACCOUNT]).0, Some(0));
    assert!(!output_of(&harness, &["list"]).1.contains("on hold"));
}

#[test]
fn a_list_of_several_accounts_names_each_or_has_the_records_of_one() {
    let mut harness = filled();
    let first = |words: &[&str]| output_of(&harness, words).1.lines().next().map(str::to_owned);
    assert!(!first(&["list"]).expect("heads").contains("account"));
    stop(&mut harness);
    let file = harness.store().with_file_name("arrived.csv");
    let line = format!("MessageSid,AccountSid\n{},{OTHER_ACCOUNT}\n", sid(50));
    fs::write(&file, line).expect("written");
    let (code, _, stderr) =
        run(&["import", "--csv", &file.display().to_string()], &harness.store());
    assert_eq!(code, Some(0), "{stderr}");
    let (_, table) = output_of(&harness, &["list"]);
    assert!(table.lines().next().expect("heads").ends_with("  account"), "{table}");
    let whose = |number: u32, account: &str| {
        table.lines().any(|line| line.starts_with(&sid(number)) && line.ends_with(account))
    };
    assert!(whose(50, OTHER_ACCOUNT) && whose(4, ACCOUNT), "{table}");
    assert_eq!(sids(&harness, &["--account", OTHER_ACCOUNT]), numbered(&[50]));
    let (_, of_one) = output_of(&harness, &["list", "--account", OTHER_ACCOUNT]);
    assert!(of_one.lines().count() == 2 && !of_one.contains("account"), "{of_one}");
    let parked = |account| lines(&harness, &["list", "--json", "--parked", "--account", account]);
    assert_eq!((parked(ACCOUNT).len(), parked(OTHER_ACCOUNT).len()), (2, 0));
}

#[test]
fn a_phone_number_in_a_label_of_the_app_is_not_shown() {
    let harness = filled();
    let word = format!("user of {RECIPIENT}");
    let refused = form("/app/events", &[("MessageSid", &sid(4)), ("Type", &word)]);
    assert_eq!(harness.send(&refused).status, 400);
    let word = "user of +1 555 123 4567";
    let named = form("/app/events", &[("MessageSid", &sid(4)), ("Type", word)]);
    assert_eq!(harness.send(&named).status, 200);
    let named = form("/app/events", &[("Reference", "login-79"), ("Type", word)]);
    assert_eq!(harness.send(&named).status, 202);
    let commands: [&[&str]; 8] = [
        &["list"],
        &["list", "--json"],
        &["list", "--parked"],
        &["list", "--parked", "--json"],
        &["show", &sid(4)],
        &["show", &sid(4), "--json"],
        &["show", "login-79"],
        &["show", "login-79", "--json"],
    ];
    for words in commands {
        let (code, stdout, stderr) = run(words, &harness.store());
        assert_eq!(code, Some(0), "{words:?} {stderr}");
        assert!(stdout.contains("user of +…") && !stdout.contains("555 123"), "{words:?} {stdout}");
    }
}

#[test]
fn the_statistics_distinguish_holds_by_an_operator_from_lanes_that_twilio_closed() {
    let mut harness = Harness::new(&[]);
    let stats = |harness: &Harness| -> Value {
        serde_json::from_str(&output_of(harness, &["stats", "--json"]).1).expect("JSON")
    };
    assert_eq!(stats(&harness)["lanes"], json!({}));
    harness.twilio.reply_with(TwilioReply::Status(401));
    harness.confirm(1);
    let is_paused = || stats(&harness)["lanes"][ACCOUNT]["state"] == "paused";
    eventually("its lane is paused", LONG, is_paused);
    assert_eq!(stats(&harness)["on_hold"], json!({}));
    let (_, text) = output_of(&harness, &["stats"]);
    assert!(text.starts_with(&format!("{ACCOUNT} has been paused for ")), "{text}");
    assert_eq!(output_of(&harness, &["hold", ACCOUNT]).0, Some(0));
    let (_, text) = output_of(&harness, &["stats"]);
    assert!(text.starts_with(&format!("{ACCOUNT} has been on hold for ")), "{text}");
    assert!(text.contains("Twilio rejects its posts"), "{text}");
    assert!(stats(&harness)["on_hold"][ACCOUNT].is_string());
    stop(&mut harness);
    let stopped = stats(&harness);
    assert!(stopped["on_hold"][ACCOUNT].is_string() && stopped["lanes"] == json!({}), "{stopped}");
}

#[test]
fn a_wrong_argument_is_explained_and_exits_with_2() {
    let folder = tempfile::tempdir().expect("a folder");
    for (words, expected) in [
        (&["list", "--state", "sent"][..], "possible values: untracked"),
        (&["list", "--older-than", "3 apples"], "expected a duration such as"),
        (&["list", "--account", "AC1"], "--account: expected AccountSid"),
        (&["list", "--calling-code", "Germany"], "expected a country calling code such as 49"),
        (&["list", "--parked", "--state", "pending"], "cannot be used with"),
        (&["show", ""], "expected a MessageSid, or a reference"),
        (&["requeue"], "required"),
        (&["requeue", "SM1"], "SID: expected MessageSid"),
        (&["hold"], "set TWILIO_ACCOUNT_SID"),
        (&["hold", ""], "TWILIO_ACCOUNT_SID: name an account (AC…), or set TWILIO_ACCOUNT_SID"),
        (&["resume", "SM0123456789abcdef0123456789abcdef"], "expected AccountSid"),
    ] {
        let (code, stdout, stderr) = run(words, folder.path());
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{words:?} {stderr}");
        assert!(stderr.contains(expected), "{words:?} {stderr}");
    }
    let (code, _, stderr) = run(&["list"], &folder.path().join("none"));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("there is no store in"), "{stderr}");
}

#[test]
fn a_reader_that_closes_the_pipe_early_is_no_failure() {
    let harness = filled();
    let mut command = about(&["list", "--json"], &harness.store());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ran");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_command_waits_for_a_service_that_starts() {
    let mut harness = filled();
    stop(&mut harness);
    // A service that still loads a large store has the lock, and no socket yet.
    let path = harness.store().join("heardback.lock");
    let lock = std::fs::File::options().write(true).open(&path).expect("there");
    lock.try_lock().expect("free");
    std::fs::write(&path, "pid 1, starting\n").expect("written");
    let mut command = about(&["stats", "--json"], &harness.store());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned");
    let mut said = String::new();
    BufReader::new(child.stderr.take().expect("piped")).read_line(&mut said).expect("readable");
    assert!(said.contains("waits until it listens"), "{said}");
    drop(lock);
    let output = child.wait_with_output().expect("it ended");
    assert!(output.status.success(), "{output:?}");
}
