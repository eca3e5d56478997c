//! The account, its keys and the service behind it.

use secrecy::SecretString;
use std::path::PathBuf;

use crate::config::names::{
    ACCOUNT_SID, ACCOUNTS_FILE, API_KEY, API_SECRET, AUTH_TOKEN, EDGE, REGION, SEND_API_KEYS,
    SHARED_KEYS, UPSTREAM_URL,
};
use crate::config::parse;
use crate::config::parse::{count, set};
use crate::config::reader::{Setting, Value};
use crate::config::show::{accounts_file, key_count, of_own_account, or_not_set, shared_key_ids};

pub(super) static ROWS: &[Setting] = &[
    Setting {
        name: ACCOUNT_SID,
        value: Value::Redacted { form: "AC…" },
        help: "The account that sends the messages; required without an accounts file",
        parse: parse::account_sid,
        show: |settings| of_own_account(settings, |account| account.sid.to_string()),
    },
    Setting {
        name: AUTH_TOKEN,
        value: Value::Secret,
        help: "Verifies signatures, and posts if there is no API key. Required. Separate a primary and a \
               secondary token by a comma",
        parse: parse::auth_tokens,
        show: |settings| of_own_account(settings, |account| key_count(account.tokens.len())),
    },
    Setting {
        name: SHARED_KEYS,
        value: Value::Secret,
        help: "Verify signatures, too: SharedKeys of Twilio's Webhooks API, separated by commas, each \
               id:algorithm:secret. The algorithm is HMAC_SHA1 or HMAC_SHA256",
        parse: parse::shared_keys,
        show: |settings| of_own_account(settings, shared_key_ids),
    },
    Setting {
        name: ACCOUNTS_FILE,
        value: Value::Text { form: "PATH", default: "" },
        help: "A TOML file with several accounts, each with its own secrets. SIGHUP reloads it. With it, the \
               settings of one account are optional",
        parse: |reader, text| set(&mut reader.values.accounts_file, Ok(Some(PathBuf::from(text)))),
        show: accounts_file,
    },
    Setting {
        name: API_KEY,
        value: Value::Redacted { form: "SK…" },
        help: "The API key that posts, in place of the auth token; requires `TWILIO_API_SECRET`",
        parse: parse::api_key,
        show: |settings| {
            of_own_account(settings, |account| match &account.api_key {
                Some(key) => key.sid.clone(),
                None => "not set: the auth token posts".to_owned(),
            })
        },
    },
    Setting {
        name: API_SECRET,
        value: Value::Secret,
        help: "The secret of TWILIO_API_KEY",
        parse: |reader, text| {
            set(&mut reader.values.own.api_secret, Ok(Some(SecretString::from(text))))
        },
        show: |settings| {
            of_own_account(settings, |account| {
                if account.api_key.is_some() { "set" } else { "not set" }.to_owned()
            })
        },
    },
    Setting {
        name: SEND_API_KEYS,
        value: Value::Secret,
        help: "API keys that may send for the account, besides its auth tokens and TWILIO_API_KEY: SK…:secret, separated \
               by commas [default: none]",
        parse: parse::send_api_keys,
        show: |settings| {
            of_own_account(settings, |account| {
                let sids: Vec<&str> =
                    account.send_api_keys.iter().map(|key| key.sid.as_str()).collect();
                if sids.is_empty() { "none".to_owned() } else { sids.join(", ") }
            })
        },
    },
    Setting {
        name: EDGE,
        value: Value::Text { form: "NAME", default: "" },
        help: "Twilio's edge for posts, e.g. dublin; without a region it implies us1",
        parse: |reader, text| set(&mut reader.values.edge, Ok(Some(text.to_owned()))),
        // A secret may have been pasted here.
        show: |settings| or_not_set(settings.edge.as_ref().map(|_| "set".to_owned())),
    },
    Setting {
        name: REGION,
        value: Value::Text { form: "NAME", default: "" },
        help: "Twilio's region of the messages, e.g. ie1; requires an edge",
        parse: |reader, text| set(&mut reader.values.region, Ok(Some(text.to_owned()))),
        show: |settings| or_not_set(settings.region.as_ref().map(|_| "set".to_owned())),
    },
    Setting {
        name: UPSTREAM_URL,
        value: Value::Text { form: "URL", default: "" },
        help: "The origin of the API, in place of edge and region; plain http to loopback only [default: \
               api.twilio.com over https]",
        parse: parse::upstream_url,
        show: |settings| settings.accounts.first().upstream.to_string(),
    },
    Setting {
        name: "HEARDBACK_UPSTREAM_CONCURRENCY",
        value: Value::Text { form: "1..64", default: "4" },
        help: "Concurrent posts, plus one for each account without a post in flight (64 at most). They share the \
               account's API concurrency with the messages that you send",
        parse: |reader, text| set(&mut reader.values.upstream_concurrency, count(text, 1, 64)),
        show: |settings| settings.upstream_concurrency.to_string(),
    },
];
