//! README and `docs/` are correct: a shell runs their examples with the real program, and the
//! output is as shown. The table of settings matches the program, and every link has a target.
//!
//! A block after `<!-- tested -->` is run; `…` stands for any text in a line, a line of `…` for any
//! lines. `http://127.0.0.1:8080` is a server that the test starts on its own port.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use heardback::config::SettingsArgs;
use heardback::config::{Settings, process_env};
use heardback::serve::{Listeners, Service};
use tokio::sync::oneshot;

use crate::commands::has_curl;

/// The address of the README's server.
const SHOWN: &str = "127.0.0.1:8080";
const MARK: &str = "<!-- tested -->\n```console\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).expect("there is a README")
}

/// The pages for readers, by path: the README, all of `docs/`, and the pages that they link to
/// first.
fn pages() -> Vec<(String, String)> {
    let docs = fs::read_dir(root().join("docs")).expect("a folder").flatten();
    let docs = docs.map(|entry| format!("docs/{}", entry.file_name().to_string_lossy()));
    let mut names: Vec<String> =
        docs.filter(|name| Path::new(name).extension().is_some_and(|end| end == "md")).collect();
    names.sort();
    let first = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/app/README.md"];
    let names = first.map(str::to_owned).into_iter().chain(names);
    names
        .map(|name| {
            let text = fs::read_to_string(root().join(&name)).expect(&name);
            (name, text)
        })
        .collect()
}

/// A command of an example and the output lines shown below it.
#[derive(Debug, Default)]
struct Example {
    command: String,
    output: Vec<String>,
}

/// The examples of each block that is marked as tested.
fn blocks(page: &str) -> Vec<Vec<Example>> {
    let blocks = page.split(MARK).skip(1).map(|rest| rest.split("```").next().expect("an end"));
    blocks.map(examples).collect()
}

fn examples(block: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut goes_on = false;
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            examples.push(Example { command: command.to_owned(), output: Vec::new() });
        } else {
            let example = examples.last_mut().expect("a block begins with a command");
            if goes_on {
                example.command.push('\n');
                example.command.push_str(line);
            } else {
                example.output.push(line.to_owned());
            }
        }
        let command = examples.last().map_or("", |example| example.command.as_str());
        goes_on = command.ends_with('\\');
    }
    examples
}

/// Runs the commands of a block in one shell, so that exported variables stay. Returns each
/// command's output, with stderr.
fn outputs(block: &[Example], addr: &str) -> Vec<String> {
    const NEXT: &str = "\u{1}next\u{1}";
    let mut script = String::new();
    for example in block {
        script.push_str(&example.command.replace(SHOWN, addr));
        script.push_str("\nprintf '");
        script.push_str(NEXT);
        script.push_str("'\n");
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_heardback"));
    let folder = binary.parent().expect("a folder").display();
    let path = process_env("PATH").unwrap_or_default();
    let home = tempfile::tempdir().expect("a folder");
    // The progress bar of curl is for terminals.
    fs::write(home.path().join(".curlrc"), "silent\nshow-error\nnoproxy = \"*\"\n")
        .expect("written");
    let shell = Command::new("sh")
        .arg("-c")
        .arg(format!("exec 2>&1\n{script}"))
        .env_clear()
        .env("PATH", format!("{folder}:{path}"))
        .env("CURL_HOME", home.path())
        .current_dir(home.path())
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let text = String::from_utf8(shell.stdout).expect("UTF-8").replace(addr, SHOWN);
    let mut outputs: Vec<String> = text.split(NEXT).map(str::to_owned).collect();
    assert_eq!(outputs.pop().as_deref(), Some(""), "output after the last command");
    outputs
}

/// Whether a printed line matches the shown one, in which `…` stands for any text.
fn fits(shown: &str, printed: &str) -> bool {
    let mut rest = printed;
    for (index, part) in shown.split('…').enumerate() {
        let Some(at) = rest.find(part) else { return false };
        if index == 0 && at != 0 {
            return false;
        }
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || shown.ends_with('…')
}

/// Whether the printed lines match the shown ones, in which a line of `…` stands for any lines.
fn all_fit(shown: &[String], printed: &[&str]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first.trim() == "…" => {
            all_fit(rest, printed)
                || printed.split_first().is_some_and(|(_, later)| all_fit(shown, later))
        }
        (Some((first, rest)), Some((line, later))) => fits(first, line) && all_fit(rest, later),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// A service in dry run on a port of its own, with the README's settings, until the guard is dropped.
struct Server {
    addr: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn start(token: &'static str, account: &'static str) -> Self {
        let (started, addr) = channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let folder = tempfile::tempdir().expect("a folder");
            let bind = || std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let listeners = Listeners { public: vec![bind()], ops: vec![bind()] };
            let addr = listeners.public[0].local_addr().expect("bound").to_string();
            let args = SettingsArgs::of([
                ("HEARDBACK_PUBLIC_URL", &format!("http://{addr}")),
                ("TWILIO_ACCOUNT_SID", account),
                ("HEARDBACK_STORE", &format!("sled:{}", folder.path().join("store").display())),
                ("HEARDBACK_DRY_RUN", "true"),
                ("HEARDBACK_ALLOW_UNSAFE_STORE", "true"),
            ]);
            let env = |name: &str| (name == "TWILIO_AUTH_TOKEN").then(|| token.to_owned());
            let none = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
            let settings = Settings::load(&args, &env, &none).expect("sound");
            actix_web::rt::System::new().block_on(async {
                let service = Service::build(&settings, listeners).expect("built");
                started.send(addr).expect("somebody waits");
                let stop = async move {
                    let _ = stopped.await;
                };
                service.run(stop).await.expect("drained");
            });
        });
        let addr = addr.recv().expect("it started");
        Self { addr, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server ended badly");
        }
    }
}

#[test]
fn the_examples_of_readme_and_docs_have_the_shown_output() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
    let pages = pages();
    let of_page = |(name, text): &(String, String)| {
        assert_eq!(text.matches("<!-- tested -->").count(), blocks(text).len(), "{name}: a mark");
        blocks(text).into_iter().map(|block| (name.clone(), block)).collect::<Vec<_>>()
    };
    let blocks: Vec<(String, Vec<Example>)> = pages.iter().flat_map(of_page).collect();
    let commands =
        || blocks.iter().flat_map(|(_, block)| block).map(|example| example.command.as_str());
    assert!(blocks.len() >= 6, "only {} tested blocks", blocks.len());
    for needed in
        ["heardback check", "heardback sign", "heardback list", "--curl", "| sh", "/app/events"]
    {
        assert!(commands().any(|command| command.contains(needed)), "nothing tests {needed}");
    }
    for own in [TOKEN, ACCOUNT] {
        assert!(commands().any(|command| command.contains(own)), "the settings of the examples");
    }
    let server = Server::start(TOKEN, ACCOUNT);
    let has_curl = has_curl();
    for (page, block) in &blocks {
        if !has_curl && block.iter().any(|example| example.command.contains("| sh")) {
            continue;
        }
        for (example, printed) in block.iter().zip(outputs(block, &server.addr)) {
            let printed: Vec<&str> = printed.lines().collect();
            assert!(
                all_fit(&example.output, &printed),
                "\n$ {}\nsays in {page}\n{}\nand in truth\n{}\n",
                example.command,
                example.output.join("\n"),
                printed.join("\n")
            );
        }
    }
}

#[test]
fn a_shown_line_matches_with_its_placeholders() {
    assert!(fits("a…c", "abc") && fits("a…", "abc") && fits("…", "") && fits("abc", "abc"));
    assert!(!fits("a…c", "abcd") && !fits("b…", "abc") && !fits("ab", "abc"));
    let shown = ["a", "…", "c"].map(str::to_owned);
    assert!(all_fit(&shown, &["a", "b", "b", "c"]) && all_fit(&shown, &["a", "c"]));
    assert!(!all_fit(&shown, &["a", "b"]) && !all_fit(&shown, &["a", "c", "d"]));
}

/// The words that are names of settings; the variants with `_FILE` have no row of their own.
fn settings_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    let words = words.map(|word| word.trim_end_matches("_FILE"));
    let known = |word: &&str| {
        ["HEARDBACK_", "TWILIO_"].iter().any(|start| word.starts_with(start) && word != start)
    };
    words.filter(known).map(str::to_owned).collect()
}

fn serve_help() -> String {
    let binary = env!("CARGO_BIN_EXE_heardback");
    let help = Command::new(binary).args(["serve", "--help"]).output().expect("it runs");
    String::from_utf8(help.stdout).expect("UTF-8")
}

/// The names of all settings.
pub(crate) fn settings_of_the_program() -> BTreeSet<String> {
    settings_in(&serve_help())
}

#[test]
fn the_table_of_settings_matches_the_program() {
    let help = serve_help();
    let of_help = settings_in(&help);
    let page = fs::read_to_string(root().join("docs/settings.md")).expect("there is a page");
    let (_, section) = page.split_once("\n## Settings\n").expect("a section on settings");
    let section = section.split("\n## ").next().expect("its text");
    let names = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let shown = settings_in(&names.collect::<Vec<_>>().join(" "));
    assert_eq!(shown, of_help, "the table of docs/settings.md (left) and --help (right)");
    assert!(shown.len() >= 23, "{shown:?}");
    // A default of one word in `--help` must be in the table.
    let mut compared = 0;
    for (name, default) in defaults_in(&help).into_iter().filter(|(_, word)| !word.contains(' ')) {
        compared += 1;
        let row = format!("| `{name}` | `{default}` |");
        assert!(section.contains(&row), "--help says {name} is {default} by default: no {row}");
    }
    assert!(compared >= 15, "only {compared} defaults");
}

/// Each setting's default in `--help`: `[default: …] [env: NAME]`, which may span lines.
fn defaults_in(help: &str) -> Vec<(String, String)> {
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let behind = words.split("[default: ").skip(1);
    let pair = |rest: &str| {
        let (default, rest) = rest.split_once("] [env: ")?;
        let (name, _) = rest.split_once(']')?;
        (!default.contains(']')).then(|| (name.to_owned(), default.to_owned()))
    };
    behind.filter_map(pair).collect()
}

#[test]
fn the_first_two_commands_are_the_demo_and_the_tests() {
    let readme = readme();
    let mut blocks = readme.split("```sh\n").skip(1);
    let first = blocks.next().and_then(|rest| rest.split("```").next()).expect("a block");
    let commands: Vec<&str> =
        first.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).collect();
    assert_eq!(commands, ["cargo run --release -- demo", "cargo test"]);
    let before = readme.split("```").next().expect("a beginning");
    assert!(!before.contains("\n$ "), "another command comes first");
}

/// The page without code, in which no text is a link.
fn prose(page: &str) -> String {
    let outside = page.split("\n```").step_by(2).collect::<Vec<_>>().join("\n");
    outside.split('`').step_by(2).collect::<Vec<_>>().join("")
}

/// The anchors of a page: its headings, as GitHub names them, and explicit ones.
fn anchors(page: &str) -> BTreeSet<String> {
    let outside = page.split("\n```").step_by(2).collect::<Vec<_>>().join("\n");
    let headings = outside.lines().filter(|line| line.starts_with('#'));
    let named = headings.map(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.collect::<String>().replace(' ', "-")
    });
    let by_hand = page.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next());
    named.chain(by_hand.map(str::to_owned)).collect()
}

#[test]
fn every_link_and_anchor_in_readme_and_docs_has_a_target() {
    let mut links = 0;
    let mut broken = Vec::new();
    for (name, text) in pages() {
        let folder = root().join(&name).parent().expect("a folder").to_owned();
        let prose = prose(&text);
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            links += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { root().join(&name) } else { folder.join(path) };
            let leads = target.exists()
                && (anchor.is_empty()
                    || fs::read_to_string(&target)
                        .is_ok_and(|text| anchors(&text).contains(anchor)));
            if !leads {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(links >= 60, "only {links} links");
}

#[test]
fn every_page_of_docs_is_linked_from_the_readme_which_stays_short() {
    let readme = readme();
    for (name, _) in pages().iter().filter(|(name, _)| name.starts_with("docs/")) {
        assert!(readme.contains(&format!("({name})")), "the README does not lead to {name}");
    }
    assert!(readme.lines().count() <= 200, "README.md has {} lines", readme.lines().count());
}

#[test]
fn the_security_policy_names_no_address_that_receives_no_mail() {
    let security = fs::read_to_string(root().join("SECURITY.md")).expect("there");
    let (_, how) = security.split_once("## How to report\n").expect("a section");
    let how = how.split("\n## ").next().expect("its text");
    assert!(how.contains("private vulnerability report"), "{how}");
    assert!(!how.contains('@') && !how.contains("%ae") && !how.contains("mailto:"), "{how}");
}

#[test]
fn anchors_are_named_as_github_names_them() {
    let page = "# A `b`, c\n```sh\n# none\n```\n## D-e f!\n<a id=\"g\"></a>";
    let expected = ["a-b-c", "d-e-f", "g"].map(str::to_owned);
    assert_eq!(anchors(page), BTreeSet::from(expected));
}
