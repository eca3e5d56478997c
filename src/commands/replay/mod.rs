//! `replay`: signs recorded requests as they would be signed now, sends them to the service, and reports each result.
//! A request that was rejected for a wrong setting is not lost once the setting is right.
//!
//! Twilio's routes return no result. So each request carries a trace of its own, by which the store is queried
//! afterwards. Deliberately absent: bodies, numbers and tokens in the output, and requests that no known key signed or
//! that carry no time, unless an option sends them.

mod answer;
mod plan;
mod result;
mod route;
pub(super) mod signer;
mod staleness;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Client, Method, StatusCode, Url, redirect};

use crate::admin::AdminRequest;
use crate::admin::show::ShownRecords;
use crate::admin::trace_lookup::TracedRecords;
use crate::cli::ReplayArgs;
use crate::commands::control::RunningService;
use crate::commands::doctor::live::reach::describe_error;
use crate::commands::pipe_tolerant_stdout::note;
use crate::commands::recorded;
use crate::commands::replay::plan::{PlanOptions, ReplayPlan};
use crate::commands::replay::result::{ReplayOutcome, ReplayResult, ReplaySummary};
use crate::commands::replay::route::ReplayRoute;
use crate::commands::store_access::UsageError;
use crate::config::Settings;
use crate::domain::message::Reference;
use crate::domain::sid::MessageSid;
use crate::domain::trace::TraceParent;
use crate::recording::Recording;

/// Twilio's own timeout.
const TIMEOUT: Duration = Duration::from_secs(15);

struct Sent {
    /// The index of its result.
    at: usize,
    plan: ReplayPlan,
    trace: TraceParent,
}

/// Reads all recordings, then sends one after the other.
pub(crate) async fn run(settings: &Settings, args: &ReplayArgs) -> anyhow::Result<ReplaySummary> {
    let recordings = args.files.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let service = service(settings, args.to.as_deref())?;
    let (as_of_now, unproven) = (args.as_of_now, args.unproven);
    let options = PlanOptions { settings, service: &service, as_of_now, unproven };
    let client = Client::builder().no_proxy().redirect(redirect::Policy::none());
    let client = client.timeout(TIMEOUT).build()?;
    let mut results = Vec::with_capacity(recordings.len());
    let mut sent = Vec::new();
    for (file, recording) in recordings {
        let (path, _) = route::find(&recording, settings);
        let request = format!("{} {path}", recording.method);
        let mut result = ReplayResult { file, request, ..ReplayResult::default() };
        match plan::plan(&recording, &options) {
            Err(reason) => result.outcome = ReplayOutcome::new("not_sent", reason),
            Ok(plan) if args.only_show => {
                let detail = format!("signed with {} for {}", plan.key, plan.base);
                result.outcome = ReplayOutcome::new("would_send", detail);
                (result.signed_with, result.signed_for) = (Some(plan.key), Some(plan.base));
                result.is_ok = true;
            }
            Ok(plan) => {
                let trace = new_trace()?;
                match send(&client, &service, &plan, trace).await {
                    Err(error) => result.outcome = ReplayOutcome::new("unreachable", error),
                    Ok((status, outcome)) => {
                        result.status = Some(status.as_u16());
                        result.outcome = outcome;
                        result.is_ok = status.is_success();
                        if result.is_ok {
                            sent.push(Sent { at: results.len(), plan, trace });
                        }
                    }
                }
            }
        }
        results.push(result);
    }
    // With --to, the service may run on another machine, whose store this command cannot read.
    if args.to.is_none() && !sent.is_empty() {
        let store = settings.control_folder();
        if let Err(error) = look_up_traces(store, &sent, &mut results).await {
            note(format_args!("heardback: the results are not known: {error:#}"));
        }
    }
    Ok(ReplaySummary(results))
}

fn read(path: &Path) -> Result<(String, Recording), UsageError> {
    let file = path.display().to_string();
    let recording = recorded::read(path).map_err(|error| UsageError(format!("{file}: {error}")))?;
    Ok((file, recording))
}

/// The service's URL from this machine, without a slash at its end.
fn service(settings: &Settings, to: Option<&str>) -> Result<String, UsageError> {
    let usage = |text: &str| UsageError(text.to_owned());
    if let Some(to) = to {
        let url = Url::parse(to).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.query().is_none()
                && url.fragment().is_none()
        });
        let url = url.ok_or_else(|| usage("--to: expected a URL such as http://127.0.0.1:8080"))?;
        return Ok(url.as_str().trim_end_matches('/').to_owned());
    }
    if settings.listen.port() == 0 {
        let text =
            "HEARDBACK_LISTEN has port 0, so the service's port is unknown: name it with --to";
        return Err(usage(text));
    }
    Ok(format!("http://{}", settings.listen.from_here()))
}

/// A trace for one request, not sampled.
#[expect(clippy::disallowed_methods, reason = "a trace has a random number as its name")]
fn new_trace() -> anyhow::Result<TraceParent> {
    let (mut trace, mut span) = ([0; 16], [0; 8]);
    getrandom::fill(&mut trace).context("the system has no randomness")?;
    getrandom::fill(&mut span).context("the system has no randomness")?;
    TraceParent::new(trace, span, 0).context("the system's randomness is all zeros")
}

/// Sends a request. Returns its status and outcome, or the error in words.
async fn send(
    client: &Client,
    service: &str,
    plan: &ReplayPlan,
    trace: TraceParent,
) -> Result<(StatusCode, ReplayOutcome), String> {
    let describe = |error: reqwest::Error| {
        let hint = if error.is_timeout() { "" } else { ": is the service running?" };
        describe_error(error, TIMEOUT) + hint
    };
    let Recording { method, target, headers, body, .. } = &plan.request;
    let method = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
    let mut request = client.request(method, format!("{service}{target}"));
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|error| error.to_string())?;
        request = request.header(name, value);
    }
    request = request.header("traceparent", trace.to_string());
    let answer = request.body(body.clone()).send().await.map_err(describe)?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(describe)?;
    Ok((status, answer::outcome(plan.route, status, &body)))
}

/// Completes the results from the store, if a service has it open.
async fn look_up_traces(
    store: &Path,
    sent: &[Sent],
    results: &mut [ReplayResult],
) -> anyhow::Result<()> {
    let Some(service) = RunningService::find(store)? else { return Ok(()) };
    let traces = sent.iter().map(|sent| sent.trace).collect();
    let found: Vec<TracedRecords> = service.request(AdminRequest::TraceLookup(traces)).await?;
    for (sent, records) in sent.iter().zip(found) {
        let outcome = match (sent.plan.route, sent.plan.about) {
            (ReplayRoute::Status, Some(sid)) => status_outcome(&service, sid).await?,
            (ReplayRoute::Reply | ReplayRoute::Call | ReplayRoute::Click, _) => {
                Some(traced_outcome("none", &records))
            }
            // A batch may contain more than evidence.
            (ReplayRoute::Events, _) => Some(traced_outcome("taken", &records)),
            (
                ReplayRoute::Status
                | ReplayRoute::Messages
                | ReplayRoute::Message
                | ReplayRoute::Event,
                _,
            ) => None,
        };
        if let (Some(outcome), Some(result)) = (outcome, results.get_mut(sent.at)) {
            result.outcome = outcome;
        }
    }
    Ok(())
}

/// State and status of the message of a status callback.
async fn status_outcome(
    service: &RunningService,
    sid: MessageSid,
) -> anyhow::Result<Option<ReplayOutcome>> {
    let Some(name) = Reference::parse(sid.as_str()) else { return Ok(None) };
    let known: ShownRecords =
        service.request(AdminRequest::Show { sid_or_reference: name }).await?;
    Ok(known.messages.into_iter().next().map(|message| {
        let status = message.status.map(|status| format!(", {}", status.as_str()));
        let detail = message.state.as_str().to_owned() + &status.unwrap_or_default();
        ReplayOutcome::new("taken", detail).about(vec![sid.to_string()])
    }))
}

/// The outcome of possible evidence; `otherwise`, if the store has none of it.
fn traced_outcome(otherwise: &'static str, records: &TracedRecords) -> ReplayOutcome {
    match (records.confirmed.is_empty(), records.parked.first()) {
        (true, Some(reason)) => ReplayOutcome::new("parked", reason.as_str()),
        (true, None) => {
            ReplayOutcome::new(otherwise, "it proves nothing new: no evidence, or counted before")
        }
        (false, _) => {
            let sids = records.confirmed.iter().map(ToString::to_string).collect();
            ReplayOutcome::new("confirmed", "").about(sids)
        }
    }
}
