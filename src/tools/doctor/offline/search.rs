//! The search: keys times URLs times readings, those with the fewest deviations first, to a bound.

use crate::config::Settings;
use crate::domain::form::Pair;
use crate::domain::sid::AccountSid;
use crate::domain::signature::{Algorithm, Content, Presented, SigningKey, origin, verify};
use crate::tools::doctor::offline::MOST_SIGNATURES;
use crate::tools::doctor::offline::case::Case;
use crate::tools::doctor::offline::contents::{Reading, readings};
use crate::tools::doctor::offline::finding::{Deviation, Tried};
use crate::tools::doctor::offline::keys::{Ring, Tryable, keys, tried_settings};
use crate::tools::doctor::offline::urls::{Url, urls};
use crate::tools::doctor::offline::vouched;

/// Deviations at once that are looked for. The third is tried as far as the bound allows.
const MOST_DEVIATIONS: usize = 3;
const WHOLLY_TRIED: usize = 2;
/// With and without the default port: what `domain::signature` tries for each URL.
const SPELLINGS: usize = 2;
/// Bytes hashed at most, so that a large body does not turn a second into a minute.
const MOST_BYTES: usize = 128 << 20;

/// What matches.
pub(super) struct Found {
    pub(super) deviations: Vec<Deviation>,
    pub(super) key: String,
    /// The only account that the key speaks for.
    pub(super) owner: Option<AccountSid>,
    pub(super) url: String,
}

pub(super) struct Search<'a> {
    case: &'a Case<'a>,
    selected_by: Option<&'static [u8]>,
    keys: Vec<Tryable>,
    /// The keys again, by [`Ring`].
    rings: [Vec<SigningKey>; 3],
    urls: Vec<Url>,
    readings: Vec<Reading>,
    share: usize,
    left: usize,
    used: usize,
    cut_short: bool,
}

impl<'a> Search<'a> {
    /// `runs` is how many signatures will be asked for, all made by `algorithm`; they share the bound.
    pub(super) fn new(
        settings: &Settings,
        case: &'a Case<'a>,
        algorithm: Algorithm,
        runs: usize,
    ) -> Self {
        let keys = keys(settings, case, algorithm);
        let of = |ring| keys.iter().filter(move |key| key.ring == ring).map(|key| key.key.clone());
        let rings = Ring::ALL.map(|ring| of(ring).collect());
        let affordable = MOST_BYTES / (case.recording.body.len() + 512);
        Self {
            case,
            selected_by: tried_settings(algorithm),
            rings,
            keys,
            urls: urls(settings, case),
            readings: readings(case),
            share: MOST_SIGNATURES.min(affordable) / runs.max(1),
            left: 0,
            used: 0,
            cut_short: false,
        }
    }

    pub(super) fn tried(&self) -> Tried {
        Tried {
            urls: self.urls.len(),
            contents: self.readings.len(),
            keys: self.keys.len(),
            signatures: self.used,
            cut_short: self.cut_short,
        }
    }

    /// The likeliest way in which this signature was made.
    pub(super) fn run(&mut self, header: &str) -> Option<Found> {
        self.left = self.share;
        for total in 0..=MOST_DEVIATIONS {
            for ring in Ring::ALL {
                // A key that the receiver does not take is a deviation itself.
                let of_key = usize::from(ring != Ring::Taken);
                if ring == Ring::Damaged && total > of_key {
                    continue;
                }
                for of_reading in 0..=total {
                    let Some(of_url) = total.checked_sub(of_key + of_reading) else { continue };
                    let found = self.with(header, ring, of_url, of_reading);
                    if found.is_some() {
                        return found;
                    }
                    if self.left == 0 {
                        self.cut_short |= total <= WHOLLY_TRIED;
                        return None;
                    }
                }
            }
        }
        None
    }

    /// Tries every URL and every reading with exactly so many deviations.
    fn with(
        &mut self,
        header: &str,
        ring: Ring,
        of_url: usize,
        of_reading: usize,
    ) -> Option<Found> {
        let ring_keys = self.rings.get(ring as usize)?;
        let cost = ring_keys.len() * SPELLINGS;
        if ring_keys.is_empty() {
            return None;
        }
        let readings = self.readings.iter();
        for reading in readings.filter(|reading| reading.deviations.len() == of_reading) {
            let pairs: Option<Vec<Pair<'_>>> = reading.parameters.as_ref().map(|parameters| {
                let borrowed = parameters.iter();
                borrowed
                    .map(|(name, value)| (name.as_slice().into(), value.as_slice().into()))
                    .collect()
            });
            // The body's hash is asked for afterwards: here only who signed what.
            let content = match &pairs {
                None => Content::Nothing,
                Some(pairs) => Content::Form { pairs, body: b"" },
            };
            for url in self.urls.iter().filter(|url| url.deviations.len() == of_url) {
                let Some(left) = self.left.checked_sub(cost) else {
                    self.left = 0;
                    return None;
                };
                self.left = left;
                self.used += cost;
                if let Some(at) = self.matching(ring_keys, url, content, header) {
                    return self.found(ring, at, url, reading);
                }
            }
        }
        None
    }

    fn found(&self, ring: Ring, at: usize, url: &Url, reading: &Reading) -> Option<Found> {
        let mut keys = self.keys.iter().filter(|key| key.ring == ring);
        let key = keys.nth(at)?;
        let mut deviations: Vec<Deviation> = key.wrong.clone();
        deviations.extend(url.deviations.iter().cloned());
        deviations.extend(reading.deviations.iter().cloned());
        deviations.extend(vouched::deviations(self.case, &url.text, reading));
        let (owner, url) = (key.owner, url.text.clone());
        Some(Found { deviations, key: key.name.clone(), owner, url })
    }

    /// Which of the keys made the signature for this.
    fn matching(
        &self,
        keys: &[SigningKey],
        url: &Url,
        content: Content<'_>,
        header: &str,
    ) -> Option<usize> {
        let (base, target) = origin(&url.text);
        let presented = Presented {
            bases: &[base.to_owned()],
            path_and_query: target,
            content,
            is_get: self.case.is_get,
            settings: self.selected_by,
        };
        verify(keys, &presented, Some(header.as_bytes())).ok().map(|found| found.key)
    }
}
