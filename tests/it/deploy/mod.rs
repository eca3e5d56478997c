//! The deployment files agree with the program, with one another and with the schemas of the tools that read them:
//! `Dockerfile`, `fly.postgres.toml`, `compose.yaml`, `deploy/` and `.github/workflows/`. The tests run the proxies of `docs/proxies.md`.

mod compose;
pub(crate) mod image;
mod kubernetes;
mod postgres;
mod proxies;
mod systemd;
mod workflows;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use heardback::config::process_env;
use serde_json::Value;

use crate::harness::TOKEN;
use crate::harness::running::BINARY;
use crate::skip::skipped_unless_ci;

/// The user and group that the image runs as and the volume belongs to.
const USER: u64 = 10001;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("YAML")
}

/// The text at that JSON pointer.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer}: {value}"))
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Runs `heardback check` with exactly these settings: all must be known and sound, and only those in `warned` draw a
/// warning. A setting whose name ends in `_FILE` gets a file with a good secret.
fn settings_are_sound(settings: &BTreeMap<String, String>, warned: &[&str]) {
    let known = crate::readme::settings_of_the_program();
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    fs::write(&secret, format!("{TOKEN}\n")).expect("written");
    let mut check = Command::new(BINARY);
    check.args(["check", "--json"]).env_clear();
    for (name, value) in settings {
        let is_secret = !known.contains(name) && name.ends_with("_FILE");
        let plain = name.strip_suffix("_FILE").filter(|_| is_secret).unwrap_or(name);
        assert!(known.contains(plain), "{name} is no setting");
        let value = if is_secret { secret.as_os_str() } else { value.as_ref() };
        check.env(name, value);
    }
    let output = check.output().expect("it runs");
    assert!(output.status.success(), "{settings:?}: {}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // A warning about this machine's file system says nothing about the deployment files.
    let expected: Vec<&str> = warned.iter().chain(&["HEARDBACK_STORE"]).copied().collect();
    let mut warnings = report["warnings"].as_array().expect("a list").clone();
    warnings.retain(|warning| !expected.iter().any(|name| warning.to_string().contains(name)));
    assert!(warnings.is_empty(), "{warnings:?}");
}

/// A program that `.ci/run` installs with pip, from `HEARDBACK_PYTHON`'s folder or from the path. `None`: the test is
/// skipped.
fn from_pip(program: &str) -> Option<PathBuf> {
    let python = process_env("HEARDBACK_PYTHON").map(PathBuf::from);
    let beside = python.and_then(|python| Some(python.parent()?.join(program)));
    for program in beside.into_iter().chain([PathBuf::from(program)]) {
        let mut version = Command::new(&program);
        // kubernetes-validate and check-jsonschema know `--version`, Caddy `version`.
        version.arg(if program.ends_with("caddy") { "version" } else { "--version" });
        let ran = version.stdin(Stdio::null()).output();
        if ran.is_ok_and(|ran| ran.status.success()) {
            return Some(program);
        }
    }
    skipped_unless_ci(&format!("there is no `{program}`"));
    None
}

/// Compares files with a schema that check-jsonschema ships.
fn fits_schema(schema: &str, files: &[&str]) {
    let Some(program) = from_pip("check-jsonschema") else { return };
    let mut command = Command::new(program);
    command.args(["--builtin-schema", schema]).args(files).current_dir(root());
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
}
