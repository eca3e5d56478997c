//! The conventions that no compiler checks: the import law of `ARCHITECTURE.md`, its length and its
//! paths, file headers, forbidden words, lint settings and the lock file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use heardback::domain::route::paths;

/// The modules that each module may import (ARCHITECTURE.md). A module stands below those that it imports, so no cycle is
/// possible. `serve` and `commands` do not import each other: `main` hands the demo its receiver.
const LAW: [(&str, &[&str]); 14] = [
    ("domain", &[]),
    ("telemetry", &["domain"]),
    ("twilio", &["domain"]),
    ("store", &["domain"]),
    ("upstream", &["domain"]),
    ("forward", &["domain", "twilio"]),
    ("recording", &["twilio"]),
    ("config", &["domain", "twilio"]),
    ("cli", &["config", "domain"]),
    // A watch of rejected requests returns recordings.
    ("admin", &["domain", "recording", "store", "telemetry", "twilio"]),
    // Rejected requests are kept as recordings, which `doctor` reads.
    ("inbound", &["domain", "forward", "recording", "store", "telemetry", "twilio"]),
    ("worker", &["domain", "store", "upstream"]),
    (
        "serve",
        &[
            "admin",
            "config",
            "domain",
            "forward",
            "inbound",
            "store",
            "telemetry",
            "twilio",
            "upstream",
            "worker",
        ],
    ),
    (
        "commands",
        &[
            "admin",
            "cli",
            "config",
            "domain",
            "forward",
            "recording",
            "store",
            "telemetry",
            "twilio",
            "upstream",
        ],
    ),
];

/// A longer file is likely to hold two ideas: split it by them.
const MAX_LINES: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder, with its path from the root and its text.
fn sources(below: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(below), &mut found);
    found.sort();
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root()).expect("below the root").display().to_string();
        (name, fs::read_to_string(path).expect("UTF-8"))
    };
    found.into_iter().map(named).collect()
}

/// The lines of code with their numbers, from 1, without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    numbered.filter_map(|(number, line)| {
        let line = line.split("//").next().unwrap_or_default();
        (!line.trim().is_empty()).then_some((number, line))
    })
}

/// The top-level module of a file below `src/`; `None` for the two roots.
fn module(file: &str) -> Option<&str> {
    let name = file.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
    (name != "main" && name != "lib").then_some(name)
}

/// The modules that a line imports with `crate::`.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").map(|(at, found)| {
        let rest = &line[at + found.len()..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

/// The line at which tests begin: the test module, or the first line of a file of tests.
fn tests_begin(file: &str, text: &str) -> usize {
    if file.ends_with("tests.rs") {
        return 0;
    }
    let mut lines = text.lines().enumerate();
    lines.find(|(_, line)| line.trim() == "#[cfg(test)]").map_or(usize::MAX, |(index, _)| index + 1)
}

fn none(broken: &[String]) {
    assert!(broken.is_empty(), "\n  {}\n", broken.join("\n  "));
}

#[test]
fn each_module_imports_only_from_below() {
    let mut broken = Vec::new();
    for (file, text) in sources("src") {
        let Some(module) = module(&file) else { continue };
        let Some((_, allowed)) = LAW.iter().find(|(name, _)| *name == module) else {
            broken.push(format!("{file}: {module} is not in the import law; add it"));
            continue;
        };
        for (number, line) in code(&text) {
            for import in imports(line) {
                if import != module && !allowed.contains(&import) {
                    broken.push(format!("{file}:{number}: {module} must not import {import}"));
                }
            }
        }
    }
    none(&broken);
}

/// The code of a file, without its comments and its tests.
fn product_code(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
    lines.map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The paths of a use tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, group)) = tree.split_once('{') else {
        paths.push(format!("{prefix}{}", tree.split(' ').next().unwrap_or_default()));
        return;
    };
    let (mut depth, mut from) = (0, 0);
    let group = group.strip_suffix('}').unwrap_or(group);
    for (at, letter) in group.char_indices() {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        if letter == ',' && depth == 0 {
            expand(&format!("{prefix}{head}"), &group[from..at], paths);
            from = at + 1;
        }
    }
    expand(&format!("{prefix}{head}"), &group[from..], paths);
}

/// All paths that a file names, in `use` items and in its code.
fn named_paths(text: &str) -> Vec<String> {
    let (mut paths, mut rest) = (Vec::new(), String::new());
    for item in product_code(text).split_inclusive(';') {
        let start = item.find("use ").filter(|at| {
            let before = item[..*at].trim_end();
            before.is_empty() || before.ends_with([';', '}', ']', ')']) || before.ends_with("pub")
        });
        match start {
            Some(at) => expand("", item[at + 4..].trim_end_matches(';'), &mut paths),
            None => rest.push_str(item),
        }
    }
    let is_path = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let words = rest.split(|letter| !is_path(letter)).filter(|word| word.contains("::"));
    paths.extend(words.map(str::to_owned));
    paths
}

/// The files of `src` that each file imports from, by their modules.
fn file_imports() -> BTreeMap<String, BTreeSet<String>> {
    let files: BTreeMap<String, String> = sources("src")
        .into_iter()
        .filter(|(file, _)| module(file).is_some())
        .map(|(file, text)| {
            let name = file.trim_start_matches("src/").trim_end_matches(".rs");
            (name.trim_end_matches("/mod").replace('/', "::"), text)
        })
        .collect();
    let file_of = |path: &str| {
        let mut path = path;
        while !files.contains_key(path) {
            path = path.rsplit_once("::")?.0;
        }
        Some(path.to_owned())
    };
    let imports = files.iter().map(|(file, text)| {
        let parent = file.rsplit_once("::").map_or("", |(parent, _)| parent);
        let imported = named_paths(text).into_iter().filter_map(|path| {
            let absolute = match path.split_once("::").unwrap_or((&path, "")) {
                ("crate", rest) => rest.to_owned(),
                ("super", rest) => format!("{parent}::{rest}"),
                ("self", rest) => format!("{file}::{rest}"),
                // Another crate's, or a child's.
                _ => format!("{file}::{path}"),
            };
            file_of(&absolute).filter(|other| other != file)
        });
        (file.clone(), imported.collect())
    });
    imports.collect()
}

#[test]
fn no_two_files_import_each_other_even_through_others() {
    let mut imports = file_imports();
    let edges: usize = imports.values().map(BTreeSet::len).sum();
    assert!(imports.len() > 200 && edges > 1000, "{} files, {edges} imports", imports.len());
    // A file that imports no other, or that no other imports, is in no cycle.
    loop {
        let left: BTreeSet<String> = imports.keys().cloned().collect();
        for imported in imports.values_mut() {
            imported.retain(|file| left.contains(file));
        }
        let imported: BTreeSet<String> = imports.values().flatten().cloned().collect();
        imports.retain(|file, imports| !imports.is_empty() && imported.contains(file));
        if imports.len() == left.len() {
            break;
        }
    }
    let knot = imports.iter().map(|(file, imported)| format!("{file} imports {imported:?}"));
    none(&knot.collect::<Vec<_>>());
}

#[test]
fn the_law_has_no_cycle_and_names_only_existing_modules() {
    for (at, (module, allowed)) in LAW.iter().enumerate() {
        let folder = root().join("src").join(module);
        assert!(folder.is_dir() || folder.with_extension("rs").is_file(), "there is no {module}");
        for import in *allowed {
            let below = LAW.iter().position(|(name, _)| name == import).expect(import);
            assert!(below < at, "{module} imports {import}, which is not on a lower floor");
        }
    }
    // The promise "a slow Twilio can never slow a webhook" depends on this.
    let may = |module: &str| LAW.iter().find(|(name, _)| *name == module).expect("there").1;
    assert!(!may("inbound").contains(&"upstream") && !may("inbound").contains(&"worker"));
    assert!(!may("worker").contains(&"inbound"));
    // The operator's use cases and the public listener share only what stands below both.
    assert!(!may("admin").contains(&"inbound") && !may("inbound").contains(&"admin"));
    assert!(!may("commands").contains(&"serve") && !may("serve").contains(&"commands"));
}

#[test]
fn imports_are_written_in_the_form_that_the_tests_check() {
    let mut broken = Vec::new();
    for (file, text) in sources("src") {
        let tests_begin = tests_begin(&file, &text);
        for (number, line) in code(&text) {
            let mut flaw = |what: &str| broken.push(format!("{file}:{number}: {what}"));
            let line = line.trim();
            if line.contains("crate::{") {
                flaw("a group behind `crate::`; one module a line");
            }
            if line.contains("super::super") {
                flaw("`super::super`; name it from the crate");
            }
            let imports = line.starts_with("use ") || line.contains(" use ");
            if imports && line.contains("::*") && number < tests_begin {
                flaw("a glob outside tests");
            }
            if line.contains("heardback::") && module(&file).is_some() {
                flaw("the crate by its name, past the law");
            }
        }
    }
    none(&broken);
}

#[test]
fn the_root_re_exports_nothing() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("there");
    for (number, line) in code(&lib) {
        let is_module = line.starts_with("pub mod ") && line.ends_with(';');
        assert!(is_module, "src/lib.rs:{number}: expected `pub mod …;` alone, found {line}");
    }
    assert_eq!(code(&lib).count(), LAW.len());
}

#[test]
fn the_domain_is_pure() {
    let impure =
        ["async fn", ".await", "std::fs", "std::net", "std::env", "std::thread", "tokio::"];
    let mut broken = Vec::new();
    for (file, text) in sources("src/domain") {
        for (number, line) in code(&text).filter(|(_, line)| !line.contains("tests")) {
            // Host addresses are values, not sockets.
            let line = line.replace("std::net::{IpAddr, Ipv4Addr, Ipv6Addr}", "");
            for word in impure.iter().filter(|word| line.contains(**word)) {
                broken.push(format!("{file}:{number}: {word}"));
            }
        }
    }
    none(&broken);
}

#[test]
fn sizes_are_in_binary_units_with_their_correct_names() {
    // docs/performance.md and docs/reliability.md also have measured figures in other units.
    let pages = [
        "README.md",
        "SECURITY.md",
        "fly.toml",
        "Dockerfile",
        "docs/operations.md",
        "docs/guarantees.md",
    ];
    let pages = pages
        .map(|name| (name.to_owned(), fs::read_to_string(root().join(name)).expect("readable")));
    let decimal = |line: &&str| {
        let words = line.split(|letter: char| !letter.is_ascii_alphanumeric());
        words.into_iter().any(|word| {
            let unit = word.trim_start_matches(|letter: char| letter.is_ascii_digit());
            ["KB", "MB", "GB", "TB"].contains(&unit)
        })
    };
    let mut broken = Vec::new();
    for (file, text) in sources("src").into_iter().chain(pages) {
        broken.extend(text.lines().filter(decimal).map(|line| format!("{file}: {line}")));
    }
    // `fly volumes` and fly.toml write sizes as 1GB.
    broken.retain(|line| {
        !line.starts_with("fly.toml: ") || !line.contains("size") && !line.contains("auto_extend")
    });
    none(&broken);
}

#[test]
fn every_file_opens_with_a_header() {
    let files = sources("src").into_iter().chain(sources("tests"));
    let mute = files.filter(|(_, text)| !text.starts_with("//! ")).map(|(file, _)| file);
    none(&mute.collect::<Vec<_>>());
}

#[test]
fn no_deferred_work_ignored_test_or_allowed_lint_is_left() {
    // Split here, so that this file does not match.
    let words =
        ["TO\u{44}O", "FIX\u{4d}E", "XX\u{58}:", "#[ig\u{6e}ore", "#[al\u{6c}ow", "#![al\u{6c}ow"];
    let mut broken = Vec::new();
    for (file, text) in sources("src").into_iter().chain(sources("tests")) {
        for (index, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                broken.push(format!("{file}:{}: {word}", index + 1));
            }
        }
    }
    none(&broken);
}

#[test]
fn no_source_file_is_longer_than_the_limit() {
    let lines = |text: &str| text.lines().count();
    let long = sources("src").into_iter().filter(|(_, text)| lines(text) > MAX_LINES);
    none(&long.map(|(file, text)| format!("{file}: {} lines", lines(&text))).collect::<Vec<_>>());
}

#[test]
fn main_parses_dispatches_and_exits_on_one_screen() {
    let main = fs::read_to_string(root().join("src/main.rs")).expect("there");
    let lines = main.lines().count();
    assert!(lines < 60, "src/main.rs has {lines} lines");
}

#[test]
fn the_path_of_each_route_is_in_one_file() {
    let files = sources("src");
    let mut broken = Vec::new();
    for path in paths().into_iter().filter(|path| *path != "/") {
        let literal = format!("\"{path}\"");
        for (file, text) in &files {
            let tests_begin = tests_begin(file, text);
            let mut lines = code(text).filter(|(number, _)| *number < tests_begin);
            if lines.any(|(_, line)| line.contains(&literal)) && file != "src/domain/route.rs" {
                broken.push(format!("{file}: {literal}; name the constant of src/domain/route.rs"));
            }
        }
    }
    none(&broken);
}

#[test]
fn the_architecture_page_is_short_and_its_paths_exist() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("there");
    let lines = map.lines().count();
    assert!(lines <= 120, "ARCHITECTURE.md has {lines} lines");
    let mut paths = 0;
    let mut broken = Vec::new();
    // Text in backticks with a slash or an extension is a path, unless it is a route, a media type
    // or a URL.
    for word in map.split('`').skip(1).step_by(2) {
        let folder =
            ["src/", "tests/", ".ci/", "docs/"].iter().any(|start| word.starts_with(start));
        let ending = [".rs", ".toml", ".md", ".json", ".lock"];
        let named = ending.iter().any(|end| word.ends_with(end)) && !word.starts_with('/');
        if !folder && !named && !["check", "Dockerfile"].contains(&word) {
            continue;
        }
        paths += 1;
        let wild = word.trim_end_matches("*.http").trim_end_matches("*.rs");
        if !root().join(wild).exists() {
            broken.push(format!("{word} does not exist"));
        }
    }
    none(&broken);
    assert!(paths >= 30, "only {paths} paths are named");
    for (module, _) in LAW {
        assert!(map.contains(&format!("`src/{module}/")), "src/{module} is not in ARCHITECTURE.md");
    }
}

/// A guarantee names the test that proves it: `module::test`, in cargo's notation.
#[test]
fn every_test_that_a_guarantee_names_exists() {
    let page = fs::read_to_string(root().join("docs/guarantees.md")).expect("there");
    let rows = page.lines().filter_map(|line| line.strip_suffix("` |")?.rsplit_once("| `"));
    let proofs: Vec<&str> = rows.map(|(_, proof)| proof).collect();
    assert!(proofs.len() >= 25, "only {} guarantees", proofs.len());
    let tests = sources("tests/it");
    let mut broken = Vec::new();
    for proof in proofs {
        let (module, test) = proof.split_once("::").unwrap_or((proof.trim_end_matches(".rs"), ""));
        let test = test.rsplit("::").next().unwrap_or_default();
        let (file, folder) = (format!("tests/it/{module}.rs"), format!("tests/it/{module}/"));
        let mut files = tests.iter().filter(|(name, _)| *name == file || name.starts_with(&folder));
        if test.is_empty() || !files.any(|(_, text)| text.contains(&format!("fn {test}("))) {
            broken.push(format!("there is no test {proof}"));
        }
    }
    none(&broken);
}

#[test]
fn clippy_forbids_clocks_and_the_environment_in_the_domain() {
    let lints = fs::read_to_string(root().join("clippy.toml")).expect("there");
    for method in [
        "std::time::SystemTime::now",
        "jiff::Timestamp::now",
        "jiff::Zoned::now",
        "std::env::var",
        "std::env::var_os",
        "std::thread::sleep",
        "std::time::Instant::now",
        "tokio::time::Instant::now",
        "rustix::time::clock_gettime",
        "getrandom::fill",
        "getrandom::u32",
        "getrandom::u64",
        "std::collections::hash_map::RandomState::new",
    ] {
        assert!(lints.contains(&format!("\"{method}\"")), "clippy.toml does not hold {method}");
    }
    for extractor in
        ["web::Bytes", "Either", "web::Form", "web::Json", "web::Payload", "web::Query"]
    {
        let entry = format!("path = \"actix_web::{extractor}\"");
        assert!(lints.contains(&entry), "clippy.toml does not hold {extractor}");
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("there");
    for lint in ["unsafe_code = \"forbid\"", "allow_attributes", "unwrap_used", "indexing_slicing"]
    {
        assert!(manifest.contains(lint), "Cargo.toml does not hold {lint}");
    }
    assert!(manifest.contains("\nsled = \"=0.34.7\"\n"), "sled is pinned");
}

/// The crates in `tests`, `sim` and `benches` expect `disallowed_methods` as a whole, because of the clocks.
#[test]
fn no_test_and_no_simulation_sleeps_or_reads_a_setting_from_the_environment() {
    let mut broken = Vec::new();
    for folder in ["tests", "sim", "benches"] {
        for (file, text) in sources(folder) {
            for call in
                ["thread::sleep(", "env::var(", "env::var_os(", "env::vars(", "env::vars_os("]
            {
                let lines = code(&text).filter(|(_, line)| line.contains(call));
                broken.extend(lines.map(|(number, _)| format!("{file}:{number}: {call}…)")));
            }
        }
    }
    broken.retain(|line| !line.starts_with("tests/it/tidy.rs"));
    none(&broken);
}

/// The private field lets only `signed.rs` construct a `Signed<T>`, and `bind` accepts only handlers with `VerifiedArgs`.
#[test]
fn a_public_handler_gets_a_body_only_as_a_verified_request() {
    let read = |file: &str| fs::read_to_string(root().join("src/inbound").join(file)).expect(file);
    let signed = read("signed.rs");
    assert!(
        signed.contains("\npub(super) struct Signed<T, A>(T, PhantomData<A>);\n"),
        "not private"
    );
    let constructors = ["Signed(", "map(Signed", "Self(", "map(Self"];
    let lines = code(&signed).filter(|(_, line)| !line.contains("struct "));
    let constructed: Vec<_> = lines
        .filter(|(_, line)| constructors.iter().any(|word| line.contains(word)))
        .map(|(_, line)| line.trim())
        .collect();
    assert_eq!(constructed.len(), 1, "Signed is constructed in {constructed:#?}");
    assert!(constructed[0] == "Ok(Self(parsed, PhantomData))", "without verification");
    assert!(!code(&signed).any(|(_, line)| line.starts_with("mod ")), "a child sees the field");
    let arguments: Vec<_> = code(&signed)
        .filter_map(|(_, line)| Some(line.split_once("VerifiedArgs for ")?.1))
        .map(|arguments| arguments.trim_end_matches(" {}"))
        .collect();
    let request = "HttpRequest, web::Data<Receiver>";
    let expected =
        ["()".to_owned(), format!("({request}, UnreadBody)"), format!("({request}, Signed<T, A>)")];
    assert_eq!(arguments, expected);
    let authorized = read("authorized_send.rs");
    let field = "\npub(super) struct AuthorizedSend(AcceptedSend);\n";
    assert!(authorized.contains(field), "not private");
    assert!(!code(&authorized).any(|(_, line)| line.starts_with("mod ")), "a child sees the field");
    let constructed: Vec<_> = code(&authorized)
        .filter(|(_, line)| line.contains("Self(") || line.contains("AuthorizedSend("))
        .map(|(_, line)| line.trim())
        .filter(|line| !line.contains("struct "))
        .collect();
    assert_eq!(constructed, ["Ok(Self(accepted))"], "without verification");
    let others =
        sources("src/inbound").into_iter().filter(|(file, _)| !file.ends_with("signed.rs"));
    let others: Vec<_> = others
        .flat_map(|(file, text)| {
            let count = code(&text).filter(|(_, line)| line.contains("VerifiedArgs for ")).count();
            vec![file; count]
        })
        .collect();
    assert_eq!(others, ["src/inbound/authorized_send.rs", "src/inbound/webhook.rs"]);
    let routes = read("routes.rs");
    let bound = |(_, line): &(usize, &str)| line.contains(".service(") || line.contains("to(");
    for (number, line) in code(&routes).filter(bound) {
        let is_checked = [
            ".service(bind(",
            "config.service(scope)",
            ".to(handler.clone())",
            "web::to(not_found)",
            "web::to(wrong_method)",
        ];
        let is_checked = is_checked.iter().any(|way| line.contains(way));
        assert!(is_checked, "src/inbound/routes.rs:{number}: {line}; use `bind`");
    }
}

#[test]
fn tls_is_rustls_alone() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("there");
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    let names: Vec<&str> = names.collect();
    assert!(names.contains(&"rustls"));
    for banned in ["openssl", "openssl-sys", "native-tls"] {
        assert!(!names.contains(&banned), "{banned} is in Cargo.lock");
    }
}

#[test]
fn no_two_public_types_share_a_name() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in sources("src") {
        for line in text.lines().map(str::trim_start).filter(|line| line.starts_with("pub")) {
            let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
            let kind = words.next().unwrap_or_default();
            if ["struct", "enum", "trait", "type", "union"].contains(&kind) {
                let name = words.next().unwrap_or_default();
                let name = name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
                places.entry(name.to_owned()).or_default().push(path.clone());
            }
        }
    }
    assert!(places.len() > 400, "only {} types were found", places.len());
    let shared: Vec<_> = places.iter().filter(|(_, paths)| paths.len() > 1).collect();
    assert!(shared.is_empty(), "{shared:#?}");
}
