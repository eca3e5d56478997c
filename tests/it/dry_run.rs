//! The first week in production: a dry run posts nothing, and its confirmations are posted once it
//! is switched off. One store, the whole service, and a stand-in for Twilio that counts posts.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use heardback::config::Settings;
use heardback::config::SettingsArgs;
use heardback::recording::Recording;
use heardback::serve::{Listeners, Service};
use heardback::twilio::signature::SigningKey;
use wiremock::matchers::{any, body_string, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::upstream::taken;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// The account of the recordings.
const ACCOUNT: &str = "AC11111111111111111111111111111111";
const BASE: &str = "https://hooks.example.com";
const EVENT: &[u8] = include_bytes!("../fixtures/webhooks/app-event-code-entered.http");
const FEEDBACK: &str = "/2010-04-01/Accounts/AC11111111111111111111111111111111/Messages/\
                        SM5f0c8e21b7d94a63a2e17c40d98b36a1/Feedback.json";
/// Longer than this takes on a busy machine.
const LONG: Duration = Duration::from_secs(20);

fn service(store: &Path, twilio: &str, dry_run: bool) -> Service {
    let args = SettingsArgs::of([
        ("HEARDBACK_PUBLIC_URL", BASE),
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("HEARDBACK_STORE", &format!("sled:{}", store.display())),
        ("HEARDBACK_UPSTREAM_URL", twilio),
        ("HEARDBACK_DRY_RUN", &dry_run.to_string()),
        ("HEARDBACK_ALLOW_UNSAFE_STORE", "true"),
    ]);
    let env = |name: &str| (name == "TWILIO_AUTH_TOKEN").then(|| TOKEN.to_owned());
    let none = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let settings = Settings::load(&args, &env, &none).expect("sound");
    let bind = || TcpListener::bind("127.0.0.1:0").expect("a port");
    Service::build(&settings, Listeners { public: vec![bind()], ops: vec![bind()] }).expect("built")
}

#[test]
fn confirmations_of_a_dry_run_are_posted_once_it_is_switched_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    actix_web::rt::System::new().block_on(async {
        let twilio = MockServer::start().await;
        let feedback = Mock::given(method("POST")).and(path(FEEDBACK));
        let feedback = feedback.and(body_string("Outcome=confirmed"));
        feedback.respond_with(taken).mount(&twilio).await;
        Mock::given(any()).respond_with(ResponseTemplate::new(500)).mount(&twilio).await;
        let posts = async || twilio.received_requests().await.expect("recorded").len();

        let dry = service(&store, &twilio.uri(), true);
        let url = format!("http://{}", dry.public_addrs()[0]);
        let signed =
            Recording::parse(EVENT).expect("one").signed(&SigningKey::new(TOKEN.as_bytes()), BASE);
        let entered = async {
            let client = reqwest::Client::builder().no_proxy().build().expect("a client");
            let mut request = client.post(format!("{url}{}", signed.target));
            for (name, value) in &signed.headers {
                request = request.header(name, value);
            }
            let answer = request.body(signed.body.clone()).send().await.expect("an answer");
            assert!(answer.text().await.expect("a body").contains("\"confirmed\""));
        };
        dry.run(entered).await.expect("drained");
        assert_eq!(posts().await, 0, "posted in dry run");

        let real = service(&store, &twilio.uri(), false);
        let posted = async {
            while posts().await == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let bounded = async { tokio::time::timeout(LONG, posted).await.expect("posted in time") };
        real.run(bounded).await.expect("drained");
        assert_eq!(posts().await, 1, "once");
    });
}
