//! Supabase's hooks under Deno, the runtime of its edge functions: their types check, they accept
//! only requests that Supabase signed, send through Heardback and report.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::examples::kit::node_modules;
use crate::examples::relay::{Backend, Fault};
use crate::examples::{Environment, root};
use crate::harness::{ACCOUNT, LONG, RECIPIENT, TOKEN, sid};
use crate::send::api::Reply;
use crate::skip::skipped_unless_ci;

/// The secret that Supabase shows for a hook, without its `v1,whsec_`.
const SECRET: &str = "c3VwYWJhc2Ugc2lnbnMgd2l0aCB0aGlz";
const USER: &str = "8ccaa7af-909f-44e7-84cb-67cdccb56be6";

/// The functions in a folder of their own, with their packages.
struct Edge {
    folder: tempfile::TempDir,
    deno: PathBuf,
}

impl Edge {
    /// `None`: a tool is missing, and the test is skipped.
    fn new() -> Option<Self> {
        let packages = node_modules();
        let deno = Path::new(&packages).join(".bin/deno");
        if !deno.exists() || !Path::new(&packages).join("standardwebhooks").exists() {
            skipped_unless_ci("NODE_PATH has no packages `deno` and `standardwebhooks`");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["_shared/heardback.ts", "send-sms/index.ts", "signed-in/index.ts"] {
            let to = folder.path().join("functions").join(name);
            fs::create_dir_all(to.parent().expect("a folder")).expect("made");
            let from = root().join("examples/app/supabase/functions").join(name);
            fs::copy(from, to).expect("copied");
        }
        let package = json!({ "dependencies": { "standardwebhooks": "1.1.1" } }).to_string();
        fs::write(folder.path().join("package.json"), package).expect("written");
        symlink(packages, folder.path().join("node_modules")).expect("linked");
        let runner = root().join("tests/it/examples/edge.ts");
        fs::copy(runner, folder.path().join("edge.ts")).expect("copied");
        Some(Self { folder, deno })
    }

    /// Deno with access to loopback only.
    fn deno(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.deno);
        command.args(words).env_clear().current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("DENO_DIR", self.folder.path().join("cache"));
        command.env("DENO_NO_UPDATE_CHECK", "1").env("NO_COLOR", "1");
        command
    }

    fn serve(&self, name: &str, environment: &Environment<'_>) -> Function {
        let path = self.folder.path().join("functions").join(name).join("index.ts");
        let path = path.display().to_string();
        let allowed = ["--allow-env", "--allow-read", "--allow-net=127.0.0.1"];
        let words = [&["run", "--no-remote"], &allowed[..], &["edge.ts", &path]].concat();
        let mut command = self.deno(&words);
        environment.set_on(&mut command);
        for hook in ["SEND_SMS_HOOK_SECRET", "CUSTOM_ACCESS_TOKEN_HOOK_SECRET"] {
            command.env(hook, format!("v1,whsec_{SECRET}"));
        }
        command.env("DENO_SERVE_ADDRESS", "tcp:127.0.0.1:0").stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let (found, listening) = std::sync::mpsc::channel();
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, url)) = line.split_once("Listening on ") {
                    let url = url.split_whitespace().next().unwrap_or_default().to_owned();
                    let _ = found.send(url);
                }
            }
        });
        let url = listening.recv_timeout(LONG).expect("it listens");
        Function { child, url, reader: Some(reader) }
    }
}

/// A running function.
struct Function {
    child: Child,
    url: String,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Function {
    /// Calls the function as Supabase does (standardwebhooks.com), signed with a secret.
    async fn call(&self, secret: &str, event: &Value) -> (u16, Value) {
        let body = event.to_string();
        let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
        let key = STANDARD.decode(secret).expect("base64");
        let mut mac = <Hmac<Sha256>>::new_from_slice(&key).expect("any length");
        mac.update(format!("msg_1.{now}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        let client = reqwest::Client::builder().no_proxy().timeout(LONG).build().expect("a client");
        let request = client.post(&self.url).body(body).header("webhook-id", "msg_1");
        let request =
            request.header("webhook-timestamp", now).header("webhook-signature", signature);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

#[test]
fn supabases_hooks_send_through_and_report_and_delay_no_login() {
    let Some(edge) = Edge::new() else { return };
    let files = ["functions/send-sms/index.ts", "functions/signed-in/index.ts"];
    let checked = edge.deno(&[&["check", "--no-remote"], &files[..]].concat()).output();
    let checked = checked.expect("it runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    let (backend, [relay]) = Backend::start([Fault::Silent]);
    let environment = Environment { account: ACCOUNT, token: TOKEN, heardback: &relay.url };
    let (send, signed_in) =
        (edge.serve("send-sms", &environment), edge.serve("signed-in", &environment));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let call = |function: &Function, secret: &str, event: &Value| {
        runtime.block_on(function.call(secret, event))
    };
    let phone = RECIPIENT.trim_start_matches('+');
    let sms = json!({ "user": { "id": USER, "phone": phone }, "sms": { "otp": "493017" } });
    let token = |method: &str| {
        let claims = json!({ "sub": USER, "phone": phone });
        json!({ "user_id": USER, "authentication_method": method, "claims": claims })
    };
    let strangers = STANDARD.encode("a guess");
    assert_eq!(call(&send, &strangers, &sms).0, 401);
    assert_eq!(call(&signed_in, &strangers, &token("otp")).0, 401);

    // The report gets no answer yet, but both hooks have answered Supabase.
    assert_eq!(call(&send, SECRET, &sms), (200, json!({})));
    for method in ["token_refresh", "otp"] {
        let (status, answer) = call(&signed_in, SECRET, &token(method));
        assert_eq!((status, &answer["claims"]), (200, &token(method)["claims"]));
    }
    relay.open();
    backend.harness.reaches(1, "reported");
    let message = backend.harness.message(1).expect("known");
    assert_eq!(message["message_sid"], sid(1));
    assert_eq!(
        (&message["evidence"], &message["reference"]),
        (&json!("code_entered"), &json!(USER))
    );
    assert_eq!(backend.api.requests().len(), 1);
    // A repeat has the same time; a report of the refreshed token would have its own.
    let reports = relay.reports();
    assert!(reports.len() > 1, "the first report failed");
    assert!(reports.iter().all(|report| *report == reports[0]), "{reports:?}");

    backend.api.reply_with(Reply::Close);
    let (status, answer) = call(&send, SECRET, &sms);
    assert_eq!((status, &answer["error"]["http_code"]), (502, &json!(502)), "{answer}");
    assert_eq!(backend.api.requests().len(), 2, "it is sent once");
}
