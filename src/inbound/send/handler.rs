//! The route of send through: one verified request, one request to Twilio, one answer.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::domain::outgoing::{OutgoingSend, SendAnswer, SendFailure, Sent};
use crate::domain::sid::AccountSid;
use crate::inbound::authorized_send::{AcceptedSend, AuthorizedSend};
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection::Rejection;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::send::answer::SendOutcome;
use crate::inbound::send::log::SendLog;
use crate::inbound::send::register;
use crate::inbound::send::sends::{Sends, count_found};
use crate::inbound::trace;
use crate::twilio::send_answer::SendParameters;
use crate::twilio::send_form::RewrittenForm;

pub(crate) async fn send(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    send: AuthorizedSend,
) -> Result<HttpResponse, RejectionResponse> {
    let reject = |rejection| RejectionResponse::of(&request, rejection);
    let sends = receiver.sends.clone().ok_or_else(|| reject(Rejection::NotFound))?;
    let AcceptedSend { account, headers, form } = send.into_inner();
    let Some(slot) = sends.begin() else {
        receiver.metrics.send("busy");
        return Err(reject(Rejection::TooManySends));
    };
    let RewrittenForm { form, reference, code, is_tracked } = form;
    let work = Work {
        receiver: Arc::clone(&receiver),
        sends: Arc::clone(&sends),
        log: SendLog { account, trace: trace::of(&request) },
        outgoing: OutgoingSend { account, headers, form, timeout: sends.timeout },
        parameters: SendParameters { reference, code, is_tracked },
    };
    let (outcome_sender, outcome) = oneshot::channel();
    sends.runtime.spawn(work.run(outcome_sender, slot));
    let outcome = outcome.await.unwrap_or_else(|_| {
        // The task panicked, or the runtime shuts down.
        let why = "Heardback failed internally, or shuts down".to_owned();
        SendOutcome::Failed(SendFailure { sent: Sent::Maybe, is_timeout: false, why })
    });
    Ok(outcome.into_response())
}

/// The work on one send. It goes on if the client hangs up.
struct Work {
    receiver: Arc<Receiver>,
    sends: Arc<Sends>,
    log: SendLog,
    outgoing: OutgoingSend,
    parameters: SendParameters,
}

impl Work {
    /// Sends once, registers the message, and answers. `slot` is released once the message is registered, which may be after
    /// the answer.
    async fn run(self, outcome_sender: oneshot::Sender<SendOutcome>, slot: OwnedSemaphorePermit) {
        let Self { receiver, sends, log, outgoing, parameters } = self;
        let account = outgoing.account;
        let reference = parameters.reference.clone().filter(|_| parameters.is_tracked);
        let reference = reference.map(|reference| (account, reference));
        if let Some(reference) = &reference {
            sends.lost.begin(reference.clone());
        }
        let result = sends.creator.create(outgoing).await;
        let is_lost = matches!(&result, Err(failure) if failure.sent != Sent::No);
        let found = reference.and_then(|reference| sends.lost.end(reference, is_lost));
        match result {
            Ok(answer) if answer.is_success() => {
                created(&receiver, account, parameters, answer, outcome_sender, &log).await;
            }
            Ok(answer) => {
                receiver.metrics.send(match answer.status {
                    429 => "throttled",
                    400..=499 => "refused",
                    _ => "failed",
                });
                let _ = outcome_sender.send(SendOutcome::Answered { answer, registered: None });
            }
            Err(failure) => {
                log.failed(&failure);
                receiver.metrics.send(if is_lost { "lost" } else { "not_sent" });
                if let Some(message) = found {
                    count_found(&receiver.metrics, message, account);
                }
                let _ = outcome_sender.send(SendOutcome::Failed(failure));
            }
        }
        drop(slot);
    }
}

async fn created(
    receiver: &Receiver,
    account: AccountSid,
    parameters: SendParameters,
    answer: SendAnswer,
    outcome_sender: oneshot::Sender<SendOutcome>,
    log: &SendLog,
) {
    let is_tracked = parameters.is_tracked;
    match register::facts(receiver, account, parameters, &answer, log) {
        Ok(update) => register::register(receiver, update, answer, outcome_sender, log).await,
        Err(why) => {
            log.unregistered(None, &why);
            receiver.metrics.send("unregistered");
            let registered = is_tracked.then_some(false);
            let _ = outcome_sender.send(SendOutcome::Answered { answer, registered });
        }
    }
}
