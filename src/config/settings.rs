//! The settings as typed values. Deliberately absent: how they are read.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::config::forward_urls::{ForwardSettings, ForwardUrls};
use crate::config::listen::ListenAddr;
use crate::config::postgres_url::PostgresUrl;
use crate::config::shared_keys::SharedKey;
use crate::config::traces::TraceSettings;
use crate::domain::click_link::Links;
use crate::domain::click_secret::ClickSecret;
use crate::domain::matching::Policy;
use crate::domain::sid::AccountSid;
use crate::twilio::api_url::UpstreamUrl;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::twiml::RedirectUrl;

/// All settings of the service. It dereferences to [`Values`], which has one field for each row of the table. `Debug`
/// shows no secret.
#[derive(Debug, Clone)]
pub struct Settings {
    pub accounts: AccountsSettings,
    /// The export of spans; `None` if there is none.
    pub traces: Option<TraceSettings>,
    /// Valid values that are probably a mistake. The texts contain no secret.
    pub warnings: Vec<String>,
    pub(super) values: Values,
}

impl Deref for Settings {
    type Target = Values;

    fn deref(&self) -> &Values {
        &self.values
    }
}

impl DerefMut for Settings {
    fn deref_mut(&mut self) -> &mut Values {
        &mut self.values
    }
}

/// The values of the table. A field whose row has not been read has the default of its type.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Values {
    pub(super) own: OwnAccount,
    pub(super) edge: Option<String>,
    pub(super) region: Option<String>,
    pub(super) upstream_url: Option<UpstreamUrl>,
    /// The origins that Twilio and the app sign; at least one.
    pub public_urls: Vec<PublicUrl>,
    pub accounts_file: Option<PathBuf>,
    /// The app keys that are valid for every account. See [`AccountSettings::app_secrets`].
    pub app_keys: Vec<SecretString>,
    /// The secret path of unsigned click callbacks; `None` if every click must be signed.
    pub click_secret: Option<ClickSecret>,
    /// The URL of the app's own `TwiML` for calls; `None` if calls are rejected.
    pub call_redirect: Option<RedirectUrl>,
    pub send: SendSettings,
    pub forward: ForwardSettings,
    /// Concurrent posts: 1 to 64.
    pub upstream_concurrency: usize,
    pub store: StoreUrl,
    /// Whether the store may be on a file system that can lose acknowledged records.
    pub allow_unsafe_store: bool,
    /// Whether the database may be on another machine whose certificate is not verified.
    pub allow_unverified_database: bool,
    pub pool: PoolSettings,
    /// The folder of the control socket of a service whose store is a database.
    pub run_dir: PathBuf,
    /// The key of recipients' hashes; `None` if the store makes its own.
    pub phone_key: Option<SecretSlice<u8>>,
    pub listen: ListenAddr,
    pub ops_listen: ListenAddr,
    /// The token of the operator's page; required if other machines can connect to it.
    pub ops_token: Option<SecretString>,
    /// The header with the client's address; `None` if the peer is the client.
    pub client_ip_header: Option<String>,
    /// How long to retry a post.
    pub give_up_after: Duration,
    /// The rules by which the store judges evidence.
    pub policy: Policy,
    /// At this number, new messages are rejected.
    pub max_messages: u64,
    /// The largest number of parked signals.
    pub max_parked: u64,
    /// The tag with a message's reference, in Event Streams.
    pub reference_tag: Option<String>,
    /// Whether known crawlers' clicks are ignored.
    pub ignore_crawlers: bool,
    /// The effect of opening one of our click links.
    pub links: Links,
    /// Whether to decide and record, but never post.
    pub dry_run: bool,
    /// The folder of the last requests that were rejected for their signature; `None` if none are kept.
    pub record_refused: Option<PathBuf>,
    pub log: LogSettings,
}

impl Values {
    /// The key of recipients' hashes; `None` if the store makes its own.
    pub fn recipient_hash_key(&self) -> Option<Vec<u8>> {
        self.phone_key.as_ref().map(|key| key.expose_secret().to_vec())
    }

    /// The folder of the control socket: the store's, or with a database the folder of the settings.
    pub fn control_folder(&self) -> &Path {
        self.store.folder().unwrap_or(&self.run_dir)
    }
}

/// The account that the environment names, as its rows were read.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnAccount {
    pub(super) sid: Option<AccountSid>,
    pub(super) tokens: Vec<SecretString>,
    pub(super) shared_keys: Vec<SharedKey>,
    pub(super) api_key: Option<String>,
    pub(super) api_secret: Option<SecretString>,
    pub(super) send_api_keys: Vec<ApiKey>,
}

/// All accounts: at least one, with different SIDs.
#[derive(Debug, Clone)]
pub struct AccountsSettings {
    pub(super) first: AccountSettings,
    pub(super) more: Vec<AccountSettings>,
}

impl AccountsSettings {
    /// The default account: the account of the environment, or the first one of the file.
    pub fn first(&self) -> &AccountSettings {
        &self.first
    }

    /// All accounts, the default first.
    pub fn iter(&self) -> impl Iterator<Item = &AccountSettings> {
        std::iter::once(&self.first).chain(&self.more)
    }
}

/// One account or subaccount. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    pub sid: AccountSid,
    /// Its number in the accounts file, from 1; `None` for the environment's account.
    pub number: Option<usize>,
    /// Auth tokens, primary first; at most four. Empty only if `SharedKeys` verify and an API key posts.
    pub tokens: Vec<SecretString>,
    /// The `SharedKeys` that Twilio may sign with, each bound to its algorithm; no id occurs twice.
    pub shared_keys: Vec<SharedKey>,
    /// The keys that its own app signs with, in addition to [`Values::app_keys`].
    pub app_keys: Vec<SecretString>,
    /// The API key that posts; `None` if the auth tokens post.
    pub api_key: Option<ApiKey>,
    /// Further API keys that may send.
    pub send_api_keys: Vec<ApiKey>,
    /// The URLs of its own app. See [`ForwardSettings::url`].
    pub forward: ForwardUrls,
    /// The origin of Twilio's API for this account.
    pub upstream: UpstreamUrl,
    /// The region of its tokens, such as `us1`; `None` if it is unknown.
    pub region: Option<String>,
}

impl AccountSettings {
    /// The account's name in a problem.
    pub(super) fn name(&self) -> String {
        match self.number {
            Some(number) => format!("account {number} ({})", self.sid),
            None => format!("TWILIO_ACCOUNT_SID ({})", self.sid),
        }
    }

    /// The source of one of its secrets: an environment variable, or the accounts file.
    pub fn place(&self, setting: &str) -> String {
        match self.number {
            Some(number) => format!("account {number} of HEARDBACK_ACCOUNTS_FILE"),
            None => setting.to_owned(),
        }
    }

    /// The keys that its app may sign with. `shared` are those of every account. Without any app key, the auth tokens.
    pub fn app_secrets<'a>(&'a self, shared: &'a [SecretString]) -> Vec<&'a SecretString> {
        let keys: Vec<_> = self.app_keys.iter().chain(shared).collect();
        if keys.is_empty() { self.tokens.iter().collect() } else { keys }
    }
}

/// A Twilio API key: it has fewer rights than an auth token, and can be revoked on its own.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// `SK…`; not secret.
    pub sid: String,
    pub secret: SecretString,
}

/// Send through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendSettings {
    pub is_on: bool,
    /// The most sends under way: 1 to 256.
    pub concurrency: u32,
    /// The longest wait for Twilio's answer: 1 s to 14 s.
    pub timeout: Duration,
}

impl SendSettings {
    /// The connections to Twilio that it needs.
    pub fn slots(&self) -> usize {
        if self.is_on { usize::try_from(self.concurrency).unwrap_or_default() } else { 0 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sled:PATH`: a folder on this machine.
    Sled(PathBuf),
    /// `postgres://…`: a database, which several receivers share.
    Postgres(PostgresUrl),
}

impl StoreUrl {
    /// Parses `sled:PATH` or `postgres://…`. The error names the expected form and shows no part of the text, which may
    /// hold a password.
    ///
    /// # Errors
    /// The text has another form.
    pub fn parse(text: &str) -> Result<Self, String> {
        if PostgresUrl::has_scheme(text) {
            return PostgresUrl::parse(text).map(Self::Postgres);
        }
        match text.strip_prefix("sled:") {
            Some(path) if path.starts_with("//") => {
                Err("expected sled:PATH without `//` before the path, e.g. sled:/var/lib/x"
                    .to_owned())
            }
            Some(path) if !path.is_empty() => Ok(Self::Sled(PathBuf::from(path))),
            Some(_) | None => {
                Err("expected sled:PATH, e.g. sled:/var/lib/x, or postgres://…".to_owned())
            }
        }
    }
}

impl StoreUrl {
    /// The folder of a sled store; `None` for a database.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Sled(folder) => Some(folder),
            Self::Postgres(_) => None,
        }
    }
}

impl fmt::Display for StoreUrl {
    /// Without a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sled(path) => write!(f, "sled:{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl Default for StoreUrl {
    fn default() -> Self {
        Self::Sled(PathBuf::new())
    }
}

/// The connections of one receiver to its database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolSettings {
    pub connections: u32,
    /// The longest time of a command, with its wait for a connection.
    pub acquire_timeout: Duration,
    /// The age at which a connection is replaced.
    pub lifetime: Duration,
    /// The time after which an unused connection is closed.
    pub idle_timeout: Duration,
    /// Whether a pooler without prepared statements of its own is in front.
    pub is_behind_pooler: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// Valid directives of `tracing-subscriber`'s `EnvFilter`.
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    #[default]
    Auto,
    Pretty,
    Json,
}

impl LogFormat {
    pub(super) const ALL: [Self; 3] = [Self::Auto, Self::Pretty, Self::Json];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Pretty => "pretty",
            Self::Json => "json",
        }
    }
}
