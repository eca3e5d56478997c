//! `check`: the settings in words, and the webhook URLs to configure at Twilio.
//!
//! It opens nothing, connects to nothing and shows no secret. It queries only the store's file system. The caller
//! reports problems of the settings.

mod forward;

use serde::Serialize;

use crate::commands::check::forward::{Forward, forwards};
use crate::config::{Settings, every_setting};
use crate::domain::route;
use crate::domain::route::RouteSigner;
use crate::store::sled::disk::placement::placement;
use crate::twilio::public_url::CONNECTION_OVERRIDES;

const TRACKED: &str = "\
Leave ?feedback=1 out where your app registers messages (POST /app/messages). With it, a message
first seen in its status callback becomes pending, so set it only on messages created with
ProvideFeedback=true.";

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Webhooks {
    pub public_url: String,
    /// For "A message comes in" of a number, or a Messaging Service's integration.
    pub inbound_message: String,
    /// For `StatusCallback` of a message or a Messaging Service.
    pub status_callback: String,
    /// For status callbacks of messages that the app does not register.
    pub status_callback_tracking: String,
    /// For "A call comes in" of a number, or its "Call status changes".
    pub inbound_call: String,
    /// For the callback URL of a Link Shortening domain.
    pub click: String,
    /// For a sink of Event Streams, which accepts no fragment.
    pub event_stream: String,
    pub app: Vec<String>,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    settings: serde_json::Map<String, serde_json::Value>,
    warnings: Vec<String>,
    webhooks: Vec<Webhooks>,
    forwards: Vec<Forward>,
}

/// The danger of the store's file system, and the reaction of `serve`. `None`: it is not known to be unsafe.
pub(crate) fn placement_warning(settings: &Settings) -> Option<String> {
    let warning = placement(settings.store.folder()?).ok()?.warning()?;
    let reaction = if settings.allow_unsafe_store {
        "HEARDBACK_ALLOW_UNSAFE_STORE accepts it"
    } else {
        "`heardback serve` refuses it unless HEARDBACK_ALLOW_UNSAFE_STORE=true"
    };
    Some(format!("{warning}; {reaction}"))
}

/// The warnings of the settings and of the store's file system.
fn warnings(settings: &Settings) -> Vec<String> {
    settings.warnings.iter().cloned().chain(placement_warning(settings)).collect()
}

pub(crate) fn text(settings: &Settings) -> String {
    let mut lines = vec!["The settings are sound.\n".to_owned()];
    lines.extend(shown(settings).into_iter().map(|(name, value)| format!("  {name:<30} {value}")));
    let warnings = warnings(settings);
    if !warnings.is_empty() {
        lines.push("\nWarnings:".to_owned());
        lines.extend(warnings.iter().map(|warning| format!("  - {warning}")));
    }
    for webhooks in settings.public_urls.iter().map(|url| webhooks(url.as_str())) {
        lines.push(format!("\nTo paste into Twilio, for {}:\n", webhooks.public_url));
        // The secret itself is not shown.
        let secret = settings.click_secret.as_ref().map_or("", |_| "/HEARDBACK_CLICK_PATH_SECRET");
        let click = webhooks.click + secret;
        let places = [
            (
                "Inbound messages (Phone Numbers → your number → Messaging → \"A message comes in\",\n  \
                 or Messaging Services → your service → Integration → Send a webhook)",
                webhooks.inbound_message,
            ),
            (
                "Status callback (StatusCallback when you create a message,\n  \
                 or Messaging Services → your service → Integration → Delivery status callback)",
                webhooks.status_callback,
            ),
            (
                "Status callback for messages that your app does not register",
                webhooks.status_callback_tracking,
            ),
            (
                "Calls (Phone Numbers → your number → Voice → \"Call status changes\"; or \"A call comes in\",\n  \
                 if no other webhook answers the number)",
                webhooks.inbound_call,
            ),
            ("Clicks (callback URL of your Link Shortening domain)", click),
            (
                "Event Streams (destination of a webhook sink): these events and more, with longer retries",
                webhooks.event_stream,
            ),
        ];
        lines.extend(places.iter().map(|(place, url)| format!("  {place}\n    {url}")));
        lines.push(
            "\nFor your app (signed like Twilio's; see `heardback sign --help`):\n".to_owned(),
        );
        lines.extend(webhooks.app.iter().map(|route| format!("  {route}")));
    }
    lines.extend(forward::text(&forwards(settings, CONNECTION_OVERRIDES)));
    lines.push(format!("\n{TRACKED}\n"));
    lines.join("\n")
}

/// The report as JSON: `ok`, `settings`, `warnings`, `webhooks`, `forwards`.
pub(crate) fn json(settings: &Settings) -> Result<String, serde_json::Error> {
    let shown = shown(settings).into_iter();
    let report = Report {
        ok: true,
        settings: shown.map(|(name, value)| (name.to_owned(), value.into())).collect(),
        warnings: warnings(settings),
        webhooks: settings.public_urls.iter().map(|url| webhooks(url.as_str())).collect(),
        forwards: forwards(settings, CONNECTION_OVERRIDES),
    };
    serde_json::to_string_pretty(&report).map(|text| text + "\n")
}

pub(crate) fn webhooks(public_url: &str) -> Webhooks {
    let at = |path: &str| format!("{public_url}{path}");
    let app = route::ROUTES.iter().filter(|route| route.signer == Some(RouteSigner::App));
    Webhooks {
        public_url: public_url.to_owned(),
        inbound_message: at(route::MESSAGE) + CONNECTION_OVERRIDES,
        status_callback: at(route::STATUS) + CONNECTION_OVERRIDES,
        status_callback_tracking: at(route::STATUS) + "?feedback=1" + CONNECTION_OVERRIDES,
        inbound_call: at(route::CALL) + CONNECTION_OVERRIDES,
        click: at(route::CLICK),
        event_stream: at(route::EVENT_STREAM),
        app: app.map(|route| format!("{:<5}{}", route.methods, at(route.path))).collect(),
    }
}

/// Each setting by its environment variable, with its value in words. Secrets are shown as set or not set.
fn shown(settings: &Settings) -> Vec<(&'static str, String)> {
    let traces = match &settings.traces {
        Some(traces) => format!("{}: spans are exported there", traces.collector),
        None => "not set, or switched off: no spans are exported".to_owned(),
    };
    let rows = every_setting().map(|row| (row.name, (row.show)(settings)));
    rows.chain([("OTEL_EXPORTER_OTLP_ENDPOINT", traces)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SettingsArgs;

    fn settings() -> Settings {
        let args = SettingsArgs::of([
            ("HEARDBACK_PUBLIC_URL", "https://hooks.example.com/hb"),
            ("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef"),
            ("HEARDBACK_GIVE_UP_AFTER", "1h30m"),
            ("HEARDBACK_DRY_RUN", "true"),
        ]);
        let env = |name: &str| match name {
            "TWILIO_AUTH_TOKEN" => Some("hush-1,hush-2".to_owned()),
            "HEARDBACK_CLICK_PATH_SECRET" => Some("hush-3-hush-3-hush-3".to_owned()),
            "OTEL_EXPORTER_OTLP_ENDPOINT" => {
                Some("https://u:hush@otlp.example.com/hush".to_owned())
            }
            "OTEL_EXPORTER_OTLP_HEADERS" => Some("x-key=hush".to_owned()),
            _ => None,
        };
        Settings::load(&args, &env, &|_| Err(std::io::ErrorKind::NotFound.into())).expect("sound")
    }

    #[test]
    fn the_text_shows_each_setting_and_the_urls_to_paste() {
        let text = text(&settings());
        for word in [
            "  TWILIO_AUTH_TOKEN              set (2 keys)\n",
            "  HEARDBACK_APP_KEYS             the auth token\n",
            "  HEARDBACK_UPSTREAM_CONCURRENCY 4\n",
            "  HEARDBACK_GIVE_UP_AFTER        1h 30m\n",
            "  HEARDBACK_RETENTION            30d\n",
            "true: nothing is posted",
            "token 1 is not 32 hexadecimal digits",
            "    https://hooks.example.com/hb/twilio/message#rc=3&rp=5xx,ct,rt&ct=2000&rt=4000\n",
            "    https://hooks.example.com/hb/twilio/status#rc=3&rp=5xx,ct,rt&ct=2000&rt=4000\n",
            "/twilio/status?feedback=1#rc=3",
            "    https://hooks.example.com/hb/twilio/call#rc=3&rp=5xx,ct,rt&ct=2000&rt=4000\n",
            "    https://hooks.example.com/hb/twilio/click/HEARDBACK_CLICK_PATH_SECRET\n",
            "    https://hooks.example.com/hb/twilio/events\n",
            "  HEARDBACK_CLICK_PATH_SECRET    set: any client that has it can report clicks\n",
            "  HEARDBACK_CALL_REDIRECT_URL    not set: calls are rejected\n",
            "  POST https://hooks.example.com/hb/app/events\n",
            "ProvideFeedback=true",
        ] {
            assert!(text.contains(word), "{word} is not in\n{text}");
        }
        for setting in every_setting() {
            let line = format!("  {:<31}", setting.name);
            assert_eq!(text.matches(&line).count(), 1, "{}:\n{text}", setting.name);
        }
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn each_account_of_the_file_is_shown_without_its_secrets() {
        let file = "[[account]]\nsid = 'AC00000000000000000000000000000001'\n\
            auth_tokens = ['hush', 'hush2']\napp_keys = ['hush hush hush hush']\n\
            shared_keys = [{ id = 'webhooks_sharedkey_1', algorithm = 'HMAC_SHA256', \
            secret = 'hush' }]\nedge = 'dublin'\nregion = 'ie1'\n";
        let args = SettingsArgs::of([
            ("HEARDBACK_PUBLIC_URL", "https://hooks.example.com"),
            ("HEARDBACK_ACCOUNTS_FILE", "/run/accounts.toml"),
        ]);
        let settings = Settings::load(&args, &|_| None, &|_| Ok(file.to_owned()));
        let text = text(&settings.expect("sound"));
        for word in [
            "TWILIO_ACCOUNT_SID             not set",
            "/run/accounts.toml; AC00000000000000000000000000000001: tokens set (2 keys), \
             SharedKeys webhooks_sharedkey_1 (HMAC_SHA256), posts with the auth token to \
             https://api.dublin.ie1.twilio.com",
        ] {
            assert!(text.contains(word), "{word} is not in\n{text}");
        }
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn the_json_shows_settings_warnings_and_urls() {
        let text = json(&settings()).expect("plain data");
        assert!(!text.contains("hush"), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["ok"], true);
        assert_eq!(value["settings"]["TWILIO_AUTH_TOKEN"], "set (2 keys)");
        assert_eq!(
            value["settings"]["OTEL_EXPORTER_OTLP_ENDPOINT"],
            "https://otlp.example.com: spans are exported there"
        );
        assert_eq!(
            value["webhooks"][0]["inbound_message"],
            "https://hooks.example.com/hb/twilio/message#rc=3&rp=5xx,ct,rt&ct=2000&rt=4000"
        );
        let warnings = value["warnings"].as_array().expect("a list").iter();
        // This folder may be on overlayfs.
        let of_settings = warnings.filter(|it| !it.to_string().contains("the store "));
        assert_eq!(of_settings.count(), 2);
    }
}
