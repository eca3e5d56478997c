//! Export and import on sled. An export reads the tree kind by kind, without the writer; the writer imports records, with
//! their entries in index, census and counts.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::address::{RecipientHash, TiedNames};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::matching;
use crate::domain::matching::{AutomaticReplies, Parked};
use crate::domain::message::Message;
use crate::store::sled::keys;
use crate::store::sled::queries::read_hold;
use crate::store::sled::reader::StoreReader;
use crate::store::sled::record::{Damaged, decode, encode};
use crate::store::sled::writer::engine::{Engine, EngineResult, Fatal};
use crate::store::sled::writer::mutation::{Mutation, parked_key};
use crate::store::sled::writer::overlay::RangeEnd;
use crate::store::{ExportRecord, ImportOutcome, Reconsidered, Records, StoreError};

/// In this order: a hold, so that nothing is reported that was on hold; what was counted, or what came in
/// again might count twice; evidence before the messages that it may prove meanwhile; and links after the
/// messages that they may be found in meanwhile.
const KINDS: [u8; 8] = [
    keys::PAUSED,
    keys::SEEN,
    keys::NAMES,
    keys::AUTOMATIC,
    keys::PARKED,
    keys::MESSAGE,
    keys::LINK,
    keys::SENDER,
];

pub(crate) fn records(
    reader: &StoreReader,
    cursor: Option<Vec<u8>>,
    limit: usize,
) -> Result<Records, Fatal> {
    let limit = limit.max(1);
    let mut page = Records::default();
    let kind_of = |cursor: &Vec<u8>| KINDS.iter().position(|kind| cursor.first() == Some(kind));
    // A cursor comes from outside; one that is none of ours starts over.
    let at = cursor.as_ref().and_then(kind_of);
    let (first, mut cursor) = (at.unwrap_or_default(), cursor.filter(|_| at.is_some()));
    for kind in KINDS.into_iter().skip(first) {
        let from = cursor.take().unwrap_or_else(|| vec![kind]);
        for entry in reader.tree.range(from..vec![kind + 1]) {
            let (key, value) = entry?;
            if page.records.len() == limit {
                page.next = Some(key.to_vec());
                return Ok(page);
            }
            if !is_repeated(&key, &value)? {
                page.records.push(read(&key, &value)?);
            }
        }
    }
    Ok(page)
}

/// Whether a row repeats another one: each tied name has a row with all names, and they are handed over once.
fn is_repeated(key: &[u8], value: &[u8]) -> Result<bool, Fatal> {
    if key.first() != Some(&keys::NAMES) {
        return Ok(false);
    }
    let tied: TiedNames = decode(value)?;
    let first = tied.names.all().next();
    Ok(keys::read_names(key).is_none_or(|(_, person)| Some(person) != first))
}

fn read(key: &[u8], value: &[u8]) -> Result<ExportRecord, Fatal> {
    let named = |known: Option<ExportRecord>| known.ok_or_else(|| Fatal::from(Damaged::key()));
    match key.first() {
        Some(&keys::PAUSED) => {
            let (account, since) = read_hold(key, value)?;
            Ok(ExportRecord::Hold { account, since })
        }
        Some(&keys::SEEN) => {
            let at = <[u8; 8]>::try_from(value).map(i64::from_be_bytes);
            let at = timestamp_of(at.map_err(|_| Damaged::key())?)?;
            named(keys::read_marked(key).map(|once| ExportRecord::Counted { once, at }))
        }
        Some(&keys::PARKED) => Ok(ExportRecord::Parked(Box::new(decode(value)?))),
        Some(&keys::MESSAGE) => {
            let mut message: Message = decode(value)?;
            message.delivery.lease = None;
            Ok(ExportRecord::Message(Box::new(message)))
        }
        Some(&keys::LINK) => {
            let link: Link = decode(value)?;
            named(keys::read_link(key).map(|id| ExportRecord::Link { id, link }))
        }
        Some(&keys::SENDER) => {
            let service = decode(value)?;
            named(keys::read_sender(key).map(|(account, address)| ExportRecord::Sender {
                account,
                address: address.to_owned(),
                service,
            }))
        }
        Some(&keys::AUTOMATIC) => {
            let automatic = decode(value)?;
            named(
                keys::read_automatic(key)
                    .map(|person| ExportRecord::Automatic { person, automatic }),
            )
        }
        Some(&keys::NAMES) => {
            let tied = decode(value)?;
            named(keys::read_names(key).map(|(account, _)| ExportRecord::Names { account, tied }))
        }
        Some(_) | None => Err(Damaged::key().into()),
    }
}

fn timestamp_of(milliseconds: i64) -> Result<Timestamp, Fatal> {
    Ok(Timestamp::from_millisecond(milliseconds).map_err(|_| Damaged::key())?)
}

/// A record that cannot be read again would make the store count as damaged.
fn can_be_read_again(record: &ExportRecord) -> bool {
    fn reads<T: Serialize + DeserializeOwned>(value: &T) -> bool {
        encode(value).and_then(|bytes| decode::<T>(&bytes)).is_ok()
    }
    match record {
        ExportRecord::Message(message) => reads(message.as_ref()),
        ExportRecord::Parked(parked) => reads(parked.as_ref()),
        ExportRecord::Link { link, .. } => reads(link),
        ExportRecord::Counted { at, .. } | ExportRecord::Hold { since: at, .. } => {
            timestamp_of(at.as_millisecond()).is_ok()
        }
        ExportRecord::Sender { service, .. } => reads(service),
        ExportRecord::Names { tied, .. } => reads(tied),
        ExportRecord::Automatic { automatic, .. } => reads(automatic),
    }
}

/// The outcome for one record.
enum Merged {
    Added,
    Updated,
    Skipped,
    Kept,
}

impl Merged {
    fn changed(is_here: bool) -> Self {
        if is_here { Self::Updated } else { Self::Added }
    }

    /// The outcome for a record that the export adds nothing to.
    fn unchanged(is_equal: bool) -> Self {
        if is_equal { Self::Skipped } else { Self::Kept }
    }
}

impl Engine {
    pub(crate) fn import(&mut self, records: &[ExportRecord]) -> EngineResult<ImportOutcome> {
        // One record that is refused refuses all of them, before anything is in the draft.
        if let Err(full) = self.room_to_take_in() {
            return Ok(Err(full));
        }
        if let Some(flaw) = records.iter().find_map(ExportRecord::flaw) {
            let reason = format!("a record cannot be imported: {flaw}");
            return Ok(Err(StoreError::Unavailable { reason, label: "unfit" }));
        }
        if !records.iter().all(can_be_read_again) {
            let reason = "a record cannot be imported: it could not be read again".to_owned();
            return Ok(Err(StoreError::Unavailable { reason, label: "unfit" }));
        }
        if let Err(full) = self.room_for(records)? {
            return Ok(Err(full));
        }
        let mut outcome = ImportOutcome::default();
        for record in records {
            let merged = match record {
                ExportRecord::Message(message) => self.import_message(message, &mut outcome)?,
                ExportRecord::Parked(parked) => self.import_parked(parked)?,
                ExportRecord::Link { id, link } => self.import_link(*id, link)?,
                ExportRecord::Counted { once, at } => {
                    let at = at.as_millisecond().to_be_bytes().to_vec();
                    self.import_entry(keys::marked(once), at)?
                }
                ExportRecord::Sender { account, address, service } => {
                    self.import_entry(keys::sender(*account, address), encode(service)?)?
                }
                ExportRecord::Automatic { person, automatic } => {
                    self.import_automatic(*person, *automatic)?
                }
                ExportRecord::Names { account, tied } => {
                    let is_here = self.import_names(*account, tied)?;
                    is_here.map_or(Merged::Skipped, Merged::changed)
                }
                ExportRecord::Hold { account, since } => {
                    let key = keys::paused(*account);
                    let merged = self.import_entry(key, encode(&since.as_millisecond())?)?;
                    if let Merged::Added = merged {
                        self.paused.insert(*account, *since);
                        outcome.holds.push(*account);
                    }
                    merged
                }
            };
            *match merged {
                Merged::Added => &mut outcome.added,
                Merged::Updated => &mut outcome.updated,
                Merged::Skipped => &mut outcome.skipped,
                Merged::Kept => &mut outcome.kept,
            } += 1;
        }
        Ok(Ok(outcome))
    }

    fn room_for(&self, records: &[ExportRecord]) -> EngineResult<()> {
        let (mut messages, mut links, mut parked) = (0, 0, 0);
        for record in records {
            let (key, count) = match record {
                ExportRecord::Message(message) => (keys::message(message.sid), &mut messages),
                ExportRecord::Link { id, .. } => (keys::link(*id), &mut links),
                ExportRecord::Parked(evidence) if !evidence.orphaned => {
                    (parked_key(evidence)?, &mut parked)
                }
                ExportRecord::Parked(_)
                | ExportRecord::Counted { .. }
                | ExportRecord::Sender { .. }
                | ExportRecord::Names { .. }
                | ExportRecord::Automatic { .. }
                | ExportRecord::Hold { .. } => continue,
            };
            *count += u64::from(self.draft.get(&key)?.is_none());
        }
        let most = self.terms.max_messages;
        if parked > 0 && self.parked.total() + parked > self.terms.max_parked {
            return Ok(Err(self.full_of_parked(self.parked.total())));
        }
        if messages > 0 && self.counts.total() + messages > most {
            return Ok(Err(self.full("messages")));
        }
        if links > 0 && self.counts.links + links > most {
            return Ok(Err(self.full("links")));
        }
        Ok(Ok(()))
    }

    fn import_message(
        &mut self,
        incoming: &Message,
        outcome: &mut ImportOutcome,
    ) -> Result<Merged, Fatal> {
        let (before, now) = (self.message(incoming.sid)?, self.both());
        let message = match &before {
            None => matching::imported(incoming, now.wall),
            Some(before) => {
                let mut present = before.clone();
                present.age(now.trusted);
                present.code = before.code;
                let (message, spare) = matching::merge(&present, incoming, &self.terms.policy, now);
                if let Some(evidence) = spare {
                    self.import_parked(&evidence)?;
                }
                if message == present {
                    let is_equal = present == matching::imported(incoming, now.wall);
                    if !is_equal {
                        outcome.kept_messages.push(present.sid);
                    }
                    return Ok(Merged::unchanged(is_equal));
                }
                if present.proof.is_none() && message.proof.is_some() {
                    outcome.confirmed.push((message.sid, message.account));
                }
                message
            }
        };
        let mut writing = Mutation { is_found: true, ..Mutation::default() };
        writing.message(&self.terms.policy, before.as_ref(), Some(&message))?;
        self.apply(writing)?;
        Ok(Merged::changed(before.is_some()))
    }

    fn import_parked(&mut self, exported: &Parked) -> Result<Merged, Fatal> {
        let before: Option<Parked> = self.at(&parked_key(exported)?)?;
        let incoming = &matching::imported_parked(exported);
        if let Some(present) = &before
            && matching::merge_parked(present, incoming) == *present
        {
            return Ok(Merged::unchanged(present == exported || present == incoming));
        }
        let mut writing = Mutation::default();
        writing.parked(before.as_ref(), Some(incoming))?;
        self.apply(writing)?;
        Ok(Merged::changed(before.is_some()))
    }

    fn import_link(&mut self, id: LinkId, incoming: &Link) -> Result<Merged, Fatal> {
        let key = keys::link(id);
        let before: Option<Link> = self.at(&key)?;
        let link = match &before {
            None => incoming.clone(),
            Some(present) => matching::merge_link(present, incoming),
        };
        if before.as_ref() == Some(&link) {
            return Ok(Merged::unchanged(link == *incoming));
        }
        let mut writing = Mutation { links: i64::from(before.is_none()), ..Mutation::default() };
        writing.put(key, encode(&link)?);
        match keys::link_index(id, &link) {
            Some(key) if link.message.is_none() => writing.put(key, Vec::new()),
            Some(key) if before.is_some() => writing.remove(key),
            Some(_) | None => {}
        }
        self.apply(writing)?;
        Ok(Merged::changed(before.is_some()))
    }

    /// Takes the longer span of the two: a text in either of them is automatic.
    fn import_automatic(
        &mut self,
        person: RecipientHash,
        incoming: AutomaticReplies,
    ) -> Result<Merged, Fatal> {
        let key = keys::automatic(person);
        let before: Option<AutomaticReplies> = self.at(&key)?;
        let both = before.map_or(incoming, |before| before.and(incoming));
        if before == Some(both) {
            return Ok(Merged::unchanged(both == incoming));
        }
        let mut writing = Mutation::default();
        writing.put(key, encode(&both)?);
        self.apply(writing)?;
        Ok(Merged::changed(before.is_some()))
    }

    /// Adds an entry without an index or a count. An entry that is here stays.
    fn import_entry(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<Merged, Fatal> {
        if let Some(present) = self.draft.get(&key)? {
            return Ok(Merged::unchanged(*present == *value));
        }
        let mut writing = Mutation::default();
        writing.put(key, value);
        self.apply(writing)?;
        Ok(Merged::Added)
    }

    fn at<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, Fatal> {
        Ok(self.draft.get(key)?.map(|value| decode(&value)).transpose()?)
    }

    pub(crate) fn reconsider_rows(
        &mut self,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> EngineResult<Reconsidered> {
        if let Err(full) = self.room_to_take_in() {
            return Ok(Err(full));
        }
        let first = vec![keys::PARKED];
        let range =
            cursor.map_or(first.clone(), |cursor| cursor.max(first))..vec![keys::MESSAGE + 1];
        let limit = limit.max(1);
        let mut rows = self.draft.range(range, RangeEnd::Start, limit.saturating_add(1))?;
        let next = rows.get(limit).map(|(next, _)| next.to_vec());
        let mut done = Reconsidered { confirmed: Vec::new(), next };
        rows.truncate(limit);
        for (key, _) in rows {
            // An earlier row of this step may have changed this one.
            let Some(value) = self.draft.get(&key)? else { continue };
            let now = self.trusted();
            let evidence = match key.first() {
                Some(&keys::PARKED) => Some(decode::<Parked>(&value)?)
                    .filter(|parked| parked.may_prove_until() > now)
                    .map(|parked| parked.evidence),
                Some(&keys::MESSAGE) => {
                    let message: Message = decode(&value)?;
                    let is_provisional = message.is_provisional();
                    message.held.filter(|_| is_provisional).map(|held| held.evidence)
                }
                Some(_) | None => None,
            };
            if let Some(evidence) = evidence {
                let confirmed = self.reconsider(&evidence)?;
                done.confirmed.extend(confirmed.into_iter().map(|sid| (sid, evidence.account)));
            }
        }
        Ok(Ok(done))
    }
}
