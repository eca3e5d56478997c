//! Twilio's responses to the configured credentials, requested over real HTTP without a post.

use heardback::domain::sid::AccountSid;
use heardback::upstream::{Credential, CredentialProbe, Upstream, UpstreamConfig};
use serde_json::json;
use wiremock::matchers::{basic_auth, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::upstream::LONG;

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const KEY: &str = "SK0123456789abcdef0123456789abcdef";
const OF_ACCOUNT: &str = "/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef.json";
const OF_MESSAGE: &str = "/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Messages/\
                          SM00000000000000000000000000000000.json";

fn client(base: &str, credentials: &[(&str, &str)]) -> Upstream {
    let credential = |(user, secret): &(&str, &str)| Credential {
        user: (*user).to_owned(),
        secret: (*secret).to_owned().into(),
    };
    Upstream::new(UpstreamConfig {
        base: base.to_owned(),
        credentials: credentials.iter().map(credential).collect(),
        connect_timeout: LONG,
        request_timeout: LONG,
        user_agent: "heardback/0.1.0".to_owned(),
    })
    .expect("a client")
}

fn account() -> AccountSid {
    AccountSid::parse(ACCOUNT).expect("valid")
}

fn says(status: u16, code: u32) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"code": code, "message": "no"}))
}

/// The result for a credential of that user, if Twilio answers this about account and message.
async fn probed(
    user: &str,
    of_account: ResponseTemplate,
    of_message: ResponseTemplate,
) -> CredentialProbe {
    let twilio = MockServer::start().await;
    for (place, answer) in [(OF_ACCOUNT, of_account), (OF_MESSAGE, of_message)] {
        let asked = Mock::given(method("GET")).and(path(place)).and(basic_auth(user, "hush"));
        asked.respond_with(answer).mount(&twilio).await;
    }
    let probed = client(&twilio.uri(), &[(user, "hush")]).probe(account()).await;
    let [probed] = probed.as_slice() else { panic!("{probed:?}") };
    let requests = twilio.received_requests().await.expect("recorded");
    assert!(
        requests.iter().all(|request| request.method.as_str() == "GET"),
        "the probe only reads"
    );
    assert!(!format!("{probed:?}").contains("hush"));
    probed.clone()
}

#[tokio::test]
async fn a_credential_that_may_read_its_account_is_valid_and_the_accounts_state_is_returned() {
    for state in ["active", "suspended"] {
        let answer =
            ResponseTemplate::new(200).set_body_json(json!({"status": state, "sid": ACCOUNT}));
        let expected = CredentialProbe::Good { status: Some(state.to_owned()) };
        assert_eq!(probed(ACCOUNT, answer.clone(), says(500, 0)).await, expected);
        assert_eq!(probed(KEY, answer, says(500, 0)).await, expected);
    }
}

#[tokio::test]
async fn only_twilios_own_answers_count_and_another_server_is_named() {
    let page = |status| {
        let html = "<html><title>Sign in</title></html>";
        ResponseTemplate::new(status).insert_header("server", "nginx").set_body_string(html)
    };
    let other = json!({"sid": ACCOUNT.replace('a', "b"), "status": "active"});
    for (answer, kind) in [
        (page(200), "200 with HTML, titled \"Sign in\" (server: nginx)"),
        (page(403), "403 with HTML, titled \"Sign in\" (server: nginx)"),
        (page(407), "407 with HTML, titled \"Sign in\" (server: nginx)"),
        (ResponseTemplate::new(200), "200 with an empty body"),
        (ResponseTemplate::new(200).set_body_json(other), "200 that names another account"),
        (ResponseTemplate::new(401).set_body_string("{}"), "401 with JSON that is not Twilio's"),
    ] {
        for user in [ACCOUNT, KEY] {
            let probed = probed(user, answer.clone(), says(404, 20404)).await;
            assert!(
                matches!(&probed, CredentialProbe::Unknown(why) if why.message == kind),
                "{probed:?}"
            );
        }
    }
    for answer in [page(404), page(200), page(401), ResponseTemplate::new(204)] {
        let probed = probed(KEY, says(401, 20003), answer).await;
        assert!(matches!(&probed, CredentialProbe::Unknown(_)), "{probed:?}");
    }
}

/// A Standard key gets a 401 for its account, as a wrong one does (twilio-python #259).
#[tokio::test]
async fn a_key_that_may_not_read_its_account_is_distinguished_from_a_wrong_one() {
    assert_eq!(probed(KEY, says(401, 20003), says(404, 20404)).await, CredentialProbe::Limited);
    assert_eq!(probed(KEY, says(403, 70051), says(500, 0)).await, CredentialProbe::Limited);
    assert_eq!(probed(KEY, says(401, 20003), says(403, 70051)).await, CredentialProbe::Limited);
    let wrong = probed(KEY, says(401, 20003), says(401, 20003)).await;
    assert!(matches!(&wrong, CredentialProbe::Denied(why) if why.code == Some(20003)), "{wrong:?}");
    let unclear = probed(KEY, says(401, 20003), says(503, 0)).await;
    assert!(matches!(unclear, CredentialProbe::Unknown(_)), "{unclear:?}");
}

#[tokio::test]
async fn a_rejected_token_is_denied_at_once() {
    for status in [401, 403] {
        let denied = probed(ACCOUNT, says(status, 20003), says(404, 20404)).await;
        assert!(
            matches!(&denied, CredentialProbe::Denied(why) if why.status == Some(status)),
            "{denied:?}"
        );
    }
}

#[tokio::test]
async fn any_other_answer_is_an_error_with_its_reason() {
    for status in [302, 404, 429, 500, 503] {
        let trouble = probed(ACCOUNT, says(status, 1), says(404, 20404)).await;
        assert!(
            matches!(&trouble, CredentialProbe::Unknown(why) if why.status == Some(status)),
            "{trouble:?}"
        );
    }
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nowhere = format!("http://{}", unused.local_addr().expect("bound"));
    drop(unused);
    let probed = client(&nowhere, &[(ACCOUNT, "hush")]).probe(account()).await;
    let [CredentialProbe::Unknown(why)] = probed.as_slice() else { panic!("{probed:?}") };
    assert!(why.status.is_none() && why.message.contains("connect"), "{why:?}");
}

#[tokio::test]
async fn the_credentials_are_probed_in_order() {
    let twilio = MockServer::start().await;
    let good = ResponseTemplate::new(200).set_body_json(json!({"sid": ACCOUNT}));
    for (token, answer) in [("first", says(401, 20003)), ("second", good)] {
        let asked = Mock::given(path(OF_ACCOUNT)).and(basic_auth(ACCOUNT, token));
        asked.respond_with(answer).mount(&twilio).await;
    }
    let tokens = [(ACCOUNT, "first"), (ACCOUNT, "second")];
    let probed = client(&twilio.uri(), &tokens).probe(account()).await;
    assert!(
        matches!(probed.as_slice(), [CredentialProbe::Denied(_), CredentialProbe::Good { .. }]),
        "{probed:?}"
    );
}
