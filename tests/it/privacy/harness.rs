//! The harness: the real binary with every secret set and every log open, the stand-in that echoes,
//! and all output gathered.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use heardback::recording::Recording;
use heardback::twilio::signature::SigningKey;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::http_client::{self, Answer, Line};
use crate::harness::running::{BINARY, Running, settings, wrapped};
use crate::harness::twilio::Twilio;
use crate::harness::{BASE, LONG, eventually, get, sid};
use crate::privacy::canaries::{
    APP_KEY, CLICK_SECRET, Canaries, HEADER, OLD_TOKEN, PEOPLE, PHONE_KEY, SHARED_SECRET, TEXT,
    TOKEN,
};
use crate::privacy::echo::Echo;
use crate::privacy::gathered::Gathered;
use crate::privacy::traffic;

/// Every log target at its most verbose level, by name and by module.
const LOUDEST: &str = "trace,heardback=trace,actix_http=trace,actix_http::h1=trace,actix_server=trace,\
                       actix_web=trace,sled=trace,sled::tree=trace,sled::pagecache=trace,reqwest=trace,\
                       hyper=trace,hyper_util=trace,hyper_util::client=trace,rustls=trace,tokio=trace,\
                       mio=trace,log=trace,want=trace,h2=trace,tower=trace";

pub(super) struct Harness {
    service: Option<Running>,
    pub(super) echo: Echo,
    twilio: Twilio,
    folder: TempDir,
    settings: Vec<(String, String)>,
    pub(super) canaries: Canaries,
    pub(super) gathered: Gathered,
    sent: u32,
}

impl Harness {
    pub(super) fn new(format: &str, more: &[(&str, &str)]) -> Self {
        let (echo, twilio) = (Echo::start(), Twilio::start());
        echo.says(500);
        let folder = tempfile::tempdir().expect("a folder");
        let shared = format!("WH0123456789abcdef:HMAC_SHA256:{SHARED_SECRET}");
        let tokens = format!("{TOKEN},{OLD_TOKEN}");
        let upstream = format!("http://{}", echo.addr);
        let own = [
            ("HEARDBACK_UPSTREAM_URL", upstream.as_str()),
            ("HEARDBACK_LOG", LOUDEST),
            ("HEARDBACK_LOG_FORMAT", format),
            ("HEARDBACK_CLIENT_IP_HEADER", "X-Real-IP"),
            ("HEARDBACK_APP_KEYS", APP_KEY),
            ("HEARDBACK_PHONE_KEY", PHONE_KEY),
            ("HEARDBACK_CLICK_PATH_SECRET", CLICK_SECRET),
            ("TWILIO_AUTH_TOKEN", &tokens),
            ("TWILIO_SHARED_KEYS", &shared),
            ("TWILIO_API_KEY", "SK0123456789abcdef0123456789abcdee"),
            ("TWILIO_API_SECRET", crate::privacy::canaries::API_SECRET),
        ];
        let mut all = settings(&folder.path().join("store"), &twilio);
        for (name, value) in own.iter().chain(more) {
            all.retain(|(known, _)| known != name);
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
        let (canaries, gathered) = (Canaries::new(), Gathered::default());
        let service = None;
        let mut harness =
            Self { service, echo, twilio, folder, settings: all, canaries, gathered, sent: 0 };
        harness.starts();
        harness
    }

    pub(super) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(super) fn starts(&mut self) {
        // Standard output is checked as well, and should be empty.
        let script = format!("exec '{BINARY}' serve > '{}/said'", self.folder.path().display());
        let more: Vec<_> =
            self.settings.iter().map(|(name, it)| (name.as_str(), it.as_str())).collect();
        let words = ["/bin/sh", "-c", &script];
        self.service = Some(Running::start(wrapped(&words, &self.store(), &self.twilio, &more)));
    }

    pub(super) fn ends(&mut self) {
        let mut service = self.service.take().expect("it runs");
        service.signal(Signal::TERM);
        let end = service.ends_within(Duration::from_secs(30));
        assert!(end.success(), "{end}");
        self.gathered.take("the log", service.logs());
        let said = std::fs::read(self.folder.path().join("said")).expect("made");
        self.gathered.take("standard output", said);
    }

    fn service(&self) -> &Running {
        self.service.as_ref().expect("it runs")
    }

    pub(super) fn operator(&mut self) {
        let life = format!("/messages/{}", sid(1));
        for path in ["/metrics", "/readyz", "/livez", "/healthz", "/", &life] {
            let answer = self.service().operator(path);
            self.gathered.answer(path.to_owned(), &answer, &[]);
        }
    }

    /// Sends any bytes on a new connection and gathers the response.
    pub(super) fn bytes(
        &mut self,
        what: &str,
        bytes: &[u8],
        may: &[&'static str],
    ) -> Option<Answer> {
        let mut line = Line::open(self.service().public);
        line.send(bytes);
        line.end();
        let answer = line.answer()?;
        self.gathered.answer(format!("an answer to {what}"), &answer, may);
        Some(answer)
    }

    pub(super) fn raw(&mut self, request: &Recording, may: &[&'static str]) -> Answer {
        for (name, value) in &request.headers {
            if name == "X-Twilio-Signature" {
                self.canaries.signature(value);
            }
        }
        // Each from a network of its own, so that no failure is limited.
        self.sent += 1;
        let (high, low) = (self.sent >> 8, self.sent & 0xff);
        let mut request = request.clone();
        request.headers.push(("X-Real-IP".to_owned(), format!("10.{high}.{low}.1")));
        request.headers.push(("Cookie".to_owned(), HEADER.to_owned()));
        let what = format!("{} {}", request.method, request.target);
        let answer = self.bytes(&what, &http_client::bytes(&request), may);
        answer.unwrap_or_else(|| unreachable!("no answer to {what}"))
    }

    pub(super) fn app(&mut self, request: &Recording, may: &[&'static str]) -> Answer {
        self.raw(&request.signed(&SigningKey::new(APP_KEY.as_bytes()), BASE), may)
    }

    pub(super) fn unknown_key(&mut self) -> SigningKey {
        let key = SigningKey::new(b"nobody's");
        let forged = traffic::from_twilio(1, PEOPLE[0])[3].signed(&key, BASE);
        let signature = forged.header("X-Twilio-Signature").expect("signed").to_owned();
        self.canaries.signature(&signature);
        key
    }

    /// The valid request, then the same again, unsigned, forged, malformed and changed.
    pub(super) fn in_every_way(&mut self, request: &Recording, by_app: bool) {
        let key = SigningKey::new(if by_app { APP_KEY } else { TOKEN }.as_bytes());
        let good = request.signed(&key, BASE);
        let answer = self.raw(&good, &[]);
        let is_fine = (200..300).contains(&answer.status);
        let is_astray = request.header("X-Astray").is_some();
        assert!(is_fine != is_astray, "{} {}: {}", request.method, request.target, answer.head);
        self.raw(&good, &[]);
        self.raw(request, &[]);
        self.raw(&request.signed(&SigningKey::new(b"nobody's"), BASE), &[]);
        let mut altered = good.clone();
        altered.body.extend_from_slice(b"&x=1");
        altered.target.push_str(if altered.target.contains('?') { "&x=1" } else { "?x=1" });
        self.raw(&altered, &[]);
        for nonsense in [PEOPLE[1], TOKEN, ""] {
            let mut unsigned = request.clone();
            unsigned.headers.push(("X-Twilio-Signature".to_owned(), nonsense.to_owned()));
            self.raw(&unsigned, &[]);
        }
        let wrong = traffic::malformed(request).into_iter().chain(traffic::spoilt(request));
        for wrong in wrong {
            self.raw(&wrong.signed(&key, BASE), &[]);
        }
    }

    pub(super) fn reaches(&mut self, number: u32, state: &str) {
        let request = get(&format!("/app/messages/{}", sid(number)));
        let request = request.signed(&SigningKey::new(APP_KEY.as_bytes()), BASE);
        let service = self.service();
        eventually(&format!("{number} {state}"), LONG, || {
            let known = service.exchange(&http_client::bytes(&request)).json();
            known.get("state").and_then(|it| it.as_str()) == Some(state)
        });
    }

    /// A command of the binary with the service's settings.
    pub(super) fn command(&mut self, words: &[&str], more: &[(&str, &str)]) {
        let mut command = Command::new(BINARY);
        command.args(words).env_clear().envs(self.settings.iter().map(|(name, it)| (name, it)));
        command.env("TMPDIR", self.folder.path()).envs(more.iter().copied());
        let output = command.stdin(Stdio::null()).output().expect("it ran");
        let word = words.first().copied().unwrap_or_default().get(..6).unwrap_or("none");
        self.gathered.take(format!("a command ({word}), its result"), output.stdout);
        self.gathered.take(format!("a command ({word}), its talk"), output.stderr);
    }

    /// Every command that reads the settings or the store.
    pub(super) fn commands(&mut self) {
        let backup = self.folder.path().join("backup");
        let into = backup.display().to_string();
        let (public, ops) = self.service.as_ref().map_or_else(
            || (BASE.to_owned(), "127.0.0.1:9".to_owned()),
            |service| (format!("http://{}", service.public), service.ops.to_string()),
        );
        let around = [("HEARDBACK_PUBLIC_URL", &*public), ("HEARDBACK_OPS_LISTEN", &*ops)];
        for json in [&[][..], &["--json"]] {
            for words in
                [&["check"][..], &["verify-store"], &["backup", &into], &["verify-store", &into]]
            {
                self.command(&[words, json].concat(), &[]);
            }
            self.command(&[&["doctor"][..], json].concat(), &around);
        }
        let copy = format!("sled:{}/copy", self.folder.path().display());
        self.command(&["restore", &into, "--store", &copy], &[]);
        // The store exists now, so this restore fails with an error of its own.
        self.command(&["restore", &into, "--store", &copy], &[]);
        let exported = tempfile::tempdir_in(self.folder.path()).expect("a folder");
        let file = exported.path().join("ledger.jsonl").display().to_string();
        self.command(&["export", "--out", &file], &[]);
        for json in [&[][..], &["--json"]] {
            self.command(&[&["import", &file, "--store", &copy][..], json].concat(), &[]);
        }
        // The contents of a file in another format must not be repeated.
        let broken = exported.path().join("broken.jsonl");
        std::fs::write(&broken, format!("{}{TEXT}", PEOPLE[1])).expect("written");
        let spoilt = broken.display().to_string();
        self.command(&["import", &spoilt, "--store", &copy], &[]);
        let whole = std::fs::read_to_string(&file).expect("exported");
        std::fs::write(&broken, whole.replace("\"type\":\"end\"", &format!("\"type\":\"{TEXT}\"")))
            .expect("written");
        self.command(&["import", &spoilt, "--store", &copy], &[]);
        std::fs::remove_file(&broken).expect("removed");
        self.gathered.folder("the store's export", exported.path());
        self.gathered.folder("the store's backup", &backup);
        self.gathered.folder("the store, restored", &self.folder.path().join("copy"));
    }
}
