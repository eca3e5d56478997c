//! Logs, traces and recordings.

use crate::config::names::RECORD_REFUSED;
use crate::config::parse;
use crate::config::parse::{one_of, set};
use crate::config::reader::{Setting, Value};
use crate::config::settings::LogFormat;
use crate::config::show::or_not_set;
use crate::domain::redact::redacted;

pub(super) static ROWS: &[Setting] = &[
    Setting {
        name: RECORD_REFUSED,
        value: Value::Text { form: "DIR", default: "" },
        help: "A folder for the last 20 requests rejected for their signature, for doctor. They may contain \
               phone numbers and texts [default: none are kept]",
        parse: parse::record_refused,
        show: |settings| {
            or_not_set(settings.record_refused.as_ref().map(|path| path.display().to_string()))
        },
    },
    Setting {
        name: "HEARDBACK_LOG",
        value: Value::Text { form: "FILTER", default: "info" },
        help: "The log filter, e.g. debug or info,heardback=debug",
        parse: parse::log_filter,
        show: |settings| redacted(&settings.log.filter),
    },
    Setting {
        name: "HEARDBACK_LOG_FORMAT",
        value: Value::Text { form: "FORMAT", default: "" },
        help: "pretty or json [default: pretty on a terminal, json otherwise]",
        parse: |reader, text| {
            let expected = "expected pretty, json or auto";
            let format = one_of(text, LogFormat::ALL, LogFormat::as_str, expected);
            set(&mut reader.values.log.format, format)
        },
        show: |settings| match settings.log.format {
            LogFormat::Auto => "pretty on a terminal, json otherwise".to_owned(),
            format @ (LogFormat::Pretty | LogFormat::Json) => format.as_str().to_owned(),
        },
    },
];
