//! Tests of the key ring: which accounts a key may speak for, and how many keys are tried.

use super::*;
use crate::twilio::form;
use crate::twilio::signature::{Algorithm, Content, KeyId, sign};

const URL: &str = "https://h.example/twilio/status";

fn account(digit: &str) -> AccountSid {
    AccountSid::parse(&format!("AC{}", digit.repeat(32))).expect("valid")
}

fn named(name: &str, secret: &str) -> NamedKey {
    NamedKey { key: SigningKey::new(secret.as_bytes()), name: name.to_owned() }
}

fn shared(id: &str, secret: &str) -> NamedKey {
    let id = KeyId::parse(id).expect("valid");
    let name = format!("shared {}", id.as_str());
    let key = SigningKey::shared(id, Algorithm::HmacSha256, secret.as_bytes());
    NamedKey { key, name }
}

fn member(digit: &str, region: &str) -> Member {
    Member {
        account: account(digit),
        account_keys: vec![
            named("token 1", &format!("{digit} primary")),
            named("token 2", &format!("{digit} secondary")),
            shared(&format!("k{digit}"), &format!("{digit} shared")),
        ],
        app_keys: vec![named("app key 1", &format!("{digit} app"))],
        code_keys: Vec::new(),
        region: Some(region.to_owned()),
    }
}

fn keyring() -> KeyRing {
    KeyRing::new(member("a", "us1"), vec![member("b", "ie1")], vec![named("app key 1", "any app")])
}

/// The key and the accounts that are found for a form signed with this secret, if the form claims that account.
fn signer(
    signers: RouteSigner,
    secret: &str,
    claimed: Option<AccountSid>,
) -> Result<String, VerifyError> {
    verified(signers, &SigningKey::new(secret.as_bytes()), None, claimed)
}

fn verified(
    signers: RouteSigner,
    key: &SigningKey,
    settings: Option<&str>,
    claimed: Option<AccountSid>,
) -> Result<String, VerifyError> {
    let pairs = form::pairs(b"a=1");
    let content = Content::Form { pairs: &pairs, body: b"a=1" };
    let header = sign(key, URL, &content);
    let bases = ["https://h.example".to_owned()];
    let presented = Presented {
        bases: &bases,
        path_and_query: "/twilio/status",
        content,
        is_get: false,
        settings: settings.map(str::as_bytes),
    };
    let keyring = keyring();
    let owned = keyring.verify(signers, claimed, &[], &presented, Some(header.as_bytes()))?;
    let (default, others) = keyring.accounts_for(Some(owned));
    Ok(format!("{} {} of {default}, {} more", owned.name, owned.account, others.len()))
}

#[test]
fn an_accounts_key_speaks_for_its_own_account_and_is_tried_for_no_other() {
    let (a, b) = (account("a"), account("b"));
    for claimed in [Some(a), None] {
        let found = signer(RouteSigner::Twilio, "a secondary", claimed).expect("good");
        assert_eq!(found, format!("token 2 {a} of {a}, 0 more"));
    }
    let found = signer(RouteSigner::Twilio, "b primary", None).expect("good");
    assert_eq!(found, format!("token 1 {b} of {b}, 0 more"));
    let mismatch = Err(VerifyError::Signature(SignatureError::Mismatch));
    assert_eq!(signer(RouteSigner::Twilio, "a primary", Some(b)), mismatch);
    assert_eq!(signer(RouteSigner::Twilio, "b primary", Some(a)), mismatch);
    assert_eq!(signer(RouteSigner::Twilio, "a app", None), mismatch, "a key of the other kind");
    assert_eq!(signer(RouteSigner::App, "a primary", None), mismatch, "a key of the other kind");
    assert_eq!(signer(RouteSigner::App, "b app", Some(a)), mismatch);
}

#[test]
fn an_app_key_of_every_account_speaks_for_all_and_one_of_an_account_for_it_alone() {
    let (a, b) = (account("a"), account("b"));
    for claimed in [None, Some(a), Some(b)] {
        let found = signer(RouteSigner::App, "any app", claimed).expect("good");
        assert_eq!(found, format!("app key 1 any of {a}, 2 more"));
    }
    let found = signer(RouteSigner::App, "b app", None).expect("good");
    assert_eq!(found, format!("app key 1 {b} of {b}, 0 more"));
    assert_eq!(keyring().accounts_for(None), (a, [a, b].as_slice()), "by the secret in the path");
}

#[test]
fn an_account_that_is_not_configured_is_rejected_with_every_key() {
    let unknown = Some(account("c"));
    for secret in ["a primary", "a secondary"] {
        let refused = signer(RouteSigner::Twilio, secret, unknown);
        assert_eq!(refused, Err(VerifyError::OtherAccount), "{secret}");
    }
    let mismatch = Err(VerifyError::Signature(SignatureError::Mismatch));
    assert_eq!(signer(RouteSigner::Twilio, "b primary", unknown), mismatch);
    assert_eq!(signer(RouteSigner::Twilio, "a guess", unknown), mismatch);
    assert_eq!(signer(RouteSigner::App, "any app", unknown), Err(VerifyError::OtherAccount));
}

#[test]
fn a_shared_key_is_its_accounts_too() {
    let (a, b) = (account("a"), account("b"));
    let settings = Some("key=kb,algorithm=HMAC_SHA256");
    let key = shared("kb", "b shared").key;
    for claimed in [None, Some(b)] {
        let found = verified(RouteSigner::Twilio, &key, settings, claimed).expect("good");
        assert_eq!(found, format!("shared kb {b} of {b}, 0 more"));
    }
    assert!(verified(RouteSigner::Twilio, &key, settings, Some(a)).is_err());
    assert!(verified(RouteSigner::App, &key, settings, None).is_err());
}

#[test]
fn the_regions_are_those_of_the_keys_that_were_tried() {
    let keyring = keyring();
    assert_eq!(keyring.regions(Some(account("b"))), Some(vec!["ie1"]));
    assert_eq!(keyring.regions(None), Some(vec!["ie1", "us1"]));
    let unknown = Member { region: None, ..member("a", "") };
    assert_eq!(KeyRing::new(unknown, Vec::new(), Vec::new()).regions(None), None);
}

#[test]
fn keys_differ_by_name_and_by_their_signatures() {
    let (before, after) = (keyring().key_names(), keyring().key_names());
    assert_eq!(before, after);
    assert_eq!(before.len(), 9);
    let mut changed = member("a", "us1");
    changed.account_keys.remove(0);
    changed.account_keys.insert(0, named("token 1", "another"));
    let after = KeyRing::new(changed, Vec::new(), Vec::new()).key_names();
    let token = ("token 1".to_owned(), 0);
    let of = |names: &BTreeMap<(String, String), String>| {
        names.get(&(account("a").to_string(), token.0.clone())).cloned()
    };
    assert_ne!(of(&before), of(&after));
    assert!(!format!("{:?}", keyring()).contains("primary"));
}

#[test]
fn a_request_keeps_its_key_ring_through_a_reload() {
    let current = CurrentKeyRing::new(keyring());
    let begun = current.current();
    let before = current.replace(KeyRing::new(member("b", "ie1"), Vec::new(), Vec::new()));
    assert!(Arc::ptr_eq(&begun, &before));
    assert_eq!(begun.accounts.len(), 2);
    assert_eq!(current.current().accounts, [account("b")]);
}

/// An account of many, with two auth tokens and two app keys.
fn numbered(number: u32) -> Member {
    let account = AccountSid::parse(&format!("AC{number:032}")).expect("valid");
    let keys =
        |what: &str| [1, 2].map(|n| named(&format!("{what} {n}"), &format!("{what} {number} {n}")));
    Member {
        account,
        account_keys: keys("token").to_vec(),
        app_keys: keys("app key").to_vec(),
        code_keys: Vec::new(),
        region: None,
    }
}

#[test]
fn the_number_of_keys_that_are_tried_does_not_grow_with_the_number_of_accounts() {
    for accounts in [1, 2, 30, 33, 500, 2000] {
        let others = (2..=accounts).map(numbered).collect();
        let app_keys = vec![named("app key 1", "any app")];
        let keyring = KeyRing::new(numbered(1), others, app_keys);
        let last = numbered(accounts).account;
        let tried = |signers, claimed, candidates: &[AccountSid]| {
            let tried = keyring.candidate_keys(signers, claimed, candidates);
            tried.iter().map(|owned| (owned.owner, owned.name.to_string())).collect::<Vec<_>>()
        };
        for signers in [RouteSigner::Twilio, RouteSigner::App] {
            let shared = usize::from(signers == RouteSigner::App);
            assert_eq!(tried(signers, Some(last), &[]).len(), 2 + shared, "its own");
            assert_eq!(
                tried(signers, Some(account("f")), &[]).len(),
                2 + shared,
                "an unknown one's"
            );
            let unnamed = tried(signers, None, &[]);
            assert!(unnamed.len() <= MAX_TRIED, "{} of {accounts}", unnamed.len());
            assert_eq!(
                unnamed.len() >= 2 * accounts as usize,
                2 * accounts as usize + shared <= MAX_TRIED
            );
            assert_eq!(unnamed.first().and_then(|(owner, _)| *owner), Some(numbered(1).account));
            let preferred = tried(signers, None, &[account("f"), last, last]);
            assert_eq!(
                preferred.first().and_then(|(owner, _)| *owner),
                Some(last),
                "of {accounts}"
            );
            let mut distinct = preferred.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), preferred.len(), "none is tried twice");
        }
        assert_eq!(keyring.exceeds_tried().is_some(), accounts > 31, "{accounts}");
    }
}
