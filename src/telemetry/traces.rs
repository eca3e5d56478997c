//! Traces: spans, sent to an OpenTelemetry collector (OTLP: protobuf over HTTP) where OpenTelemetry's own
//! variables name one. Where none does nothing is built, and a request costs nothing more.
//!
//! Promises that nobody waits for a collector: a span that is over goes into a bounded queue, or is dropped
//! where that is full, and a thread of its own sends what is in there. The SDK reads its variables itself.
//! Deliberately absent: paths, queries and headers (they may hold a secret or a token), people, gRPC, and a
//! global tracer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags,
    TraceId, TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, Key, KeyValue};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};

use crate::telemetry::collector::Collector;

/// What a service is called whose operator gave it no name.
const SERVICE: &str = env!("CARGO_PKG_NAME");
/// The longest that the end waits for the collector to take the last spans. Whoever stops a service
/// wants it stopped; together with a whole drain it stays below the 30 s of `fly.toml`'s `kill_timeout`.
const FLUSH: Duration = Duration::from_secs(3);
/// What is posted, with names in place of what differs: a span's name has few values.
const FEEDBACK: &str = "/2010-04-01/Accounts/{AccountSid}/Messages/{MessageSid}/Feedback.json";

/// Why there are no spans. The service goes on without.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The HTTP client could not be built.
    #[error("the HTTP client could not be built: {0}")]
    Client(#[from] reqwest::Error),
    /// One of the variables is not what it has to be.
    #[error(transparent)]
    Exporter(#[from] ExporterBuildError),
}

/// Where a span is in somebody's trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    pub trace_id: [u8; 16],
    /// The span in it.
    pub span_id: [u8; 8],
    /// Whether it is recorded.
    pub sampled: bool,
}

/// One post of feedback that has come to its end.
#[derive(Debug, Clone, Copy)]
pub struct PostSpan<'a> {
    pub account: &'a str,
    pub message: &'a str,
    /// Attempts begun, this one included.
    pub attempt: u32,
    /// HTTP status; `None` if no answer came.
    pub status: Option<u16>,
    /// What it means, in a word.
    pub verdict: &'static str,
    /// Whether Twilio took it.
    pub taken: bool,
    /// How long it took.
    pub took: Duration,
    /// The span of the signal that caused it.
    pub cause: Option<Ids>,
}

/// Makes spans and has them sent.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Starts the thread that sends; `timeout` is for one request of its. Has to be called on tokio.
    ///
    /// # Errors
    /// [`TracesError`].
    pub fn start(timeout: Duration) -> Result<Arc<Self>, TracesError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(timeout)
            .with_http_client(Collector::new(timeout)?)
            .build()?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_batch_exporter(exporter)
            .build();
        let tracer = provider.tracer(SERVICE);
        Ok(Arc::new(Self { provider, tracer }))
    }

    /// Opens the span of a request that came in at `began`. `route` is the route's name, never the path.
    pub fn serving(
        &self,
        began: SystemTime,
        method: &str,
        route: &'static str,
        caller: Option<Ids>,
    ) -> RequestSpan {
        let parent = caller
            .map(context)
            .map_or_else(Context::new, |caller| Context::new().with_remote_span_context(caller));
        let builder = self
            .tracer
            .span_builder(format!("{method} {route}"))
            .with_kind(SpanKind::Server)
            .with_start_time(began)
            .with_attributes([
                KeyValue::new("http.request.method", method.to_owned()),
                KeyValue::new("http.route", route),
            ]);
        RequestSpan(self.tracer.build_with_context(builder, &parent))
    }

    /// The span of a post, linked to the span of the signal that caused it: hours may lie between them,
    /// and several posts may come of one signal, so they are no part of its trace.
    pub fn posted(&self, post: &PostSpan<'_>) {
        let ended = now();
        let mut attributes = vec![
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("url.template", FEEDBACK),
            KeyValue::new("heardback.account_sid", post.account.to_owned()),
            KeyValue::new("heardback.message_sid", post.message.to_owned()),
            KeyValue::new("heardback.attempt", i64::from(post.attempt)),
            KeyValue::new("heardback.verdict", post.verdict),
        ];
        attributes.extend(post.status.map(answered));
        if !post.taken {
            let kind = post.status.map_or("no_answer".to_owned(), |status| status.to_string());
            attributes.push(KeyValue::new("error.type", kind));
        }
        let builder = self
            .tracer
            .span_builder(format!("POST {FEEDBACK}"))
            .with_kind(SpanKind::Client)
            .with_start_time(ended.checked_sub(post.took).unwrap_or(ended))
            .with_attributes(attributes)
            .with_links(post.cause.map(context).map(Link::with_context).into_iter().collect());
        let mut span = self.tracer.build_with_context(builder, &Context::new());
        if !post.taken {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(ended);
    }

    /// Has what is queued sent, for `FLUSH` at most, and ends the thread.
    pub async fn close(self: Arc<Self>) {
        let flush = move || self.provider.shutdown_with_timeout(FLUSH);
        let flushed = tokio::task::spawn_blocking(flush).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("last spans lost: they did not reach the collector");
        }
    }
}

/// A request's span, open until it is answered.
#[derive(Debug)]
pub struct RequestSpan(Span);

impl RequestSpan {
    /// Where it is, for whatever comes of the request.
    #[must_use]
    pub fn ids(&self) -> Ids {
        let context = self.0.span_context();
        Ids {
            trace_id: context.trace_id().to_bytes(),
            span_id: context.span_id().to_bytes(),
            sampled: context.is_sampled(),
        }
    }

    /// Ends it. What a client did wrong is no error of the server's; the conventions have it so.
    pub fn answered(mut self, status: u16) {
        self.0.set_attribute(answered(status));
        if status >= 500 {
            self.0.set_status(Status::error(""));
        }
        self.0.end();
    }
}

/// Now, as spans have it: they are laid beside those of other machines, and nothing is decided by them.
#[expect(clippy::disallowed_methods, reason = "decides nothing; only called where spans are made")]
#[must_use]
pub fn now() -> SystemTime {
    SystemTime::now()
}

fn answered(status: u16) -> KeyValue {
    KeyValue::new("http.response.status_code", i64::from(status))
}

fn context(ids: Ids) -> SpanContext {
    let flags = if ids.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let (trace, span) = (TraceId::from_bytes(ids.trace_id), SpanId::from_bytes(ids.span_id));
    SpanContext::new(trace, span, flags, true, TraceState::NONE)
}

/// What the operator's variables say of us; where they say no name, ours.
fn resource() -> Resource {
    const NAME: Key = Key::from_static_str("service.name");
    let said = Resource::builder().build();
    let name = said.get(&NAME).map(|name| name.to_string()).unwrap_or_default();
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let builder = Resource::builder().with_attribute(version);
    // The SDK's own word for "nobody said".
    if name.is_empty() || name.starts_with("unknown_service") {
        return builder.with_service_name(SERVICE).build();
    }
    builder.build()
}
