//! The log matches `docs/logs.md`: a service at its most verbose level gets requests of every kind.
//! The document has each line that it logs, with level and fields, and each decision is logged
//! once.

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

use crate::backup::binary::run;
use crate::harness::running::command;
use crate::harness::twilio::{Twilio, TwilioReply};
use crate::harness::{
    ACCOUNT, Harness, LONG, OTHER_ACCOUNT, RECIPIENT, SENDER, code_entered, form, http_client,
    post, sid, signed, status_callback,
};
use crate::page::{ask, csrf_token};

/// The fields of every line.
const FRAME: [&str; 4] = ["timestamp", "level", "target", "message"];

/// A line of the document.
struct Row {
    level: String,
    line: String,
    fields: BTreeSet<String>,
}

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/logs.md");
    fs::read_to_string(path).expect("there")
}

fn ticked(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

fn rows(document: &str) -> Vec<Row> {
    let cells = |line: &str| -> Option<Row> {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let level = cells.next()?.to_owned();
        if !["error", "warn", "info", "debug"].contains(&level.as_str()) {
            return None;
        }
        let line = ticked(cells.next()?).next()?;
        Some(Row { level, line, fields: ticked(cells.next().unwrap_or_default()).collect() })
    };
    document.lines().filter_map(cells).collect()
}

/// Whether a line matches the documented one, in which `…` stands for any text.
fn fits(shown: &str, line: &str) -> bool {
    let mut rest = line;
    for (index, part) in shown.split('…').enumerate() {
        match rest.find(part) {
            Some(at) if index > 0 || at == 0 => rest = &rest[at + part.len()..],
            Some(_) | None => return false,
        }
    }
    rest.is_empty() || shown.ends_with('…')
}

/// The row of a line: of several, the one with the most words.
fn row_of<'a>(rows: &'a [Row], line: &str) -> Option<&'a Row> {
    rows.iter().filter(|row| fits(&row.line, line)).max_by_key(|row| row.line.len())
}

fn lines(harness: &Harness) -> Vec<Value> {
    let logs = harness.service.logs();
    // A duplicate key is parsed as if it were there once.
    let twice = logs.lines().find(|line| line.matches("\"message\":").count() != 1);
    assert_eq!(twice, None);
    let lines = logs.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let ours = |line: &Value| line["target"].as_str().is_some_and(|at| at.starts_with("heardback"));
    lines.filter(ours).collect()
}

fn register(number: u32, more: &[(&str, &str)]) -> heardback::recording::Recording {
    let sid = sid(number);
    let mut fields = vec![("MessageSid", sid.as_str()), ("To", RECIPIENT), ("From", SENDER)];
    fields.extend(more);
    form("/app/messages", &fields)
}

/// Requests of every kind, and their responses.
fn live_through(harness: &Harness) {
    let answered = |request, status| assert_eq!(harness.send(&request).status, status);
    answered(code_entered(1), 200);
    harness.reaches(1, "reported");
    answered(code_entered(1), 200);
    answered(status_callback(2, "sent"), 204);
    answered(form("/app/events", &[("Reference", "login-7"), ("Type", "code_entered")]), 202);
    answered(register(3, &[("Reference", "login-7")]), 201);
    harness.reaches(3, "reported");
    let inbound = sid(0xaa);
    let stop = [
        ("MessageSid", inbound.as_str()),
        ("AccountSid", ACCOUNT),
        ("From", RECIPIENT),
        ("To", SENDER),
        ("Body", "STOP"),
        ("OptOutType", "STOP"),
    ];
    answered(form("/twilio/message", &stop), 200);
    answered(form("/app/events", &[("Type", "code_entered")]), 400);
    answered(register(3, &[("Reference", "another")]), 409);
    answered(post("/app/events", "text/plain", b"x"), 415);
    answered(form("/app/events", &[("MessageSid", &sid(4)), ("AccountSid", OTHER_ACCOUNT)]), 403);
    let events =
        json!([{ "specversion": "1.0", "id": "EZ1", "type": "com.twilio.messaging.message.sent" }]);
    let batch = post("/twilio/events", "application/json", events.to_string().as_bytes());
    assert!(harness.send(&batch).status < 500);
    let forged = String::from_utf8(http_client::bytes(&signed(&code_entered(5)))).expect("ASCII");
    harness.service.exchange(forged.replace("Type", "type").as_bytes());
    harness.service.exchange(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
    for (number, status, end) in
        [(6, 503, "not reported"), (7, 400, "refused"), (8, 401, "returned to the queue")]
    {
        harness.twilio.reply_with(TwilioReply::Status(status));
        answered(code_entered(number), 200);
        harness.service.says(&format!("{} {end}", sid(number)));
    }
}

#[test]
fn every_line_is_in_the_document_with_its_level_and_its_fields() {
    let mut harness = Harness::new(&[("HEARDBACK_LOG", "trace")]);
    live_through(&harness);
    harness.service.signal(Signal::TERM);
    assert!(harness.service.ends_within(LONG).success(), "{}", harness.service.logs());
    let met = kept(&lines(&harness));
    assert!(met.len() >= 14, "only met {met:#?}");
}

/// Compares these lines with the document. Returns the matching lines of the document.
fn kept(lines: &[Value]) -> BTreeSet<String> {
    let rows = rows(&document());
    let mut met = BTreeSet::new();
    // Warnings about settings before the start are in no table.
    let listens = |line: &Value| line["public_addr"].is_string();
    for line in lines.iter().skip_while(|line| !listens(line)) {
        let message = line["message"].as_str().expect("words");
        let row = row_of(&rows, message).unwrap_or_else(|| panic!("{message:?} is in no row"));
        let level = line["level"].as_str().expect("a level").to_ascii_lowercase();
        assert_eq!(level, row.level, "{message}");
        for field in line.as_object().expect("an object").keys() {
            let known = row.fields.contains(field) || FRAME.contains(&field.as_str());
            assert!(known, "{message:?} has {field}");
        }
        met.insert(row.line.clone());
    }
    met
}

#[test]
fn an_operators_action_is_one_line_whether_by_command_or_page() {
    let harness = Harness::new(&[]);
    let press = |path: &str| {
        let page = harness.service.operator("/").text();
        let body = format!("csrf_token={}", csrf_token(&page));
        assert_eq!(ask(harness.service.ops, "POST", path, &[], &body).status, 303, "{path}");
    };
    let command = |words: &[&str], code| {
        let (ended, _, talk) = run(words, &harness.store());
        assert_eq!(ended, Some(code), "{words:?} {talk}");
    };
    harness.twilio.reply_with(TwilioReply::Status(400));
    for number in [1, 2] {
        assert_eq!(harness.send(&code_entered(number)).status, 200);
        harness.reaches(number, "refused");
    }
    harness.twilio.reply_with(TwilioReply::Status(200));
    press(&format!("/accounts/{ACCOUNT}/hold"));
    command(&["resume", ACCOUNT], 0);
    command(&["hold", ACCOUNT], 0);
    command(&["requeue", &sid(1)], 0);
    press(&format!("/messages/{}/requeue", sid(2)));
    // A request without an effect is no decision.
    command(&["hold", ACCOUNT], 0);
    command(&["requeue", &sid(2)], 1);
    press(&format!("/messages/{}/requeue", sid(9)));
    press(&format!("/accounts/{ACCOUNT}/resume"));
    harness.reaches(2, "reported");
    let lines = lines(&harness);
    kept(&lines);
    let told = |words: &str, name: &str, value: &str| {
        let said = |line: &&Value| line["message"].as_str().is_some_and(|m| m.contains(words));
        lines.iter().filter(said).filter(|line| line[name] == value).count()
    };
    assert_eq!(told("is on hold", "account_sid", ACCOUNT), 2);
    assert_eq!(told("is no longer on hold", "account_sid", ACCOUNT), 2);
    for number in [1, 2] {
        assert_eq!(told("requeued by the operator", "message_sid", &sid(number)), 1, "{number}");
    }
    assert_eq!(told("requeued by the operator", "account_sid", ACCOUNT), 2);
}

#[test]
fn the_document_explains_every_field() {
    let document = document();
    let (_, table) = document.split_once("## Fields").expect("a section");
    let (explained, lines) = table.split_once("## One line").expect("another");
    let explained: BTreeSet<String> = explained.lines().flat_map(ticked).collect();
    let used: BTreeSet<String> = rows(lines).into_iter().flat_map(|row| row.fields).collect();
    let missing: Vec<_> = used.difference(&explained).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_document_has_every_reason() {
    let document = document();
    let (_, reasons) = document.split_once("## Reasons").expect("a section");
    let explained: BTreeSet<String> = reasons.lines().flat_map(ticked).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let words = |file: &str, from: &str| {
        let text = fs::read_to_string(root.join(file)).expect(file);
        let (_, code) = text.split_once(from).expect(from);
        let texts = code.split('"').skip(1).step_by(2).map(str::to_owned);
        let is_word = |text: &String| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        texts.filter(is_word).collect::<BTreeSet<String>>()
    };
    let evidence = words("src/domain/evidence.rs", "impl Reason {");
    let rejections = words("src/inbound/rejection.rs", "fn row(&self)");
    assert!(evidence.len() > 20 && rejections.len() > 20, "{evidence:?} {rejections:?}");
    let missing: Vec<_> =
        evidence.union(&rejections).filter(|word| !explained.contains(*word)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// A log line in the source: its level, and its message with `{…}` replaced.
struct SourceLine {
    file: String,
    level: &'static str,
    message: String,
}

/// The log lines of a file. A message of placeholders only is another error's or setting's text, and is left out.
fn source_lines(file: &Path) -> Vec<SourceLine> {
    let text = fs::read_to_string(file).expect("readable");
    let levels = ["error", "warn", "info"];
    let calls = levels.into_iter().flat_map(|level| {
        let opening = format!("tracing::{level}!(");
        let calls: Vec<&str> = text.split(&opening).skip(1).collect();
        calls.into_iter().map(move |call| (level, call))
    });
    let message = |call: &str| {
        let mut rest = call;
        loop {
            let (before, after) = rest.split_once('"').expect("a text");
            let end = after.match_indices('"').map(|(at, _)| at);
            let end = end.filter(|at| !after[..*at].ends_with('\\')).min().expect("an end");
            if !before.trim_end().ends_with('=') {
                return after[..end].to_owned();
            }
            rest = &after[end + 1..];
        }
    };
    let lines = calls.map(|(level, call)| SourceLine {
        file: file.display().to_string(),
        level,
        message: with_examples(&message(call)),
    });
    lines.filter(|line| line.message.chars().any(char::is_alphabetic)).collect()
}

/// A message with an example in place of each `{…}`, such as an SID.
fn with_examples(message: &str) -> String {
    let mut lines = message.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let joined = lines.fold(first, |text, line| text + line.trim_start());
    let joined = joined.replace("\\\"", "\"");
    let mut parts = joined.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (name, rest) = part.split_once('}').expect("closed");
        let is_of = |words: &[&str]| words.iter().any(|word| name.contains(word));
        let example = match name {
            _ if is_of(&["account"]) => "AC1",
            _ if is_of(&["sid", "confirmed", "withdrawn", "named"]) => "SM1",
            _ => "1",
        };
        text + example + rest
    })
}

fn sources(folder: &Path, found: &mut Vec<SourceLine>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if !path.to_string_lossy().ends_with("tests.rs") {
            found.extend(source_lines(&path));
        }
    }
}

#[test]
fn every_line_of_the_source_is_in_the_document_with_its_level() {
    let mut lines = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut lines);
    assert!(lines.len() > 90, "only {} were found", lines.len());
    let rows = rows(&document());
    let mut wrong = Vec::new();
    let mut met = BTreeSet::new();
    for SourceLine { file, level, message } in &lines {
        let found = row_of(&rows, message);
        met.extend(found.map(|row| row.line.clone()));
        if found.is_none_or(|row| row.level != *level) {
            wrong.push(format!("{file}: {level} {message:?}"));
        }
    }
    let unmet = rows.iter().filter(|row| row.level != "debug" && !met.contains(&row.line));
    let unmet: Vec<_> = unmet.map(|row| &row.line).collect();
    assert!(
        wrong.is_empty() && unmet.is_empty(),
        "{}\nnot in the source: {unmet:#?}",
        wrong.join("\n")
    );
}

#[test]
fn each_decision_is_logged_once() {
    let harness = Harness::new(&[("HEARDBACK_LOG", "trace")]);
    live_through(&harness);
    let lines = lines(&harness);
    let count = |words: &str, number: u32| {
        let sid = sid(number);
        let about = lines.iter().filter(|line| line["message_sid"] == sid.as_str());
        about.filter(|line| line["message"].as_str().is_some_and(|m| m.contains(words))).count()
    };
    for number in [1, 3, 6, 7, 8] {
        assert_eq!(count("confirmed SM", number), 1, "{number}");
    }
    for number in [1, 3] {
        assert_eq!(count(" reported", number), 1, "{number}");
    }
    assert_eq!((count("confirmed already", 1), count("refused: ", 7)), (1, 1));
    let told = |words: &str| {
        let told = |line: &&Value| line["message"].as_str().is_some_and(|m| m.contains(words));
        lines.iter().filter(told).count()
    };
    assert_eq!(told("evidence parked: no_message"), 1);
    assert_eq!(told("evidence proves nothing: opt_out"), 1);
    assert_eq!(told("signed request to /app/events is unusable (malformed)"), 1);
    assert_eq!(told("signed request to /app/messages is unusable (contradiction)"), 1);
    assert_eq!(told("signed request to /app/events is unusable (unsupported)"), 1);
    assert_eq!(told("rejected: signature_mismatch"), 1);
    let reported =
        lines.iter().find(|line| line["message"].as_str() == Some(&format!("{} reported", sid(1))));
    let reported = reported.expect("reported");
    assert!(
        reported["ms"].is_u64() && reported["status"] == 200 && reported["attempt"] == 1,
        "{reported}"
    );
}

#[test]
fn a_confirmation_that_twilio_accepts_at_once_has_one_line_at_info() {
    let harness = Harness::new(&[("HEARDBACK_LOG", "info")]);
    assert_eq!(harness.send(&code_entered(1)).status, 200);
    harness.reaches(1, "reported");
    let lines = lines(&harness);
    let about = lines.iter().filter(|line| line["message_sid"] == sid(1).as_str());
    let words: Vec<_> = about.map(|line| line["message"].as_str().expect("words")).collect();
    assert_eq!(words, [format!("confirmed {} by app", sid(1))]);
}

#[test]
fn on_a_terminal_the_log_is_readable_and_otherwise_json() {
    let twilio = Twilio::start();
    let folder = tempfile::tempdir().expect("a folder");
    let serving = |stderr: Stdio| {
        let mut command = command(&folder.path().join("store"), &twilio, &[]);
        command.env_remove("HEARDBACK_LOG_FORMAT").stdout(Stdio::null()).stderr(stderr);
        Ended(command.spawn().expect("spawned"))
    };
    let until_it_listens = |from: &mut dyn BufRead| {
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(from.read_line(&mut line).expect("readable") > 0, "the service ended");
        }
        line
    };
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("ours");
    let name = ptsname(&terminal, Vec::new()).expect("named").into_string().expect("UTF-8");
    let other_side = File::options().read(true).write(true).open(name).expect("opened");
    let first = serving(other_side.into());
    let line = until_it_listens(&mut BufReader::new(File::from(terminal)));
    drop(first);
    assert!(line.contains("\u{1b}[32m INFO"), "coloured: {line:?}");

    let mut second = serving(Stdio::piped());
    let stderr = second.0.stderr.take().expect("piped");
    let line = until_it_listens(&mut BufReader::new(stderr));
    let json: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(json["level"], "INFO");
}

/// A process that is killed when the test ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
