//! The app's own webhook URLs, and the treatment of their failures.

use crate::config::forward::{shown_url, timeout};
use crate::config::forward_urls::read_url;
use crate::config::names::{
    FORWARD_CALL_URL, FORWARD_MESSAGE_URL, FORWARD_PRIVATE, FORWARD_STATUS_URL,
};
use crate::config::parse::{set, switch};
use crate::config::reader::{Setting, SettingsReader, Value};
use crate::config::show::written;
use crate::domain::forward::ForwardKind;

pub(super) static ROWS: &[Setting] = &[
    Setting {
        name: FORWARD_MESSAGE_URL,
        value: Value::Secret,
        help: "The app's own URL for inbound messages: /twilio/message passes each on and answers with the app's \
               answer [default: none]",
        parse: |reader, text| url(reader, ForwardKind::Message, text),
        show: |settings| shown_url(settings, ForwardKind::Message),
    },
    Setting {
        name: FORWARD_CALL_URL,
        value: Value::Secret,
        help: "The app's own URL for calls: /twilio/call passes each on and answers with the app's answer \
               [default: none]",
        parse: |reader, text| url(reader, ForwardKind::Call, text),
        show: |settings| shown_url(settings, ForwardKind::Call),
    },
    Setting {
        name: FORWARD_STATUS_URL,
        value: Value::Secret,
        help: "The app's own URL for status callbacks: /twilio/status passes each on and answers with the app's \
               answer [default: none]",
        parse: |reader, text| url(reader, ForwardKind::Status, text),
        show: |settings| shown_url(settings, ForwardKind::Status),
    },
    Setting {
        name: "HEARDBACK_FORWARD_TIMEOUT",
        value: Value::Text { form: "DURATION", default: "10s" },
        help: "The longest time of the app for its answer, up to 14s; Twilio waits for 15 s",
        parse: |reader, text| set(&mut reader.values.forward.timeout, timeout(text)),
        show: |settings| written(settings.forward.timeout),
    },
    Setting {
        name: "HEARDBACK_FORWARD_FALLBACK",
        value: Value::Switch { default: "false" },
        help: "Twilio has a fallback URL or retries for the forwarded webhooks: if the app fails, Twilio gets 502 \
               in place of empty TwiML",
        parse: |reader, text| set(&mut reader.values.forward.has_fallback_url, switch(text)),
        show: |settings| {
            if settings.forward.has_fallback_url {
                "true: Twilio gets 502 if the app fails".to_owned()
            } else {
                "false: Twilio gets empty TwiML if the app fails".to_owned()
            }
        },
    },
    Setting {
        name: FORWARD_PRIVATE,
        value: Value::Switch { default: "false" },
        help: "The app may be on loopback or a private network, also over plain http",
        parse: |reader, text| set(&mut reader.values.forward.allows_private, switch(text)),
        show: |settings| {
            if settings.forward.allows_private {
                "true: also loopback and private networks, there also plain http".to_owned()
            } else {
                "false: only https to public addresses".to_owned()
            }
        },
    },
];

fn url(reader: &mut SettingsReader<'_>, kind: ForwardKind, text: &str) -> Result<(), String> {
    reader.values.forward.urls.set(kind, read_url(text)?);
    Ok(())
}
