//! The search: keys times URLs times contents, those with the fewest causes first, two causes at the most.

use std::collections::HashSet;
use std::hash::Hash;

use crate::commands::doctor::offline::body_hash::Hashes;
use crate::commands::doctor::offline::case::{BodyType, Case, Parameter};
use crate::commands::doctor::offline::causes::{CAUSES, Cause, Transform};
use crate::commands::doctor::offline::finding::{Deviation, Tried};
use crate::commands::doctor::offline::form::{FormContent, MOST_DROPPED, sort};
use crate::commands::doctor::offline::header;
use crate::commands::doctor::offline::keys::{KeyKind, sources, tried_settings};
use crate::commands::doctor::offline::url::{Part, Url};
use crate::domain::sid::AccountSid;
use crate::twilio::form::FormPair;
use crate::twilio::signature::{self, Algorithm, Presented, SigningKey, origin, verify};

/// The most signatures that are computed for one request, each URL counted with and without the
/// default port; a query with apostrophes costs a few times as much. A second or two at the worst.
pub const MOST_SIGNATURES: usize = 50_000;
/// The number of signature headers that are tried.
const MOST_HEADERS: usize = 3;
/// Causes of one mismatch. A match by more of them would need more coincidences than a service meets.
const MOST_CAUSES: usize = 2;
/// With and without the default port: `twilio::signature` tries both for each URL.
const SPELLINGS: usize = 2;
/// Bytes hashed at most, so that a large body does not turn a second into a minute.
const MOST_BYTES: usize = 128 << 20;
/// Bounds the URLs of a request with a thousand query parameters.
const MOST_URLS: usize = 6_000;

/// A URL or a content that the sender may have signed, and its causes.
struct Candidate<T> {
    value: T,
    causes: Vec<Deviation>,
}

/// Candidates without duplicates. Added with the fewest causes first, so the simplest explanation stays.
struct Candidates<T> {
    list: Vec<Candidate<T>>,
    seen: HashSet<T>,
    most: usize,
}

impl<T: Clone + Eq + Hash> Candidates<T> {
    fn new(most: usize) -> Self {
        Self { list: Vec::new(), seen: HashSet::new(), most }
    }

    /// Whether it is new.
    fn add(&mut self, value: T, causes: &[&Deviation]) -> bool {
        let is_new = self.list.len() < self.most && self.seen.insert(value.clone());
        if is_new {
            let causes = causes.iter().copied().cloned().collect();
            self.list.push(Candidate { value, causes });
        }
        is_new
    }
}

/// The URLs: as expected, then with one part in another form, then with two.
fn urls(case: &Case<'_>) -> Vec<Candidate<String>> {
    let mut urls = Candidates::new(MOST_URLS);
    let bases = case.config.public_urls.iter().map(|public| Url::expected(public, case));
    let bases = bases.map(|base| (url_forms(case, &base), base)).collect::<Vec<_>>();
    for (_, base) in &bases {
        urls.add(base.text(), &[]);
    }
    for (forms, base) in &bases {
        for (part, text, cause) in forms {
            urls.add(base.with(*part, text).text(), &[cause]);
        }
    }
    for (forms, base) in &bases {
        for (at, (part, text, cause)) in forms.iter().enumerate() {
            let once = base.with(*part, text);
            for (second, text, and) in forms.iter().skip(at + 1).filter(|(of, ..)| of != part) {
                urls.add(once.with(*second, text).text(), &[cause, and]);
            }
        }
    }
    urls.list
}

fn url_forms(case: &Case<'_>, base: &Url) -> Vec<(Part, String, Deviation)> {
    let mut seen = HashSet::from([base.text()]);
    let mut list = Vec::new();
    for cause in &CAUSES {
        if let Transform::UrlPart(part, forms) = cause.transform {
            for (text, detail) in forms(case, base) {
                if seen.insert(base.with(part, &text).text()) {
                    list.push((part, text, cause.deviation(&detail)));
                }
            }
        }
    }
    list
}

/// The contents: as expected, then with one cause, then with two changes to a form's parameters.
fn contents(case: &Case<'_>) -> Vec<Candidate<FormContent>> {
    let mut contents = Candidates::new(usize::MAX);
    let parameters = (case.media == BodyType::Form).then(|| case.parameters());
    contents.add(normal(parameters.clone()), &[]);
    let mut once: Vec<(&Cause, Vec<Parameter>, Deviation)> = Vec::new();
    for cause in &CAUSES {
        if let Transform::Content(other) = cause.transform {
            for (content, detail) in other(case) {
                contents.add(normal(content), &[&cause.deviation(&detail)]);
            }
        }
        for (changed, deviation) in changes(cause, parameters.as_deref().unwrap_or_default()) {
            if contents.add(normal(Some(changed.clone())), &[&deviation]) {
                once.push((cause, changed, deviation));
            }
        }
    }
    for (cause, changed, deviation) in &once {
        for second in CAUSES.iter().filter(|second| cause.combines_with(second)) {
            if changed.len() <= MOST_DROPPED {
                for (twice, and) in changes(second, changed) {
                    contents.add(normal(Some(twice)), &[deviation, &and]);
                }
            }
        }
    }
    contents.list
}

/// What the cause makes of these parameters.
fn changes(cause: &Cause, parameters: &[Parameter]) -> Vec<(Vec<Parameter>, Deviation)> {
    if parameters.is_empty() {
        Vec::new()
    } else if let Transform::Form(change) = cause.transform {
        vec![(change(parameters), cause.deviation(""))]
    } else if let Transform::Lost(lost) = cause.transform {
        let lost = lost(parameters).into_iter();
        lost.map(|(changed, name)| (changed, cause.deviation(&name))).collect()
    } else {
        Vec::new()
    }
}

/// In the order of `twilio::signature`, so that equal contents are recognised.
fn normal(content: FormContent) -> FormContent {
    let mut parameters = content.filter(|parameters| !parameters.is_empty())?;
    sort(&mut parameters);
    Some(parameters)
}

/// A signature that can be verified.
pub(super) struct Claimed {
    pub(super) header: String,
    /// By its length.
    pub(super) algorithm: Algorithm,
    /// What was wrong with the header.
    pub(super) repaired: Option<Deviation>,
}

/// The whole signatures of the request, each header repaired by the first fitting row of the table.
pub(super) fn claimed(case: &Case<'_>) -> Vec<Claimed> {
    let headers = header::headers(case).enumerate().take(MOST_HEADERS);
    let claimed = headers.filter_map(|(at, header)| {
        let whole = |text: String, repaired: Option<Deviation>| {
            Some(Claimed { algorithm: header::algorithm(&text)?, header: text, repaired })
        };
        let as_it_came = if at == 0 { whole(header.to_owned(), None) } else { None };
        as_it_came.or_else(|| {
            CAUSES.iter().find_map(|cause| {
                let Transform::Header(repair) = cause.transform else { return None };
                whole(repair(header), Some(cause.deviation("")))
            })
        })
    });
    claimed.collect()
}

/// A key of the search.
struct Key {
    name: String,
    signs: SigningKey,
    /// The only account that it speaks for.
    owner: Option<AccountSid>,
    /// Why the receiver does not accept it. Empty: it does.
    wrong: Vec<Deviation>,
    group: Group,
}

/// The groups of keys, in the order of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Accepted,
    Wrong,
    /// Damaged forms of keys. They are many, so they are tried without a second cause.
    Damaged,
}

/// All keys, for signatures by this algorithm.
fn keys(case: &Case<'_>, made: Algorithm) -> Vec<Key> {
    let mut found: Vec<Key> = Vec::new();
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for source in sources(case, made) {
        // The first name of a secret counts.
        if seen.contains(&source.secret) {
            continue;
        }
        seen.push(source.secret.clone());
        let Some(signs) = source.tried() else { continue };
        let wrong = CAUSES.iter().filter_map(|cause| {
            let Transform::Key(detail) = cause.transform else { return None };
            Some(cause.deviation(&detail(&source, case)?))
        });
        let wrong: Vec<Deviation> = wrong.collect();
        let group = match wrong.is_empty() {
            true => Group::Accepted,
            false if matches!(source.kind, KeyKind::Damaged(_)) => Group::Damaged,
            false => Group::Wrong,
        };
        let owner = source.owner.map(|owner| owner.sid);
        found.push(Key { name: source.name, signs, owner, wrong, group });
    }
    found
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

pub(super) struct Search<'a> {
    case: &'a Case<'a>,
    selected_by: Option<&'static [u8]>,
    keys: Vec<Key>,
    urls: Vec<Candidate<String>>,
    contents: Vec<Candidate<FormContent>>,
    /// The bound for one signature.
    share: usize,
    left: usize,
    used: usize,
    cut_short: bool,
}

impl<'a> Search<'a> {
    /// For this number of signatures by `algorithm`, which share the bound.
    pub(super) fn new(case: &'a Case<'a>, algorithm: Algorithm, signatures: usize) -> Self {
        let affordable = MOST_BYTES / (case.recording.body.len() + 512);
        Self {
            case,
            selected_by: tried_settings(algorithm),
            keys: keys(case, algorithm),
            urls: urls(case),
            contents: contents(case),
            share: MOST_SIGNATURES.min(affordable) / signatures.max(1),
            left: 0,
            used: 0,
            cut_short: false,
        }
    }

    pub(super) fn tried(&self) -> Tried {
        Tried {
            urls: self.urls.len(),
            contents: self.contents.len(),
            keys: self.keys.len(),
            signatures: self.used,
            cut_short: self.cut_short,
        }
    }

    /// The match with the fewest causes.
    pub(super) fn run(&mut self, header: &str) -> Option<SearchMatch> {
        self.left = self.share;
        for total in 0..=MOST_CAUSES {
            for group in [Group::Accepted, Group::Wrong, Group::Damaged] {
                // A key that the receiver does not accept is a cause itself.
                let of_key = usize::from(group != Group::Accepted);
                if group == Group::Damaged && total > of_key {
                    continue;
                }
                for of_content in 0..=total {
                    let Some(of_url) = total.checked_sub(of_key + of_content) else { continue };
                    let found = self.with(header, group, of_url, of_content);
                    if found.is_some() {
                        return found;
                    }
                    if self.left == 0 {
                        self.cut_short = true;
                        return None;
                    }
                }
            }
        }
        None
    }

    /// Tries every URL and every content with exactly this number of causes.
    fn with(
        &mut self,
        header: &str,
        group: Group,
        of_url: usize,
        of_content: usize,
    ) -> Option<SearchMatch> {
        let members: Vec<&Key> = self.keys.iter().filter(|key| key.group == group).collect();
        let keys: Vec<SigningKey> = members.iter().map(|key| key.signs.clone()).collect();
        let cost = keys.len() * SPELLINGS;
        if keys.is_empty() {
            return None;
        }
        let contents = self.contents.iter();
        for content in contents.filter(|content| content.causes.len() == of_content) {
            let pairs: Option<Vec<FormPair<'_>>> = content.value.as_ref().map(|parameters| {
                let pairs = parameters.iter();
                pairs
                    .map(|(name, value)| (name.as_slice().into(), value.as_slice().into()))
                    .collect()
            });
            // The body's hash is compared afterwards.
            let signed = match &pairs {
                None => signature::Content::Nothing,
                Some(pairs) => signature::Content::Form { pairs, body: b"" },
            };
            for url in self.urls.iter().filter(|url| url.causes.len() == of_url) {
                let Some(left) = self.left.checked_sub(cost) else {
                    self.left = 0;
                    return None;
                };
                self.left = left;
                self.used += cost;
                let (base, target) = origin(&url.value);
                let presented = Presented {
                    bases: &[base.to_owned()],
                    path_and_query: target,
                    content: signed,
                    is_get: self.case.is_get,
                    settings: self.selected_by,
                };
                if let Ok(found) = verify(&keys, &presented, Some(header.as_bytes())) {
                    let key = members.get(found.key)?;
                    let hash = hash_cause(self.case, &url.value, content.causes.is_empty());
                    let causes = [&key.wrong[..], &url.causes, &content.causes].concat();
                    return Some(SearchMatch {
                        causes: causes.into_iter().chain(hash).collect(),
                        key: key.name.clone(),
                        owner: key.owner,
                        url: url.value.clone(),
                    });
                }
            }
        }
        None
    }
}
