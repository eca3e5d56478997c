//! `completions` and `man`: a shell completes with the scripts, and groff formats the pages. Both have every command, and
//! no value of the environment.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use clap::CommandFactory;
use heardback::cli::Cli;

use crate::harness::running::BINARY;
use crate::skip::skipped_unless_ci;

const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "elvish", "powershell"];
/// Values of the environment that must not be in the output.
const SET: [(&str, &str); 4] = [
    ("TWILIO_ACCOUNT_SID", "AC99999999999999999999999999999999"),
    ("TWILIO_AUTH_TOKEN", "c0ffee00c0ffee00c0ffee00c0ffee00"),
    ("HEARDBACK_STORE", "sled:/srv/of-a-customer"),
    ("HEARDBACK_PUBLIC_URL", "https://of-a-customer.example.com"),
];

fn made(words: &[&str], env: &[(&str, &str)]) -> String {
    let mut command = Command::new(BINARY);
    command.args(words).env_clear().envs(env.iter().copied()).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().expect("it ran");
    let stderr = String::from_utf8(stderr).expect("UTF-8");
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""), "{words:?}");
    String::from_utf8(stdout).expect("UTF-8")
}

fn commands() -> BTreeSet<String> {
    Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

/// The completions of bash for the last word of a command line.
fn offered(script: &Path, words: &[&str]) -> BTreeSet<String> {
    let last = words.len() - 1;
    let asked = format!(
        "source {}; COMP_WORDS=({}); COMP_CWORD={last}; \
         _heardback heardback {} {}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        words.join(" "),
        words[last],
        words[last - 1],
    );
    let output = Command::new("bash").args(["--norc", "-c", &asked]).output().expect("bash");
    assert_eq!(String::from_utf8(output.stderr).expect("UTF-8"), "", "{words:?}");
    let offered = String::from_utf8(output.stdout).expect("UTF-8");
    offered.lines().map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("heardback.bash");
    fs::write(&script, made(&["completions", "bash"], &[])).expect("written");
    let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let some: BTreeSet<String> = set(&["list"]);
    assert_eq!(offered(&script, &["heardback", "li"]), some);
    assert_eq!(offered(&script, &["heardback", "list", "--st"]), set(&["--state", "--store"]));
    let states = offered(&script, &["heardback", "list", "--state", "re"]);
    assert_eq!(states, set(&["reported", "refused"]));
    let all = offered(&script, &["heardback", "''"]);
    assert!(commands().is_subset(&all), "{all:?}");
}

#[test]
fn each_shell_gets_a_script_with_every_command() {
    for shell in SHELLS {
        let script = made(&["completions", shell], &[]);
        for command in commands() {
            assert!(script.contains(&command), "{shell} lacks {command}");
        }
        assert_eq!(
            script,
            made(&["completions", shell], &SET),
            "{shell}: a value of the environment"
        );
    }
}

/// The page as `groff` formats it, without a warning.
fn rendered(page: &Path) -> String {
    let mut command = Command::new("groff");
    command.args(["-man", "-Tutf8", "-P-cbou", "-ww", "-rLL=78n"]).arg(page);
    let Output { status, stdout, stderr } = command.output().expect("groff");
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert!(status.success() && stderr.is_empty(), "{}: {stderr}", page.display());
    String::from_utf8_lossy(&stdout).into_owned()
}

#[test]
fn the_manual_has_every_command_and_groff_formats_each_page_without_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("heardback.1");
    let text = made(&["man"], &[]);
    assert_eq!(text, made(&["man"], &SET), "no value of the environment");
    assert!(text.is_ascii(), "roff needs ASCII");
    fs::write(&page, &text).expect("written");
    let pages = folder.path().join("man1");
    let dir = pages.display().to_string();
    assert_eq!(made(&["man", "--dir", &dir], &SET), "");
    assert_eq!(fs::read_to_string(pages.join("heardback.1")).expect("there").trim(), text.trim());
    let named = |command: &String| pages.join(format!("heardback-{command}.1"));
    for command in commands() {
        assert!(text.contains(&command.replace('-', "\\-")), "the page lacks {command}");
        let page = fs::read_to_string(named(&command)).expect("a page of its own");
        assert!(page.is_ascii(), "{command}");
        for (name, value) in SET {
            assert!(!page.contains(value), "the page of {command} has the value of {name}");
        }
    }
    let nested: usize =
        Cli::command().get_subcommands().map(|it| it.get_subcommands().count()).sum();
    assert_eq!(pages.read_dir().expect("readable").count(), commands().len() + nested + 1);
    let serve = fs::read_to_string(named(&"serve".to_owned())).expect("there");
    for name in ["HEARDBACK_PENDING_TTL", "TWILIO_SHARED_KEYS"] {
        assert!(serve.contains(name), "{name} is not named");
    }

    if Command::new("groff").arg("--version").output().is_err() {
        return skipped_unless_ci("there is no `groff`");
    }
    assert!(rendered(&page).contains("verify-store"));
    for command in commands() {
        let shown = rendered(&named(&command));
        assert!(shown.contains("SYNOPSIS"), "{command}: {shown}");
    }
}
