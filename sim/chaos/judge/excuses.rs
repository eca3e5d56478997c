//! Excuses: faults that explain a repeated post or the loss of evidence. Each has an upper bound, and the report
//! counts what each explains.

use crate::judge::facts::{Deferral, Facts, Message, Request, SECOND};
use crate::signals::{DEFERRABLE, call_sid, is_timed};

/// On a fast machine, an attempt's result is on the disk this long after Twilio's answer.
const SETTLES_WITHIN: u64 = SECOND;
/// On a machine that other work keeps busy, within so many of its slowest starts: a start reads and syncs the store
/// as well. On a quiet one a start takes a twentieth of a second.
const SLOWEST_STARTS: u64 = 2;
/// However slow the machine is, a result that is on the disk later than this is a fault of the service.
const SETTLES_AT_LAST: u64 = 5 * SECOND;
/// The service offers a result to a store that does not take it for this long.
const DISK_TRIES: u64 = 8 * SECOND;
/// Deferred evidence is written this long after the store can write again: the longest pause between two attempts is
/// five seconds.
const DEFERRED_FOR: u64 = 6 * SECOND;

/// Whether an acknowledged proof must have confirmed its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Not both were acknowledged: the message and its proof.
    No,
    Yes,
    /// Each proof was a ringing call or a pressed link that was in memory when the process ended, because the store
    /// could not write (`docs/reliability.md`, "The one exception").
    LostInMemory,
    /// The clock was wrong by days when the message or its proof came in, and the proof is judged by its time.
    WrongClock,
}

impl Facts<'_> {
    /// Whether both were acknowledged, the message and its proof, and nothing excuses that the proof is lost.
    pub(crate) fn due(&self, message: &Message) -> Due {
        if self.remembered(message).is_none() {
            return Due::No;
        }
        let proofs = self.requests_of(message).filter(|it| it.is_genuine() && it.proves);
        let mut due = Due::No;
        for proof in proofs.filter(|proof| proof.is_acked()) {
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
        let state = message.kept.as_ref().map(|(_, state, _)| state.as_str());
        let is_proven = |state| ["confirmed", "reported", "refused"].contains(&state);
        !state.is_some_and(is_proven) && self.due(message) == by
    }

    /// Whether the proof was in the service's memory only, and the process ended before the store could write again.
    fn is_lost_in_memory(&self, proof: &Request) -> bool {
        let Some((answered, ..)) = proof.answer else { return false };
        let call = call_sid(&proof.sid);
        let is_about = |it: &&Deferral| it.about == proof.sid || it.about == call;
        let mut deferrals = self.deferrals.iter().filter(is_about);
        DEFERRABLE.contains(&proof.kind.as_str())
            && deferrals.any(|deferral| {
                // A repeated press takes no further room in memory, so the log names the first one only.
                let run = self.runs.get(&deferral.run);
                let ended = run.and_then(|run| run.ended.as_ref()).map(|(at, _)| *at);
                deferral.at <= answered
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
        // While the disk is full or the process is stopped, nothing is written.
        let obstacles = self.faults.values().filter(|fault| {
            (fault.act.contains("disk") || fault.act.starts_with("SIGSTOP")) && fault.from <= ended
        });
        let writable = obstacles.map(|fault| fault.to).max().unwrap_or_default().max(deferral.at);
        // A peaceful end logs what it loses.
        let is_sudden = how.contains("signal") || run.fell.is_some();
        is_sudden && ended <= writable.saturating_add(DEFERRED_FOR)
    }

    /// Whether the clock jumped while something was said about that message.
    fn is_by_wrong_clock(&self, message: &Message) -> bool {
        let mut requests = self.requests_of(message).filter(|request| request.is_genuine());
        requests.any(|request| {
            let answered = request.answer.map_or(request.at + 5 * SECOND, |(at, ..)| at);
            self.is_clock_wrong(request.at, answered)
        })
    }

    /// Whether the clock was wrong at any time between these two moments.
    pub(crate) fn is_clock_wrong(&self, from: u64, to: u64) -> bool {
        let mut jumps = self.faults.values().filter(|fault| fault.act.starts_with("clock"));
        jumps.any(|jump| jump.from <= to && from <= jump.to.saturating_add(SECOND))
    }

    /// How soon an attempt's result must be on the disk, as fast as this machine was.
    pub(crate) fn settles_within(&self) -> u64 {
        let starts = self.runs.values().filter_map(|run| run.ready?.checked_sub(run.started));
        let slow = SLOWEST_STARTS * starts.max().unwrap_or_default();
        slow.clamp(SETTLES_WITHIN, SETTLES_AT_LAST)
    }

    /// The fault that may have kept from the disk what Twilio answered at that moment. A SIGTERM may not, nor may a
    /// change of secrets or a cut connection.
    pub(crate) fn excuse(&self, told: u64) -> Option<&str> {
        let settles_within = self.settles_within();
        let late = told.saturating_add(settles_within);
        let excuses = self.faults.values().filter(|fault| {
            let after = match fault.act.as_str() {
                "SIGKILL" | "an end of its own" => 0,
                // A process that was stopped, or could not write, catches up. A jump of the clock ends leases.
                act if act.starts_with("SIGSTOP") || act.starts_with("clock") => settles_within,
                act if act.contains("disk") => DISK_TRIES,
                _ => return false,
            };
            fault.from <= late && told <= fault.to.saturating_add(after)
        });
        excuses.min_by_key(|fault| fault.from).map(|fault| fault.act.as_str())
    }
}
