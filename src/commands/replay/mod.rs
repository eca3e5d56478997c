//! `replay`: recorded requests, signed as they would be signed now and sent to the service, with a verdict
//! each. What was refused for a wrong setting is not lost once that is right.
//!
//! Twilio's routes answer nothing that says what came of a request. So each bears a trace of its own, by which
//! the store of the service is asked afterwards. Deliberately absent: a body, a number or a token in what is
//! said; what nobody known has signed, for our signature would let it in; and what does not say when it was, for
//! it might prove a newer message. Either goes only if that is asked for.

mod answer;
mod authenticity;
mod key;
mod plan;
mod result;
mod staleness;

pub use result::ReplaySummary;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Client, Method, Url, redirect};

use crate::admin::AdminRequest;
use crate::admin::show::ShownRecords;
use crate::admin::trace_lookup::TracedRecords;
use crate::cli::ReplayArgs;
use crate::commands::control::RunningService;
use crate::commands::pipe_tolerant_stdout::note;
use crate::commands::recorded;
use crate::commands::replay::plan::{ReplayPlan, ReplayRoute, To};
use crate::commands::replay::result::{ReplayOutcome, ReplayResult};
use crate::commands::store_access::UsageError;
use crate::config::{Settings, StoreUrl};
use crate::domain::message::Reference;
use crate::domain::trace::TraceParent;
use crate::recording::Recording;

/// Twilio waits for so long.
const PATIENCE: Duration = Duration::from_secs(15);

/// Reads them all, and then sends one after the other.
///
/// # Errors
/// [`UsageError`], and nothing was sent; or there is no randomness, or no client.
pub async fn run(settings: &Settings, args: &ReplayArgs) -> anyhow::Result<ReplaySummary> {
    let recordings = args.files.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let service = service(settings, args.to.as_deref())?;
    let (as_of_now, unproven) = (args.as_of_now, args.unproven);
    let to = To { settings, service: &service, as_of_now, unproven };
    let client = Client::builder().no_proxy().redirect(redirect::Policy::none());
    let client = client.timeout(PATIENCE).build()?;
    let mut verdicts = Vec::with_capacity(recordings.len());
    let mut sent = Vec::new();
    for (file, recording) in &recordings {
        let request = plan::shown(recording, settings);
        let verdict = match plan::take(recording, &to) {
            Err(why) => ReplayResult::without(file, &request, ReplayOutcome::new("not_sent", why)),
            Ok(aim) if args.only_show => ReplayResult::would(file, &request, &aim),
            Ok(aim) => {
                let trace = fresh()?;
                match send(&client, &service, &aim, trace).await {
                    Err(why) => ReplayResult::without(
                        file,
                        &request,
                        ReplayOutcome::new("unreachable", why),
                    ),
                    Ok((status, outcome)) => {
                        if status.is_success() {
                            sent.push(Sent { at: verdicts.len(), aim, trace });
                        }
                        ReplayResult::answered(file, &request, status, outcome)
                    }
                }
            }
        };
        verdicts.push(verdict);
    }
    // Whoever is elsewhere has a store elsewhere.
    if args.to.is_none() && !sent.is_empty() {
        let StoreUrl::Sled(store) = &settings.store;
        if let Err(error) = look_up_traces(store, &sent, &mut verdicts).await {
            note(format_args!("heardback: what came of it is not known: {error:#}"));
        }
    }
    Ok(ReplaySummary(verdicts))
}

fn read(path: &Path) -> Result<(String, Recording), UsageError> {
    let file = path.display().to_string();
    let recording = recorded::read(path).map_err(|error| UsageError(format!("{file}: {error}")))?;
    Ok((file, recording))
}

/// Where it listens, as seen from this machine; without a slash at its end.
fn service(settings: &Settings, to: Option<&str>) -> Result<String, UsageError> {
    if let Some(to) = to {
        let url = Url::parse(to).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let is_origin = |url: &Url| url.query().is_none() && url.fragment().is_none();
        let url = url.filter(is_origin).ok_or_else(|| {
            UsageError("--to: expected a URL such as http://127.0.0.1:8080".to_owned())
        })?;
        return Ok(url.as_str().trim_end_matches('/').to_owned());
    }
    if settings.listen.port() == 0 {
        let why =
            "HEARDBACK_LISTEN has port 0, so nobody knows where the service is: name it with --to";
        return Err(UsageError(why.to_owned()));
    }
    Ok(format!("http://{}", settings.listen.from_here()))
}

/// A trace of its own, which no collector need record.
#[expect(clippy::disallowed_methods, reason = "a trace has a random number as its name")]
fn fresh() -> anyhow::Result<TraceParent> {
    let (mut trace, mut span) = ([0; 16], [0; 8]);
    getrandom::fill(&mut trace).context("the system has no randomness")?;
    getrandom::fill(&mut span).context("the system has no randomness")?;
    TraceParent::new(trace, span, 0).context("the system's randomness is none")
}

/// Sends it. Status and what the answer says, or why there is none.
async fn send(
    client: &Client,
    service: &str,
    aim: &ReplayPlan,
    trace: TraceParent,
) -> Result<(reqwest::StatusCode, ReplayOutcome), String> {
    let Recording { method, target, headers, body, .. } = &aim.request;
    let method = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
    let mut request = client.request(method, format!("{service}{target}"));
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|error| error.to_string())?;
        request = request.header(name, value);
    }
    request = request.header("traceparent", trace.to_string());
    let answer = request.body(body.clone()).send().await.map_err(describe_error)?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(describe_error)?;
    Ok((status, answer::outcome_of(aim.route, status, &body)))
}

fn describe_error(error: reqwest::Error) -> String {
    let error = error.without_url();
    if error.is_timeout() {
        return format!("no answer within {} s", PATIENCE.as_secs());
    }
    let mut root: &dyn std::error::Error = &error;
    while let Some(source) = root.source() {
        root = source;
    }
    format!("{root}: is the service running?")
}

/// One that was taken.
struct Sent {
    /// Which of the verdicts.
    at: usize,
    aim: ReplayPlan,
    trace: TraceParent,
}

/// Completes the verdicts by what the store knows now, if a service has it open.
async fn look_up_traces(
    store: &Path,
    sent: &[Sent],
    verdicts: &mut [ReplayResult],
) -> anyhow::Result<()> {
    let Some(service) = RunningService::find(store)? else { return Ok(()) };
    let traces = sent.iter().map(|sent| sent.trace).collect();
    let came: Vec<TracedRecords> = service.request(AdminRequest::TraceLookup(traces)).await?;
    for (sent, came) in sent.iter().zip(came) {
        let Some(verdict) = verdicts.get_mut(sent.at) else { continue };
        let outcome = match (&sent.aim.route, sent.aim.about) {
            (ReplayRoute::Status, Some(sid)) => {
                let Some(name) = Reference::parse(sid.as_str()) else { continue };
                let known: ShownRecords = service.request(AdminRequest::Show(name)).await?;
                let Some(message) = known.messages.into_iter().next() else { continue };
                let status = message.status.map(|status| format!(", {}", status.as_str()));
                let says = message.state.as_str().to_owned() + &status.unwrap_or_default();
                Some(ReplayOutcome::new("taken", says).about(vec![sid.to_string()]))
            }
            (
                ReplayRoute::Status
                | ReplayRoute::Messages
                | ReplayRoute::Message
                | ReplayRoute::Event,
                _,
            ) => None,
            (ReplayRoute::Reply | ReplayRoute::Call | ReplayRoute::Click, _) => {
                Some(traced_outcome("none", &came))
            }
            // There may be more than evidence in a batch.
            (ReplayRoute::Events, _) => Some(traced_outcome("taken", &came)),
        };
        if let Some(outcome) = outcome {
            verdict.outcome = outcome;
        }
    }
    Ok(())
}

/// What came of a request that may be evidence; `otherwise`, if nothing did.
fn traced_outcome(otherwise: &'static str, came: &TracedRecords) -> ReplayOutcome {
    if let (true, Some(reason)) = (came.confirmed.is_empty(), came.parked.first()) {
        return ReplayOutcome::new("parked", reason.as_str());
    }
    if came.confirmed.is_empty() {
        return ReplayOutcome::new(
            otherwise,
            "it proves nothing new: no evidence, or counted before",
        );
    }
    let sids = came.confirmed.iter().map(ToString::to_string).collect();
    ReplayOutcome::new("confirmed", "").about(sids)
}
