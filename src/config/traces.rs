//! The settings of the span export: the variables of OpenTelemetry. OpenTelemetry's SDK reads those that are absent here.
//!
//! A wrong value never stops the service: the specification requires that it is ignored.

use std::time::Duration;

use crate::config::env::Env;
use crate::domain::redact::redacted;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSettings {
    /// Its scheme, host and port. The rest of its URL may be a secret.
    pub collector: String,
    pub timeout: Duration,
}

/// Reads the variables. `None` if they name no collector, or disable the export.
///
/// <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>
pub(super) fn load(env: Env<'_>) -> Option<TraceSettings> {
    let variable = |name: &str| env(name).filter(|value| !value.trim().is_empty());
    let endpoint = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let endpoint = endpoint.or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"))?;
    let is_off = variable("OTEL_SDK_DISABLED")
        .is_some_and(|word| word.eq_ignore_ascii_case("true"))
        || variable("OTEL_TRACES_EXPORTER").is_some_and(|word| word == "none");
    let timeout = variable("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
        .or_else(|| variable("OTEL_EXPORTER_OTLP_TIMEOUT"))
        .and_then(|millis| millis.trim().parse().ok())
        .map_or(DEFAULT_TIMEOUT, Duration::from_millis);
    (!is_off).then(|| TraceSettings { collector: origin(endpoint.trim()), timeout })
}

/// Scheme, host and port, without user, path and query.
fn origin(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return redacted(url) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    redacted(&format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    fn loaded(variables: &[(&str, &str)]) -> Option<TraceSettings> {
        load(&|name| {
            let mut found = variables.iter().filter(|(known, _)| *known == name);
            found.next().map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_collector_is_shown_without_its_secrets() {
        for (endpoint, shown) in [
            ("https://u:hush@otlp.example.com:4318/hush?a=hush", "https://otlp.example.com:4318"),
            (" http://127.0.0.1:4318 ", "http://127.0.0.1:4318"),
            ("https://otlp.example.com?key=hush", "https://otlp.example.com"),
        ] {
            let found = loaded(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).expect("exported");
            assert_eq!(found.collector, shown);
        }
    }

    #[test]
    fn spans_are_exported_if_a_collector_is_named_and_export_is_not_disabled() {
        let exported = Some(TraceSettings {
            collector: "http://127.0.0.1:4318".to_owned(),
            timeout: DEFAULT_TIMEOUT,
        });
        let for_traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces");
        for (variables, expected) in [
            (&[][..], None),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], None),
            (&[("OTEL_SERVICE_NAME", "hooks")], None),
            (&[ENDPOINT], exported.clone()),
            (&[for_traces], exported),
            (&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")], None),
            (&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")], None),
        ] {
            assert_eq!(loaded(variables), expected, "{variables:?}");
        }
    }

    #[test]
    fn the_timeout_is_in_milliseconds_and_a_wrong_one_is_ignored() {
        for (text, timeout) in [("250", Duration::from_millis(250)), ("soon", DEFAULT_TIMEOUT)] {
            let found = loaded(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_TIMEOUT", text)]);
            assert_eq!(found.expect("exported").timeout, timeout);
        }
    }
}
