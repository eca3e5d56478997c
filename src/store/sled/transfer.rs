//! Handing everything over, and taking it over: a look goes through the tree kind by kind, past the writer; the
//! writer takes over what it does not have, and what follows from it in index, census and counts.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::address::{Person, TiedNames};
use crate::domain::link::{Link, LinkId};
use crate::domain::matching;
use crate::domain::matching::{AutomaticReplies, Changes, Met, Parked, Rows, Touched};
use crate::domain::message::Message;
use crate::domain::sid::AccountSid;
use crate::store::sled::keys;
use crate::store::sled::ledger::{Fatal, Ledger, Ruling};
use crate::store::sled::overview::read_hold;
use crate::store::sled::reader::Reader;
use crate::store::sled::record::{Damaged, decode, encode};
use crate::store::sled::writing::{Writing, parked_key};
use crate::store::{Adopted, Record, Records, StoreError};

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

pub(super) fn records(
    reader: &Reader,
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

fn read(key: &[u8], value: &[u8]) -> Result<Record, Fatal> {
    let named = |known: Option<Record>| known.ok_or_else(|| Fatal::from(Damaged::key()));
    match key.first() {
        Some(&keys::PAUSED) => {
            let (account, since) = read_hold(key, value)?;
            Ok(Record::Hold { account, since })
        }
        Some(&keys::SEEN) => {
            let at = <[u8; 8]>::try_from(value).map(i64::from_be_bytes);
            let at = moment(at.map_err(|_| Damaged::key())?)?;
            named(keys::read_marked(key).map(|once| Record::Counted { once, at }))
        }
        Some(&keys::PARKED) => Ok(Record::Parked(Box::new(decode(value)?))),
        Some(&keys::MESSAGE) => {
            let mut message: Message = decode(value)?;
            message.delivery.lease = None;
            Ok(Record::Message(Box::new(message)))
        }
        Some(&keys::LINK) => {
            let link: Link = decode(value)?;
            named(keys::read_link(key).map(|id| Record::Link { id, link }))
        }
        Some(&keys::SENDER) => {
            let service = decode(value)?;
            named(keys::read_sender(key).map(|(account, address)| Record::Sender {
                account: Some(account),
                address: address.to_owned(),
                service,
            }))
        }
        Some(&keys::AUTOMATIC) => {
            let automatic = decode(value)?;
            named(keys::read_automatic(key).map(|person| Record::Automatic { person, automatic }))
        }
        Some(&keys::NAMES) => {
            let tied = decode(value)?;
            named(keys::read_names(key).map(|(account, _)| Record::Names { account, tied }))
        }
        Some(_) | None => Err(Damaged::key().into()),
    }
}

fn moment(milliseconds: i64) -> Result<Timestamp, Fatal> {
    Ok(Timestamp::from_millisecond(milliseconds).map_err(|_| Damaged::key())?)
}

/// One that cannot would have the store taken for damaged from then on.
fn can_be_read_again(record: &Record) -> bool {
    fn reads<T: Serialize + DeserializeOwned>(value: &T) -> bool {
        encode(value).and_then(|bytes| decode::<T>(&bytes)).is_ok()
    }
    match record {
        Record::Message(message) => reads(message.as_ref()),
        Record::Parked(parked) => reads(parked.as_ref()),
        Record::Link { link, .. } => reads(link),
        Record::Counted { at, .. } | Record::Hold { since: at, .. } => {
            moment(at.as_millisecond()).is_ok()
        }
        Record::Sender { service, .. } => reads(service),
        Record::Names { tied, .. } => reads(tied),
        Record::Automatic { automatic, .. } => reads(automatic),
    }
}

/// What came of one record.
enum Came {
    New,
    Forward,
    Known,
    Differs,
}

/// What is to be kept of a record, and what came of it; or what came of it, where nothing is to be changed.
fn meet<T>(
    before: Option<&T>,
    fresh: impl FnOnce() -> T,
    met: impl FnOnce(&T) -> Met<T>,
) -> Result<(T, Came), Came> {
    match before.map(met) {
        None => Ok((fresh(), Came::New)),
        Some(Met::Advanced(record)) => Ok((record, Came::Forward)),
        Some(Met::Known) => Err(Came::Known),
        Some(Met::Differs) => Err(Came::Differs),
    }
}

impl Ledger {
    pub(super) fn adopt(&mut self, records: &[Record]) -> Ruling<Adopted> {
        // Whatever may keep one of them out keeps all of them out, before anything is in the draft.
        if let Err(full) = self.room_to_take_in() {
            return Ok(Err(full));
        }
        if let Some(flaw) = records.iter().find_map(Record::flaw) {
            let reason = format!("a record cannot be taken over: {flaw}");
            return Ok(Err(StoreError::Unavailable { reason, label: "unfit" }));
        }
        if !records.iter().all(can_be_read_again) {
            let reason = "a record cannot be taken over: it could not be read again".to_owned();
            return Ok(Err(StoreError::Unavailable { reason, label: "unfit" }));
        }
        if let Err(full) = self.room_for(records)? {
            return Ok(Err(full));
        }
        let mut adopted = Adopted::default();
        for record in records {
            let came = match record {
                Record::Message(message) => self.adopt_message(message, &mut adopted)?,
                Record::Parked(parked) => self.adopt_parked(parked, &mut adopted)?,
                Record::Link { id, link } => self.adopt_link(*id, link, &mut adopted)?,
                Record::Counted { once, at } => {
                    let at = at.as_millisecond().to_be_bytes().to_vec();
                    self.adopt_entry(keys::marked(once), at)?
                }
                Record::Sender { account: Some(account), address, service } => {
                    self.adopt_entry(keys::sender(*account, address), encode(service)?)?
                }
                Record::Sender { account: None, .. } => Came::Known,
                Record::Automatic { person, automatic } => {
                    self.adopt_automatic(*person, *automatic)?
                }
                Record::Names { account, tied } => match self.adopt_names(*account, tied)? {
                    None => Came::Known,
                    Some(true) => Came::Forward,
                    Some(false) => Came::New,
                },
                Record::Hold { account, since } => {
                    self.adopt_hold(*account, *since, &mut adopted)?
                }
            };
            *match came {
                Came::New => &mut adopted.added,
                Came::Forward => &mut adopted.advanced,
                Came::Known => &mut adopted.known,
                Came::Differs => &mut adopted.differs,
            } += 1;
        }
        Ok(Ok(adopted))
    }

    fn room_for(&self, records: &[Record]) -> Ruling<()> {
        let (mut messages, mut links) = (self.counts.total(), self.counts.links);
        let mut parked = self.parked.total();
        for record in records {
            match record {
                Record::Message(message) => {
                    messages += u64::from(self.message(message.sid)?.is_none());
                }
                Record::Link { id, .. } => {
                    links += u64::from(self.draft.get(&keys::link(*id))?.is_none());
                }
                Record::Parked(it) => {
                    let is_new = self.draft.get(&parked_key(it)?)?.is_none();
                    parked += u64::from(is_new && !it.orphaned);
                }
                Record::Counted { .. }
                | Record::Sender { .. }
                | Record::Names { .. }
                | Record::Automatic { .. }
                | Record::Hold { .. } => {}
            }
        }
        if parked > self.terms.max_parked.max(self.parked.total()) {
            return Ok(Err(self.full_of_parked(self.parked.total())));
        }
        let most = self.terms.max_messages;
        if messages > most.max(self.counts.total()) {
            return Ok(Err(self.full("messages")));
        }
        if links > most.max(self.counts.links) {
            return Ok(Err(self.full("links")));
        }
        Ok(Ok(()))
    }

    fn adopt_message(&mut self, message: &Message, adopted: &mut Adopted) -> Result<Came, Fatal> {
        let before = self.message(message.sid)?;
        let now = self.now();
        let (message, came) = match meet(
            before.as_ref(),
            || matching::taken_over(message, now),
            |before| matching::met_message(before, message, now),
        ) {
            Ok(found) => found,
            Err(came) => return Ok(came),
        };
        let was_proven = before.as_ref().is_none_or(matching::is_proven);
        if !was_proven && matching::is_proven(&message) {
            adopted.confirmed.push((message.sid, message.account));
        }
        let mut writing = Writing { is_found: true, ..Writing::default() };
        writing.message(&self.terms.policy, before.as_ref(), Some(&message))?;
        self.apply(writing)?;
        let touched = Touched {
            sid: Some(message.sid),
            reference: message.reference.clone(),
            persons: message.names().collect(),
            names: None,
            sender: message.from.clone(),
            link: None,
        };
        let rows = self.rows(message.account, &touched, None)?;
        self.reconcile(rows, adopted)?;
        Ok(came)
    }

    /// Evidence that is told to have proven something already is not new: what it proved is.
    fn adopt_parked(&mut self, parked: &Parked, adopted: &mut Adopted) -> Result<Came, Fatal> {
        let before = self.draft.get(&parked_key(parked)?)?;
        let before: Option<Parked> = before.map(|value| decode(&value)).transpose()?;
        let (parked, came) = match meet(
            before.as_ref(),
            || parked.clone(),
            |before| matching::met_parked(before, parked),
        ) {
            Ok(found) => found,
            Err(came) => return Ok(came),
        };
        let mut writing = Writing::default();
        writing.parked(before.as_ref(), Some(&parked))?;
        self.apply(writing)?;
        let rows = self.rows_by(Some((&parked.evidence, false)))?;
        let changes = self.reconcile(rows, adopted)?;
        let is_gone = changes.parked.contains(&(Some(parked), None));
        let is_known = is_gone && changes.messages.is_empty();
        Ok(if is_known { Came::Known } else { came })
    }

    fn adopt_link(
        &mut self,
        id: LinkId,
        link: &Link,
        adopted: &mut Adopted,
    ) -> Result<Came, Fatal> {
        let key = keys::link(id);
        let before = self.draft.get(&key)?;
        let before: Option<Link> = before.map(|value| decode(&value)).transpose()?;
        let (link, came) =
            match meet(before.as_ref(), || link.clone(), |before| matching::met_link(before, link))
            {
                Ok(found) => found,
                Err(came) => return Ok(came),
            };
        let mut writing = Writing { links: i64::from(before.is_none()), ..Writing::default() };
        writing.put(key, encode(&link)?);
        match keys::link_index(id, &link) {
            Some(key) if link.message.is_none() => writing.put(key, Vec::new()),
            Some(key) if before.is_some() => writing.remove(key),
            Some(_) | None => {}
        }
        self.apply(writing)?;
        let touched = Touched { sid: link.message, link: Some(id), ..Touched::default() };
        let rows = self.rows(link.account, &touched, None)?;
        self.reconcile(rows, adopted)?;
        Ok(came)
    }

    fn adopt_hold(
        &mut self,
        account: AccountSid,
        since: Timestamp,
        adopted: &mut Adopted,
    ) -> Result<Came, Fatal> {
        let came = self.adopt_entry(keys::paused(account), encode(&since.as_millisecond())?)?;
        if let Came::New = came {
            self.paused.insert(account, since);
            adopted.holds.push(account);
        }
        Ok(came)
    }

    fn adopt_automatic(
        &mut self,
        person: Person,
        automatic: AutomaticReplies,
    ) -> Result<Came, Fatal> {
        let key = keys::automatic(person);
        let before = self.draft.get(&key)?;
        let before: Option<AutomaticReplies> = before.map(|value| decode(&value)).transpose()?;
        let both = before.map_or(automatic, |before| before.and(automatic));
        let mut writing = Writing::default();
        writing.put(key, encode(&both)?);
        let came = match before {
            None => Came::New,
            Some(before) if before == both => return Ok(Came::Known),
            Some(_) => Came::Forward,
        };
        self.apply(writing)?;
        Ok(came)
    }

    /// What has no index and is in no count, and of which the later cannot be told: it stays as it is.
    fn adopt_entry(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<Came, Fatal> {
        if self.draft.get(&key)?.is_some() {
            return Ok(Came::Known);
        }
        let mut writing = Writing::default();
        writing.put(key, value);
        self.apply(writing)?;
        Ok(Came::New)
    }

    fn reconcile(&mut self, rows: Rows, adopted: &mut Adopted) -> Result<Changes, Fatal> {
        let changes = matching::reconcile(rows, &self.terms.policy, self.both());
        let proven = changes.messages.iter().filter(|message| matching::is_proven(message));
        adopted.confirmed.extend(proven.map(|message| (message.sid, message.account)));
        // Only a new message could be one too many, and there is none among them.
        let _ = self.carry_out(Ok((changes.clone(), ())))?;
        Ok(changes)
    }
}
