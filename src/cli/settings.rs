//! One flag and one environment variable for each setting that is not a secret.
//!
//! A flag that is given beats the environment (as everywhere in clap); the environment is the
//! primary way. Help names the variables and never shows what they hold.

use clap::{Args, Command};

/// The settings as they were written. `None` and the empty text both mean "not set".
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct SettingsArgs {
    /// The account whose messages these are; required without an accounts file
    #[arg(
        long,
        env = "TWILIO_ACCOUNT_SID",
        hide_env_values = true,
        value_name = "AC…",
        help_heading = "Twilio"
    )]
    pub account_sid: Option<String>,
    /// A TOML file with several accounts, each with its own secrets; read again on SIGHUP. Beside it
    /// the settings of one account are optional
    #[arg(
        long,
        env = "HEARDBACK_ACCOUNTS_FILE",
        hide_env_values = true,
        value_name = "PATH",
        help_heading = "Twilio"
    )]
    pub accounts_file: Option<String>,
    /// The API key to post with, preferred to the auth token; needs `TWILIO_API_SECRET`
    #[arg(
        long,
        env = "TWILIO_API_KEY",
        hide_env_values = true,
        value_name = "SK…",
        help_heading = "Twilio"
    )]
    pub api_key: Option<String>,
    /// Twilio's edge to post through, e.g. dublin; alone it implies region us1
    #[arg(
        long,
        env = "TWILIO_EDGE",
        hide_env_values = true,
        value_name = "NAME",
        help_heading = "Twilio"
    )]
    pub edge: Option<String>,
    /// Twilio's region that holds the messages, e.g. ie1; needs an edge
    #[arg(
        long,
        env = "TWILIO_REGION",
        hide_env_values = true,
        value_name = "NAME",
        help_heading = "Twilio"
    )]
    pub region: Option<String>,
    /// The API's origin, instead of edge and region; plain http only to loopback [default:
    /// api.twilio.com over https]
    #[arg(
        long,
        env = "HEARDBACK_UPSTREAM_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "Twilio"
    )]
    pub upstream_url: Option<String>,
    /// Posts at the same time, and one more for each account that has none under way (64 at most); they share the account's API concurrency with your sending
    /// [default: 4]
    #[arg(
        long,
        env = "HEARDBACK_UPSTREAM_CONCURRENCY",
        hide_env_values = true,
        value_name = "1..64",
        help_heading = "Twilio"
    )]
    pub upstream_concurrency: Option<String>,
    /// The origin that Twilio and your app sign, e.g. `https://hooks.example.com`; required;
    /// several by comma
    #[arg(
        long,
        env = "HEARDBACK_PUBLIC_URL",
        hide_env_values = true,
        value_name = "URL,…",
        help_heading = "HTTP"
    )]
    pub public_url: Option<String>,
    /// Where webhooks and your app come in: an address or a host name, and a port; `[::]` is IPv6
    /// and IPv4 [default: 0.0.0.0:8080]
    #[arg(
        long,
        env = "HEARDBACK_LISTEN",
        hide_env_values = true,
        value_name = "HOST:PORT",
        help_heading = "HTTP"
    )]
    pub listen: Option<String>,
    /// Where the operator's page is, and /livez, /readyz and /metrics, open to whoever reaches it; for
    /// other machines only with `HEARDBACK_OPS_TOKEN` [default: 127.0.0.1:9091]
    #[arg(
        long,
        env = "HEARDBACK_OPS_LISTEN",
        hide_env_values = true,
        value_name = "HOST:PORT",
        help_heading = "HTTP"
    )]
    pub ops_listen: Option<String>,
    /// The header in which a proxy in front names the client's address, e.g. Fly-Client-IP; counts
    /// failed signatures by network, and decides nothing else [default: none, the peer's address]
    #[arg(
        long,
        env = "HEARDBACK_CLIENT_IP_HEADER",
        hide_env_values = true,
        value_name = "NAME",
        help_heading = "HTTP"
    )]
    pub client_ip_header: Option<String>,
    /// Where Twilio gets your own `TwiML` when somebody calls a number of yours whose calls come to
    /// /twilio/call [default: the call is rejected]
    #[arg(
        long,
        env = "HEARDBACK_CALL_REDIRECT_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "HTTP"
    )]
    pub call_redirect_url: Option<String>,
    /// How long a message waits for evidence [default: 7d]
    #[arg(
        long,
        env = "HEARDBACK_PENDING_TTL",
        hide_env_values = true,
        value_name = "DURATION",
        help_heading = "Judgement"
    )]
    pub pending_ttl: Option<String>,
    /// How old a message may be for a reply or a call to confirm it [default: 1h]
    #[arg(
        long,
        env = "HEARDBACK_REPLY_WINDOW",
        hide_env_values = true,
        value_name = "DURATION",
        help_heading = "Judgement"
    )]
    pub reply_window: Option<String>,
    /// How old a message may be for an app's event with only a `To` to confirm it [default: 15m]
    #[arg(
        long,
        env = "HEARDBACK_EVENT_WINDOW",
        hide_env_values = true,
        value_name = "DURATION",
        help_heading = "Judgement"
    )]
    pub event_window: Option<String>,
    /// Let the status `read` count as evidence [default: false]
    #[arg(long, env = "HEARDBACK_READ_CONFIRMS", hide_env_values = true, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", help_heading = "Judgement")]
    pub read_confirms: Option<String>,
    /// Which of several messages under one reference is confirmed by evidence that names only the
    /// reference: newest, only-deliverable, all or code [default: newest]
    #[arg(
        long,
        env = "HEARDBACK_RESEND",
        hide_env_values = true,
        value_name = "POLICY",
        help_heading = "Judgement"
    )]
    pub resend: Option<String>,
    /// The tag of a message that holds its reference: Event Streams register a message that bears it
    #[arg(
        long,
        env = "HEARDBACK_REFERENCE_TAG",
        hide_env_values = true,
        value_name = "NAME",
        help_heading = "Judgement"
    )]
    pub reference_tag: Option<String>,
    /// Take no known crawler's click as evidence [default: true]
    #[arg(long, env = "HEARDBACK_IGNORE_CRAWLERS", hide_env_values = true, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", help_heading = "Judgement")]
    pub ignore_crawlers: Option<String>,
    /// What happens when a person opens one of our own click links: off, confirm-on-post (a page with a button,
    /// which a script presses), confirm-on-press (only a person's press counts) or confirm-on-get (a scanner's
    /// fetch counts, too) [default: confirm-on-post]
    #[arg(
        long,
        env = "HEARDBACK_LINKS",
        hide_env_values = true,
        value_name = "WHEN",
        help_heading = "Judgement"
    )]
    pub links: Option<String>,
    /// How long to retry a post, from the first attempt on [default: 24h]
    #[arg(
        long,
        env = "HEARDBACK_GIVE_UP_AFTER",
        hide_env_values = true,
        value_name = "DURATION",
        help_heading = "Judgement"
    )]
    pub give_up_after: Option<String>,
    /// Decide and record; post what is confirmed only once this is off [default: false]
    #[arg(long, env = "HEARDBACK_DRY_RUN", hide_env_values = true, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", help_heading = "Judgement")]
    pub dry_run: Option<String>,
    /// Where the records are [default: sled:heardback-data]
    #[arg(
        long,
        env = "HEARDBACK_STORE",
        hide_env_values = true,
        value_name = "sled:PATH",
        help_heading = "Store"
    )]
    pub store: Option<String>,
    /// Let the store be on tmpfs, overlayfs, a network file system or FUSE, where acknowledged
    /// records can be lost [default: false]
    #[arg(long, env = "HEARDBACK_ALLOW_UNSAFE_STORE", hide_env_values = true, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", help_heading = "Store")]
    pub allow_unsafe_store: Option<String>,
    /// How long finished records are kept [default: 30d]
    #[arg(
        long,
        env = "HEARDBACK_RETENTION",
        hide_env_values = true,
        value_name = "DURATION",
        help_heading = "Store"
    )]
    pub retention: Option<String>,
    /// At the limit a new message evicts the oldest finished one, or is answered with 503 if none can go; new
    /// click links above as many get 503
    /// [default: 1000000]
    #[arg(
        long,
        env = "HEARDBACK_MAX_MESSAGES",
        hide_env_values = true,
        value_name = "COUNT",
        help_heading = "Store"
    )]
    pub max_messages: Option<String>,
    /// The most evidence that is kept for messages not yet registered. An account may hold as much as is left free;
    /// beyond that, more gets 503 [default: 200000]
    #[arg(
        long,
        env = "HEARDBACK_MAX_PARKED",
        hide_env_values = true,
        value_name = "COUNT",
        help_heading = "Store"
    )]
    pub max_parked: Option<String>,
    /// Keep the last 20 requests refused for their signature here, for doctor; they may hold phone
    /// numbers and texts [default: none are kept]
    #[arg(
        long,
        env = "HEARDBACK_RECORD_REFUSED",
        hide_env_values = true,
        value_name = "DIR",
        help_heading = "Logs"
    )]
    pub record_refused: Option<String>,
    /// What to log, e.g. debug or info,heardback=debug [default: info]
    #[arg(
        long,
        env = "HEARDBACK_LOG",
        hide_env_values = true,
        value_name = "FILTER",
        help_heading = "Logs"
    )]
    pub log: Option<String>,
    /// pretty or json [default: pretty on a terminal, else json]
    #[arg(
        long,
        env = "HEARDBACK_LOG_FORMAT",
        hide_env_values = true,
        value_name = "FORMAT",
        help_heading = "Logs"
    )]
    pub log_format: Option<String>,
}

impl SettingsArgs {
    /// The environment variables of these settings.
    #[must_use]
    pub fn variables() -> Vec<String> {
        let command = Self::augment_args(Command::new("settings"));
        let names = command.get_arguments().filter_map(|argument| argument.get_env());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }
}
