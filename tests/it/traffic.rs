//! Stores and receivers of several kinds, and traffic that is redirected from one to the other while it goes on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use heardback::domain::matching::earlier;
use heardback::recording::Recording;
use jiff::Timestamp;
use rustix::process::Signal;

use crate::harness::http_client::Line;
use crate::harness::running::{BINARY, Running, wrapped};
use crate::harness::twilio::Twilio;
use crate::harness::{ACCOUNT, LONG, SENDER, eventually, form, http_client, sid, signed};

/// A message gets its evidence this many messages later, so that a move is always between the two for some.
const LAG: u32 = 12;

/// A store as commands name it, with its phone key.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) store: String,
    pub(crate) key: Option<String>,
    /// The binary that opens it.
    pub(crate) program: PathBuf,
}

impl Place {
    /// A store of this release: `sled:…` or `postgres://…`.
    pub(crate) fn new(store: String, key: Option<&str>) -> Self {
        Self { store, key: key.map(str::to_owned), program: BINARY.into() }
    }

    pub(crate) fn sled(folder: &Path, key: Option<&str>) -> Self {
        Self::new(format!("sled:{}", folder.display()), key)
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env_clear().env("HEARDBACK_STORE", &self.store).stdin(Stdio::null());
        command.env("HEARDBACK_STORE_ACQUIRE_TIMEOUT", "20s");
        if let Some(key) = &self.key {
            command.env("HEARDBACK_PHONE_KEY", key);
        }
        command
    }

    /// The output of a command that succeeds.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let output = self.command(words).output().expect("it ran");
        let [told, talk] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8"));
        assert!(output.status.success(), "{words:?}: {told}{talk}");
        told
    }
}

/// A service on a store.
pub(crate) fn serve(place: &Place, twilio: &Twilio, folder: &Path) -> Running {
    let run_dir = folder.display().to_string();
    let mut more = vec![
        ("HEARDBACK_STORE", place.store.as_str()),
        ("HEARDBACK_RUN_DIR", &run_dir),
        ("HEARDBACK_STORE_ACQUIRE_TIMEOUT", "20s"),
    ];
    more.extend(place.key.iter().map(|key| ("HEARDBACK_PHONE_KEY", key.as_str())));
    let program = place.program.to_str().expect("UTF-8");
    Running::start(wrapped(&[program, "serve"], folder, twilio, &more))
}

/// Requests of Twilio and the app, one after the other, to the receivers of the moment.
pub(crate) struct Traffic {
    receivers: Mutex<Vec<SocketAddr>>,
    /// The messages that are registered.
    sent: AtomicU32,
    is_over: AtomicBool,
}

impl Traffic {
    pub(crate) fn to(receivers: &[&Running]) -> Self {
        let receivers = Mutex::new(receivers.iter().map(|receiver| receiver.public).collect());
        Self { receivers, sent: AtomicU32::new(0), is_over: AtomicBool::new(false) }
    }

    /// Redirects the traffic. The receivers before get no request after this returns.
    pub(crate) fn redirect(&self, receivers: &[&Running]) {
        *self.receivers.lock().expect("unpoisoned") =
            receivers.iter().map(|receiver| receiver.public).collect();
    }

    fn exchange(&self, number: u32, request: &Recording) -> u16 {
        // Held during the request, so that a redirection comes after it.
        let receivers = self.receivers.lock().expect("unpoisoned");
        let at = usize::try_from(number).expect("small") % receivers.len();
        let mut line = Line::open(receivers[at]);
        line.send(&http_client::bytes(&signed(request)));
        line.answer().expect("an answer").status
    }

    pub(crate) fn run(&self) {
        while !self.is_over.load(Ordering::SeqCst) {
            let number = self.sent.load(Ordering::SeqCst) + 1;
            self.register(number);
            self.sent.store(number, Ordering::SeqCst);
            if let Some(earlier) = number.checked_sub(LAG).filter(|earlier| *earlier > 0) {
                self.prove(earlier);
            }
        }
        let last = self.sent.load(Ordering::SeqCst);
        (last + 1 - LAG..=last).for_each(|number| self.prove(number));
    }

    fn register(&self, number: u32) {
        // A reply at the time of the creation would count as automatic.
        let created = earlier(Timestamp::now(), Duration::from_mins(1));
        let fields = [
            ("MessageSid", sid(number)),
            ("To", recipient(number)),
            ("From", SENDER.to_owned()),
            ("Reference", format!("login-{number}")),
            ("CreatedAt", created.to_string()),
        ];
        assert_eq!(self.exchange(number, &form("/app/messages", &pairs(&fields))), 201, "{number}");
    }

    /// A code entered, a used reference, or a reply; and a status callback for some.
    fn prove(&self, number: u32) {
        let other = number + 1;
        if number.is_multiple_of(3) {
            let fields = [
                ("MessageSid", sid(number)),
                ("MessageStatus", "delivered".to_owned()),
                ("AccountSid", ACCOUNT.to_owned()),
                ("To", recipient(number)),
                ("From", SENDER.to_owned()),
            ];
            assert_eq!(
                self.exchange(other, &form("/twilio/status", &pairs(&fields))),
                204,
                "{number}"
            );
        }
        let status = match number % 4 {
            0 => {
                let fields = [
                    ("MessageSid", format!("SM{:032x}", u128::from(number) + (1 << 64))),
                    ("AccountSid", ACCOUNT.to_owned()),
                    ("From", recipient(number)),
                    ("To", SENDER.to_owned()),
                    ("Body", "ok".to_owned()),
                ];
                self.exchange(other, &form("/twilio/message", &pairs(&fields)))
            }
            1 => {
                let fields = [
                    ("Reference", format!("login-{number}")),
                    ("Type", "password_used".to_owned()),
                ];
                self.exchange(other, &form("/app/events", &pairs(&fields)))
            }
            _ => {
                let fields = [("MessageSid", sid(number)), ("Type", "code_entered".to_owned())];
                self.exchange(other, &form("/app/events", &pairs(&fields)))
            }
        };
        assert!(matches!(status, 200 | 202), "{number}: {status}");
    }

    /// Waits for this many further messages.
    pub(crate) fn passes(&self, more: u32) {
        let target = self.sent.load(Ordering::SeqCst) + more;
        eventually("further messages are sent", LONG * 3, || {
            self.sent.load(Ordering::SeqCst) >= target
        });
    }

    /// Ends it. Every message must be reported by one post; `last` is a receiver of the last store.
    pub(crate) fn finish(&self, last: &Running, twilio: &Twilio) {
        self.is_over.store(true, Ordering::SeqCst);
        let all = || self.sent.load(Ordering::SeqCst);
        eventually("each message is posted", LONG * 3, || posts(twilio).len() == all() as usize);
        // An attempt that was wrong would come now: nothing is due any more.
        eventually("each message is reported", LONG, || {
            last.metric("heardback_messages{state=\"reported\"}") == u64::from(all())
        });
        let doubled: Vec<_> = posts(twilio).into_iter().filter(|(_, posts)| *posts != 1).collect();
        assert_eq!(doubled, [], "posted more than once");
        let sids: Vec<String> = (1..=all()).map(sid).collect();
        assert_eq!(posts(twilio).into_keys().collect::<Vec<_>>(), sids, "no other message");
    }
}

/// Ends the traffic, also if the test fails: a scope waits for its threads.
pub(crate) struct Ending<'a>(pub(crate) &'a Traffic);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

fn recipient(number: u32) -> String {
    format!("+1555{:07}", 1_000_000 + number)
}

fn pairs<'a, const N: usize>(fields: &'a [(&'a str, String); N]) -> [(&'a str, &'a str); N] {
    fields.each_ref().map(|(name, value)| (*name, value.as_str()))
}

pub(crate) fn stop(mut service: Running) {
    service.signal(Signal::TERM);
    assert!(service.ends_within(LONG).success());
}

/// The posts of each message.
fn posts(twilio: &Twilio) -> BTreeMap<String, u32> {
    let mut posts = BTreeMap::new();
    for post in twilio.posts() {
        let (_, rest) = post.split_once("/Messages/").expect("a post of feedback");
        *posts.entry(rest[..34].to_owned()).or_default() += 1;
    }
    posts
}
