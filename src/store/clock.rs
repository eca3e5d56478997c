//! The store's clock: the wall clock to date records by, and a trusted time to expire and remove them by. The rules of the
//! trusted time are in `domain/clock`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::clock::{ClockReading, Discipline, Jump, LastSeen};

/// Returns the wall clock's time. Injected, so that tests can set it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Returns the time of a clock without jumps. Injected, too.
pub type Uptime = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Called with the new state when a [`Jump`] begins, changes direction or ends. Must not block.
pub type OnJump = Arc<dyn Fn(Option<Jump>) + Send + Sync>;

/// The wall clock, either under discipline ([`crate::domain::clock`]) or trusted as it is.
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
    /// Trusts the wall clock without a check: for clocks that a test moves.
    pub fn believing(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, disciplined: None })
    }

    /// Compares the wall clock with a clock without jumps, and with the store's last trusted time.
    pub fn disciplined(clock: Clock, uptime: Uptime, on_jump: OnJump) -> Arc<Self> {
        let disciplined = Some(Disciplined { uptime, on_jump, state: Mutex::new(None) });
        Arc::new(Self { clock, disciplined })
    }

    /// The wall clock's time.
    pub fn wall(&self) -> Timestamp {
        (self.clock)()
    }

    /// The time to expire records by.
    pub fn trusted(&self) -> Timestamp {
        let trusted = self.with(|state, now| state.as_mut().map(|state| state.trusted(now)));
        trusted.flatten().unwrap_or_else(|| self.wall())
    }

    /// The time to remove parked evidence by.
    pub fn supported(&self) -> Timestamp {
        let supported = self.with(|state, now| state.as_mut().map(|state| state.supported(now)));
        supported.flatten().unwrap_or_else(|| self.wall())
    }

    /// The time to remove other records by.
    pub fn removal(&self) -> Timestamp {
        let removal = self.with(|state, now| state.as_mut().map(|state| state.removal(now)));
        removal.flatten().unwrap_or_else(|| self.wall())
    }

    /// The time to date records by: the wall clock's, unless it is known to be wrong.
    pub fn dated(&self) -> Timestamp {
        let dated = self.with(|state, now| state.as_mut().map(|state| state.dated(now)));
        dated.flatten().unwrap_or_else(|| self.wall())
    }

    /// The state to store, with which the clock check begins after a restart.
    pub(super) fn last(&self) -> LastSeen {
        let last = self.with(|state, now| state.as_mut().map(|state| state.last(now)));
        last.flatten().unwrap_or_else(|| self.wall().into())
    }

    /// Takes Twilio's time as the agreed time.
    pub fn agree(&self, theirs: Timestamp) {
        let _ = self.with(|state, now| {
            if let Some(state) = state {
                state.agree(now, theirs);
            }
        });
    }

    /// Takes the wall clock's time as the agreed time, because the operator has confirmed it.
    pub fn confirm(&self) {
        let _ = self.with(|state, now| {
            if let Some(state) = state {
                state.confirm(now);
            }
        });
    }

    /// The present jump of the wall clock, if no second source has confirmed it.
    pub fn jump(&self) -> Option<Jump> {
        self.with(|state, now| {
            let state = state.as_mut()?;
            state.trusted(now);
            state.jump()
        })?
    }

    /// Starts the clock check with the state that the opened store kept. `None`: the store is new.
    pub(super) fn begin(&self, last: Option<LastSeen>) {
        let _ = self.with(|state, now| *state = Some(Discipline::start(now, last)));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Option<Discipline>, ClockReading) -> T) -> Option<T> {
        let Disciplined { uptime, on_jump, state } = self.disciplined.as_ref()?;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        // Both clocks are read under the lock, so that readings are applied in their order.
        let now = ClockReading { wall: self.wall(), uptime: uptime() };
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
