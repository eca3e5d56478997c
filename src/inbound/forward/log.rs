//! One count, and for a failure one log line, for each forwarded webhook.

use std::time::Duration;

use actix_web::HttpRequest;

use crate::domain::forward::{ForwardFailure, ForwardKind};
use crate::domain::sid::AccountSid;
use crate::forward::{AppAnswer, Failed};
use crate::inbound::receiver::Receiver;
use crate::inbound::trace;

pub(super) struct ForwardLog<'a> {
    pub(super) request: &'a HttpRequest,
    pub(super) receiver: &'a Receiver,
    pub(super) account: AccountSid,
    pub(super) kind: ForwardKind,
    pub(super) took: Duration,
}

impl ForwardLog<'_> {
    pub(super) fn record(&self, asked: &Result<AppAnswer, Failed>) {
        let failed = match asked {
            Ok(answer) if answer.status < 400 => None,
            Ok(answer) => {
                let detail = format!("status {}", answer.status);
                Some(Failed { failure: ForwardFailure::ClientError, detail })
            }
            Err(failed) => Some(failed.clone()),
        };
        let Self { request, receiver, account, kind, took } = self;
        let failure = failed.as_ref().map(|failed| failed.failure);
        receiver.metrics.forward(*kind, failure, *took);
        let Some(Failed { failure, detail }) = failed else { return };
        receiver.forward_failures.record((*account, *kind), failure, &detail, (receiver.clock)());
        let reason = failure.as_str();
        let kind = kind.as_str();
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let trace_id = trace::id(request);
        if failure == ForwardFailure::ClientError {
            tracing::warn!(
                account_sid = %account, kind, reason, detail, ms, trace_id,
                "the app refused a {kind} webhook: {detail}; Twilio got this answer"
            );
        } else {
            tracing::warn!(
                account_sid = %account, kind, reason, detail, ms, trace_id,
                "the app did not answer a {kind} webhook: {reason}; Twilio got the answer for failures \
                 (docs/forward.md); its evidence is not affected"
            );
        }
    }
}
