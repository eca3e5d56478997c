//! The store's clock: the wall clock to date records by, and a trusted time to expire and remove them by.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::clock::{Discipline, Jump, Reading};
use crate::store::Clock;

/// A clock without jumps. Injected, as the wall clock is.
pub type Uptime = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Called with the new state when a [`Jump`] begins, turns round or ends. Must not block.
pub type OnJump = Arc<dyn Fn(Option<Jump>) + Send + Sync>;

/// The wall clock under discipline ([`crate::domain::clock`]), or believed as it is.
pub struct ClockGuard {
    clock: Clock,
    disciplined: Option<Disciplined>,
}

struct Disciplined {
    uptime: Uptime,
    on_jump: OnJump,
    /// `None` until the store is open.
    state: Mutex<Option<Discipline>>,
}

impl ClockGuard {
    /// Believes the clock, whatever it says: for clocks that a test moves.
    #[must_use]
    pub fn believing(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, disciplined: None })
    }

    /// Compares the clock with one without jumps, and with the last time that a store knows.
    #[must_use]
    pub fn disciplined(clock: Clock, uptime: Uptime, on_jump: OnJump) -> Arc<Self> {
        let disciplined = Some(Disciplined { uptime, on_jump, state: Mutex::new(None) });
        Arc::new(Self { clock, disciplined })
    }

    /// The wall clock.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        (self.clock)()
    }

    /// The time to expire and remove records by.
    #[must_use]
    pub fn trusted(&self) -> Timestamp {
        let trusted = self.with(|state, now| state.as_mut().map(|state| state.trusted(now)));
        trusted.flatten().unwrap_or_else(|| self.wall())
    }

    /// The time to date records by: the wall clock's, unless that is known to be wrong.
    #[must_use]
    pub fn dated(&self) -> Timestamp {
        let dated = self.with(|state, now| state.as_mut().map(|state| state.dated(now)));
        dated.flatten().unwrap_or_else(|| self.wall())
    }

    /// The time for the store to begin with after a restart.
    pub(super) fn last(&self) -> Timestamp {
        let last = self.with(|state, now| state.as_mut().map(|state| state.last(now)));
        last.flatten().unwrap_or_else(|| self.wall())
    }

    /// Twilio says what time it is.
    pub fn agree(&self, theirs: Timestamp) {
        let _ = self.with(|state, now| {
            if let Some(state) = state {
                state.agree(now, theirs);
            }
        });
    }

    /// The operator says that the wall clock is right.
    pub fn confirm(&self) {
        let _ = self.with(|state, now| {
            if let Some(state) = state {
                state.confirm(now);
            }
        });
    }

    /// The jump that no second source has agreed to, as of now.
    #[must_use]
    pub fn jump(&self) -> Option<Jump> {
        self.with(|state, now| {
            let state = state.as_mut()?;
            state.trusted(now);
            state.jump()
        })?
    }

    /// A store is open, and this was its last trusted time; `None`: it is new.
    pub(super) fn begin(&self, last: Option<Timestamp>) {
        let _ = self.with(|state, now| *state = Some(Discipline::start(now, last)));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Option<Discipline>, Reading) -> T) -> Option<T> {
        let Disciplined { uptime, on_jump, state } = self.disciplined.as_ref()?;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that no later reading overtakes it.
        let now = Reading { wall: self.wall(), uptime: uptime() };
        let kind = |state: &Option<Discipline>| {
            state.and_then(|state| state.jump()).map(|jump| jump.holds_back())
        };
        let before = kind(&state);
        let done = act(&mut state, now);
        let changed = (before != kind(&state)).then(|| state.and_then(|state| state.jump()));
        drop(state);
        if let Some(jump) = changed {
            on_jump(jump);
        }
        Some(done)
    }
}
