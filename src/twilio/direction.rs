//! The direction of a message, by the fields of its form instead of the route.
//!
//! The person is `From` of an inbound message and `To` of an outbound one, and senders are stored in clear. So a form
//! at a route for the other direction is rejected: its person would be stored as a sender.

use crate::domain::signal::Malformed;
use crate::twilio::fields::Fields;

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Inbound,
    Outbound,
}

const STATUS: [&str; 2] = ["MessageStatus", "SmsStatus"];
/// Fields that only status callbacks have, and fields that only inbound messages have. They decide only about a form without
/// a status.
const RECEIPTS: [&str; 3] = ["RawDlrDoneDate", "ChannelStatusMessage", "ChannelPrefix"];
const INBOUND: [&str; 4] =
    ["SmsMessageSid", "FromCountry", "OptOutType", "OriginalRepliedMessageSid"];
/// The fields of each inbound message. No event of an app has all of them.
const CONTENT: [&str; 4] = ["Body", "MessageSid", "From", "To"];

/// Each field of a form that shows a direction, with that direction.
fn evidence_of_direction(fields: &Fields) -> impl Iterator<Item = (&'static str, Direction)> {
    let is = |word: &str, known: &str| word.trim().eq_ignore_ascii_case(known);
    let by_status = STATUS.into_iter().filter_map(move |field| {
        let word = fields.get(field)?;
        let is_inbound = is(word, "received") || is(word, "receiving");
        Some((field, if is_inbound { Direction::Inbound } else { Direction::Outbound }))
    });
    let by_resource = fields.get("Direction").and_then(|word| {
        let is_outbound = word.trim().to_ascii_lowercase().starts_with("outbound");
        match word {
            _ if is(word, "inbound") => Some(Direction::Inbound),
            _ => is_outbound.then_some(Direction::Outbound),
        }
    });
    let has_status = STATUS.into_iter().any(|field| fields.get(field).is_some());
    let by_content = RECEIPTS
        .map(|field| (field, Direction::Outbound))
        .into_iter()
        .chain(INBOUND.map(|field| (field, Direction::Inbound)))
        .filter(move |(field, _)| !has_status && fields.get(field).is_some());
    by_status.chain(by_resource.map(|direction| ("Direction", direction))).chain(by_content)
}

/// The first field that shows a different direction.
fn other(fields: &Fields, than: Direction) -> Option<&'static str> {
    evidence_of_direction(fields).find(|(_, direction)| *direction != than).map(|(field, _)| field)
}

fn refusal(field: &'static str, expected: &str) -> Malformed {
    Malformed::Field { field, expected: expected.to_owned() }
}

/// Checks that no field contradicts an inbound message.
///
/// # Errors
/// [`Malformed::Field`], which names the route for status callbacks.
pub(super) fn inbound(fields: &Fields) -> Result<(), Malformed> {
    const EXPECTED: &str = "expected an inbound message; this is of a message that was sent. Set the StatusCallback \
                            URL to /twilio/status, or pass the form on to /app/twilio/status";
    other(fields, Direction::Inbound).map_or(Ok(()), |field| Err(refusal(field, EXPECTED)))
}

/// Checks that no field contradicts an outbound message.
///
/// # Errors
/// [`Malformed::Field`], which names the route for inbound messages.
pub(super) fn outbound(fields: &Fields) -> Result<(), Malformed> {
    const EXPECTED: &str = "expected a message that was sent; this one was received. Set the URL for incoming messages \
                            to /twilio/message, or pass the form on to /app/twilio/message";
    other(fields, Direction::Outbound).map_or(Ok(()), |field| Err(refusal(field, EXPECTED)))
}

/// Checks that the fields are an app's own, and not a form of Twilio's that belongs to another route. A status callback
/// reports no act of a person.
///
/// # Errors
/// [`Malformed::Field`], which names the routes for Twilio's forms.
pub(super) fn neither(fields: &Fields) -> Result<(), Malformed> {
    const EXPECTED: &str = "expected an event of your app; this is a form of Twilio's. Pass inbound messages on to \
                            /app/twilio/message and status callbacks to /app/twilio/status";
    let by_direction = evidence_of_direction(fields).map(|(field, _)| field).next();
    let is_message = CONTENT.into_iter().all(|field| fields.get(field).is_some());
    let by_content = is_message.then_some("Body");
    by_direction.or(by_content).map_or(Ok(()), |field| Err(refusal(field, EXPECTED)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twilio::fields::FieldSpelling;

    #[test]
    fn the_form_tells_the_direction_and_not_the_route() {
        for (field, word, is_inbound, is_outbound) in [
            ("MessageStatus", "sent", false, true),
            ("MessageStatus", "DELIVERED", false, true),
            ("SmsStatus", "undelivered", false, true),
            ("SmsStatus", "a-word-of-tomorrow", false, true),
            ("SmsStatus", "received", true, false),
            ("MessageStatus", " Receiving", true, false),
            ("Direction", "outbound-api", false, true),
            ("Direction", "inbound", true, false),
            ("Direction", "northbound", true, true),
            ("RawDlrDoneDate", "2611231002", false, true),
            ("SmsMessageSid", "SM0", true, false),
            ("OriginalRepliedMessageSid", "SM0", true, false),
            ("Type", "sent", true, true),
        ] {
            let json = format!(r#"{{"{field}":"{word}"}}"#);
            let fields = Fields::from_json(json.as_bytes(), FieldSpelling::Any).expect("an object");
            assert_eq!(inbound(&fields).is_ok(), is_inbound, "{field}={word}");
            assert_eq!(outbound(&fields).is_ok(), is_outbound, "{field}={word}");
            assert_eq!(neither(&fields).is_ok(), is_inbound && is_outbound, "{field}={word}");
        }
    }

    #[test]
    fn a_status_decides_before_the_fields_of_one_direction() {
        for (json, is_inbound) in [
            (r#"{"MessageStatus":"sent","FromCountry":"US"}"#, false),
            (r#"{"SmsStatus":"received","ChannelPrefix":"whatsapp"}"#, true),
        ] {
            let fields = Fields::from_json(json.as_bytes(), FieldSpelling::Any).expect("an object");
            assert_eq!(
                (inbound(&fields).is_ok(), outbound(&fields).is_ok()),
                (is_inbound, !is_inbound)
            );
        }
    }

    #[test]
    fn a_form_with_all_fields_of_an_inbound_message_is_no_event() {
        let of = |json: &[u8]| Fields::from_json(json, FieldSpelling::Any).expect("an object");
        let form = of(br#"{"Body":"hi","MessageSid":"SM0","From":"+1","To":"+2"}"#);
        assert!(neither(&form).is_err() && outbound(&form).is_ok());
        let event = of(br#"{"Body":"hi","MessageSid":"SM0","To":"+2"}"#);
        assert!(neither(&event).is_ok());
    }

    #[test]
    fn a_form_that_tells_both_is_neither() {
        let json = br#"{"MessageStatus":"sent","SmsStatus":"received"}"#;
        let fields = Fields::from_json(json, FieldSpelling::Any).expect("an object");
        assert!(inbound(&fields).is_err() && outbound(&fields).is_err());
    }

    #[test]
    fn a_refusal_names_the_route_that_the_form_belongs_to() {
        let of = |json: &[u8]| Fields::from_json(json, FieldSpelling::Any).expect("an object");
        let error = inbound(&of(br#"{"SmsStatus":"sent"}"#)).expect_err("refused").to_string();
        assert!(error.starts_with("SmsStatus: ") && error.contains("/twilio/status"), "{error}");
        let error = outbound(&of(br#"{"SmsStatus":"received"}"#)).expect_err("refused").to_string();
        assert!(error.contains("/twilio/message"), "{error}");
    }
}
