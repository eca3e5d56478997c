//! Excuses: faults that explain a repeated post or the loss of evidence. Each has an upper bound, and the report
//! counts what each explains.

use crate::faults::DATABASE;
use crate::judge::facts::{Deferral, Facts, Message, Request, SECOND};
use crate::signals::{DEFERRABLE, call_sid, is_timed, reply_sid};

/// On a fast machine, the result of an attempt is on disk this long after Twilio's response.
const SETTLES_WITHIN: u64 = SECOND;
/// On a busy machine, it takes up to this many of its slowest starts, because a start syncs the store as well. On a
/// quiet machine, a start takes 50 ms.
const SLOWEST_STARTS: u64 = 2;
/// A later write is a fault of the service on any machine.
const SETTLES_AT_LAST: u64 = 5 * SECOND;
/// For this long, the service offers a result to a store that refuses it.
const DISK_TRIES: u64 = 8 * SECOND;
/// Deferred evidence is written within this time after the store can write again. The longest pause of its retries
/// is five seconds.
const DEFERRED_FOR: u64 = 6 * SECOND;

/// Whether an acknowledged proof must have confirmed its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// The message or its proof was not acknowledged.
    No,
    Yes,
    /// Each proof was a ringing call, a pressed link or a forwarded message that was in memory when the process ended, because the store
    /// could not write (`docs/reliability.md`, "The one exception").
    LostInMemory,
    /// The clock was wrong by days during a request about the message, and the proof is judged by its time.
    WrongClock,
}

impl Facts<'_> {
    /// Whether the message and a proof were acknowledged, and no excuse covers the loss of the proof.
    pub(crate) fn due(&self, message: &Message) -> Due {
        self.due_by(message, |_| true)
    }

    /// Whether the message and one of these proofs were acknowledged, and no excuse covers the loss of the proof.
    pub(crate) fn due_by(&self, message: &Message, counts: fn(&Request) -> bool) -> Due {
        if self.registered(message).is_none() {
            return Due::No;
        }
        let proofs = self.requests_of(message).filter(|it| it.is_genuine() && it.proves);
        let mut due = Due::No;
        for proof in proofs.filter(|proof| proof.is_acked() && counts(proof)) {
            due = if self.is_lost_in_memory(proof) {
                Due::LostInMemory
            } else if is_timed(&proof.kind) && self.is_by_wrong_clock(message) {
                Due::WrongClock
            } else {
                return Due::Yes;
            };
        }
        due
    }

    /// Whether an excuse was needed: the message is in the store, and not confirmed.
    pub(crate) fn is_excused(&self, message: &Message, by: Due) -> bool {
        let state = message.stored.as_ref().map(|(_, state, _)| state.as_str());
        let is_proven = |state| ["confirmed", "reported", "refused"].contains(&state);
        !state.is_some_and(is_proven) && self.due(message) == by
    }

    /// Whether the proof was only in memory when the process ended.
    fn is_lost_in_memory(&self, proof: &Request) -> bool {
        let Some((answered, ..)) = proof.answer else { return false };
        let names = [proof.sid.clone(), call_sid(&proof.sid), reply_sid(&proof.sid)];
        let is_about = |it: &&Deferral| names.contains(&it.about);
        let mut deferrals = self.deferrals.iter().filter(is_about);
        DEFERRABLE.contains(&proof.kind.as_str())
            && deferrals.any(|deferral| {
                // Only the first press is logged, because a repeated press takes no further memory.
                let run = self.runs.get(&deferral.run);
                let ended = run.and_then(|run| run.ended.as_ref()).map(|(at, _)| *at);
                // The log is read on another thread, so its line may be noted after the answer.
                deferral.at <= answered.saturating_add(SECOND)
                    && ended.is_some_and(|ended| proof.at <= ended)
                    && self.ended_with(deferral)
            })
    }

    fn ended_with(&self, deferral: &Deferral) -> bool {
        let Some(run) = self.runs.get(&deferral.run) else { return false };
        let Some((ended, how)) = run.ended.clone() else {
            return false;
        };
        if self.logged_losses.contains(&(deferral.run, deferral.about.clone())) {
            return true;
        }
        // A process on a full disk or without a database, or a stopped process, writes nothing.
        let obstacles = self.faults.values().filter(|fault| {
            (fault.name.contains("disk")
                || fault.name.starts_with("SIGSTOP")
                || fault.name.starts_with(DATABASE))
                && fault.from <= ended
        });
        let writable = obstacles.map(|fault| fault.to).max().unwrap_or_default().max(deferral.at);
        // An orderly shutdown logs its losses. A process whose disk fails ends itself with status 1, and only counts the
        // evidence of the batch that it was writing.
        let is_disk_full = || {
            let mut faults = self.faults.values();
            faults.any(|it| it.name.contains("disk") && (it.from..=it.to).contains(&ended))
        };
        let is_sudden = how.contains("signal") || run.unexpected_end.is_some();
        (is_sudden || (how.contains("exit status: 1") && is_disk_full()))
            && ended <= writable.saturating_add(DEFERRED_FOR)
    }

    /// Whether the clock was wrong during a request about the message.
    fn is_by_wrong_clock(&self, message: &Message) -> bool {
        let mut requests = self.requests_of(message).filter(|request| request.is_genuine());
        requests.any(|request| {
            let answered = request.answer.map_or(request.at + 5 * SECOND, |(at, ..)| at);
            self.is_clock_wrong(request.at, answered)
        })
    }

    /// Whether the clock was wrong at any time in this interval.
    pub(crate) fn is_clock_wrong(&self, from: u64, to: u64) -> bool {
        let mut jumps = self.faults.values().filter(|fault| fault.name.starts_with("clock"));
        jumps.any(|jump| jump.from <= to && from <= jump.to.saturating_add(SECOND))
    }

    /// The time within which the result of an attempt must be on disk, on this machine.
    pub(crate) fn settles_within(&self) -> u64 {
        let starts = self.runs.values().filter_map(|run| run.ready?.checked_sub(run.started));
        let slow = SLOWEST_STARTS * starts.max().unwrap_or_default();
        slow.clamp(SETTLES_WITHIN, SETTLES_AT_LAST)
    }

    /// The fault that may have prevented the write of Twilio's response at this time. A SIGTERM, a rotation and a cut
    /// connection are no excuses.
    pub(crate) fn excuse(&self, replied: u64) -> Option<&str> {
        let settles_within = self.settles_within();
        let late = replied.saturating_add(settles_within);
        let excuses = self.faults.values().filter(|fault| {
            let after = match fault.name.as_str() {
                "SIGKILL" | "an end of its own" => 0,
                // A process that was stopped, or could not write, catches up. A jump of the clock ends leases.
                act if act.starts_with("SIGSTOP") || act.starts_with("clock") => settles_within,
                act if act.contains("disk") || act.starts_with(DATABASE) => DISK_TRIES,
                _ => return false,
            };
            fault.from <= late && replied <= fault.to.saturating_add(after)
        });
        excuses.min_by_key(|fault| fault.from).map(|fault| fault.name.as_str())
    }
}
