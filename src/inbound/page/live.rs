//! `/live`: the content of a page as server-sent events, one for each change.
//!
//! An event has the same HTML as the page, so the script only replaces it. The content is rendered once a second and
//! sent only if it differs. Comments in between reveal a dead connection.

#![expect(
    clippy::disallowed_types,
    reason = "the query of an authenticated page, and chunks of its stream"
)]

use std::convert::Infallible;
use std::time::{Duration, Instant};

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use crate::domain::redact::plain;
use crate::inbound::ops::Operator;
use crate::inbound::page::auth::{LoginDenied, Visitor};
use crate::inbound::page::{PageQuery, refuse};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What waits is gone through for each name, and is told again less often.
const SEARCH_EVERY: Duration = Duration::from_secs(3);
const BEAT_EVERY: Duration = Duration::from_secs(15);
/// Then the browser asks again, and whoever is not logged in any more sees no more.
const LONGEST: Duration = Duration::from_mins(10);

/// Somebody who looks.
struct Watching {
    operator: web::Data<Operator>,
    visitor: Visitor,
    asked: Option<String>,
    shown: String,
    began: Instant,
    told: Option<Instant>,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn live(
    request: HttpRequest,
    operator: web::Data<Operator>,
    asked: web::Query<PageQuery>,
) -> HttpResponse {
    let page = &operator.page;
    let visitor = match page.admit(&request) {
        Ok(visitor) => visitor,
        // No browser follows an event stream to a form.
        Err(LoginDenied::Anonymous) => return HttpResponse::Unauthorized().finish(),
        Err(denied) => return refuse(denied),
    };
    let Ok(place) = page.viewers.clone().try_acquire_owned() else {
        return HttpResponse::ServiceUnavailable().finish();
    };
    let asked = asked.into_inner().q;
    let watching = Watching {
        operator,
        visitor,
        asked,
        shown: String::new(),
        began: Instant::now(),
        told: None,
        _place: place,
    };
    HttpResponse::Ok()
        .content_type("text/event-stream")
        // nginx would keep it back.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(stream::unfold(watching, Watching::next))
}

impl Watching {
    /// What is told next, once there is something.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        while self.began.elapsed() < LONGEST {
            if self.told.is_some() {
                let pause = if self.asked.is_some() { SEARCH_EVERY } else { LOOK_EVERY };
                tokio::time::sleep(pause).await;
            }
            let html = self.operator.page.main(self.asked.as_deref(), &self.visitor).await;
            let html = plain(&html.into_string());
            if html != self.shown {
                let event = event(&html);
                self.shown = html;
                self.told = Some(Instant::now());
                return Some((Ok(event), self));
            }
            if self.told.is_none_or(|told| told.elapsed() >= BEAT_EVERY) {
                self.told = Some(Instant::now());
                return Some((Ok(Bytes::from_static(b": still here\n\n")), self));
            }
        }
        None
    }
}

/// Each line of it behind its own `data:` (HTML Standard, 9.2.5).
fn event(html: &str) -> Bytes {
    let mut event = String::with_capacity(html.len() + 32);
    event.push_str("event: page\n");
    for line in html.split(['\n', '\r']) {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    Bytes::from(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_the_page_ends_its_event_early() {
        assert_eq!(
            event("a\n\nevent: b\rc"),
            "event: page\ndata: a\ndata: \ndata: event: b\ndata: c\n\n"
        );
    }
}
