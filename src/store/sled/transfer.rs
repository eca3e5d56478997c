//! Handing everything over, and taking it over: a look goes through the tree kind by kind, past the writer; the
//! writer takes over what it does not have, and what follows from it in index, census and counts.

use jiff::Timestamp;

use crate::domain::link::{Link, LinkId};
use crate::domain::matching;
use crate::domain::matching::{Changes, Parked, Rows, Touched};
use crate::domain::message::Message;
use crate::store::sled::keys;
use crate::store::sled::ledger::{Fatal, Ledger, Ruling};
use crate::store::sled::reader::Reader;
use crate::store::sled::record::{Damaged, decode, encode};
use crate::store::sled::writing::{Writing, parked_key};
use crate::store::{Adopted, Record, Records, StoreError};

/// In this order: a hold, so that nothing is reported that was on hold; what was counted, or what came in
/// again might count twice; evidence before the messages that it may prove meanwhile; and links after the
/// messages that they may be found in meanwhile.
const KINDS: [u8; 6] =
    [keys::PAUSED, keys::SEEN, keys::PARKED, keys::MESSAGE, keys::LINK, keys::SENDER];

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
            page.records.push(read(&key, &value)?);
        }
    }
    Ok(page)
}

fn read(key: &[u8], value: &[u8]) -> Result<Record, Fatal> {
    let named = |known: Option<Record>| known.ok_or_else(|| Fatal::from(Damaged::key()));
    match key.first() {
        Some(&keys::PAUSED) => {
            let since = moment(decode(value)?)?;
            named(keys::read_paused(key).map(|account| Record::Hold { account, since }))
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
            let address = keys::read_sender(key).map(str::to_owned);
            named(address.map(|address| Record::Sender { address, service }))
        }
        Some(_) | None => Err(Damaged::key().into()),
    }
}

fn moment(milliseconds: i64) -> Result<Timestamp, Fatal> {
    Ok(Timestamp::from_millisecond(milliseconds).map_err(|_| Damaged::key())?)
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
        if let Err(full) = self.room_for(records)? {
            return Ok(Err(full));
        }
        let mut adopted = Adopted::default();
        for record in records {
            let is_new = match record {
                Record::Message(message) => self.adopt_message(message)?,
                Record::Parked(parked) => self.adopt_parked(parked)?,
                Record::Link { id, link } => self.adopt_link(*id, link)?,
                Record::Counted { once, at } => {
                    let at = at.as_millisecond().to_be_bytes().to_vec();
                    self.adopt_entry(keys::marked(once), at)?
                }
                Record::Sender { address, service } => {
                    self.adopt_entry(keys::sender(address), encode(service)?)?
                }
                Record::Hold { account, since } => {
                    let at = encode(&since.as_millisecond())?;
                    let is_new = self.adopt_entry(keys::paused(*account), at)?;
                    self.paused.entry(*account).or_insert(*since);
                    is_new
                }
            };
            *(if is_new { &mut adopted.added } else { &mut adopted.known }) += 1;
        }
        Ok(Ok(adopted))
    }

    fn room_for(&self, records: &[Record]) -> Ruling<()> {
        let (mut messages, mut links) = (self.counts.total(), self.counts.links);
        for record in records {
            match record {
                Record::Message(message) => {
                    messages += u64::from(self.message(message.sid)?.is_none());
                }
                Record::Link { id, .. } => {
                    links += u64::from(self.draft.get(&keys::link(*id))?.is_none());
                }
                Record::Parked(_)
                | Record::Counted { .. }
                | Record::Sender { .. }
                | Record::Hold { .. } => {}
            }
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

    fn adopt_message(&mut self, message: &Message) -> Result<bool, Fatal> {
        if self.message(message.sid)?.is_some() {
            return Ok(false);
        }
        let message = matching::taken_over(message, self.now());
        let mut writing = Writing { is_found: true, ..Writing::default() };
        writing.message(None, Some(&message))?;
        self.apply(writing)?;
        let touched = Touched {
            sid: Some(message.sid),
            reference: message.reference.clone(),
            persons: message.recipient.map(|to| to.person).into_iter().collect(),
            sender: message.from.clone(),
            link: None,
        };
        let rows = self.rows(message.account, Some(message), &touched, None, false)?;
        self.reconcile(rows)?;
        Ok(true)
    }

    /// Evidence that is told to have proven something already is not new: what it proved is.
    fn adopt_parked(&mut self, parked: &Parked) -> Result<bool, Fatal> {
        if self.draft.get(&parked_key(parked)?)?.is_some() {
            return Ok(false);
        }
        let mut writing = Writing::default();
        writing.parked(None, Some(parked))?;
        self.apply(writing)?;
        let rows = self.rows_by(&parked.evidence, false)?;
        let changes = self.reconcile(rows)?;
        Ok(!changes.unpark.contains(parked) || !changes.messages.is_empty())
    }

    fn adopt_link(&mut self, id: LinkId, link: &Link) -> Result<bool, Fatal> {
        if self.draft.get(&keys::link(id))?.is_some() {
            return Ok(false);
        }
        let mut writing = Writing { links: 1, ..Writing::default() };
        writing.put(keys::link(id), encode(link)?);
        if let Some(key) = keys::link_index(id, link).filter(|_| link.message.is_none()) {
            writing.put(key, Vec::new());
        }
        self.apply(writing)?;
        let known = link.message.map(|sid| self.message(sid)).transpose()?.flatten();
        let touched = Touched { sid: link.message, link: Some(id), ..Touched::default() };
        let rows = self.rows(link.account, known, &touched, None, false)?;
        self.reconcile(rows)?;
        Ok(true)
    }

    /// What has no index and is in no count.
    fn adopt_entry(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<bool, Fatal> {
        if self.draft.get(&key)?.is_some() {
            return Ok(false);
        }
        let mut writing = Writing::default();
        writing.put(key, value);
        self.apply(writing)?;
        Ok(true)
    }

    fn reconcile(&mut self, rows: Rows) -> Result<Changes, Fatal> {
        let changes = matching::reconcile(rows, &self.terms.policy, self.now());
        // Only a new message could be one too many, and there is none among them.
        let _ = self.carry_out(Ok((changes.clone(), ())))?;
        Ok(changes)
    }
}
