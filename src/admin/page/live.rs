//! `/live`: the content of a page as server-sent events, one for each change.
//!
//! An event has the same HTML as the page, so the script only replaces it. The content is rendered once a second and
//! sent only if it differs. Comments in between reveal a dead connection.

#![expect(clippy::disallowed_types, reason = "the operator's page is not on the public listener")]

use std::convert::Infallible;
use std::time::{Duration, Instant};

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use crate::admin::page::auth::{DenialReason, Session};
use crate::admin::page::layout::PageResult;
use crate::admin::page::state::{PageState, SearchQuery};
use crate::domain::redact::plain;
use crate::telemetry::clock::monotonic;

const RENDER_INTERVAL: Duration = Duration::from_secs(1);
/// A search reads all parked evidence, so it is rendered less often.
const SEARCH_INTERVAL: Duration = Duration::from_secs(3);
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// After this the browser reconnects, and an expired session ends.
const MAX_DURATION: Duration = Duration::from_mins(10);

struct LiveStream {
    page: web::Data<PageState>,
    session: Session,
    query: Option<String>,
    last_html: String,
    started_at: Instant,
    last_sent: Option<Instant>,
    _permit: OwnedSemaphorePermit,
}

pub(super) async fn live(
    request: HttpRequest,
    page: web::Data<PageState>,
    query: web::Query<SearchQuery>,
) -> PageResult {
    let session = match page.authenticate(&request) {
        // A browser does not follow the redirect of an event stream to the login form.
        Err(DenialReason::NoSession) => return Ok(HttpResponse::Unauthorized().finish()),
        authenticated => authenticated?,
    };
    let Ok(permit) = page.streams.clone().try_acquire_owned() else {
        return Ok(HttpResponse::ServiceUnavailable().finish());
    };
    let stream = LiveStream {
        page,
        session,
        query: query.into_inner().q,
        last_html: String::new(),
        started_at: monotonic(),
        last_sent: None,
        _permit: permit,
    };
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        // Stops nginx from buffering the stream.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(stream::unfold(stream, LiveStream::next)))
}

impl LiveStream {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        while self.started_at.elapsed() < MAX_DURATION {
            if self.last_sent.is_some() {
                let pause = if self.query.is_some() { SEARCH_INTERVAL } else { RENDER_INTERVAL };
                tokio::time::sleep(pause).await;
            }
            let html = self.page.content(self.query.as_deref(), &self.session).await;
            let html = plain(&html.into_string());
            let bytes = if html != self.last_html {
                let event = event(&html);
                self.last_html = html;
                event
            } else if self.last_sent.is_none_or(|sent| sent.elapsed() >= HEARTBEAT_INTERVAL) {
                Bytes::from_static(b": heartbeat\n\n")
            } else {
                continue;
            };
            self.last_sent = Some(monotonic());
            return Some((Ok(bytes), self));
        }
        None
    }
}

/// An event with each line of the HTML after its own `data:` (HTML Standard, 9.2.5).
fn event(html: &str) -> Bytes {
    let lines = html.split(['\n', '\r']).map(|line| format!("data: {line}\n"));
    Bytes::from(format!("event: page\n{}\n", lines.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_the_html_does_not_end_the_event() {
        assert_eq!(
            event("a\n\nevent: b\rc"),
            "event: page\ndata: a\ndata: \ndata: event: b\ndata: c\n\n"
        );
    }
}
