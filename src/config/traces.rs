//! Whether spans are exported, by OpenTelemetry's own variables. The rest of them its SDK reads by itself.
//!
//! None of them can keep the service from starting: the standard wants what is wrong in one to be ignored.

use std::time::Duration;

use crate::config::Env;
use crate::domain::redact::veiled;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Spans are exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSettings {
    /// The collector, for people: its address up to the path, for more of it may be a secret.
    pub collector: String,
    /// For one request to the collector.
    pub timeout: Duration,
}

/// `None` if no collector is named, or export is switched off.
///
/// <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>
pub(super) fn gather(env: Env<'_>) -> Option<TraceSettings> {
    let said = |name: &str| env(name).filter(|value| !value.trim().is_empty());
    let endpoint = said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let endpoint = endpoint.or_else(|| said("OTEL_EXPORTER_OTLP_ENDPOINT"))?;
    let is_off = said("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true"))
        || said("OTEL_TRACES_EXPORTER").is_some_and(|word| word == "none");
    let timeout = said("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
        .or_else(|| said("OTEL_EXPORTER_OTLP_TIMEOUT"))
        .and_then(|millis| millis.trim().parse().ok())
        .map_or(TIMEOUT, Duration::from_millis);
    (!is_off).then(|| TraceSettings { collector: origin(endpoint.trim()), timeout })
}

/// Scheme, host and port: no user, no path, no query.
fn origin(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return veiled(url) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    veiled(&format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    fn gathered(variables: &[(&str, &str)]) -> Option<TraceSettings> {
        gather(&|name| {
            let mut found = variables.iter().filter(|(known, _)| *known == name);
            found.next().map(|(_, value)| (*value).to_owned())
        })
    }

    fn to(collector: &str) -> TraceSettings {
        TraceSettings { collector: collector.to_owned(), timeout: TIMEOUT }
    }

    #[test]
    fn of_the_collector_only_what_is_no_secret_is_kept_for_show() {
        for (endpoint, shown) in [
            ("https://u:hush@otlp.example.com:4318/hush?a=hush", "https://otlp.example.com:4318"),
            (" http://127.0.0.1:4318 ", "http://127.0.0.1:4318"),
            ("https://otlp.example.com?key=hush", "https://otlp.example.com"),
        ] {
            let found = gathered(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).expect("exported");
            assert_eq!(found.collector, shown);
        }
    }

    #[test]
    fn spans_are_exported_where_a_collector_is_named_and_nobody_says_no() {
        assert_eq!(gathered(&[]), None);
        assert_eq!(gathered(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), None, "empty is unset");
        assert_eq!(gathered(&[("OTEL_SERVICE_NAME", "hooks")]), None);
        assert_eq!(gathered(&[ENDPOINT]), Some(to("http://127.0.0.1:4318")));
        let for_traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces");
        assert_eq!(gathered(&[for_traces]), Some(to("http://127.0.0.1:4318")));
        assert_eq!(gathered(&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")]), None);
        assert_eq!(gathered(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]), None);
    }

    #[test]
    fn the_timeout_is_in_milliseconds_and_a_wrong_one_is_ignored() {
        let timeout = |word| {
            let found = gathered(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_TIMEOUT", word)]);
            found.expect("exported").timeout
        };
        assert_eq!(timeout("250"), Duration::from_millis(250));
        assert_eq!(timeout("soon"), TIMEOUT);
    }
}
