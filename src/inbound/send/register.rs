//! Registers a message from Twilio's answer, before the app gets that answer.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::domain::outgoing::SendAnswer;
use crate::domain::sid::AccountSid;
use crate::domain::signal::MessageUpdate;
use crate::domain::timestamp_serde::to_millisecond;
use crate::inbound::decision_log;
use crate::inbound::receiver::Receiver;
use crate::inbound::send::answer::SendOutcome;
use crate::inbound::send::log::SendLog;
use crate::twilio::callback::{ParseContext, Relay};
use crate::twilio::send_answer::{SendParameters, created};

/// The longest time that the app waits for the store after Twilio's answer. The message is sent already.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// The facts of the created message.
///
/// # Errors
/// Why the answer names no message.
pub(super) fn facts(
    receiver: &Receiver,
    account: AccountSid,
    parameters: SendParameters,
    answer: &SendAnswer,
    log: &SendLog,
) -> Result<MessageUpdate, String> {
    let keyring = receiver.keyring.current();
    let context = ParseContext {
        account,
        others: &[],
        recipient_hash_key: receiver.store.recipient_hash_key(),
        code_keys: keyring.code_keys(account),
        ignores_crawlers: receiver.ignores_crawlers,
        reference_tag: None,
        relay: Relay::ViaApp,
        now: to_millisecond((receiver.clock)()),
        trace: log.trace,
    };
    created(&answer.body, parameters, &context).map_err(|malformed| malformed.to_string())
}

/// Registers the message, and passes the answer on: at once if the store writes in time, otherwise before it has written.
pub(super) async fn register(
    receiver: &Receiver,
    update: MessageUpdate,
    answer: SendAnswer,
    outcome_sender: oneshot::Sender<SendOutcome>,
    log: &SendLog,
) {
    let (sid, is_tracked) = (update.sid, update.tracked);
    let result = |is_stored: bool| is_tracked.then_some(is_stored);
    let count = |result| receiver.metrics.send(result);
    let mut write = receiver.store.remember(update);
    let in_time = timeout(MAX_WAIT, &mut write).await;
    let (stored, outcome_sender) = if let Ok(stored) = in_time {
        (stored, Some(outcome_sender))
    } else {
        log.unregistered(Some(sid), &format!("the store took over {} s", MAX_WAIT.as_secs()));
        count("unregistered");
        let early = SendOutcome::Answered { answer: answer.clone(), registered: result(false) };
        // Fails if the client has gone.
        let _ = outcome_sender.send(early);
        (write.await, None)
    };
    let is_late = outcome_sender.is_none();
    let is_stored = match stored {
        Ok(registered) => {
            decision_log::registered(&receiver.metrics, log.trace, &registered);
            if is_late {
                log.late(sid);
            }
            true
        }
        Err(error) => {
            if !is_late {
                log.unregistered(Some(sid), &error.to_string());
            }
            false
        }
    };
    if let Some(outcome_sender) = outcome_sender {
        count(match (is_stored, is_tracked) {
            (false, _) => "unregistered",
            (true, true) => "registered",
            (true, false) => "untracked",
        });
        let _ =
            outcome_sender.send(SendOutcome::Answered { answer, registered: result(is_stored) });
    }
}
