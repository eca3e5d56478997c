//! A cluster of PostgreSQL for tests, which a test may also stop, crash and start.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex as StdMutex, OnceLock, PoisonError};

use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// Reads commands from standard input, and answers each with a line. The end of the input stops the server and removes its
/// folder, so that nothing of it outlives the tests.
const SCRIPT: &str = r#"
bin=$1 folder=$2
shift 2
control() { "$bin/pg_ctl" -D "$folder/data" -m immediate "$@" >>"$folder/log" 2>&1; }
start() {
    # A start fails while the server before it is still ending.
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        "$bin/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= -c fsync=on "$@" \
            >>"$folder/log" 2>&1 3>&- </dev/null &
        while kill -0 $!; do
            "$bin/pg_isready" -q -h "$folder" -d postgres && return 0
        done 2>/dev/null
        wait $!
    done
    return 1
}
# The backends of a killed postmaster still answer for a moment, so the crash is complete once they have ended.
crash() {
    postmaster=$(head -n 1 "$folder/data/postmaster.pid")
    backends=$(grep -ls "^PPid:[[:space:]]*$postmaster$" /proc/[0-9]*/status)
    kill -9 "$postmaster" || return 1
    for backend in $backends; do
        while [ -e "$backend" ]; do :; done
    done
}
"$bin/initdb" -D "$folder/data" -U owner --auth=trust --no-sync >"$folder/log" 2>&1 || exit 1
start "$@" || exit 1
echo started
while read -r word; do
    case $word in
        start) start "$@" ;;
        stop) control stop ;;
        restart) control stop && start "$@" ;;
        crash) crash ;;
    esac || exit 1
    echo "$word"
done
control stop
rm -rf "$folder"
"#;

/// A running cluster.
pub(super) struct Cluster {
    folder: PathBuf,
    shell: StdMutex<(ChildStdin, BufReader<ChildStdout>)>,
    _child: Child,
}

/// The folder of PostgreSQL's server programs, if it is installed.
pub(super) fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let mut folders: Vec<PathBuf> = folders.filter(|bin| bin.join("initdb").is_file()).collect();
    folders.sort();
    folders.pop()
}

/// The user and group that run the server: it refuses to run as root.
fn server_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("users");
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<&str> = line.expect("the user postgres").split(':').collect();
    Some((fields[2].parse().expect("a number"), fields[3].parse().expect("a number")))
}

/// Gives a folder or a file to the server.
pub(super) fn give_to_server(path: &Path) {
    if let Some((user, group)) = server_user() {
        chown(path, Some(user), Some(group)).expect("it belongs to the server");
    }
}

/// A program that runs as the server's user.
pub(super) fn as_server(program: &str) -> Command {
    let Some((user, group)) = server_user() else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args([
        format!("--reuid={user}"),
        format!("--regid={group}"),
        "--clear-groups".to_owned(),
        program.to_owned(),
    ]);
    command
}

impl Cluster {
    fn start(programs: &Path, settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().map(TempDir::keep).expect("a folder");
        give_to_server(&folder);
        let mut child = as_server("sh")
            .args(["-c", SCRIPT, "sh"])
            .args([programs, &folder])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let stdin = child.stdin.take().expect("piped");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let cluster = Self { folder, shell: StdMutex::new((stdin, stdout)), _child: child };
        cluster.expect_line("started");
        cluster
    }

    fn expect_line(&self, word: &str) {
        let mut line = String::new();
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        shell.1.read_line(&mut line).expect("a line");
        let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert_eq!(line.trim(), word, "the server's log: {}", log());
    }

    fn command(&self, word: &str) {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(shell.0, "{word}").expect("the shell reads");
        drop(shell);
        self.expect_line(word);
    }

    /// Stops it at once, as `pg_ctl stop -m immediate` does.
    pub(super) fn stop(&self) {
        self.command("stop");
    }

    /// Kills the postmaster with SIGKILL.
    pub(super) fn crash(&self) {
        self.command("crash");
    }

    pub(super) fn start_again(&self) {
        self.command("start");
    }

    /// Stops it at once and starts it.
    pub(super) fn restart(&self) {
        self.command("restart");
    }

    /// The folder of its socket.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs SQL as the owner. Returns the values, one a line.
    pub(super) fn sql(&self, sql: &str) -> String {
        let psql = Command::new(programs().expect("installed").join("psql"))
            .args([
                "-qAt",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "owner",
                "-d",
                "postgres",
                "-c",
                sql,
                "-h",
            ])
            .arg(&self.folder)
            .output()
            .expect("psql runs");
        let error = String::from_utf8_lossy(&psql.stderr);
        assert!(psql.status.success(), "{sql}: {error}");
        String::from_utf8(psql.stdout).expect("UTF-8")
    }
}

/// The cluster of this process. `None`: PostgreSQL is not installed.
pub(super) fn shared() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let start = || programs().map(|programs| Cluster::start(&programs, &["max_connections=300"]));
    CLUSTER.get_or_init(start).as_ref()
}

/// A cluster that one test has for itself, to stop and to crash it. `None`: PostgreSQL is not installed.
pub(super) async fn own() -> Option<MutexGuard<'static, Cluster>> {
    static CLUSTER: OnceLock<Option<Mutex<Cluster>>> = OnceLock::new();
    let start = || {
        let settings = ["max_connections=24", "superuser_reserved_connections=3"];
        programs().map(|programs| Mutex::new(Cluster::start(&programs, &settings)))
    };
    let cluster = CLUSTER.get_or_init(start).as_ref()?;
    Some(cluster.lock().await)
}
