//! Any history of commands from several receivers equals some serial order.
//!
//! A history is a list of rounds. The commands of a round run at the same time, each on one of three stores over one schema.
//! Then a search looks for an order in which the model gives the same outcomes and the same records.
//!
//! `HEARDBACK_HISTORIES` is the number of histories, `HEARDBACK_SEED` the seed of the first one.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use heardback::config::process_env;
use heardback::domain::feedback::{Lease, Settlement};
use heardback::domain::sid::MessageSid;
use heardback::store::postgres::PostgresStore;
use heardback::store::{Store, Swept};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::sync::Barrier;

use crate::given::{Hands, policy};
use crate::postgres::Postgres;
use crate::postgres::commands::{Command, Made, Outcome, Round, rounds};
use crate::postgres::model::{Model, as_text};
use crate::postgres::recount::assert_counts;
use crate::transfer::all;

/// The histories of one run of the tests.
const HISTORIES: u32 = 40;
/// The most states that the search for one order visits.
const MOST_STATES: u32 = 200_000;

/// A lease that a claim returned: of the store, and of the model.
type Leases = Vec<(Lease, Lease)>;

/// A serial order of a round, as far as it is known.
struct Search<'a> {
    round: &'a [(Command, Outcome)],
    made: Made,
    leases: &'a Leases,
    records: &'a [String],
    states: u32,
}

/// The state of the model after some commands of a round.
#[derive(Clone)]
struct Step {
    model: Model,
    /// The commands that are missing, by their number.
    left: Vec<usize>,
    swept: Swept,
    leases: Leases,
}

impl Search<'_> {
    /// The model after all commands of the round, if some order gives their outcomes.
    fn order(&mut self, step: &Step) -> Option<Step> {
        self.states += 1;
        assert!(self.states < MOST_STATES, "the search for a serial order is too long");
        let sweep = self.round.iter().find_map(|(_, outcome)| outcome.swept.as_ref());
        if step.left.is_empty() && sweep.is_none_or(|sweep| is_equal(sweep, &step.swept)) {
            let mut last = step.clone();
            if last.model.export() == self.records {
                last.left.clear();
                return Some(last);
            }
        }
        for number in step.left.clone() {
            let (command, outcome) = &self.round[number];
            let mut next = step.clone();
            next.left.retain(|other| *other != number);
            if outcome.swept.is_none() {
                let claimed = outcome.claims.iter().map(|lease| lease.message);
                let claimed: BTreeSet<_> = claimed.collect();
                // A claim skips rows that another transaction has locked. Its next run claims them.
                next.model.let_claim(Some(claimed));
                let leases: Vec<Lease> = self.leases.iter().map(|(_, lease)| *lease).collect();
                let modelled = command.of_model(&mut next.model, self.made, &leases);
                if modelled.text != outcome.text {
                    continue;
                }
                for lease in &outcome.claims {
                    let of_model = modelled.claims.iter();
                    let of_model = of_model.copied().find(|own| own.message == lease.message);
                    next.leases.push((*lease, of_model.expect("the texts are equal")));
                }
            }
            if let Some(last) = self.order(&next) {
                return Some(last);
            }
        }
        // A sweep is one transaction for each row, so other commands may come between them.
        for (model, swept) in sweep.map(|_| step.model.swept()).unwrap_or_default() {
            let mut next = Step { model, ..step.clone() };
            next.swept += swept;
            let is_possible = sweep.is_some_and(|all| is_at_most(&next.swept, all));
            if is_possible && let Some(last) = self.order(&next) {
                return Some(last);
            }
        }
        None
    }
}

fn is_equal(a: &Swept, b: &Swept) -> bool {
    a.by_kind() == b.by_kind() && sids(a) == sids(b)
}

fn sids(swept: &Swept) -> BTreeSet<MessageSid> {
    swept.confirmed.iter().copied().collect()
}

fn is_at_most(part: &Swept, all: &Swept) -> bool {
    let kinds = part.by_kind().into_iter().zip(all.by_kind());
    kinds.into_iter().all(|((_, part), (_, all))| part <= all) && sids(part).is_subset(&sids(all))
}

/// Runs the commands of a round at the same time. Returns them in the order of their answers.
async fn run(
    stores: &[Arc<dyn Store>],
    round: &Round,
    made: Made,
    leases: &Leases,
) -> Vec<(Command, Outcome)> {
    let (sender, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let start = Arc::new(Barrier::new(round.commands.len()));
    let leases: Arc<Vec<Lease>> = Arc::new(leases.iter().map(|(lease, _)| *lease).collect());
    for (at, command) in &round.commands {
        let store = Arc::clone(&stores[at % stores.len()]);
        let (start, sender) = (Arc::clone(&start), sender.clone());
        let (command, leases) = (command.clone(), Arc::clone(&leases));
        tokio::spawn(async move {
            start.wait().await;
            let outcome = command.of_store(&store, made, &leases).await;
            sender.send((command, outcome)).expect("the round waits");
        });
    }
    drop(sender);
    let mut answered = Vec::new();
    while let Some(answer) = answers.recv().await {
        answered.push(answer);
    }
    assert_eq!(answered.len(), round.commands.len(), "no command panics");
    answered
}

fn describe(round: &[(Command, Outcome)]) -> String {
    let lines = round.iter().map(|(command, outcome)| format!("  {command:?}\n    {outcome:?}\n"));
    lines.collect()
}

/// Whether a history equals a serial order, round by round.
async fn is_serial(postgres: &Postgres<'_>, history: &[Round]) -> Result<(), TestCaseError> {
    postgres.clear();
    let hands = Hands::default();
    let open = || -> Arc<dyn Store> {
        let options = postgres.options(&hands, policy());
        Arc::new(PostgresStore::open(options).expect("it opens"))
    };
    let stores = [open(), open(), open()];
    let (mut model, mut leases, mut now) = (Model::new(), Leases::new(), 0);
    for round in history {
        now += round.wait;
        hands.set(now);
        model.set(now);
        let made = Made { now };
        let answered = run(&stores, round, made, &leases).await;
        let records = as_text(all(&stores[0], 1000).await);
        let mut search =
            Search { round: &answered, made, leases: &leases, records: &records, states: 0 };
        let first = Step {
            model: model.clone(),
            left: (0..answered.len()).collect(),
            swept: Swept::default(),
            leases: leases.clone(),
        };
        let Some(last) = search.order(&first) else {
            return Err(TestCaseError::fail(format!(
                "no serial order gives these outcomes and records, at second {now}:\n{}before: {:#?}\nafter: {records:#?}",
                describe(&answered),
                model.export(),
            )));
        };
        (model, leases) = (last.model, last.leases);
    }
    drop(stores);
    assert_counts(postgres, &open(), &model.counts()).await;
    Ok(())
}

#[test]
fn each_history_of_three_receivers_equals_a_serial_order() {
    let Some(postgres) = Postgres::new() else { return };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(3).enable_all().build().expect("a runtime");
    let number = |name| process_env(name).map(|text| text.parse::<u64>().expect("a number"));
    let cases =
        number("HEARDBACK_HISTORIES").map_or(HISTORIES, |n| u32::try_from(n).expect("small"));
    let seed = number("HEARDBACK_SEED").unwrap_or_else(|| getrandom::u64().expect("random"));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let config =
        Config { cases, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, random);
    let failed = Cell::new(false);
    let result = runner.run(&rounds(), |history| {
        // A race does not happen each time, so a shrunk history is run a few times.
        let runs = if failed.get() { 8 } else { 1 };
        for _ in 0..runs {
            let result = runtime.block_on(is_serial(&postgres, &history));
            failed.set(failed.get() || result.is_err());
            result?;
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("HEARDBACK_SEED={seed}: {error}"));
}

#[test]
fn the_model_finds_an_order_and_refuses_a_history_without_one() {
    // Two settlements of one lease: one of them comes too late.
    let made = Made { now: 0 };
    let mut model = Model::new();
    for command in [Command::register(1), Command::Direct { n: 1 }] {
        command.of_model(&mut model, made, &[]);
    }
    let claim = Command::Claim { limit: 9 };
    let claims = claim.of_model(&mut model, made, &[]).claims;
    assert_eq!(claims.len(), 1);
    let leases: Leases = claims.iter().map(|lease| (*lease, *lease)).collect();
    let settle = Command::Settle { nth: 0, settlement: Settlement::Reported };
    let mut after = model.clone();
    let applied = settle.of_model(&mut after, made, &claims);
    let lost = settle.of_model(&mut after.clone(), made, &claims);
    assert_ne!(applied.text, lost.text);
    let records = after.export();
    let search = |round: &[(Command, Outcome)]| {
        let (left, swept) = ((0..round.len()).collect(), Swept::default());
        let first = Step { model: model.clone(), left, swept, leases: leases.clone() };
        let (records, leases) = (&records, &leases);
        Search { round, made, leases, records, states: 0 }.order(&first).is_some()
    };
    let (first, second) = ((settle.clone(), applied.clone()), (settle.clone(), lost));
    assert!(search(&[first.clone(), second.clone()]) && search(&[second, first.clone()]));
    assert!(!search(&[first.clone(), first]));
}
