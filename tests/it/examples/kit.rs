//! The tools of an example and its process. The example runs from a copy in a folder of its own, as
//! for a reader: without other files of this repository, except stand-ins for libraries.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use heardback::config::process_env;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::examples::{Environment, root};
use crate::harness::{LONG, RECIPIENT, eventually};
use crate::skip::skipped_unless_ci;

/// An example of `examples/app`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Example {
    Node,
    Python,
    Ruby,
    Php,
    Go,
    Curl,
}

impl Example {
    pub(super) const ALL: [Self; 6] =
        [Self::Node, Self::Python, Self::Ruby, Self::Php, Self::Go, Self::Curl];

    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Node => "node.mjs",
            Self::Python => "python.py",
            Self::Ruby => "ruby.rb",
            Self::Php => "php.php",
            Self::Go => "go.go",
            Self::Curl => "curl.sh",
        }
    }

    /// The program that runs it; for Go the compiler.
    fn program(self) -> String {
        match self {
            Self::Node => "node".to_owned(),
            Self::Python => process_env("HEARDBACK_PYTHON").unwrap_or("python3".to_owned()),
            Self::Ruby => "ruby".to_owned(),
            Self::Php => "php".to_owned(),
            Self::Go => go().display().to_string(),
            Self::Curl => "sh".to_owned(),
        }
    }

    /// Fails if something that the example needs is missing.
    fn probe(self) -> &'static [&'static str] {
        match self {
            Self::Node => &["-e", "require('twilio')(`AC${'0'.repeat(32)}`, 'x')"],
            Self::Python => &["-c", "import requests, twilio.rest"],
            Self::Ruby => &["-e", "require 'openssl'"],
            Self::Php => &["-r", "exit(function_exists('curl_init') ? 0 : 1);"],
            Self::Go => &["version"],
            Self::Curl => &["-c", "command -v curl && command -v openssl && command -v jq"],
        }
    }
}

/// All that an example needs.
pub(super) struct Kit {
    example: Example,
    folder: TempDir,
}

impl Kit {
    /// `None` if a tool is missing: the test is skipped, with the caller's line in the record.
    #[track_caller]
    pub(super) fn of(example: Example) -> Option<Self> {
        let probe = Command::new(example.program()).args(example.probe()).output();
        if !probe.is_ok_and(|ran| ran.status.success()) {
            skipped_unless_ci(&format!("examples/app/{} lacks what it needs", example.file()));
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let file = example.file();
        fs::copy(root().join("examples/app").join(file), folder.path().join(file)).expect("copied");
        let beside = |name: &str, target: &Path| {
            symlink(target, folder.path().join(name)).expect("linked");
        };
        match example {
            Example::Node => beside("node_modules", Path::new(&node_modules())),
            Example::Php => beside("vendor", &root().join("tests/it/examples/php")),
            Example::Go => beside("go", built()),
            Example::Python | Example::Ruby | Example::Curl => {}
        }
        Some(Self { example, folder })
    }

    /// The command of the example, with these settings.
    fn command(&self, environment: &Environment<'_>) -> Command {
        let mut command = if self.example == Example::Go {
            Command::new(self.folder.path().join("go"))
        } else {
            Command::new(self.example.program())
        };
        command.env_clear().current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("PATH", process_env("PATH").unwrap_or_default());
        environment.set_on(&mut command);
        if self.example == Example::Ruby {
            command.arg("-I").arg(root().join("tests/it/examples/ruby"));
        }
        if self.example != Example::Go {
            command.arg(self.example.file());
        }
        command.arg(RECIPIENT);
        command
    }

    /// Starts the example.
    pub(super) fn start(self, environment: &Environment<'_>) -> Run {
        let mut command = self.command(environment);
        // A process group of its own, so that its children can be ended too.
        let command = command.process_group(0).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (says, said) = channel();
        std::thread::spawn(move || {
            let _ = lines.map_while(Result::ok).try_for_each(|line| says.send(line));
        });
        Run { child, said, kit: self }
    }
}

/// The compiler that `.ci/run` installs with pip, from `HEARDBACK_PYTHON`'s folder, or from the path.
fn go() -> PathBuf {
    let python = process_env("HEARDBACK_PYTHON").map(PathBuf::from);
    let beside = python.map(|python| python.with_file_name("go"));
    beside.filter(|go| go.exists()).unwrap_or_else(|| PathBuf::from("go"))
}

/// The Go example, compiled once for all tests. The compiler's cache stays for the next run.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let program = folder.join("example-go");
        let mut command = Command::new(go());
        command.env_clear().current_dir(root().join("examples/app")).stdin(Stdio::null());
        command.env("PATH", process_env("PATH").unwrap_or_default());
        command.env("HOME", folder).env("GOCACHE", folder.join("go-cache"));
        command.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local");
        command.args(["build", "-o"]).arg(&program).arg(Example::Go.file());
        let built = command.output().expect("it runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        program
    })
}

/// The folder of node's packages. Only `require` reads this setting.
pub(super) fn node_modules() -> String {
    process_env("NODE_PATH").unwrap_or_default()
}

/// A started example; it is killed when the test ends.
pub(super) struct Run {
    child: Child,
    said: Receiver<String>,
    kit: Kit,
}

impl Run {
    /// Its first output: the message that it sent.
    pub(super) fn sid(&self) -> String {
        self.said.recv_timeout(LONG).expect("the example prints its message first")
    }

    /// Waits for the condition.
    pub(super) fn works_until(&self, is_so: impl FnMut() -> bool) {
        eventually(&format!("{:?} comes to its end", self.kit.example), LONG, is_so);
    }

    /// Checks that the example ends without output and fails.
    pub(super) fn fails(&mut self) {
        let end = self.said.recv_timeout(LONG);
        assert_eq!(end, Err(RecvTimeoutError::Disconnected), "{:?}", self.kit.example);
        assert!(!self.child.wait().expect("it ends").success(), "{:?}", self.kit.example);
    }

    /// Checks that the example ends without further output.
    pub(super) fn ends_well(&mut self) {
        let end = self.said.recv_timeout(LONG);
        assert_eq!(end, Err(RecvTimeoutError::Disconnected), "{:?}", self.kit.example);
        assert!(self.child.wait().expect("it ends").success(), "{:?}", self.kit.example);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
