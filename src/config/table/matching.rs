//! What evidence may confirm, and for how long.

use crate::config::names::{EVENT_WINDOW, PENDING_TTL, READ_CONFIRMS, REPLY_WINDOW, RESEND};
use crate::config::parse::{duration, one_of, set, switch};
use crate::config::reader::{Setting, Value};
use crate::config::show::{or_not_set, written};
use crate::domain::click_link::Links;
use crate::domain::matching::Resend;

pub(super) static ROWS: &[Setting] = &[
    Setting {
        name: PENDING_TTL,
        value: Value::Text { form: "DURATION", default: "7d" },
        help: "How long a message may stay pending without evidence",
        parse: |reader, text| set(&mut reader.values.policy.pending_ttl, duration(text)),
        show: |settings| written(settings.policy.pending_ttl),
    },
    Setting {
        name: REPLY_WINDOW,
        value: Value::Text { form: "DURATION", default: "1h" },
        help: "The age up to which a reply or a call confirms a message",
        parse: |reader, text| set(&mut reader.values.policy.reply_window, duration(text)),
        show: |settings| written(settings.policy.reply_window),
    },
    Setting {
        name: EVENT_WINDOW,
        value: Value::Text { form: "DURATION", default: "15m" },
        help: "The age up to which an app's event with only a `To` confirms a message",
        parse: |reader, text| set(&mut reader.values.policy.event_window, duration(text)),
        show: |settings| written(settings.policy.event_window),
    },
    Setting {
        name: READ_CONFIRMS,
        value: Value::Switch { default: "false" },
        help: "Count the status `read` as evidence",
        parse: |reader, text| set(&mut reader.values.policy.read_confirms, switch(text)),
        show: |settings| settings.policy.read_confirms.to_string(),
    },
    Setting {
        name: RESEND,
        value: Value::Text { form: "POLICY", default: "newest" },
        help: "The message that evidence confirms if it names only a reference of several messages: newest, \
               only-deliverable, all or code",
        parse: |reader, text| {
            let expected = "expected newest, only-deliverable, all or code";
            set(
                &mut reader.values.policy.resend,
                one_of(text, Resend::ALL, Resend::as_str, expected),
            )
        },
        show: |settings| settings.policy.resend.as_str().to_owned(),
    },
    Setting {
        name: "HEARDBACK_REFERENCE_TAG",
        value: Value::Text { form: "NAME", default: "" },
        help: "The tag that holds a message's reference: Event Streams register every message with this tag",
        parse: |reader, text| set(&mut reader.values.reference_tag, Ok(Some(text.to_owned()))),
        show: |settings| or_not_set(settings.reference_tag.clone()),
    },
    Setting {
        name: "HEARDBACK_IGNORE_CRAWLERS",
        value: Value::Switch { default: "true" },
        help: "Ignore the clicks of known crawlers",
        parse: |reader, text| set(&mut reader.values.ignore_crawlers, switch(text)),
        show: |settings| settings.ignore_crawlers.to_string(),
    },
    Setting {
        name: "HEARDBACK_LINKS",
        value: Value::Text { form: "WHEN", default: "confirm-on-post" },
        help: "The effect of opening a click link of Heardback: off, confirm-on-post (a page with a button, \
               which a script presses), confirm-on-press (only a person's press counts) or confirm-on-get \
               (a scanner's fetch counts, too)",
        parse: |reader, text| {
            let expected = "expected off, confirm-on-post, confirm-on-press or confirm-on-get";
            set(&mut reader.values.links, one_of(text, Links::ALL, Links::as_str, expected))
        },
        show: |settings| settings.links.as_str().to_owned(),
    },
    Setting {
        name: "HEARDBACK_GIVE_UP_AFTER",
        value: Value::Text { form: "DURATION", default: "24h" },
        help: "How long to retry a post, counted from the first attempt",
        parse: |reader, text| set(&mut reader.values.give_up_after, duration(text)),
        show: |settings| written(settings.give_up_after),
    },
    Setting {
        name: "HEARDBACK_DRY_RUN",
        value: Value::Switch { default: "false" },
        help: "Decide and record, but post nothing. Confirmed messages are posted once this is off",
        parse: |reader, text| set(&mut reader.values.dry_run, switch(text)),
        show: |settings| {
            if settings.dry_run { "true: nothing is posted" } else { "false" }.to_owned()
        },
    },
];
