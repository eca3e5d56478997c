//! Heardback's results compared with those of Twilio's own validators: `PyPI`'s `twilio` and npm's,
//! over generated requests, valid ones and ones with one fault.
//!
//! Each validator is one long-lived process that reads and writes JSON lines (`validator.py`,
//! `validator.mjs`). It parses forms as its frameworks do, not as Heardback does. [`Difference`]
//! has each intended difference with its reason. Any other difference fails the test, and so does a
//! difference that no longer occurs.
//!
//! `HEARDBACK_PYTHON` names a Python with `twilio`, `NODE_PATH` the folder with node's package;
//! `.ci/run` installs both. Without them the tests are skipped; with `HEARDBACK_CI=1` they fail.
//! `HEARDBACK_OFFICIAL_REQUESTS` sets the number of requests, `HEARDBACK_OFFICIAL_SEED` the seed.

mod difference;
mod drawn;
mod requests;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use heardback::config::process_env;
use heardback::twilio::form;
use heardback::twilio::signature::{Content, Presented, SigningKey, sign, verify};
use serde::Deserialize;

use crate::official::difference::Difference;
use crate::official::drawn::Dice;
use crate::official::requests::{Kind, Request};
use crate::skip::skipped_unless_ci;

/// The default number of compared requests, which takes a second or two.
const REQUESTS: u64 = 3000;
const SEED: u64 = 2026;

/// The vendor's validators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Official {
    Python,
    Node,
}

/// A validator's response.
#[derive(Debug, Deserialize)]
struct Answer {
    accepts: bool,
    /// The signature that it computes for the URL of the request.
    signs: Option<String>,
    /// The exception, if one was raised.
    raised: Option<String>,
}

/// A validator that waits for lines.
struct Validator {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Validator {
    /// `None`: the validator is not installed, and the test is skipped.
    fn start(official: Official) -> Option<Self> {
        let (program, script) = match official {
            Official::Python => {
                (process_env("HEARDBACK_PYTHON").unwrap_or("python3".to_owned()), "validator.py")
            }
            Official::Node => ("node".to_owned(), "validator.mjs"),
        };
        let script = folder().join(script);
        let spawned = Command::new(&program)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = spawned else {
            skipped_unless_ci(&format!("there is no `{program}`"));
            return None;
        };
        let asks = child.stdin.take().expect("piped");
        let mut answers = BufReader::new(child.stdout.take().expect("piped"));
        let mut ready = String::new();
        answers.read_line(&mut ready).expect("readable");
        if !ready.contains("ready") {
            let _ = child.wait();
            skipped_unless_ci(&format!("`{program}` has no package `twilio`"));
            return None;
        }
        Some(Self { child, asks, answers })
    }

    fn ask(&mut self, request: &Request) -> Answer {
        let line = format!("{}\n", request.as_asked());
        self.asks.write_all(line.as_bytes()).expect("it listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("it answers");
        serde_json::from_str(&answer).expect("an answer")
    }
}

impl Drop for Validator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/official")
}

fn number(name: &str, otherwise: u64) -> u64 {
    process_env(name).map_or(otherwise, |text| text.parse().expect(name))
}

/// The number of requests by result.
#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    refused: u64,
    raised: u64,
    differences: BTreeMap<Difference, u64>,
}

/// Compares Heardback and the validator on each request; `allowed` has the differences that must
/// occur.
fn compared(official: Official, allowed: &[Difference]) {
    let Some(mut validator) = Validator::start(official) else { return };
    let (requests, seed) =
        (number("HEARDBACK_OFFICIAL_REQUESTS", REQUESTS), number("HEARDBACK_OFFICIAL_SEED", SEED));
    let mut dice = Dice::new(seed);
    let mut tally = Tally::default();
    let mut unnamed = Vec::new();
    let mut asked = 0;
    while asked < requests {
        let request = Request::draw(&mut dice);
        asked += 1;
        let answer = validator.ask(&request);
        let ours = request.is_ours();
        signs_alike(official, &request, &answer);
        tally.raised += u64::from(answer.raised.is_some());
        if ours == answer.accepts {
            *(if ours { &mut tally.accepted } else { &mut tally.refused }) += 1;
            continue;
        }
        let Some(difference) = Difference::of(official, &request, ours) else {
            unnamed.push(format!(
                "request {asked}: Heardback {ours}, the validator {answer:?}: {request:?}"
            ));
            continue;
        };
        *tally.differences.entry(difference).or_default() += 1;
    }
    println!("{official:?}, seed {seed}: {requests} requests compared: {tally:?}");
    unnamed.truncate(5);
    assert!(
        unnamed.is_empty(),
        "seed {seed}, a difference without a name:\n{}",
        unnamed.join("\n")
    );
    assert!(tally.accepted > requests / 5 && tally.refused > requests / 5, "{tally:?}");
    let occurred: Vec<Difference> = tally.differences.into_keys().collect();
    if requests >= REQUESTS {
        assert_eq!(occurred, allowed, "the differences that occurred, in order");
    }
}

/// Both compute the same signature for the unchanged URL.
fn signs_alike(official: Official, request: &Request, answer: &Answer) {
    let Some(theirs) = &answer.signs else { return };
    if request.kind == Kind::Form && Difference::of_parameters(official, request).is_some() {
        return;
    }
    let body = request.body.as_bytes();
    let pairs = form::pairs(body);
    let content = match request.kind {
        Kind::Form => Content::Form { pairs: &pairs, body },
        // The validators sign the URL alone, which is enough for a body with a hash.
        Kind::Json | Kind::Nothing => Content::Nothing,
    };
    assert_eq!(sign(&request.key(), &request.url(), &content), *theirs, "{request:?}");
}

impl Request {
    /// Whether Heardback accepts the request.
    fn is_ours(&self) -> bool {
        let body = self.body.as_bytes();
        let pairs = form::pairs(body);
        let content = match self.kind {
            Kind::Form => Content::Form { pairs: &pairs, body },
            Kind::Json => Content::Other(body),
            Kind::Nothing => Content::Nothing,
        };
        let bases = [self.base.clone()];
        let presented = Presented {
            bases: &bases,
            path_and_query: &self.target,
            content,
            is_get: self.kind == Kind::Nothing,
            settings: self.settings.map(str::as_bytes),
        };
        let keys: [SigningKey; 1] = [self.key()];
        verify(&keys, &presented, Some(self.signature.as_bytes())).is_ok()
    }
}

#[test]
fn twilios_python_validator_agrees_except_for_the_listed_differences() {
    compared(Official::Python, &Difference::OF_PYTHON);
}

#[test]
fn twilios_node_validator_agrees_except_for_the_listed_differences() {
    compared(Official::Node, &Difference::OF_NODE);
}
