//! The runner: applies the world's timeline to the real store, event by event.
//!
//! Each confirmation is posted at once, so no later receipt corrects it. The store is closed and reopened in between.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use heardback::domain::click_link::{Link, LinkId};
use heardback::domain::code::CodeKey;
use heardback::domain::feedback::Settlement;
use heardback::domain::matching::{ObserveOutcome, Policy};
use heardback::domain::message::{Message as Record, State};
use heardback::domain::sid::MessageSid;
use heardback::domain::signal::Malformed;
use heardback::store::sled::{Options, SledStore};
use heardback::store::{Filter, ListEntry, Quotas, Store, StoreError};
use jiff::Timestamp;

use crate::intake::{ParsedRequest, RequestParser};
use crate::requests::timestamp;
use crate::support::store::list_all;
use crate::world::{Cause, Event, World};

/// Large enough for the store of a world.
const CACHE: u64 = 256 << 20;
/// The lease of a post, which ends at once.
const LEASE: Duration = Duration::from_secs(30);

/// The settings of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) policy: Policy,
    /// Whether clicks of known crawlers are no evidence.
    pub(crate) ignores_crawlers: bool,
    /// Whether a GET of a click link is evidence.
    pub(crate) confirms_on_get: bool,
}

/// The result of a run.
#[derive(Default)]
pub(crate) struct RunResult {
    /// Every message in the store after the run.
    pub(crate) records: Vec<Record>,
    /// The act of each evidence, by its time and line.
    pub(crate) evidence: HashMap<(i64, usize), usize>,
    /// The latest possible creation time of each message, as stated to the store, by its number.
    pub(crate) claims: HashMap<usize, Timestamp>,
    /// Messages that the store acknowledged.
    pub(crate) remembered: Vec<usize>,
    /// Messages that the store reported as confirmed.
    pub(crate) confirmed: Vec<MessageSid>,
    /// Violations.
    pub(crate) violations: Vec<String>,
    /// Commands sent.
    pub(crate) commands: u64,
    /// Commands rejected because they belong to another account.
    pub(crate) refused: u64,
}

/// The result of a command.
enum Answer {
    Remembered(Option<usize>, Vec<MessageSid>),
    Kept,
    Observed(ObserveOutcome),
    Contradicted,
}

struct Runner<'w> {
    world: &'w World,
    settings: Settings,
    folder: &'w Path,
    clock: Arc<AtomicI64>,
    code_keys: [CodeKey; 1],
}

/// Runs the whole world.
///
/// # Errors
/// The store fails.
pub(crate) async fn run(
    world: &World,
    settings: Settings,
    folder: &Path,
) -> anyhow::Result<RunResult> {
    let clock = Arc::new(AtomicI64::new(0));
    let code_keys = [CodeKey::new(b"the apps' key")];
    let runner = Runner { world, settings, folder, clock, code_keys };
    let mut result = RunResult::default();
    let mut store = runner.open()?;
    for (at, event) in &world.timeline {
        runner.clock.store(*at, Ordering::Relaxed);
        let confirmed = result.confirmed.len();
        runner.act(&store, (*at, *event), &mut result).await?;
        if result.confirmed.len() > confirmed {
            report(&store).await?;
        }
        if *event == Event::Sweep {
            while !store.expire(100).await?.complete {}
        }
        if *event == Event::Restart {
            store.close().await;
            drop(store);
            store = runner.open()?;
        }
    }
    // The judge reads a store that was closed and opened again.
    store.close().await;
    drop(store);
    let store = runner.open()?;
    for entry in list_all(&store, Filter::messages()).await? {
        if let ListEntry::Message(message) = entry {
            result.records.push(*message);
        }
    }
    store.close().await;
    Ok(result)
}

impl Runner<'_> {
    fn open(&self) -> anyhow::Result<SledStore> {
        let clock = Arc::clone(&self.clock);
        let clock = Arc::new(move || timestamp(clock.load(Ordering::Relaxed)));
        let mut options = Options::new(self.folder, self.settings.policy, clock);
        options.recipient_hash_key = Some(b"the same in every play".to_vec());
        options.max_messages = u64::MAX;
        options.cache = CACHE;
        options.free_space = Arc::new(|| Ok(u64::MAX));
        SledStore::open(options).context("the store does not open")
    }

    /// Sends the command of an event.
    async fn act(
        &self,
        store: &SledStore,
        (at, event): (i64, Event),
        result: &mut RunResult,
    ) -> anyhow::Result<()> {
        let parser = RequestParser {
            world: self.world,
            recipient_hash_key: store.recipient_hash_key(),
            code_keys: &self.code_keys,
            ignores_crawlers: self.settings.ignores_crawlers,
            confirms_on_get: self.settings.confirms_on_get,
        };
        let parsed = parser.read(event, at);
        self.note(event, &parsed, result);
        let answer = match parsed {
            Ok(ParsedRequest::Update(update)) => remember(store, *update).await?,
            Ok(ParsedRequest::Signal(signal)) => observe(store, *signal).await?,
            Ok(ParsedRequest::Link(id, link)) => keep(store, id, link).await?,
            Ok(ParsedRequest::Ignored) => return Ok(()),
            Err(Malformed::OtherAccount) => {
                result.refused += 1;
                return Ok(());
            }
            Err(malformed) => bail!("{event:?} is malformed: {malformed}"),
        };
        result.take(answer);
        Ok(())
    }

    /// Records the evidence and the stated creation times, which the judge compares with proofs.
    fn note(&self, word: Event, parsed: &Result<ParsedRequest, Malformed>, result: &mut RunResult) {
        result.commands += 1;
        match (word, parsed) {
            (Event::Act(number) | Event::Streamed(number), Ok(ParsedRequest::Signal(signal))) => {
                let Some(act) = self.world.acts.get(number) else { return };
                if act.cause == Cause::UnknownAccount {
                    let violation =
                        format!("a request of an unknown account was accepted: {act:?}");
                    result.violations.push(violation);
                }
                if let Ok(evidence) = &signal.evidence {
                    let when = evidence.occurred_at.as_millisecond();
                    result.evidence.entry((when, act.line)).or_insert(number);
                }
            }
            (
                Event::Register(number) | Event::Status(number, _),
                Ok(ParsedRequest::Update(update)),
            ) => {
                let claim = update.created_at.unwrap_or(update.seen_at).min(update.seen_at);
                let known = result.claims.entry(number).or_insert(claim);
                *known = claim.min(*known);
            }
            _ => {}
        }
    }
}

impl RunResult {
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
    update: heardback::domain::signal::MessageUpdate,
) -> anyhow::Result<Answer> {
    let number = World::number(update.sid.as_str());
    let remembered = match store.remember(update).await {
        Ok(remembered) => remembered,
        // Another account of ours named the message before its registration: 409 in the service.
        Err(StoreError::Contradiction(_)) => return Ok(Answer::Contradicted),
        Err(error) => return Err(error.into()),
    };
    // An untracked message expires after a day.
    let kept = number.filter(|_| remembered.message.state != State::Untracked);
    Ok(Answer::Remembered(kept, remembered.confirmed))
}

/// Reports every confirmed message to a Twilio that accepts it.
async fn report(store: &SledStore) -> anyhow::Result<()> {
    for claim in store.claim(100, LEASE, &Quotas::default()).await? {
        store.settle(claim.lease, Settlement::Reported, None).await?;
    }
    Ok(())
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
        // The event names another account's message: 409 in the service.
        Err(StoreError::Contradiction(_)) => Ok(Answer::Contradicted),
        Err(error) => Err(error.into()),
    }
}
