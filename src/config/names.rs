//! The names, headings and shared defaults of settings.

// Headings in the help. The accounts are built from the settings under the first one.
pub(super) const TWILIO: &str = "Twilio";
pub(super) const STORE: &str = "Store";

// Settings that are named outside `config/table/`: by rules across settings, or by commands that read only some of them.
pub(super) const ACCOUNT_SID: &str = "TWILIO_ACCOUNT_SID";
pub(super) const AUTH_TOKEN: &str = "TWILIO_AUTH_TOKEN";
pub(super) const SHARED_KEYS: &str = "TWILIO_SHARED_KEYS";
pub(super) const API_KEY: &str = "TWILIO_API_KEY";
pub(super) const API_SECRET: &str = "TWILIO_API_SECRET";
pub(super) const SEND_API_KEYS: &str = "HEARDBACK_SEND_API_KEYS";
pub(super) const ACCOUNTS_FILE: &str = "HEARDBACK_ACCOUNTS_FILE";
pub(super) const EDGE: &str = "TWILIO_EDGE";
pub(super) const REGION: &str = "TWILIO_REGION";
pub(super) const UPSTREAM_URL: &str = "HEARDBACK_UPSTREAM_URL";
pub(super) const APP_KEYS: &str = "HEARDBACK_APP_KEYS";
pub(super) const PUBLIC_URL: &str = "HEARDBACK_PUBLIC_URL";
pub(super) const OPS_LISTEN: &str = "HEARDBACK_OPS_LISTEN";
pub(super) const OPS_TOKEN: &str = "HEARDBACK_OPS_TOKEN";
pub(super) const FORWARD_MESSAGE_URL: &str = "HEARDBACK_FORWARD_MESSAGE_URL";
pub(super) const FORWARD_CALL_URL: &str = "HEARDBACK_FORWARD_CALL_URL";
pub(super) const FORWARD_STATUS_URL: &str = "HEARDBACK_FORWARD_STATUS_URL";
pub(super) const FORWARD_PRIVATE: &str = "HEARDBACK_FORWARD_PRIVATE";
pub(super) const PENDING_TTL: &str = "HEARDBACK_PENDING_TTL";
pub(super) const REPLY_WINDOW: &str = "HEARDBACK_REPLY_WINDOW";
pub(super) const EVENT_WINDOW: &str = "HEARDBACK_EVENT_WINDOW";
pub(super) const READ_CONFIRMS: &str = "HEARDBACK_READ_CONFIRMS";
pub(super) const RESEND: &str = "HEARDBACK_RESEND";
pub(super) const STORE_URL: &str = "HEARDBACK_STORE";
pub(super) const ALLOW_UNVERIFIED_DATABASE: &str = "HEARDBACK_ALLOW_UNVERIFIED_DATABASE";
pub(super) const PHONE_KEY: &str = "HEARDBACK_PHONE_KEY";
pub(super) const RETENTION: &str = "HEARDBACK_RETENTION";
pub(super) const MAX_MESSAGES: &str = "HEARDBACK_MAX_MESSAGES";
pub(super) const MAX_PARKED: &str = "HEARDBACK_MAX_PARKED";
pub(super) const RECORD_REFUSED: &str = "HEARDBACK_RECORD_REFUSED";

/// The place of auth tokens and API keys.
pub(super) const TOKEN_PLACE: &str = "Twilio Console → Account → API keys & tokens";

// Defaults of settings that are also flags of single commands.
pub const STORE_DEFAULT: &str = "sled:heardback-data";
pub const OPS_LISTEN_DEFAULT: &str = "127.0.0.1:9091";
