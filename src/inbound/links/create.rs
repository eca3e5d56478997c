//! Creates click links for the app.

use jiff::Timestamp;

use crate::domain::click_link::request;
use crate::domain::click_link::request::LinkRequest;
use crate::domain::click_link::{Link, LinkTarget, LinkToken, Links};
use crate::domain::message::Reference;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::Malformed;
use crate::domain::timestamp_serde::to_millisecond;
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection::Rejection;

/// Parses the field `Link` of a registration.
///
/// # Errors
/// [`Malformed::Field`] if the text is neither a target nor a link of this service, or if links are off.
pub(crate) fn link_request(
    receiver: &Receiver,
    text: Option<&str>,
) -> Result<Option<LinkRequest>, Rejection> {
    let Some(text) = text else { return Ok(None) };
    let parsed = match receiver.links {
        Links::Off => Err("links are switched off here (HEARDBACK_LINKS=off)"),
        Links::ConfirmOnPost | Links::ConfirmOnPress | Links::ConfirmOnGet => {
            LinkRequest::read(text, &receiver.bases)
        }
    };
    parsed.map(Some).map_err(|expected| {
        Malformed::Field { field: "Link", expected: expected.to_owned() }.into()
    })
}

/// A stored link. Only this value holds its token.
pub(crate) struct CreatedLink {
    pub(crate) address: String,
    pub(crate) until: Timestamp,
}

/// Creates and stores a link.
///
/// # Errors
/// [`Rejection::Unavailable`].
pub(crate) async fn create(
    receiver: &Receiver,
    account: AccountSid,
    target: LinkTarget,
    message: Option<MessageSid>,
    reference: Option<Reference>,
) -> Result<CreatedLink, Rejection> {
    let token = (receiver.fresh_token)().ok_or_else(|| Rejection::Unavailable {
        reason: "link not created: the system has no randomness for its token".to_owned(),
        label: "no_randomness",
    })?;
    let created_at = to_millisecond((receiver.clock)());
    let link = Link { account, target, message, reference, created_at };
    let until = receiver.store.keep_link(token.id(), link).await?;
    Ok(CreatedLink { address: address(receiver, &token), until })
}

/// The address of a link, on the first of the public origins.
pub(crate) fn address(receiver: &Receiver, token: &LinkToken) -> String {
    request::address(receiver.bases.first().map_or("", String::as_str), token)
}
