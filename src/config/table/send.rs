//! Send through: the route at which apps create messages.

use crate::config::names::SENDING;
use crate::config::parse;
use crate::config::parse::{count, set, switch};
use crate::config::reader::{Setting, Value};
use crate::config::show::written;

pub(super) static ROWS: &[Setting] = &[
    Setting {
        name: "HEARDBACK_SEND",
        heading: SENDING,
        value: Value::Switch("false"),
        help: "Send through: serve Twilio's route for creating messages, add what feedback needs, pass each request on, \
               and register the message",
        read: |reader, text| set(&mut reader.values.send.is_on, switch(text)),
        show: |settings| {
            let base = settings.public_urls.first().map_or("", |url| url.as_str());
            match settings.send.is_on {
                true => format!("true: the base URL for your Twilio client is {base}"),
                false => "false".to_owned(),
            }
        },
    },
    Setting {
        name: "HEARDBACK_SEND_CONCURRENCY",
        heading: SENDING,
        value: Value::Text("1..256", "32"),
        help: "The most sends under way; a further one gets 503, and nothing is sent",
        read: |reader, text| set(&mut reader.values.send.concurrency, count(text, 1, 256)),
        show: |settings| settings.send.concurrency.to_string(),
    },
    Setting {
        name: "HEARDBACK_SEND_TIMEOUT",
        heading: SENDING,
        value: Value::Text("DURATION", "10s"),
        help: "The longest wait for Twilio's answer to a send, from 1s to 14s; then the app gets 504",
        read: |reader, text| set(&mut reader.values.send.timeout, parse::send_timeout(text)),
        show: |settings| written(settings.send.timeout),
    },
];
