//! The commands as processes: their output, exit codes and files, and that no secret shows.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use heardback::twilio::form;
use heardback::twilio::signature::{Content, SigningKey, verify_url};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::eventually;
use crate::skip::skipped_unless_ci;

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "fedcba9876543210fedcba9876543210";

/// Longer than any step on a busy machine.
const LONG: Duration = Duration::from_secs(30);

/// The program, with an environment that has the folder for temporary files only.
fn heardback(words: &[&str], temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heardback"));
    command.args(words).env_clear().env("TMPDIR", temporary).stdin(Stdio::null());
    command
}

/// Exit code, stdout, stderr.
fn run(words: &[&str], env: &[(&str, &str)]) -> (i32, String, String) {
    let temporary = tempfile::tempdir().expect("a folder");
    let mut command = heardback(words, temporary.path());
    let output = command.envs(env.iter().copied()).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

const SOUND: [(&str, &str); 3] = [
    ("HEARDBACK_PUBLIC_URL", "https://hooks.example.com"),
    ("TWILIO_ACCOUNT_SID", ACCOUNT),
    ("TWILIO_AUTH_TOKEN", TOKEN),
];

#[test]
fn without_a_command_the_help_is_shown_unchanged() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_heardback")).env_clear().output().expect("it ran");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("heardback forget +15551234567"), "{stderr}");
}

#[test]
fn the_demo_ends_with_a_table_of_expected_results_and_leaves_no_file() {
    let temporary = tempfile::tempdir().expect("a folder");
    let output = heardback(&["demo"], temporary.path()).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{text}");
    assert_eq!(String::from_utf8(output.stderr).expect("UTF-8"), "", "no stderr");
    for line in [
        "SM5f0c8e21b7d94a63a2e17c40d98b36a1  a code, entered          reported  code_entered, 2 attempts",
        "SM2b8d5f4e1c7a4096b3d2e8f105a7c9d4  sent through             reported  code_entered",
        "SMf552cc5023d8319aea1181f76f3adcbd  a reply                  reported  reply",
        "SMc189941acf780de956fe5d1483d7a598  the event came first     reported  link_opened",
        "SM7f5679fff02eba571e7b3ec5decc1db9  Twilio refuses it        refused   password_used, Twilio responded 400",
        "SM6f22923dad98e28e941b3ec75079db83  no evidence              pending   –",
        "confirmed upstream 8   still pending 1   refused by Twilio 1   forgeries rejected 1",
        "Every result is as expected.",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colour for a pipe");
    assert!(!text.contains('✗'), "{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 110, "too wide: {line}");
        assert_eq!(line, line.trim_end(), "blanks at the end");
    }
    let left: Vec<_> = temporary.path().read_dir().expect("readable").collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// Kills the process when the test ends.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_demo_with_keep_runs_until_a_signal_stops_it() {
    let temporary = tempfile::tempdir().expect("a folder");
    let mut command = heardback(&["demo", "--keep"], temporary.path());
    let mut demo = Kept(command.stdout(Stdio::piped()).spawn().expect("it runs"));
    let mut lines = BufReader::new(demo.0.stdout.take().expect("piped")).lines();
    let mut shown = Vec::new();
    for line in lines.by_ref() {
        shown.push(line.expect("UTF-8"));
        // The last of the instructions.
        if shown.last().is_some_and(|line| line.contains("Type=code_entered")) {
            break;
        }
    }
    let text = shown.join("\n");
    assert!(text.contains("Every result is as expected."), "{text}");
    assert!(text.contains("Stop it with Ctrl-C"), "{text}");
    let page = shown.iter().find_map(|line| line.strip_prefix("  open ")?.split(' ').next());
    let page = page.expect("the operator's page").to_owned();
    let ready = shown.iter().find_map(|line| line.strip_prefix("  curl "));
    let ready = ready.filter(|url| url.ends_with("/readyz")).expect("an URL to try");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = runtime.expect("a runtime").block_on(async {
        let client = reqwest::Client::builder().no_proxy().timeout(LONG).build().expect("a client");
        let page = client.get(page).send().await.expect("an answer").text().await.expect("a body");
        assert!(
            page.contains("Refused by Twilio")
                && page.contains("SM7f5679fff02eba571e7b3ec5decc1db9")
        );
        let answer = client.get(ready).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    });
    assert_eq!(answer.0, 200, "{}", answer.1);
    assert!(answer.1.contains("\"ready\""), "{}", answer.1);

    // A shell runs the instructions.
    let tried = shown.iter().skip_while(|line| !line.contains("export TWILIO_AUTH_TOKEN="));
    let script = tried.map(String::as_str).collect::<Vec<_>>().join("\n");
    if has_curl() {
        let shell = Command::new("sh").arg("-c").arg(&script).output().expect("a shell");
        let said = String::from_utf8_lossy(&shell.stdout);
        assert!(said.contains("\"state\":\"reported\""), "{script}\n{said}");
        assert!(said.contains("\"result\":\"confirmed\""), "{script}\n{said}");
    }

    let pid = Pid::from_child(&demo.0);
    kill_process(pid, Signal::TERM).expect("it is there");
    let mut rest = String::new();
    for line in lines {
        rest.push_str(&line.expect("UTF-8"));
    }
    assert_eq!(rest, "", "no further output");
    assert!(demo.0.wait().expect("it ends").success());
    assert!(temporary.path().read_dir().expect("readable").next().is_none(), "left behind");
}

#[test]
fn a_demo_with_keep_continues_when_its_output_is_closed() {
    let temporary = tempfile::tempdir().expect("a folder");
    let mut command = heardback(&["demo", "--keep"], temporary.path());
    let mut demo = Kept(command.stdout(Stdio::piped()).spawn().expect("it runs"));
    let lines = BufReader::new(demo.0.stdout.take().expect("piped")).lines();
    let mut lines = lines.map_while(Result::ok);
    let page = lines.find_map(|line| Some(line.strip_prefix("  operator")?.trim().to_owned()));
    let page = page.expect("the operator's listener");
    // The pipe is closed before the end of the output.
    drop(lines);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let client = reqwest::Client::builder().no_proxy().timeout(LONG).build().expect("a client");
    let metrics = || async {
        let answer = client.get(format!("{page}/metrics")).send().await.expect("it is there");
        answer.text().await.expect("a body")
    };
    eventually("all is played", LONG, || {
        runtime.block_on(metrics()).contains("heardback_messages{state=\"reported\"} 8\n")
    });
    kill_process(Pid::from_child(&demo.0), Signal::TERM).expect("it is there");
    assert!(demo.0.wait().expect("it ends").success());
}

/// Whether curl is installed. Without it, a test skips its curl commands.
pub(crate) fn has_curl() -> bool {
    let found = Command::new("curl").arg("--version").stdout(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        skipped_unless_ci("there is no `curl`");
    }
    found
}

#[test]
fn the_receiver_accepts_the_signature_of_sign() {
    let key = [SigningKey::new(b"an app key")];
    let env = [("HEARDBACK_APP_KEYS", "an app key,an older one"), ("TWILIO_AUTH_TOKEN", TOKEN)];
    let url = "https://hooks.example.com/app/events?x=%27";
    let words =
        ["sign", url, "--form", "To=+1 555&é", "--form", "Type=code entered", "--form", "A="];
    let (code, signature, stderr) = run(&words, &env);
    assert_eq!(code, 0);
    assert_eq!(
        stderr,
        "Signed with the first of 2 in HEARDBACK_APP_KEYS, because the app signs for this route.\n"
    );
    let body = b"A=&To=%2B1+555%26%C3%A9&Type=code+entered";
    let pairs = form::pairs(body);
    let content = Content::Form { pairs: &pairs, body };
    let header = Some(signature.trim_end().as_bytes());
    verify_url(&key, url, &content, false, header).expect("a good signature");
    assert!(verify_url(&key, "https://other.example.com/", &content, false, header).is_err());

    let (code, signature, _) = run(&["sign", "https://hooks.example.com/app/messages/SM1"], &env);
    assert_eq!(code, 0);
    let header = Some(signature.trim_end().as_bytes());
    let url = "https://hooks.example.com/app/messages/SM1";
    verify_url(&key, url, &Content::Nothing, true, header).expect("a good signature");
}

#[test]
fn json_from_a_file_is_signed_by_its_hash_in_the_url() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("event.json");
    let body = "{\"Reference\":\"it's\"}\n";
    std::fs::write(&file, body).expect("written");
    let json = format!("@{}", file.display());
    let words = ["sign", "https://hooks.example.com/app/events", "--json", &json, "--curl"];
    let (code, command, _) = run(&words, &[("TWILIO_AUTH_TOKEN", TOKEN)]);
    assert_eq!(code, 0);
    let quoted = |from: &str| {
        let (_, rest) = command.split_once(from).expect(from);
        rest.split('\'').next().expect("quoted").to_owned()
    };
    let url = quoted("POST '");
    let signature = quoted("X-Twilio-Signature: ");
    assert!(url.contains("?bodySHA256="), "{url}");
    let content = Content::Other(body.as_bytes());
    let key = [SigningKey::new(TOKEN.as_bytes())];
    verify_url(&key, &url, &content, false, Some(signature.as_bytes())).expect("good");
    assert!(!command.contains(TOKEN), "{command}");
}

#[test]
fn sign_names_the_missing_secret_and_the_form_of_a_field() {
    let url = "https://hooks.example.com/app/events";
    let (code, signature, stderr) =
        run(&["sign", "https://hooks.example.com/twilio/message"], &SOUND);
    assert_eq!(code, 0);
    assert!(stderr.contains("Signed with TWILIO_AUTH_TOKEN, because Twilio signs"), "{stderr}");
    assert!(!stderr.contains(signature.trim_end()), "{stderr}");
    let (code, results, stderr) = run(&["sign", url, "--form", "A=1"], &[]);
    assert_eq!((code, results.as_str()), (2, ""));
    assert!(stderr.contains("TWILIO_AUTH_TOKEN is missing"), "{stderr}");
    let (code, _, stderr) = run(&["sign", url, "--form", "A"], &SOUND);
    assert_eq!(code, 2);
    assert!(stderr.contains("expected NAME=VALUE"), "{stderr}");
    let (code, _, stderr) = run(&["sign", url, "--json", "@/nowhere/event.json"], &SOUND);
    assert_eq!(code, 1);
    assert!(stderr.contains("/nowhere/event.json"), "{stderr}");
}

#[test]
fn check_prints_the_urls_and_no_secret() {
    let mut env = SOUND.to_vec();
    let hush = "hush-hush-hush-hush";
    env.extend([
        ("TWILIO_API_KEY", "SK0123456789abcdef0123456789abcdef"),
        ("TWILIO_API_SECRET", hush),
        ("HEARDBACK_APP_KEYS", hush),
        ("HEARDBACK_PHONE_KEY", hush),
    ]);
    for words in [&["check"][..], &["check", "--json"]] {
        let (code, results, stderr) = run(words, &env);
        assert_eq!((code, stderr.as_str()), (0, ""));
        assert!(results.contains("https://hooks.example.com/twilio/message"), "{results}");
        assert!(results.contains("/twilio/status#rc=3&rp=5xx,ct,rt&ct=2000&rt=4000"), "{results}");
        assert!(!results.contains("hush") && !results.contains(TOKEN), "{results}");
    }
}

/// A URL that is pasted into Twilio must exist.
#[test]
fn check_names_only_existing_routes() {
    let (_, results, _) = run(&["check"], &SOUND);
    let urls = results.split_whitespace().filter_map(|word| {
        let path = word.strip_prefix("https://hooks.example.com")?;
        path.split(['?', '#']).next().filter(|path| !path.is_empty())
    });
    let urls: Vec<&str> = urls.filter(|path| path.starts_with('/')).collect();
    assert!(urls.len() >= 11, "{results}");
    for path in urls {
        let there = [
            "/twilio/message",
            "/twilio/status",
            "/twilio/call",
            "/twilio/click",
            "/twilio/events",
            "/app/messages",
            "/app/messages/{sid}",
            "/app/events",
            "/app/twilio/message",
            "/app/twilio/status",
            "/app/twilio/call",
        ];
        assert!(there.contains(&path), "{path}");
    }
}

#[test]
fn check_and_serve_list_every_problem_at_once_and_exit_with_2() {
    let env = [
        ("HEARDBACK_PUBLIC_URL", "http://hooks.example.com"),
        ("TWILIO_ACCOUNT_SID", TOKEN),
        ("HEARDBACK_LOG", "loud"),
        ("HEARDBACK_DRY_RUN", "perhaps"),
    ];
    for command in ["check", "serve"] {
        let (code, results, stderr) = run(&[command], &env);
        assert_eq!((code, results.as_str()), (2, ""), "{command}: {stderr}");
        assert!(stderr.starts_with("5 settings need attention:\n"), "{stderr}");
        for name in [
            "HEARDBACK_PUBLIC_URL",
            "TWILIO_ACCOUNT_SID",
            "TWILIO_AUTH_TOKEN",
            "HEARDBACK_LOG",
            "HEARDBACK_DRY_RUN",
        ] {
            assert!(
                stderr.contains(&format!("  {name} ")),
                "{command} does not blame {name}: {stderr}"
            );
        }
        assert!(!stderr.contains(TOKEN), "a token in the wrong place does not show: {stderr}");
    }
}

#[test]
fn a_variable_close_to_a_setting_stops_the_start_and_names_the_setting() {
    for (name, meant) in [
        ("HEARDBACK_DRYRUN", "HEARDBACK_DRY_RUN"),
        ("HEARDBACK_DRY-RUN", "HEARDBACK_DRY_RUN"),
        ("HEARDBACK_APP_KEY", "HEARDBACK_APP_KEYS"),
        ("TWILIO_TOKEN", "TWILIO_AUTH_TOKEN"),
    ] {
        let env = [&SOUND[..], &[(name, "hush-hush-hush-hush")]].concat();
        for command in ["check", "serve", "doctor"] {
            let (code, results, stderr) = run(&[command], &env);
            assert_eq!((code, results.as_str()), (2, ""), "{command} {name}: {stderr}");
            assert!(
                stderr.contains(&format!("  {name} is no setting: did you mean {meant}?")),
                "{stderr}"
            );
            assert!(!stderr.contains("hush"), "{stderr}");
        }
    }
    let others = [
        ("TWILIO_PHONE_NUMBER", "+15017122661"),
        ("HEARDBACK_SERVICE_HOST", "10.0.0.1"),
        ("HEARDBACK_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("HEARDBACK_VERSION", "hush"),
    ];
    let (code, results, stderr) = run(&["check"], &[&SOUND[..], &others].concat());
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(
        results.contains("HEARDBACK_VERSION is set, but Heardback has no setting"),
        "{results}"
    );
    assert!(!results.contains("PHONE_NUMBER") && !results.contains("8080_TCP"), "{results}");
    assert!(!results.contains("hush"), "{results}");
}

#[test]
fn help_lists_the_commands_and_version_prints_the_version() {
    let (code, version, _) = run(&["--version"], &[]);
    assert_eq!(
        (code, version.as_str()),
        (0, concat!("heardback ", env!("CARGO_PKG_VERSION"), "\n"))
    );
    let (code, help, _) = run(&["--help"], &[]);
    assert_eq!(code, 0);
    for command in ["serve", "demo", "sign", "check", "doctor", "backup", "restore", "verify-store"]
    {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
        let (code, own, _) = run(&[command, "--help"], &SOUND);
        assert_eq!(code, 0);
        assert!(own.contains(&format!("Usage: heardback {command}")), "{own}");
        assert!(!own.contains(TOKEN) && !own.contains(ACCOUNT), "help shows a value: {own}");
    }
}

#[test]
fn an_unknown_command_or_flag_is_wrong_usage() {
    for words in [&["sing"][..], &["demo", "--colour"], &["serve", "--auth-token", "x"], &[]] {
        let (code, results, stderr) = run(words, &SOUND);
        assert_eq!((code, results.as_str()), (2, ""), "{words:?}");
        assert!(stderr.contains("Usage:"), "{stderr}");
    }
}
