//! The search: tries each combination of key, URL and content, those with the fewest causes first.
//!
//! A rejected key, a change of the URL and a change of the content count as causes, and at most two are combined: three at
//! once are improbable. A repaired header and a wrong hash of the body do not count.

use std::collections::HashSet;
use std::hash::Hash;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::commands::doctor::offline::body_hash::Hashes;
use crate::commands::doctor::offline::case::{Case, Parameter};
use crate::commands::doctor::offline::causes::{CAUSES, Transform};
use crate::commands::doctor::offline::finding::{Deviation, Tried};
use crate::commands::doctor::offline::form::{MAX_DROPPED, sort};
use crate::commands::doctor::offline::keys::{KeyKind, KeySource, sources, tried_settings};
use crate::commands::doctor::offline::url::{Part, Url};
use crate::domain::sid::AccountSid;
use crate::twilio::form::FormPair;
use crate::twilio::signature::{self, Algorithm, Presented, SigningKey, origin, verify};

/// Limits one search to some two seconds. Each URL counts with and without the default port. Queries with apostrophes take
/// a few times longer.
pub const MAX_SIGNATURES: usize = 50_000;
const MAX_HEADERS: usize = 3;
/// With and without the default port: `twilio::signature` tries both for each URL.
const SPELLINGS: usize = 2;
/// Bounds the bytes that are hashed, so that a large body does not turn a second into a minute.
const MAX_BYTES: usize = 128 << 20;
/// Bounds the URLs of a request with a thousand query parameters.
const MAX_URLS: usize = 6_000;

/// A URL or a content that the sender may have signed, and its causes.
struct Candidate<T> {
    value: T,
    causes: Vec<Deviation>,
}

/// Candidates without duplicates. Added with the fewest causes first, so the simplest explanation stays.
struct Candidates<T> {
    list: Vec<Candidate<T>>,
    seen: HashSet<T>,
    max: usize,
}

impl<T: Clone + Eq + Hash> Candidates<T> {
    fn new(max: usize) -> Self {
        Self { list: Vec::new(), seen: HashSet::new(), max }
    }

    fn add(&mut self, value: T, causes: &[&Deviation]) -> bool {
        let is_new = self.list.len() < self.max && self.seen.insert(value.clone());
        if is_new {
            let causes = causes.iter().copied().cloned().collect();
            self.list.push(Candidate { value, causes });
        }
        is_new
    }
}

/// The URLs: as expected, then with one part in another form, then with two.
fn urls(case: &Case<'_>) -> Vec<Candidate<String>> {
    let mut urls = Candidates::new(MAX_URLS);
    let bases = case.config.public_urls.iter().map(|public| Url::expected(public, case));
    let bases: Vec<_> = bases.map(|base| (other_parts(case, &base), base)).collect();
    for (_, base) in &bases {
        urls.add(base.text(), &[]);
    }
    for (others, base) in &bases {
        for (part, text, cause) in others {
            urls.add(base.with(*part, text).text(), &[cause]);
        }
    }
    for (others, base) in &bases {
        for (at, (part, text, cause)) in others.iter().enumerate() {
            let once = base.with(*part, text);
            for (second, text, and) in others.iter().skip(at + 1).filter(|(of, ..)| of != part) {
                urls.add(once.with(*second, text).text(), &[cause, and]);
            }
        }
    }
    urls.list
}

fn other_parts(case: &Case<'_>, base: &Url) -> Vec<(Part, String, Deviation)> {
    let rows = CAUSES.iter().flat_map(|cause| {
        let Transform::UrlPart(part, forms) = cause.transform else { return Vec::new() };
        let forms = forms(case, base).into_iter();
        forms.map(|(text, detail)| (part, text, cause.deviation(&detail))).collect()
    });
    rows.collect()
}

/// The contents: as expected, then with one cause, then with two changes to a form's parameters.
fn contents(case: &Case<'_>) -> Vec<Candidate<Vec<Parameter>>> {
    let mut contents = Candidates::new(usize::MAX);
    contents.add(normal(case.form.clone()), &[]);
    let mut once = Vec::new();
    for cause in &CAUSES {
        if let Transform::Content(others) = cause.transform {
            for (content, detail) in others(case) {
                contents.add(normal(content), &[&cause.deviation(&detail)]);
            }
        } else if let (Transform::Form(change), false) = (cause.transform, case.form.is_empty()) {
            let (changed, deviation) = (change(&case.form), cause.deviation(""));
            if contents.add(normal(changed.clone()), &[&deviation]) {
                once.push((changed, deviation));
            }
        }
    }
    for (changed, deviation) in once.iter().filter(|(changed, _)| changed.len() <= MAX_DROPPED) {
        for second in CAUSES.iter().filter(|second| second.id != deviation.id) {
            if let Transform::Form(change) = second.transform {
                contents.add(normal(change(changed)), &[deviation, &second.deviation("")]);
            }
        }
    }
    contents.list
}

/// In the order of `twilio::signature`, so that equal contents are recognised.
fn normal(mut parameters: Vec<Parameter>) -> Vec<Parameter> {
    sort(&mut parameters);
    parameters
}

/// A signature that can be verified.
pub(super) struct ClaimedHeader {
    header: String,
    /// By its length.
    algorithm: Algorithm,
    pub(super) repaired: Option<Deviation>,
}

/// The whole signatures of the request, each header repaired by the first fitting row of the table.
pub(super) fn claimed(case: &Case<'_>) -> Vec<ClaimedHeader> {
    let whole = |header: String, repaired| {
        let algorithm = match STANDARD.decode(&header).ok()?.len() {
            20 => Algorithm::HmacSha1,
            32 => Algorithm::HmacSha256,
            _ => return None,
        };
        Some(ClaimedHeader { header, algorithm, repaired })
    };
    let headers = case.signatures().enumerate().take(MAX_HEADERS);
    let claimed = headers.filter_map(|(at, header)| {
        let unchanged = if at == 0 { whole(header.to_owned(), None) } else { None };
        unchanged.or_else(|| {
            CAUSES.iter().find_map(|cause| {
                let Transform::Header(repair) = cause.transform else { return None };
                whole(repair(header), Some(cause.deviation("")))
            })
        })
    });
    claimed.collect()
}

/// A key of the search, with the reasons of the receiver to reject it.
struct RankedKey {
    source: KeySource,
    signs: SigningKey,
    causes: Vec<Deviation>,
}

/// All keys for signatures by this algorithm, those that the receiver accepts first.
fn keys(case: &Case<'_>, algorithm: Algorithm) -> Vec<RankedKey> {
    let keys = sources(case, algorithm).into_iter().filter_map(|source| {
        let causes = CAUSES.iter().filter_map(|cause| {
            let Transform::Key(detail) = cause.transform else { return None };
            Some(cause.deviation(&detail(&source, case)?))
        });
        let causes = causes.collect();
        Some(RankedKey { signs: source.tried()?, causes, source })
    });
    let mut keys: Vec<_> = keys.collect();
    keys.sort_by_key(|key| key.causes.len());
    let mut seen = HashSet::new();
    keys.retain(|key| seen.insert(key.source.secret.clone()));
    keys
}

/// The first cause that fits the body's hash.
fn hash_cause(case: &Case<'_>, url: &str, is_expected: bool) -> Option<Deviation> {
    let hashes = Hashes::new(case, url, is_expected);
    CAUSES.iter().find_map(|cause| {
        let Transform::BodyHash(detail) = cause.transform else { return None };
        Some(cause.deviation(&detail(&hashes)?))
    })
}

pub(super) struct SearchMatch {
    pub(super) causes: Vec<Deviation>,
    pub(super) key: String,
    /// The only account that the key speaks for.
    pub(super) owner: Option<AccountSid>,
    pub(super) url: String,
}

/// Searches for each header in turn. They share the limit evenly.
pub(super) fn run(case: &Case<'_>, claimed: &[ClaimedHeader]) -> (Option<SearchMatch>, Tried) {
    let affordable = MAX_BYTES / (case.recording.body.len() + 512);
    run_within(MAX_SIGNATURES.min(affordable), case, claimed)
}

fn run_within(
    limit: usize,
    case: &Case<'_>,
    claimed: &[ClaimedHeader],
) -> (Option<SearchMatch>, Tried) {
    let (urls, contents) = (urls(case), contents(case));
    let tried = Tried { urls: urls.len(), contents: contents.len(), ..Tried::default() };
    let mut search = Search { case, urls, contents, left: 0, tried };
    let share = limit / claimed.len().max(1);
    let found = claimed.iter().find_map(|claim| {
        search.left = share;
        search.run(claim)
    });
    (found, search.tried)
}

struct Search<'a> {
    case: &'a Case<'a>,
    urls: Vec<Candidate<String>>,
    contents: Vec<Candidate<Vec<Parameter>>>,
    /// Signatures that may still be computed for this header.
    left: usize,
    tried: Tried,
}

impl Search<'_> {
    fn run(&mut self, claim: &ClaimedHeader) -> Option<SearchMatch> {
        let keys = keys(self.case, claim.algorithm);
        self.tried.keys = keys.len();
        let is_damaged = |key: &RankedKey| matches!(key.source.kind, KeyKind::Damaged(_));
        let (damaged, whole): (Vec<_>, Vec<_>) = keys.iter().partition(|key| is_damaged(key));
        let (accepted, rejected): (Vec<_>, Vec<_>) =
            whole.into_iter().partition(|key| key.causes.is_empty());
        // A rejected key counts as one cause. Damaged keys are many, so they are tried without a second cause.
        for (keys, causes) in [
            (&accepted, 0),
            (&accepted, 1),
            (&rejected, 0),
            (&damaged, 0),
            (&accepted, 2),
            (&rejected, 1),
        ] {
            let found = self.try_keys(claim, keys, causes);
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Tries the keys on every URL and content that together have this number of causes.
    fn try_keys(
        &mut self,
        claim: &ClaimedHeader,
        keys: &[&RankedKey],
        causes: usize,
    ) -> Option<SearchMatch> {
        let signing: Vec<SigningKey> = keys.iter().map(|key| key.signs.clone()).collect();
        let cost = keys.len() * SPELLINGS;
        if keys.is_empty() {
            return None;
        }
        for content in &self.contents {
            let Some(of_url) = causes.checked_sub(content.causes.len()) else { continue };
            let pairs = content.value.iter().map(|(name, value)| -> FormPair<'_> {
                (name.as_slice().into(), value.as_slice().into())
            });
            let pairs: Vec<_> = pairs.collect();
            // `verify` gets no body, because `hash_cause` explains a wrong hash of the body later.
            let signed = if pairs.is_empty() {
                signature::Content::Nothing
            } else {
                signature::Content::Form { pairs: &pairs, body: b"" }
            };
            for url in self.urls.iter().filter(|url| url.causes.len() == of_url) {
                let Some(left) = self.left.checked_sub(cost) else {
                    self.left = 0;
                    self.tried.cut_short = true;
                    return None;
                };
                self.left = left;
                self.tried.signatures += cost;
                let (base, target) = origin(&url.value);
                let presented = Presented {
                    bases: &[base.to_owned()],
                    path_and_query: target,
                    content: signed,
                    is_get: self.case.is_get,
                    settings: tried_settings(claim.algorithm),
                };
                if let Ok(found) = verify(&signing, &presented, Some(claim.header.as_bytes())) {
                    let key = keys.get(found.key)?;
                    let hash = hash_cause(self.case, &url.value, content.causes.is_empty());
                    let causes = claim.repaired.iter().chain(&key.causes).chain(&url.causes);
                    return Some(SearchMatch {
                        causes: causes.chain(&content.causes).chain(&hash).cloned().collect(),
                        key: key.source.name.clone(),
                        owner: key.source.owner,
                        url: url.value.clone(),
                    });
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Settings, SettingsArgs};
    use crate::recording::Recording;

    #[test]
    fn a_search_that_ends_at_its_limit_says_so() {
        let args = SettingsArgs::of([
            ("HEARDBACK_PUBLIC_URL", "https://hooks.example.com"),
            ("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef"),
        ]);
        let env = |name: &str| (name == "TWILIO_AUTH_TOKEN").then(|| "f00dbabe".repeat(4));
        let read = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let settings = Settings::load(&args, &env, &read).expect("valid settings");
        let signature = ("X-Twilio-Signature".to_owned(), format!("{}=", "A".repeat(27)));
        let recording = Recording {
            method: "GET".to_owned(),
            target: "/twilio/call".to_owned(),
            headers: vec![signature],
            ..Recording::default()
        };
        let case = Case::new(&settings, &recording);
        let claimed = claimed(&case);
        let (found, whole) = run_within(MAX_SIGNATURES, &case, &claimed);
        assert!(found.is_none() && !whole.cut_short && whole.signatures > 10, "{whole:?}");
        let (_, tried) = run_within(whole.signatures, &case, &claimed);
        assert_eq!(tried, whole);
        for limit in 0..whole.signatures {
            let (found, tried) = run_within(limit, &case, &claimed);
            assert!(found.is_none() && tried.cut_short && tried.signatures <= limit, "{tried:?}");
        }
    }
}
