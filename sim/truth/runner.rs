//! The play: the world's timeline, step by step, against the real store.
//!
//! All that comes in within a step is under way at once, as in the service. Each request is read at its
//! own moment; the store's clock stands at the step's last word, which matters only to how long evidence
//! waits and to when a message expires. The store is closed and opened again in the midst of it.

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Waker};

use anyhow::{Context as _, bail};
use heardback::domain::click_link::{Link, LinkId};
use heardback::domain::code::CodeKey;
use heardback::domain::matching::{ObserveOutcome, Policy};
use heardback::domain::message::{Message as Record, State};
use heardback::domain::sid::MessageSid;
use heardback::domain::signal::Malformed;
use heardback::store::sled::{Options, SledStore};
use heardback::store::{Filter, ListEntry, Store, StoreError};
use jiff::Timestamp;

use crate::intake::{Heard, Roads};
use crate::requests::moment;
use crate::support::store::list_all;
use crate::world::{Cause, MINUTE, Word, World};

/// How far the store's clock moves at a time: each step takes the disk a sync or more.
const STEP: i64 = 5 * MINUTE;
/// A world's store fits into this.
const CACHE: u64 = 256 << 20;
/// Commands under way at once; the store takes 1024 before it says that it is busy.
const UNDER_WAY: usize = 800;

/// Settings of a play.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// What judgement depends on.
    pub(crate) policy: Policy,
    /// Whether known crawlers' clicks are no evidence.
    pub(crate) ignores_crawlers: bool,
    /// Whether a mere GET of a click link is evidence.
    pub(crate) confirms_on_get: bool,
}

/// What came of a play.
#[derive(Default)]
pub(crate) struct Played {
    /// Every message that the store holds in the end.
    pub(crate) records: Vec<Record>,
    /// Which act stands behind evidence of a line that occurred at a moment, as the store has it.
    pub(crate) evidence: HashMap<(i64, usize), usize>,
    /// When each message was created at the latest, as far as the store was told, by its number.
    pub(crate) claims: HashMap<usize, Timestamp>,
    /// Messages that the store said it knows.
    pub(crate) remembered: Vec<usize>,
    /// Messages that the store said are confirmed.
    pub(crate) confirmed: Vec<MessageSid>,
    /// What must not happen, whatever the numbers say.
    pub(crate) broken: Vec<String>,
    /// Commands carried out.
    pub(crate) commands: u64,
    /// Commands refused because they belong to another account.
    pub(crate) refused: u64,
}

/// What the store said.
enum Answer {
    Remembered(Option<usize>, Vec<MessageSid>),
    Kept,
    Observed(ObserveOutcome),
    Contradicted,
}

type Asked<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Answer>> + 'a>>;

struct Stage<'w> {
    world: &'w World,
    settings: Settings,
    folder: &'w Path,
    clock: Arc<AtomicI64>,
    code_keys: [CodeKey; 1],
}

/// Plays the world from its beginning to its end.
///
/// # Errors
/// Where the store fails, which is no part of the play.
pub(crate) async fn play(
    world: &World,
    settings: Settings,
    folder: &Path,
) -> anyhow::Result<Played> {
    let clock = Arc::new(AtomicI64::new(0));
    let code_keys = [CodeKey::new(b"the apps' key")];
    let stage = Stage { world, settings, folder, clock, code_keys };
    let mut played = Played::default();
    let mut store = stage.open()?;
    let mut rest = world.timeline.as_slice();
    while let Some((first, _)) = rest.first() {
        let step = (first / STEP + 1) * STEP;
        let ends = rest.partition_point(|(at, _)| *at < step).min(UNDER_WAY);
        let (now, later) = rest.split_at(ends);
        rest = later;
        stage.clock.store(now.last().map_or(0, |(at, _)| *at), Ordering::Relaxed);
        stage.act(&store, now, &mut played).await?;
        if now.iter().any(|(_, word)| *word == Word::Sweep) {
            while !store.expire(100).await?.complete {}
        }
        if now.iter().any(|(_, word)| *word == Word::Restart) {
            store.close().await;
            drop(store);
            store = stage.open()?;
        }
    }
    // What is judged is what a process finds that starts afterwards.
    store.close().await;
    drop(store);
    let store = stage.open()?;
    for entry in list_all(&store, Filter::messages()).await? {
        if let ListEntry::Message(message) = entry {
            played.records.push(*message);
        }
    }
    store.close().await;
    Ok(played)
}

impl Stage<'_> {
    fn open(&self) -> anyhow::Result<SledStore> {
        let clock = Arc::clone(&self.clock);
        let clock = Arc::new(move || moment(clock.load(Ordering::Relaxed)));
        let mut options = Options::new(self.folder, self.settings.policy, clock);
        options.person_key = Some(b"the same in every play".to_vec());
        options.max_messages = u64::MAX;
        options.cache = CACHE;
        options.free_space = Arc::new(|| Ok(u64::MAX));
        SledStore::open(options).context("the store does not open")
    }

    /// Everything of a step: sent in its order, and then waited for.
    async fn act(
        &self,
        store: &SledStore,
        words: &[(i64, Word)],
        played: &mut Played,
    ) -> anyhow::Result<()> {
        let roads = Roads {
            world: self.world,
            person_key: store.person_key(),
            code_keys: &self.code_keys,
            ignores_crawlers: self.settings.ignores_crawlers,
            confirms_on_get: self.settings.confirms_on_get,
        };
        let mut asked: Vec<Asked<'_>> = Vec::with_capacity(words.len());
        for (at, word) in words {
            let heard = roads.read(*word, *at);
            self.note(*word, &heard, played);
            let mut future: Asked<'_> = match heard {
                Ok(Heard::Sighting(sighting)) => Box::pin(remember(store, *sighting)),
                Ok(Heard::Signal(signal)) => Box::pin(observe(store, *signal)),
                Ok(Heard::Link(id, link)) => Box::pin(keep(store, id, link)),
                Ok(Heard::Nothing) => continue,
                Err(Malformed::OtherAccount) => {
                    played.refused += 1;
                    continue;
                }
                Err(malformed) => bail!("{word:?} is malformed: {malformed}"),
            };
            // The first look puts the command into the store's queue; so their order is the world's.
            let looked = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if let std::task::Poll::Ready(answer) = looked {
                played.take(answer?);
            } else {
                asked.push(future);
            }
        }
        for future in asked {
            let answer = future.await?;
            played.take(answer);
        }
        Ok(())
    }

    /// Notes what was told, so that it can be told later what a proof goes back to.
    fn note(&self, word: Word, heard: &Result<Heard, Malformed>, played: &mut Played) {
        played.commands += 1;
        match (word, heard) {
            (Word::Act(number) | Word::Streamed(number), Ok(Heard::Signal(signal))) => {
                let Some(act) = self.world.acts.get(number) else { return };
                if act.cause == Cause::Stranger {
                    let what = format!("a stranger's request was let in: {act:?}");
                    played.broken.push(what);
                }
                if let Ok(evidence) = &signal.evidence {
                    let when = evidence.occurred_at.as_millisecond();
                    played.evidence.entry((when, act.line)).or_insert(number);
                }
            }
            (Word::Register(number) | Word::Status(number, _), Ok(Heard::Sighting(sighting))) => {
                let claim = sighting.created_at.unwrap_or(sighting.seen_at).min(sighting.seen_at);
                let known = played.claims.entry(number).or_insert(claim);
                *known = claim.min(*known);
            }
            _ => {}
        }
    }
}

impl Played {
    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Remembered(number, confirmed) => {
                self.remembered.extend(number);
                self.confirmed.extend(confirmed);
            }
            Answer::Observed(ObserveOutcome::Confirmed(sid)) => self.confirmed.push(sid),
            Answer::Observed(_) | Answer::Contradicted | Answer::Kept => {}
        }
    }
}

async fn remember(
    store: &SledStore,
    sighting: heardback::domain::signal::MessageUpdate,
) -> anyhow::Result<Answer> {
    let number = World::number(sighting.sid.as_str());
    let remembered = match store.remember(sighting).await {
        Ok(remembered) => remembered,
        // Another account of ours has named it before it was registered: 409 in the service.
        Err(StoreError::Contradiction(_)) => return Ok(Answer::Contradicted),
        Err(error) => return Err(error.into()),
    };
    // What nobody asked feedback for is forgotten after a day.
    let kept = number.filter(|_| remembered.message.state != State::Untracked);
    Ok(Answer::Remembered(kept, remembered.confirmed))
}

async fn keep(store: &SledStore, id: LinkId, link: Link) -> anyhow::Result<Answer> {
    store.keep_link(id, link).await?;
    Ok(Answer::Kept)
}

async fn observe(
    store: &SledStore,
    signal: heardback::domain::signal::Signal,
) -> anyhow::Result<Answer> {
    match store.observe(signal).await {
        Ok(observed) => Ok(Answer::Observed(observed)),
        // Another account's message, named in an event: 409 in the service.
        Err(StoreError::Contradiction(_)) => Ok(Answer::Contradicted),
        Err(error) => Err(error.into()),
    }
}
