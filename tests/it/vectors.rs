//! The signer against others: 84 vectors from the tests of Twilio's helper libraries and from its
//! documentation. A signer tested only by itself proves nothing.
//!
//! Each runs through `signature::verify_url`, the code that the service verifies with. There are no
//! exceptions: where helper libraries disagree, the vector says what Heardback does.

use std::borrow::Cow;

use heardback::domain::form;
use heardback::domain::signature::{
    Content, Match, Presented, SigningKey, sign, verify, verify_url,
};
use serde::Deserialize;

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

        // The same request once more, as the service sees it: origin and target apart.
        let start = self.url.find("://").expect("a scheme") + 3;
        let end = self.url[start..].find('/').expect("a path") + start;
        let (base, path_and_query) = self.url.split_at(end);
        let bases = [base.to_owned()];
        let presented = Presented { bases: &bases, path_and_query, content: *content, is_get };
        assert_eq!(verify(&keys, &presented, header), outcome, "{}", self.id);

        assert!(matches!(outcome, Ok(Match { key: 0 }) | Err(_)));
        outcome.is_ok()
    }
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../fixtures/signature_vectors.json")).expect("vectors")
}

#[test]
fn none_of_the_vectors_has_gone_missing() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 84);
    assert_eq!(vectors.iter().filter(|vector| vector.valid).count(), 58);
}

#[test]
fn every_vector_is_judged_as_its_source_says() {
    for vector in vectors() {
        let pairs: Vec<form::Pair<'_>> = vector
            .params
            .iter()
            .flatten()
            .map(|(n, v)| (Cow::Borrowed(n.as_bytes()), Cow::Borrowed(v.as_bytes())))
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
fn every_form_is_judged_alike_after_a_trip_over_the_wire() {
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
fn the_vectors_that_name_their_signed_url_are_signed_alike() {
    let mut signed = 0;
    for vector in vectors() {
        let Some(url) = &vector.signed_url else { continue };
        let key = SigningKey::new(vector.token.as_bytes());
        assert_eq!(sign(&key, url, &Content::Nothing), vector.signature, "{}", vector.id);
        signed += 1;
    }
    assert_eq!(signed, 9);
}
