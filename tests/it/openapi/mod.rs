//! `docs/openapi.yaml` is correct: it is the served description, it has every word of the code, and
//! the running service answers valid and invalid requests as described.
//!
//! For the last part, schemathesis (`PyPI`) generates requests from the description and checks the
//! responses; `hooks.py` signs the requests. `HEARDBACK_PYTHON` names a Python that has it;
//! `.ci/run` installs it. Without it the test is skipped; with `HEARDBACK_CI=1` it fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use heardback::config::process_env;
use heardback::domain::message::State;
use heardback::domain::route;
use serde_json::{Value, json};

use crate::harness::{BASE, Harness, TOKEN, code_entered, json as json_post, sid};
use crate::skip::skipped_unless_ci;

/// The number of generated requests for each route, valid and invalid: about ten seconds.
const EXAMPLES: &str = "25";
const SEED: &str = "2026";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// The description, from its source.
fn described() -> Value {
    serde_saphyr::from_str(&read("docs/openapi.yaml")).expect("YAML")
}

fn schema(name: &str) -> Value {
    let described = described();
    described["components"]["schemas"].get(name).unwrap_or_else(|| panic!("no {name}")).clone()
}

/// The values of an enumeration, without null.
fn words(of: &Value) -> BTreeSet<String> {
    let words = of["enum"].as_array().expect("an enumeration").iter();
    words.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn keys(of: &Value) -> BTreeSet<String> {
    of.as_object().expect("an object").keys().cloned().collect()
}

/// The text between these two markers, each time they occur.
fn between<'a>(text: &'a str, start: &str, end: &str) -> BTreeSet<&'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

#[test]
fn the_served_description_is_docs_openapi_yaml() {
    let described = described();
    let path = root().join("src/admin/openapi.json");
    if process_env("HEARDBACK_WRITE_OPENAPI").as_deref() == Some("1") {
        fs::write(&path, format!("{described:#}\n")).expect("written");
    }
    let kept: Value = serde_json::from_str(&read("src/admin/openapi.json")).expect("JSON");
    let remedy = "run HEARDBACK_WRITE_OPENAPI=1 cargo test --test it openapi";
    assert!(kept == described, "src/admin/openapi.json is not docs/openapi.yaml: {remedy}");
    assert_eq!(described["info"]["version"], env!("CARGO_PKG_VERSION"));
    let harness = Harness::new(&[]);
    let served = harness.service.operator("/app/openapi.json");
    assert_eq!((served.status, served.header("Content-Type")), (200, Some("application/json")));
    assert!(served.json() == kept, "this binary serves an older description");
}

#[test]
fn every_route_of_the_app_is_described_and_no_other() {
    let paths = keys(&described()["paths"]);
    let is_for_apps = |route: &&str| route.starts_with("/app/") || *route == route::SEND;
    let routes = route::paths().into_iter().filter(is_for_apps);
    assert_eq!(paths, routes.map(str::to_owned).collect());
}

#[test]
fn every_field_that_the_service_reads_from_an_app_is_described() {
    let source = read("src/twilio/app.rs");
    let source = source.split("#[cfg(test)]").next().expect("code");
    // The time of an event is parsed by the same function as that of a form that the app forwards.
    let callback = read("src/twilio/callback.rs");
    let when = between(&callback, "pub fn when", "/// Whether the signer may act for");
    let source = format!("{source}{}", when.into_iter().next().expect("the function for the time"));
    let source = source.as_str();
    let mut fields = BTreeSet::from(["AccountSid", "CodeHmac"]);
    for reading in
        ["get(\"", "timestamp(\"", "sid(\"", "read(\"", "reference(\"", "MessageKind>(\""]
    {
        fields.extend(between(source, reading, "\""));
    }
    assert!(fields.len() >= 13, "{fields:?}");
    let of = |name| keys(&schema(name)["properties"]);
    let described: BTreeSet<String> = &of("Registration") | &of("Event");
    assert_eq!(described, fields.into_iter().map(str::to_owned).collect());
}

#[test]
fn every_word_of_a_response_is_described() {
    let states: BTreeSet<String> = State::ALL.map(|state| state.as_str().to_owned()).into();
    let message = &schema("MessageMembers")["properties"];
    assert_eq!(words(&message["state"]), states);
    for (file, name, described) in [
        ("src/domain/message/status.rs", "Status", words(&message["status"])),
        ("src/domain/message/mod.rs", "Basis", words(&message["evidence_basis"])),
        ("src/domain/evidence.rs", "Reason", words(&schema("Reason"))),
    ] {
        let source = read(file);
        let (_, own) = source.split_once(&format!("impl {name} {{")).expect(name);
        let own = own.split("\n}").next().expect("its end");
        let known = between(own, "=> \"", "\"").into_iter().map(str::to_owned).collect();
        assert_eq!(described, known, "{name}");
    }
}

#[test]
fn every_member_of_a_response_is_described_and_always_there() {
    let harness = Harness::new(&[]);
    let answer = |fields: Value| harness.send(&json_post("/app/messages", &fields)).json();
    let required = |name: &str| {
        let schema = schema(name);
        let names = schema["required"].as_array().expect("a list").iter();
        names.map(|name| name.as_str().expect("a name").to_owned()).collect::<BTreeSet<_>>()
    };
    let message = keys(&answer(json!({ "MessageSid": sid(1) })));
    assert_eq!(message, required("MessageMembers"));
    assert_eq!(message, keys(&schema("MessageMembers")["properties"]));
    let link = keys(&answer(json!({ "Link": "https://app.example.com/" })));
    assert_eq!(
        (&link, link.clone()),
        (&required("MadeLink"), keys(&schema("MadeLink")["properties"]))
    );
    let event = keys(&harness.send(&code_entered(1)).json());
    assert_eq!((&event, event.clone()), (&required("Settled"), required("ParkedEvent")));
}

/// The Python that has schemathesis and Twilio's library. `None`: it is not installed, and the test
/// is skipped.
fn python() -> Option<PathBuf> {
    let python = process_env("HEARDBACK_PYTHON").unwrap_or("python3".to_owned());
    let imports = ["-c", "import schemathesis, twilio"];
    let there = Command::new(&python).args(imports).output();
    if there.is_ok_and(|ran| ran.status.success()) {
        return Some(python.into());
    }
    skipped_unless_ci(&format!("`{python}` has no packages `schemathesis` and `twilio`"));
    None
}

#[test]
fn the_service_answers_valid_and_invalid_requests_as_described() {
    let Some(python) = python() else { return };
    let harness = Harness::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let ran = Command::new(python)
        .args(["-m", "schemathesis.cli", "run"])
        .arg(root().join("docs/openapi.yaml"))
        .args(["--url", &format!("http://{}", harness.service.public)])
        .args(["--checks", "all", "--mode", "all", "--continue-on-failure"])
        // The answers of that route are Twilio's; `send::` has its tests.
        .args(["--exclude-operation-id", "createMessage"])
        .args(["--max-examples", EXAMPLES, "--seed", SEED])
        .current_dir(folder.path())
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", root().join("tests/it/openapi"))
        .env("SIGN_FOR", BASE)
        .env("SIGN_WITH", TOKEN)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("Tested: 6"), "not every route was tested:\n{said}");
    let taken = harness
        .service
        .metric("heardback_http_requests_total{route=\"/app/events\",status=\"200\"}");
    assert!(taken > 0, "no generated request was accepted");
}
