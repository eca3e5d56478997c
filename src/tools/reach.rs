//! A store within a command's reach: in the hands of a service that answers for it, or opened right here. Each
//! question has one answer, whoever gives it.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use secrecy::ExposeSecret;

use crate::config::{Judgement, StoreUrl, VisitSettings};
use crate::domain::matching::{Policy, Resend};
use crate::inbound::control::Question;
use crate::store::ClockGuard;
use crate::store::sled::{Options, Visit};
use crate::tools::backup::PATIENCE;
use crate::tools::control::Service;

/// What the store is opened with. Nothing is judged here, nor swept.
pub(super) const POLICY: Policy = Policy {
    pending_ttl: Duration::MAX,
    reply_window: Duration::MAX,
    event_window: Duration::MAX,
    retention: Duration::MAX,
    read_confirms: false,
    resend: Resend::Newest,
};

/// What was asked for makes no sense; the command ends with 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(pub(super) String);

/// A store that questions can be asked of.
pub enum Reach {
    /// A service has it open.
    Service(Service),
    /// We have.
    Here(Box<Visit>),
}

impl Reach {
    /// Finds out which.
    ///
    /// # Errors
    /// Neither: the service's socket is not ours to use, or the store cannot be opened.
    pub fn begin(settings: &VisitSettings) -> anyhow::Result<Self> {
        Self::with(settings, options(settings, POLICY))
    }

    /// The same for a command that has the store judge, which it is to do as the service does.
    ///
    /// # Errors
    /// The same.
    pub(super) fn judging(settings: &VisitSettings, judgement: &Judgement) -> anyhow::Result<Self> {
        let mut options = options(settings, judgement.policy);
        options.max_messages = judgement.max_messages;
        options.max_parked = judgement.max_parked;
        Self::with(settings, options)
    }

    fn with(settings: &VisitSettings, options: Options) -> anyhow::Result<Self> {
        let StoreUrl::Sled(store) = &settings.store;
        if let Some(service) = Service::find(store)? {
            return Ok(Self::Service(service));
        }
        Ok(Self::Here(Box::new(Visit::begin(options)?)))
    }

    /// Whether a service has it.
    pub(super) fn is_served(&self) -> bool {
        match self {
            Self::Service(_) => true,
            Self::Here(_) => false,
        }
    }

    /// Asks.
    ///
    /// # Errors
    /// The store does not do it, or the service does not answer.
    pub async fn ask<Q: Question>(&self, question: Q) -> anyhow::Result<Q::Answer> {
        match self {
            Self::Service(service) => service.ask(question).await,
            Self::Here(visit) => Ok(question.answer(visit.store()).await?),
        }
    }

    /// Lets go of the store.
    pub async fn end(self) {
        match self {
            Self::Service(_) => {}
            Self::Here(visit) => visit.end().await,
        }
    }
}

/// How a command opens a store.
pub(super) fn options(settings: &VisitSettings, policy: Policy) -> Options {
    let StoreUrl::Sled(store) = &settings.store;
    let mut options = Options::new(store, policy, Arc::new(now));
    options.lock_patience = PATIENCE;
    // A command is short, so its clock is compared with the store's own time only, when the store opens.
    options.clock =
        ClockGuard::disciplined(Arc::new(now), Arc::new(|| Duration::ZERO), Arc::new(|_| {}));
    // How many a service takes in is its own affair, unless it is said here too.
    options.max_messages = settings.max_messages.unwrap_or(u64::MAX);
    options.max_parked = settings.max_parked.unwrap_or(u64::MAX);
    let key = settings.phone_key.as_ref();
    options.person_key = key.map(|key| key.expose_secret().as_bytes().to_vec());
    options
}

#[expect(clippy::disallowed_methods, reason = "a command tells the time")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// Reads a flag's duration.
pub(super) fn span(flag: &str, text: &str) -> Result<Duration, Wrong> {
    duration(text).ok_or_else(|| not_a_span(flag, text))
}

fn duration(text: &str) -> Option<Duration> {
    let span = text.parse::<Span>().ok()?;
    Duration::try_from(span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?).ok()
}

pub(super) fn not_a_span(flag: &str, text: &str) -> Wrong {
    Wrong(format!("{flag}: {text:?}: expected a duration such as 90s, 15m, 1h30m, 24h or 7d"))
}

/// How long ago, in the largest unit: `12m`, or `in 30s`.
pub(super) fn age(now: Timestamp, at: Timestamp) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let ago: SignedDuration = now.duration_since(at);
    let seconds = ago.as_secs().abs();
    let (size, unit) = UNITS.into_iter().find(|(size, _)| seconds >= *size).unwrap_or((1, "s"));
    let sign = if ago.is_negative() && seconds > 0 { "in " } else { "" };
    format!("{sign}{}{unit}", seconds / size)
}

/// The time before now by a duration. `None`: the text is no duration.
pub(super) fn time_ago(text: &str) -> Option<Timestamp> {
    now().checked_sub(duration(text)?).ok()
}

/// A time in the past: RFC 3339, or a duration before now.
///
/// # Errors
/// [`Wrong`], if it is neither, or in the future.
pub(super) fn at_or_ago(flag: &str, text: &str) -> Result<Timestamp, Wrong> {
    let at = text.parse::<Timestamp>().ok().or_else(|| time_ago(text));
    at.filter(|at| *at <= now()).ok_or_else(|| {
        let expected = "a past time such as 2026-11-23T10:00:00Z, or a duration such as 90m or 2d";
        Wrong(format!("{flag}: {text:?}: expected {expected}"))
    })
}

/// To the second, in UTC.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let at = |seconds| Timestamp::from_second(seconds).expect("a time");
        let ages =
            [(0, "0s"), (59, "59s"), (61, "1m"), (7_300, "2h"), (200_000, "2d"), (-30, "in 30s")];
        for (seconds, told) in ages {
            assert_eq!(age(at(1_000_000), at(1_000_000 - seconds)), told);
        }
    }
}
