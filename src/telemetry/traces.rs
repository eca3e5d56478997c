//! Exports spans to an OpenTelemetry collector (OTLP: protobuf over HTTP), if OpenTelemetry's variables name one.
//!
//! No request waits for the collector: ended spans go into a bounded queue, which drops them when it is full, and a
//! thread sends them. Deliberately absent: paths, queries and headers (they may hold a secret), recipients, gRPC, and a
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

use crate::domain::trace::TraceParent;
use crate::telemetry::collector::Collector;

/// The default name of the service.
const SERVICE: &str = env!("CARGO_PKG_NAME");
/// The longest wait of the shutdown for the last spans. With a whole drain it is below the 30 s of `fly.toml`'s
/// `kill_timeout`.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
/// The template of the posts' path, because a span's name has few values.
const FEEDBACK: &str = "/2010-04-01/Accounts/{AccountSid}/Messages/{MessageSid}/Feedback.json";

/// The export of spans cannot start. The service runs without it.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    #[error("the HTTP client could not be built: {0}")]
    Client(#[from] reqwest::Error),
    /// A variable is invalid.
    #[error(transparent)]
    Exporter(#[from] ExporterBuildError),
}

/// One post of feedback that has ended.
#[derive(Debug, Clone, Copy)]
pub struct PostSpan<'a> {
    pub account: &'a str,
    pub message: &'a str,
    /// Attempts begun, this one included.
    pub attempt: u32,
    /// HTTP status; `None` if no answer came.
    pub status: Option<u16>,
    pub verdict: &'static str,
    pub taken: bool,
    pub took: Duration,
    /// The span of the signal that caused it.
    pub cause: Option<TraceParent>,
}

#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Starts the export thread. `timeout` limits one request. Must be called on tokio.
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

    /// Opens the span of a request. `route` is the route's name, never the path.
    pub fn start_request(
        &self,
        began: SystemTime,
        method: &str,
        route: &'static str,
        caller: Option<TraceParent>,
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

    /// Records the span of a post, linked to the span of the signal that caused it. It is no part of that trace: hours may
    /// lie between them, and one signal may cause several posts.
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

    /// Sends the queued spans, for `FLUSH_TIMEOUT` at most, and ends the thread.
    pub async fn close(self: Arc<Self>) {
        let flush = move || self.provider.shutdown_with_timeout(FLUSH_TIMEOUT);
        let flushed = tokio::task::spawn_blocking(flush).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("last spans lost: they did not reach the collector");
        }
    }
}

/// The span of a request, open until the answer.
#[derive(Debug)]
pub struct RequestSpan(Span);

impl RequestSpan {
    /// Its place in the trace. `None` if the SDK has assigned no ids.
    pub fn context(&self) -> Option<TraceParent> {
        let context = self.0.span_context();
        let (trace, span) = (context.trace_id().to_bytes(), context.span_id().to_bytes());
        TraceParent::new(trace, span, u8::from(context.is_sampled()))
    }

    /// Ends the span. By the conventions, a 4xx is no error of a server span.
    pub fn answered(mut self, status: u16) {
        self.0.set_attribute(answered(status));
        if status >= 500 {
            self.0.set_status(Status::error(""));
        }
        self.0.end();
    }
}

/// The wall clock of spans, which are compared with those of other machines. No decision depends on it.
#[expect(clippy::disallowed_methods, reason = "the owner of the clock of spans")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

fn answered(status: u16) -> KeyValue {
    KeyValue::new("http.response.status_code", i64::from(status))
}

fn context(parent: TraceParent) -> SpanContext {
    let flags = if parent.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let (trace, span) = (parent.trace_id(), parent.span_id());
    let (trace, span) = (TraceId::from_bytes(trace), SpanId::from_bytes(span));
    SpanContext::new(trace, span, flags, true, TraceState::NONE)
}

/// The resource of the operator's variables, with a default name.
fn resource() -> Resource {
    const NAME: Key = Key::from_static_str("service.name");
    let configured = Resource::builder().build();
    let name = configured.get(&NAME).map(|name| name.to_string()).unwrap_or_default();
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let builder = Resource::builder().with_attribute(version);
    // The SDK's default name.
    if name.is_empty() || name.starts_with("unknown_service") {
        return builder.with_service_name(SERVICE).build();
    }
    builder.build()
}
