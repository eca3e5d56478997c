//! The listeners and what requests may do.

use crate::config::listen::ListenAddr;
use crate::config::names::{APP_KEYS, OPS_LISTEN, OPS_LISTEN_DEFAULT, OPS_TOKEN, PUBLIC_URL};
use crate::config::parse;
use crate::config::parse::set;
use crate::config::reader::{Setting, Value};
use crate::config::show::key_count;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::twiml::RedirectUrl;

pub(super) static ROWS: &[Setting] = &[
    Setting {
        name: APP_KEYS,
        value: Value::Secret,
        help: "Keys that your app signs with, separated by commas, each 16 bytes or more [default: the auth \
               token]",
        parse: parse::app_keys,
        show: |settings| match settings.app_keys.len() {
            0 => "the auth token".to_owned(),
            count => key_count(count),
        },
    },
    Setting {
        name: PUBLIC_URL,
        value: Value::Text { form: "URL,…", default: "" },
        help: "The origin that Twilio and your app sign, e.g. `https://hooks.example.com`. Required. Separate \
               several by commas",
        parse: |reader, text| {
            parse::public_urls(reader, text);
            Ok(())
        },
        show: |settings| {
            let urls: Vec<&str> = settings.public_urls.iter().map(PublicUrl::as_str).collect();
            urls.join(", ")
        },
    },
    Setting {
        name: "HEARDBACK_LISTEN",
        value: Value::Text { form: "HOST:PORT", default: "0.0.0.0:8080" },
        help: "The listener for webhooks and your app: an address or a host name, and a port; `[::]` is IPv6 \
               and IPv4",
        parse: |reader, text| {
            set(&mut reader.values.listen, ListenAddr::read(text, "0.0.0.0:8080"))
        },
        show: |settings| settings.listen.to_string(),
    },
    Setting {
        name: OPS_LISTEN,
        value: Value::Text { form: "HOST:PORT", default: OPS_LISTEN_DEFAULT },
        help: "The listener for the operator's page, and for /livez, /readyz and /metrics, which need no \
               password. Open it to other machines only with `HEARDBACK_OPS_TOKEN`",
        parse: |reader, text| {
            set(&mut reader.values.ops_listen, ListenAddr::read(text, OPS_LISTEN_DEFAULT))
        },
        show: |settings| settings.ops_listen.to_string(),
    },
    Setting {
        name: OPS_TOKEN,
        value: Value::Secret,
        help: "The token of the operator's page, 16 bytes or more; required if HEARDBACK_OPS_LISTEN is not \
               loopback [default: none]",
        parse: parse::ops_token,
        show: |settings| match settings.ops_token {
            Some(_) => "set".to_owned(),
            None => "not set: all users of this machine see the page".to_owned(),
        },
    },
    Setting {
        name: "HEARDBACK_CLIENT_IP_HEADER",
        value: Value::Text { form: "NAME", default: "" },
        help: "The header in which your proxy names the client's address, e.g. Fly-Client-IP. It is only used \
               to count failed signatures by network [default: none, the peer's address]",
        parse: parse::client_ip_header,
        show: |settings| {
            settings.client_ip_header.clone().unwrap_or_else(|| "not set: the peer".to_owned())
        },
    },
    Setting {
        name: "HEARDBACK_CLICK_PATH_SECRET",
        value: Value::Secret,
        help: "Opens /twilio/click/SECRET for click callbacks without a signature: 16 or more letters, digits \
               or - _ . ~ [default: none, every click must be signed]",
        parse: parse::click_secret,
        show: |settings| match settings.click_secret {
            Some(_) => "set: any client that has it can report clicks".to_owned(),
            None => "not set: every click must be signed".to_owned(),
        },
    },
    Setting {
        name: "HEARDBACK_CALL_REDIRECT_URL",
        value: Value::Text { form: "URL", default: "" },
        help: "The URL of your own `TwiML` for calls to a number that uses /twilio/call [default: the call is \
               rejected]",
        parse: |reader, text| {
            let url = RedirectUrl::parse(text)
                .map_err(|error| format!("{error}; expected the URL of your app's TwiML"))?;
            reader.values.call_redirect = Some(url);
            Ok(())
        },
        show: |settings| match &settings.call_redirect {
            Some(url) => url.to_string(),
            None => "not set: calls are rejected".to_owned(),
        },
    },
];
