//! The signature code compared with others: 84 vectors from the tests of Twilio's helper libraries
//! and from its documentation. A signer that is tested only against itself proves nothing.
//!
//! `signature_vectors_extra.json` adds signatures of twilio-python 9.13.0 with `SharedKeys`, and
//! two of the documentation's rules.
//!
//! Each vector runs through `signature::verify_url`, the code that the service verifies with. There
//! are no exceptions: if helper libraries disagree, the vector states Heardback's behaviour.

use heardback::twilio::form;
use heardback::twilio::signature::{
    Algorithm, Content, KeyId, Match, Presented, SignatureError, SigningKey, sign, verify,
    verify_url,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Vector {
    id: String,
    token: String,
    method: String,
    url: String,
    params: Option<Vec<(String, String)>>,
    body: Option<String>,
    raw_form: Option<String>,
    signature: String,
    valid: bool,
    signed_url: Option<String>,
    note: String,
}

impl Vector {
    fn verify(&self, content: &Content<'_>) -> bool {
        let keys = [SigningKey::new(self.token.as_bytes())];
        let header = Some(self.signature.as_bytes());
        let is_get = self.method == "GET";
        let outcome = verify_url(&keys, &self.url, content, is_get, header);

        // The same request in the service's form: origin and target apart.
        let start = self.url.find("://").expect("a scheme") + 3;
        let end = self.url[start..].find('/').expect("a path") + start;
        let (base, path_and_query) = self.url.split_at(end);
        let bases = [base.to_owned()];
        let presented =
            Presented { bases: &bases, path_and_query, content: *content, is_get, settings: None };
        assert_eq!(verify(&keys, &presented, header), outcome, "{}", self.id);

        assert!(matches!(outcome, Ok(Match { key: 0 }) | Err(_)));
        outcome.is_ok()
    }
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../fixtures/signature_vectors.json")).expect("vectors")
}

#[test]
fn no_vector_is_missing() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 84);
    assert_eq!(vectors.iter().filter(|vector| vector.valid).count(), 58);
}

#[test]
fn every_vector_has_the_result_of_its_source() {
    for vector in vectors() {
        let pairs: Vec<form::FormPair<'_>> = vector
            .params
            .iter()
            .flatten()
            .map(|(n, v)| (n.as_bytes().into(), v.as_bytes().into()))
            .collect();
        let content = match (&vector.params, &vector.body) {
            (None, Some(body)) => Content::Other(body.as_bytes()),
            (Some(_), None) => Content::Form { pairs: &pairs, body: b"" },
            other => panic!("{}: neither form nor body: {other:?}", vector.id),
        };
        assert_eq!(vector.verify(&content), vector.valid, "{}: {}", vector.id, vector.note);
    }
}

#[test]
fn every_form_has_the_same_result_after_a_transfer_over_the_wire() {
    let mut forms = 0;
    for vector in vectors() {
        let Some(params) = &vector.params else { continue };
        let encoded = serde_urlencoded::to_string(params).expect("encodes");
        for body in [Some(&encoded), vector.raw_form.as_ref()].into_iter().flatten() {
            let pairs = form::pairs(body.as_bytes());
            let content = Content::Form { pairs: &pairs, body: body.as_bytes() };
            assert_eq!(vector.verify(&content), vector.valid, "{}: {}", vector.id, vector.note);
        }
        forms += 1;
    }
    assert_eq!(forms, 71);
}

#[test]
fn vectors_with_a_signed_url_get_the_same_signature() {
    let mut signed = 0;
    for vector in vectors() {
        let Some(url) = &vector.signed_url else { continue };
        let key = SigningKey::new(vector.token.as_bytes());
        assert_eq!(sign(&key, url, &Content::Nothing), vector.signature, "{}", vector.id);
        signed += 1;
    }
    assert_eq!(signed, 9);
}

const KEY_ID: &str = "webhooks_sharedkey_01examplexxxxxxxxxxxxxxxxx";
const SETTINGS: &str = "X-Twilio-Webhooks-Signature-Settings";

fn extra(kind: &str) -> Vec<Value> {
    let all: Vec<Value> =
        serde_json::from_str(include_str!("../fixtures/signature_vectors_extra.json"))
            .expect("vectors");
    all.into_iter().filter(|vector| vector["kind"] == kind).collect()
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().expect(field)
}

fn pairs(params: &Value) -> Vec<form::FormPair<'_>> {
    let params = params.as_array().map(Vec::as_slice).unwrap_or_default();
    params.iter().map(|pair| (bytes(&pair[0]), bytes(&pair[1]))).collect()
}

fn bytes(text: &Value) -> form::Text<'_> {
    text.as_str().expect("text").as_bytes().into()
}

/// A vector's request with these settings and this signature.
fn judged(
    vector: &Value,
    keys: &[SigningKey],
    settings: Option<&str>,
    signature: &str,
) -> Result<Match, SignatureError> {
    let pairs = pairs(&vector["params"]);
    let content = match vector["body"].as_str() {
        Some(body) => Content::Other(body.as_bytes()),
        None => Content::Form { pairs: &pairs, body: b"" },
    };
    let bases = ["https://hooks.example.com".to_owned()];
    let presented = Presented {
        bases: &bases,
        path_and_query: text(vector, "url").strip_prefix(&bases[0]).expect("ours"),
        content,
        is_get: false,
        settings: settings.map(str::as_bytes),
    };
    verify(keys, &presented, Some(signature.as_bytes()))
}

fn shared(vector: &Value, algorithm: Algorithm) -> SigningKey {
    let id = KeyId::parse(KEY_ID).expect("valid");
    SigningKey::shared(id, algorithm, text(vector, "token").as_bytes())
}

#[test]
fn a_shared_keys_signature_is_accepted_from_that_key_only() {
    let vectors = extra("shared_key");
    assert_eq!(vectors.len(), 3);
    for vector in &vectors {
        let (note, signature) = (text(vector, "note"), text(vector, "signature"));
        let settings = vector["headers"][SETTINGS].as_str();
        let bound = Algorithm::parse(text(vector, "algorithm")).expect("known");
        let key = shared(vector, bound);
        let token = SigningKey::new(text(vector, "token").as_bytes());
        let other = KeyId::parse("another").expect("valid");
        let other = SigningKey::shared(other, bound, text(vector, "token").as_bytes());
        let keys = [token, other, key.clone()];
        assert_eq!(judged(vector, &keys, settings, signature), Ok(Match { key: 2 }), "{note}");
        for others in [&keys[..2], &[]] {
            assert_eq!(judged(vector, others, settings, signature), Err(SignatureError::Mismatch));
        }
        let pairs = pairs(&vector["params"]);
        let content = Content::Form { pairs: &pairs, body: b"" };
        assert_eq!(sign(&key, text(vector, "url"), &content), signature, "{note}");
    }
}

#[test]
fn no_unsigned_header_changes_the_algorithm_of_a_key() {
    let sha1 = format!("key={KEY_ID},algorithm=HMAC_SHA1");
    let sha256 = format!("key={KEY_ID},algorithm=HMAC_SHA256");
    let lies = [
        None,
        Some(""),
        Some("algorithm=HMAC_SHA1"),
        Some("algorithm=HMAC_SHA256"),
        Some("key=,algorithm=HMAC_SHA256"),
        Some("key=another,algorithm=HMAC_SHA256"),
        Some("key=another"),
    ];
    let unnamed = [format!("key={KEY_ID}"), format!("key={KEY_ID},algorithm=")];
    // Of two algorithms the first counts, as in Twilio's libraries.
    let twice = [
        (format!("{sha256},algorithm=HMAC_SHA1"), Algorithm::HmacSha256),
        (format!("{sha1},{sha256}"), Algorithm::HmacSha1),
    ];
    for vector in extra("shared_key") {
        let bound = Algorithm::parse(text(&vector, "algorithm")).expect("known");
        let (own, other) = match bound {
            Algorithm::HmacSha1 => (&sha1, &sha256),
            Algorithm::HmacSha256 => (&sha256, &sha1),
        };
        let token = SigningKey::new(text(&vector, "token").as_bytes());
        let keys = [shared(&vector, bound), token];
        let pairs = pairs(&vector["params"]);
        let content = Content::Form { pairs: &pairs, body: b"" };
        // The same secret with either algorithm: an attacker could choose the weaker one.
        let [strong, weak] = [Algorithm::HmacSha256, Algorithm::HmacSha1]
            .map(|algorithm| sign(&shared(&vector, algorithm), text(&vector, "url"), &content));
        assert_eq!((strong.len(), weak.len()), (44, 28));
        assert!(judged(&vector, &keys, Some(own), text(&vector, "signature")).is_ok());
        for signature in [&strong, &weak] {
            let refused = judged(&vector, &keys, Some(other), signature);
            assert!(refused.is_err(), "the other algorithm");
            for (settings, first) in &twice {
                let is_own = signature == text(&vector, "signature") && *first == bound;
                let judged = judged(&vector, &keys, Some(settings), signature);
                assert_eq!(judged.is_ok(), is_own, "{settings}");
            }
        }
        // A key of 32 bytes is a SHA-256 key, whatever the header says.
        for settings in lies.into_iter().chain(unnamed.iter().map(|text| Some(text.as_str()))) {
            assert!(judged(&vector, &keys, settings, &strong).is_err(), "{settings:?}");
        }
        // Without a name, only the auth token is tried.
        let unnamed = judged(&vector, &keys[..1], None, &weak);
        assert_eq!(unnamed, Err(SignatureError::Mismatch));
        assert_eq!(judged(&vector, &keys, None, &weak), Ok(Match { key: 1 }), "the token");
        assert!(judged(&vector, &keys[1..], Some(&sha1), &weak).is_err(), "a token has no id");
    }
}

#[test]
fn the_signature_of_a_webhook_with_credentials_in_its_url_excludes_them() {
    for vector in extra("docs_rule_userinfo") {
        let keys = [SigningKey::new(text(&vector, "token").as_bytes())];
        let pairs = pairs(&vector["params"]);
        let content = Content::Form { pairs: &pairs, body: b"" };
        let (with, header) = (text(&vector, "url"), Some(text(&vector, "signature").as_bytes()));
        let without = with.replace("user:pass@", "");
        assert!(verify_url(&keys, &without, &content, false, header).is_ok());
        assert!(verify_url(&keys, with, &content, false, header).is_err());
    }
}

/// Signed text has no separators, so two requests may share a signature. For this reason routes fix
/// their path, and no unknown query key has a meaning.
#[test]
fn two_requests_may_share_one_signature() {
    for vector in extra("ambiguity") {
        let keys = [SigningKey::new(text(&vector, "token").as_bytes())];
        let requests = vector["requests"].as_array().expect("two");
        assert_eq!(requests.len(), 2);
        for request in requests {
            let pairs = pairs(&request["params"]);
            let content = Content::Form { pairs: &pairs, body: b"" };
            let header = Some(text(&vector, "signature").as_bytes());
            assert!(verify_url(&keys, text(request, "url"), &content, false, header).is_ok());
        }
    }
}
