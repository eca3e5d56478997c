//! Forgetting people: a look finds what concerns them, past the writer, and the writer erases it in
//! small pieces, so that nobody is held up. What was acknowledged before the look is in the tree by then.
//!
//! What is erased is out of every answer and every backup from then on. Its bytes stay in sled's file
//! until sled writes over them.

use std::sync::Arc;

use ::sled::IVec;

use crate::domain::address::{RecipientHash, TiedNames};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::erasure::Erasure;
use crate::domain::matching::{AutomaticReplies, Parked};
use crate::domain::message::{Message, State};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::store::sled::SledStore;
use crate::store::sled::keys;
use crate::store::sled::reader::StoreReader;
use crate::store::sled::record::decode;
use crate::store::sled::writer::engine::{Engine, EngineResult, Fatal};
use crate::store::sled::writer::mutation::Mutation;
use crate::store::{Forgotten, StoreError};

/// Records that the writer erases at a time.
const AT_ONCE: usize = 64;

enum PersonalRow {
    Message(MessageSid),
    Link(LinkId),
    Evidence(IVec),
    /// The row of a tied name.
    Names(IVec),
    Automatic(IVec),
    /// Somebody else's message that bears one of their references.
    Named(MessageSid),
}

impl SledStore {
    pub(crate) async fn erase(&self, erasure: Erasure) -> Result<Forgotten, StoreError> {
        let (erasure, rows) = self.read(move |reader| concerned(reader, erasure)).await?;
        let (erasure, mut rows) = (Arc::new(erasure), rows.into_iter().peekable());
        let mut forgotten = Forgotten::default();
        while rows.peek().is_some() {
            let piece: Vec<PersonalRow> = rows.by_ref().take(AT_ONCE).collect();
            let erasure = Arc::clone(&erasure);
            let piece = self.submit(move |ledger| ledger.erase(&erasure, &piece)).await?;
            forgotten.messages += piece.messages;
            forgotten.unreported += piece.unreported;
            forgotten.evidence += piece.evidence;
            forgotten.links += piece.links;
            forgotten.references += piece.references;
        }
        Ok(forgotten)
    }
}

fn concerned(
    reader: &StoreReader,
    mut erasure: Erasure,
) -> Result<(Erasure, Vec<PersonalRow>), Fatal> {
    let mut rows = Vec::new();
    erasure.add_names(&groups(reader)?);
    for entry in reader.tree.scan_prefix([keys::NAMES]) {
        let (key, _) = entry?;
        let named = keys::read_names(&key);
        if named.is_some_and(|(account, person)| erasure.is_one(account, person)) {
            rows.push(PersonalRow::Names(key));
        }
    }
    for entry in reader.tree.scan_prefix([keys::MESSAGE]) {
        let message: Message = decode(&entry?.1)?;
        if erasure.takes_message(&message) {
            rows.push(PersonalRow::Message(message.sid));
        }
    }
    for entry in reader.tree.scan_prefix([keys::LINK]) {
        let (key, value) = entry?;
        let link: Link = decode(&value)?;
        let id = keys::read_link(&key).filter(|id| erasure.takes_link(*id, &link));
        rows.extend(id.map(PersonalRow::Link));
    }
    for entry in reader.tree.scan_prefix([keys::PARKED]) {
        let (key, value) = entry?;
        if erasure.takes_evidence(&decode(&value)?) {
            rows.push(PersonalRow::Evidence(key));
        }
    }
    for entry in reader.tree.scan_prefix([keys::AUTOMATIC]) {
        let (key, value) = entry?;
        let automatic: AutomaticReplies = decode(&value)?;
        let person = keys::read_automatic(&key);
        if person.is_some_and(|person| erasure.is_one(automatic.account, person)) {
            rows.push(PersonalRow::Automatic(key));
        }
    }
    for (account, name) in erasure.references() {
        for entry in reader.tree.scan_prefix(keys::reference(account, name)) {
            // Those of theirs are gone when it comes to this.
            rows.extend(keys::read_named(&entry?.0).map(PersonalRow::Named));
        }
    }
    Ok((erasure, rows))
}

/// Groups of names, each of one person: tied names, and the names in one message.
fn groups(reader: &StoreReader) -> Result<Vec<(AccountSid, Vec<RecipientHash>)>, Fatal> {
    let mut groups = Vec::new();
    for entry in reader.tree.scan_prefix([keys::NAMES]) {
        let (key, value) = entry?;
        let tied: TiedNames = decode(&value)?;
        let account = keys::read_names(&key).map(|(account, _)| account);
        groups.extend(account.map(|account| (account, tied.names.everywhere().collect())));
    }
    for entry in reader.tree.scan_prefix([keys::MESSAGE]) {
        let message: Message = decode(&entry?.1)?;
        if message.alias.is_some() {
            groups.push((message.account, message.names().collect()));
        }
    }
    Ok(groups)
}

impl Engine {
    /// Erases a piece, as it stands by now.
    fn erase(&mut self, erasure: &Erasure, piece: &[PersonalRow]) -> EngineResult<Forgotten> {
        let mut forgotten = Forgotten::default();
        for row in piece {
            match row {
                PersonalRow::Message(sid) => {
                    let Some(message) = self.message(*sid)? else { continue };
                    let mut writing = Mutation::default();
                    writing.message(&self.terms.policy, Some(&message), None)?;
                    self.apply(writing)?;
                    forgotten.messages += 1;
                    forgotten.unreported += u64::from(message.state == State::Confirmed);
                }
                PersonalRow::Link(id) => {
                    let key = keys::link(*id);
                    let Some(value) = self.draft.get(&key)? else { continue };
                    self.remove_link(&key, &decode(&value)?)?;
                    forgotten.links += 1;
                }
                PersonalRow::Evidence(key) => {
                    let Some(value) = self.draft.get(key)? else { continue };
                    let parked: Parked = decode(&value)?;
                    let mut writing = Mutation::default();
                    writing.parked(Some(&parked), None)?;
                    self.apply(writing)?;
                    forgotten.evidence += 1;
                }
                PersonalRow::Automatic(key) | PersonalRow::Names(key) => {
                    let mut writing = Mutation::default();
                    writing.remove(key.to_vec());
                    self.apply(writing)?;
                }
                PersonalRow::Named(sid) => {
                    let Some(before) = self.message(*sid)? else { continue };
                    let Some(without) = erasure.without_reference(&before) else { continue };
                    self.rewrite(&before, &without)?;
                    forgotten.references += 1;
                }
            }
        }
        Ok(Ok(forgotten))
    }
}
