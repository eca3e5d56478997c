//! The tools of an example and its process. The example runs from a copy in a folder of its own, as
//! for a reader: without other files of this repository, except stand-ins for libraries.

use std::cell::Cell;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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
    Curl,
}

impl Example {
    pub(super) const ALL: [Self; 5] = [Self::Node, Self::Python, Self::Ruby, Self::Php, Self::Curl];

    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Node => "node.mjs",
            Self::Python => "python.py",
            Self::Ruby => "ruby.rb",
            Self::Php => "php.php",
            Self::Curl => "curl.sh",
        }
    }

    /// The program that runs it.
    fn program(self) -> String {
        match self {
            Self::Node => "node".to_owned(),
            Self::Python => process_env("HEARDBACK_PYTHON").unwrap_or("python3".to_owned()),
            Self::Ruby => "ruby".to_owned(),
            Self::Php => "php".to_owned(),
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
            Example::Python | Example::Ruby | Example::Curl => {}
        }
        Some(Self { example, folder })
    }

    /// The command of the example, with these settings and this argument.
    pub(super) fn command(&self, word: &str, environment: &Environment<'_>) -> Command {
        let mut command = Command::new(self.example.program());
        command.env_clear().current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("PATH", process_env("PATH").unwrap_or_default());
        command.env("HEARDBACK_SPOOL", self.folder.path());
        environment.set_on(&mut command);
        if self.example == Example::Ruby {
            command.arg("-I").arg(root().join("tests/it/examples/ruby"));
        }
        command.arg(self.example.file()).arg(word);
        command
    }

    /// Writes a file to the folder of its jobs.
    pub(super) fn spool(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("written");
    }

    /// Starts the example.
    pub(super) fn start(self, environment: &Environment<'_>) -> Run {
        let mut command = self.command(RECIPIENT, environment);
        // A process group of its own, so that its children can be ended too.
        let command = command.process_group(0).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (says, said) = channel();
        std::thread::spawn(move || {
            let _ = lines.map_while(Result::ok).try_for_each(|line| says.send(line));
        });
        let works = (self.example == Example::Php).then(|| self.command("work", environment));
        Run { child, said, works, kit: self }
    }
}

/// The folder of node's packages. Only `require` reads this setting.
pub(super) fn node_modules() -> String {
    process_env("NODE_PATH").unwrap_or_default()
}

/// A started example; it is killed when the test ends.
pub(super) struct Run {
    child: Child,
    said: Receiver<String>,
    /// The command for cron.
    works: Option<Command>,
    kit: Kit,
}

impl Run {
    /// Its first output: the message that it sent.
    pub(super) fn sid(&self) -> String {
        self.said.recv_timeout(LONG).expect("the example prints its message first")
    }

    /// Waits for the condition. If cron has to run the jobs, the test runs them.
    pub(super) fn works_until(&mut self, mut is_so: impl FnMut() -> bool) {
        let what = format!("{:?} comes to its end", self.kit.example);
        let works = Cell::new(self.works.as_mut());
        eventually(&what, LONG, || {
            if let Some(command) = works.take() {
                assert!(command.status().expect("it runs").success());
                works.set(Some(command));
            }
            is_so()
        });
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
