//! The commands of a history, and their outcomes as a store and the model give them.

use std::sync::Arc;
use std::time::Duration;

use heardback::domain::address::{Address, Recipient, RecipientHashKey, RecipientNames};
use heardback::domain::code::{CodeKey, Probe};
use heardback::domain::feedback::{Claim, Lease, Settlement};
use heardback::domain::message::Refusal;
use heardback::domain::signal::{MessageUpdate, Signal};
use heardback::store::engine::{self, EngineResult};
use heardback::store::{Quotas, RequeueFrom, Store, StoreError, Swept};
use proptest::prelude::*;
use proptest::sample::select;

use crate::given::{
    DAY, HOUR, MINUTE, SENDER, account, acted, address, at, clicked, direct, link, person,
    reference, registered, shared, sid, status, texted, token,
};
use crate::postgres::model::Model;

pub(super) const LEASE: Duration = Duration::from_secs(30);
/// More rows than a history has.
const ALL_ROWS: usize = 10_000;
const NUMBER: &str = "whatsapp:+15551230001";
const USER_ID: &str = "whatsapp:US.13491208655302741918";
const CODES: [&str; 2] = ["111111", "222222"];

/// Commands at the same time, each with the number of its store.
#[derive(Debug, Clone)]
pub(super) struct Round {
    /// The seconds since the round before.
    pub(super) wait: i64,
    pub(super) commands: Vec<(usize, Command)>,
}

/// The circumstances of a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    pub(super) now: i64,
}

/// A recipient: by phone number, or by one or both of two WhatsApp names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    Phone(u32),
    Number,
    UserId,
    Both,
}

impl To {
    fn recipient(self) -> Recipient {
        match self {
            Self::Phone(n) => person(n),
            Self::Number => address(NUMBER),
            Self::UserId | Self::Both => address(USER_ID),
        }
    }

    /// All names, if Twilio gives several.
    fn names(self) -> Option<RecipientNames> {
        let names = [NUMBER, USER_ID].map(|name| Address::parse(name).expect("valid"));
        let key = RecipientHashKey::new(b"test");
        (self == Self::Both).then(|| RecipientNames::of(&key, account(), &names).expect("two"))
    }
}

#[derive(Debug, Clone)]
pub(super) enum Command {
    Register {
        n: u32,
        to: To,
        reference: Option<&'static str>,
        code: Option<usize>,
        link: Option<u8>,
    },
    Status {
        n: u32,
        word: &'static str,
        to: To,
    },
    Direct {
        n: u32,
    },
    /// An event that names a message and its facts.
    Told {
        n: u32,
        to: To,
    },
    Shared {
        name: &'static str,
    },
    Acted {
        from: To,
        id: Option<u32>,
    },
    Typed {
        from: To,
        code: usize,
    },
    Clicked {
        link: u8,
    },
    KeepLink {
        link: u8,
        reference: Option<&'static str>,
    },
    Claim {
        limit: usize,
    },
    /// Ends the attempt of an earlier claim, the latest first.
    Settle {
        nth: usize,
        settlement: Settlement,
    },
    Hold,
    Resume,
    Requeue {
        n: u32,
        from: RequeueFrom,
    },
    Expire,
}

/// The answer to a command, without the parts in which stores differ.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) text: String,
    pub(super) claims: Vec<Lease>,
    /// The changes of a sweep, which is no single transaction.
    pub(super) swept: Option<Swept>,
}

impl Outcome {
    fn of<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> Self {
        if let Err(StoreError::Unavailable { reason, .. }) = result {
            panic!("no command is refused: {reason}");
        }
        Self { text: format!("{result:?}"), claims: Vec::new(), swept: None }
    }

    fn of_claim(result: Result<Vec<Claim>, StoreError>) -> Self {
        let mut claims = result.expect("claimed");
        claims.sort_by_key(|claim| claim.lease.message);
        let leases = claims.iter().map(|claim| claim.lease).collect();
        for claim in &mut claims {
            claim.lease.token = 0;
        }
        Self { claims: leases, ..Self::of(&Ok(claims)) }
    }
}

fn refused() -> Settlement {
    let message = "no".to_owned();
    Settlement::Refused(Refusal { status: Some(404), code: Some(20404), message })
}

fn infallible<T>(result: EngineResult<T, std::convert::Infallible>) -> Result<T, StoreError> {
    let Ok(result) = result;
    result
}

#[expect(clippy::wildcard_enum_match_arm, reason = "each function concerns a few of the commands")]
impl Command {
    pub(super) fn register(n: u32) -> Self {
        Self::Register { n, to: To::Phone(1), reference: None, code: None, link: None }
    }

    fn update(&self, made: Made) -> Option<MessageUpdate> {
        let with = |update: MessageUpdate, to: To| MessageUpdate {
            recipient: Some(to.recipient()),
            names: to.names(),
            ..update
        };
        match self {
            Self::Register { n, to, reference: name, code, link } => {
                let key = CodeKey::new(b"the app's key");
                let update = MessageUpdate {
                    reference: name.map(reference),
                    code: code.map(|code| key.hmac(sid(*n), CODES[code])),
                    link: link.map(|link| token(link).id()),
                    // Twilio alone names several names.
                    by_twilio: *to == To::Both,
                    strict: false,
                    ..registered(*n, made.now)
                };
                Some(with(update, *to))
            }
            Self::Status { n, word, to } => Some(with(status(*n, word, made.now), *to)),
            Self::Told { n, to } => {
                let update = MessageUpdate { created_at: None, ..registered(*n, made.now) };
                Some(with(MessageUpdate { strict: false, ..update }, *to))
            }
            _ => None,
        }
    }

    fn signal(&self, made: Made) -> Option<Signal> {
        let now = made.now;
        let from = |to: To| {
            let act = acted(to.recipient(), Some(SENDER), now);
            Signal { names: to.names().map(|names| (account(), names)), ..act }
        };
        Some(match self {
            Self::Direct { n } => direct(*n, now),
            Self::Told { n, .. } => Signal { message_update: self.update(made), ..direct(*n, now) },
            Self::Shared { name } => shared(name, now),
            Self::Acted { from: to, id: Some(id) } => texted(*id, from(*to)),
            Self::Acted { from: to, id: None } => from(*to),
            Self::Typed { from: to, code } => {
                let key = CodeKey::new(b"the app's key");
                Signal { code: Probe::new(CODES[*code], std::slice::from_ref(&key)), ..from(*to) }
            }
            Self::Clicked { link } => clicked(*link, now),
            _ => return None,
        })
    }

    /// The lease that a settlement names, of the leases so far.
    fn lease(&self, leases: &[Lease]) -> Option<(Lease, Settlement)> {
        let Self::Settle { nth, settlement } = self else { return None };
        let lease = leases.iter().rev().nth(*nth)?;
        Some((*lease, settlement.clone()))
    }

    pub(super) async fn of_store(
        &self,
        store: &Arc<dyn Store>,
        made: Made,
        leases: &[Lease],
    ) -> Outcome {
        if let Some(signal) = self.signal(made) {
            return Outcome::of(&store.observe(signal).await);
        }
        if let Some(update) = self.update(made) {
            let mut result = store.remember(update).await;
            if let Ok(outcome) = &mut result {
                outcome.message.delivery.lease = None;
            }
            return Outcome::of(&result);
        }
        if let Some((lease, settlement)) = self.lease(leases) {
            return Outcome::of(&store.settle(lease, settlement, None).await);
        }
        match self {
            Self::KeepLink { link: n, reference } => {
                Outcome::of(&store.keep_link(token(*n).id(), link(*reference, made.now)).await)
            }
            Self::Claim { limit } => {
                Outcome::of_claim(store.claim(*limit, LEASE, &Quotas::default()).await)
            }
            Self::Hold => Outcome::of(&store.hold(account()).await),
            Self::Resume => Outcome::of(&store.resume(account()).await),
            Self::Requeue { n, from } => Outcome::of(&store.requeue(sid(*n), *from).await),
            Self::Expire => {
                let swept = store.expire(ALL_ROWS).await.expect("swept");
                assert!(swept.complete);
                Outcome { swept: Some(swept), ..Outcome::of(&Ok(())) }
            }
            _ => Outcome::of(&Ok(())),
        }
    }

    pub(super) fn of_model(&self, model: &mut Model, made: Made, leases: &[Lease]) -> Outcome {
        if let Some(signal) = self.signal(made) {
            return Outcome::of(&infallible(engine::observe(model, &signal)));
        }
        if let Some(update) = self.update(made) {
            let mut result = infallible(engine::remember(model, &update));
            if let Ok(outcome) = &mut result {
                outcome.message.delivery.lease = None;
            }
            return Outcome::of(&result);
        }
        if let Some((lease, settlement)) = self.lease(leases) {
            return Outcome::of(&infallible(engine::settle(model, lease, settlement, None)));
        }
        match self {
            Self::KeepLink { link: n, reference } => {
                let link = link(*reference, made.now);
                Outcome::of(&infallible(engine::keep_link(model, token(*n).id(), link)))
            }
            Self::Claim { limit } => {
                let quotas = Quotas::default();
                Outcome::of_claim(infallible(engine::claim(model, *limit, LEASE, &quotas)))
            }
            Self::Hold => Outcome::of(&infallible(engine::hold(model, account()))),
            Self::Resume => Outcome::of(&infallible(engine::resume(model, account()))),
            Self::Requeue { n, from } => {
                Outcome::of(&infallible(engine::requeue(model, sid(*n), *from)))
            }
            _ => Outcome::of(&Ok(())),
        }
    }
}

/// Few names, so that commands meet.
fn to() -> impl Strategy<Value = To> {
    select(vec![
        To::Phone(1),
        To::Phone(1),
        To::Phone(1),
        To::Phone(2),
        To::Number,
        To::UserId,
        To::Both,
    ])
}

fn name() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "a", "b"])
}

fn settlement() -> impl Strategy<Value = Settlement> {
    select(vec![
        Settlement::Reported,
        Settlement::Retry { after: LEASE, spent: LEASE },
        Settlement::Release { after: Duration::ZERO },
        refused(),
    ])
}

fn updates() -> impl Strategy<Value = Command> {
    let n = || 1..=4_u32;
    let register = (
        n(),
        to(),
        proptest::option::of(name()),
        proptest::option::weighted(0.3, 0..2_usize),
        proptest::option::weighted(0.3, 1..=2_u8),
    );
    let words = select(vec!["sent", "delivered", "failed", "read"]);
    prop_oneof![
        5 => register.prop_map(|(n, to, reference, code, link)| Command::Register { n, to, reference, code, link }),
        2 => (n(), words, to()).prop_map(|(n, word, to)| Command::Status { n, word, to }),
    ]
}

fn signals() -> impl Strategy<Value = Command> {
    let n = || 1..=4_u32;
    prop_oneof![
        3 => n().prop_map(|n| Command::Direct { n }),
        1 => (n(), to()).prop_map(|(n, to)| Command::Told { n, to }),
        3 => name().prop_map(|name| Command::Shared { name }),
        4 => (to(), proptest::option::of(1..=3_u32)).prop_map(|(from, id)| Command::Acted { from, id }),
        1 => (to(), 0..2_usize).prop_map(|(from, code)| Command::Typed { from, code }),
        1 => (1..=2_u8).prop_map(|link| Command::Clicked { link }),
        1 => (1..=2_u8, proptest::option::of(name()))
            .prop_map(|(link, reference)| Command::KeepLink { link, reference }),
    ]
}

fn deliveries() -> impl Strategy<Value = Command> {
    let from = select(vec![RequeueFrom::Refused, RequeueFrom::ReportedSince(at(0))]);
    prop_oneof![
        5 => (1..=4_usize).prop_map(|limit| Command::Claim { limit }),
        5 => (0..4_usize, settlement()).prop_map(|(nth, settlement)| Command::Settle { nth, settlement }),
        1 => Just(Command::Hold),
        2 => Just(Command::Resume),
        2 => (1..=4_u32, from).prop_map(|(n, from)| Command::Requeue { n, from }),
        1 => Just(Command::Expire),
    ]
}

fn round() -> impl Strategy<Value = Round> {
    let wait = select(vec![0, 1, 20, 40, 10 * MINUTE, 2 * HOUR, DAY, 8 * DAY]);
    let command = prop_oneof![4 => updates(), 5 => signals(), 4 => deliveries()];
    let commands = proptest::collection::vec((0..3_usize, command), 2..=6);
    (wait, commands).prop_map(|(wait, mut commands)| {
        // The search can tell one sweep apart from other commands, not two.
        let is_sweep = |(_, command): &(usize, Command)| matches!(command, Command::Expire);
        if let Some(first) = commands.iter().position(is_sweep) {
            let mut at = 0;
            commands.retain(|command| {
                at += 1;
                at - 1 <= first || !is_sweep(command)
            });
        }
        Round { wait, commands }
    })
}

pub(super) fn rounds() -> impl Strategy<Value = Vec<Round>> {
    proptest::collection::vec(round(), 2..=8)
}
