//! The image can be built: `.dockerignore` lets in each file that the manifest, the source and the Dockerfile name, and `.ci/run`
//! runs the Dockerfile's own cargo command in exactly these files.

#[path = "../../../tools/docker-context/context.rs"]
pub(crate) mod context;
#[path = "../../../tools/docker-context/dockerfile.rs"]
mod dockerfile;
#[path = "../../../tools/docker-context/ignore.rs"]
mod ignore;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::ignore::Ignore;
use crate::deploy::{USER, read, root, said};

/// The paths that Cargo.toml names, either by `path` or by Cargo's default for the target's name.
fn named_by_the_manifest() -> BTreeSet<String> {
    let manifest: toml::Table = toml::from_str(&read("Cargo.toml")).expect("TOML");
    let mut paths: BTreeSet<String> =
        ["Cargo.toml", "Cargo.lock", "src/lib.rs", "src/main.rs"].map(str::to_owned).into();
    let package = manifest["package"].as_table().expect("a table");
    let files = ["readme", "build", "license-file"].into_iter().filter_map(|key| package.get(key));
    paths.extend(files.filter_map(|file| file.as_str()).map(str::to_owned));
    for (kind, folder) in
        [("bin", "src/bin"), ("bench", "benches"), ("example", "examples"), ("test", "tests")]
    {
        let targets = manifest.get(kind).and_then(toml::Value::as_array);
        for target in targets.into_iter().flatten() {
            let name = target["name"].as_str().expect("a name");
            let path = target.get("path").and_then(toml::Value::as_str).map(str::to_owned);
            let file = format!("{folder}/{name}.rs");
            let file =
                if root().join(&file).exists() { file } else { format!("{folder}/{name}/main.rs") };
            paths.insert(path.unwrap_or(file));
        }
    }
    paths
}

/// The files that the source includes when it is compiled.
fn included_by_the_source() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("readable").flatten() {
            let path = folder.join(entry.file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.display().to_string();
            found.insert(name);
            if path.extension().is_none_or(|end| end != "rs") {
                continue;
            }
            let text = fs::read_to_string(root().join(&path)).expect("UTF-8");
            for include in ["include_str!(", "include_bytes!(", "include!("] {
                for rest in text.split(include).skip(1) {
                    let Some(included) = rest.trim_start().strip_prefix('"') else { continue };
                    let included = included.split('"').next().expect("an end");
                    let whole = root().join(&folder).join(included);
                    let whole =
                        whole.canonicalize().unwrap_or_else(|_| panic!("{}", whole.display()));
                    let relative = whole.strip_prefix(root()).expect("below the root");
                    found.insert(relative.display().to_string());
                }
            }
        }
    }
    found
}

fn of_the_repository() -> Ignore {
    Ignore::parse(&read(".dockerignore")).expect("it can be read")
}

#[test]
fn the_image_gets_every_file_that_the_manifest_the_source_and_the_dockerfile_name() {
    let context = context::files(root()).expect("readable");
    let there = |path: &str| context.iter().any(|file| file.starts_with(path));
    let mut named = named_by_the_manifest();
    named.extend(included_by_the_source());
    named.extend(dockerfile::sources(&read("Dockerfile")).into_iter().filter(|path| path != "."));
    let missing: Vec<&String> = named.iter().filter(|path| !there(path)).collect();
    assert!(missing.is_empty(), ".dockerignore leaves out {missing:?}");
    for expected in ["benches/store.rs", "tests/fixtures/webhooks/click.http", "LICENSE-MIT"] {
        assert!(named.contains(expected), "{expected} is not found as needed: {named:?}");
    }
}

#[test]
fn no_secret_no_store_and_no_large_file_gets_into_the_image() {
    let ignore = of_the_repository();
    for path in [
        ".env",
        ".env.production",
        "secrets.env",
        "src/.env",
        "src/secrets.env",
        "tests/fixtures/webhooks/.env.local",
        "benches/key.pem",
        "sim/chaos/server.key",
        ".git/config",
        ".github/workflows/ci.yml",
        "target/release/heardback",
        "heardback-data/heardback.lock",
        "heardback-data/db",
        "store.sled/db",
        "deploy/.env",
        "deploy/secrets/twilio_auth_token",
        "examples/app/node_modules/twilio/index.js",
        "docs/page.png",
        "fuzz/corpus/form/1",
        "tests/it/main.rs",
    ] {
        assert!(!ignore.lets_in(path), "{path} gets in");
    }
    let files = context::files(root()).expect("readable");
    let sizes = files.iter().map(|file| root().join(file).metadata().expect("there").len());
    let bytes: u64 = sizes.sum();
    assert!(bytes < 8 << 20, "{} files, {bytes} bytes", files.len());
}

#[test]
fn dockerignore_is_read_as_docker_reads_it() {
    let lets_in = |text: &str, path: &str| Ignore::parse(text).expect("known").lets_in(path);
    for (text, path, expected) in [
        // Every file is included by default.
        ("", "a", true),
        ("a", "a", false),
        // A pattern applies to all paths below it, and only from the root.
        ("a", "a/b/c", false),
        ("b", "a/b", true),
        ("a/b", "a/b/c", false),
        // A `/` at either end, `.` and spaces do not matter.
        ("/a", "a", false),
        ("a/", "a/b", false),
        ("./a//b/../c", "a/c", false),
        ("  a  ", "a", false),
        // The last match wins; a `!` includes a path below an excluded folder.
        ("*\n!a", "a", true),
        ("!a\n*", "a", false),
        ("*\n!a/b", "a/b/c", true),
        ("*\n!a/b", "a/d", false),
        ("*\n!a\na/b", "a/b", false),
        ("*\n!a\na/b\n!a/b/c", "a/b/c", true),
        ("*\n! a", "a", true),
        // `*` and `?` stay within a name; `**` does not.
        ("*.md", "a.md", false),
        ("*.md", "b/a.md", true),
        ("*/*.md", "b/a.md", false),
        ("a?", "ab", false),
        ("a?", "a/b", true),
        ("a?b", "a/b", true),
        ("**/*.env", "x.env", false),
        ("**/*.env", "a/b/x.env", false),
        ("**/.env*", "a/.env.local", false),
        ("a/**", "a/b/c", false),
        ("a/**/c", "a/c", false),
        ("a/**/c", "a/x/y/c", false),
        ("a/**/c", "a/x/y/d", true),
        ("**", "a/b", false),
        // `#` begins a comment in the first column only; a `.` is a `.`.
        ("#a", "#a", true),
        (" #a", "#a", false),
        ("a.b", "axb", true),
        ("\u{feff}a", "a", false),
        ("\n\n", "a", true),
    ] {
        assert_eq!(lets_in(text, path), expected, "{text:?} and {path}");
    }
    for unknown in ["[a-z]", "a\\*", "!"] {
        assert!(Ignore::parse(unknown).is_err(), "{unknown}");
    }
    // An excluded folder is walked if a pattern may let in something below it.
    let ignore = Ignore::parse("*\n!a/b/c\n!d*/x").expect("known");
    assert!(ignore.may_hold("a") && ignore.may_hold("a/b") && ignore.may_hold("dd"));
    assert!(!ignore.may_hold("b") && !ignore.may_hold("a/c"));
}

#[test]
fn cargo_reads_the_manifest_in_the_copied_context() {
    let folder = tempfile::tempdir().expect("a folder");
    let context = folder.path().join("context");
    context::copy(root(), &context).expect("copied");
    let again = context::copy(root(), &context).expect_err("it is not empty");
    assert!(again.to_string().contains("is not empty"), "{again}");
    // Cargo reads the manifest, looks for the files of its targets, and stops before it compiles anything.
    let build = |context: &Path| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--release", "--locked", "--offline", "--bin", "no-such-program"]);
        said(&cargo.current_dir(context).output().expect("it runs"))
    };
    assert!(
        build(&context).contains("no bin target named `no-such-program`"),
        "{}",
        build(&context)
    );
    fs::remove_dir_all(context.join("benches")).expect("removed");
    assert!(build(&context).contains("failed to parse manifest"), "{}", build(&context));
}

#[test]
fn ci_runs_the_dockerfiles_own_cargo_command_in_the_copied_context() {
    let text = read("Dockerfile");
    assert_eq!(dockerfile::cargo_commands(&text), ["cargo build --release --locked"]);
    // Any other instruction before the command in its stage would be missing in CI.
    let instructions = dockerfile::instructions(&text);
    let is_cargo = |(keyword, rest): &(String, String)| keyword == "RUN" && rest.contains("cargo ");
    let before = instructions.iter().take_while(|instruction| !is_cargo(instruction));
    let keywords: Vec<&str> = before.map(|(keyword, _)| keyword.as_str()).collect();
    assert_eq!(keywords, ["ARG", "FROM", "WORKDIR", "COPY"]);

    let ci = read(".ci/run");
    let lines: Vec<&str> = ci.lines().map(str::trim).collect();
    for line in [
        "commands=$(cargo run --quiet --locked --example docker-context -- \"$context\")",
        "(cd \"$context\" && eval \"$commands\" && cargo run --release --locked -- demo)",
        "docker build --tag heardback:ci .",
    ] {
        assert!(lines.contains(&line), ".ci/run lacks: {line}");
    }
}

#[test]
fn the_parts_of_a_dockerfile_are_read() {
    let text = "# RUN cargo nothing\nFROM a AS b\nCOPY --chown=1:1 x y z/\nRUN --mount=type=cache,target=/t \\\n    \
                cargo  build \\\n    # why\n    && cp a b && cargo test\ncopy --from=b /a /b\nHEALTHCHECK CMD [\"x\"]\n";
    assert_eq!(dockerfile::cargo_commands(text), ["cargo build", "cargo test"]);
    assert_eq!(dockerfile::sources(text), ["x", "y"]);
    let keywords: Vec<String> =
        dockerfile::instructions(text).into_iter().map(|(keyword, _)| keyword).collect();
    assert_eq!(keywords, ["FROM", "COPY", "RUN", "COPY", "HEALTHCHECK"]);
}

#[test]
fn the_image_runs_as_the_user_that_its_volume_belongs_to() {
    let instructions = dockerfile::instructions(&read("Dockerfile"));
    let of = |wanted: &str| {
        let found = instructions.iter().filter(|(keyword, _)| keyword == wanted);
        found.map(|(_, rest)| rest.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of("USER"), [format!("{USER}:{USER}")]);
    let owns = format!("install -d -o {USER} -g {USER} -m 0700 /data");
    assert!(of("RUN").iter().any(|run| run.contains(&owns)), "{owns}");
    let variables: Vec<_> = of("ENV").into_iter().flat_map(str::split_whitespace).collect();
    assert!(variables.contains(&"HEARDBACK_STORE=sled:/data/heardback"), "{variables:?}");
    assert!(Path::new("/data/heardback").starts_with(of("WORKDIR")[1]));
}
