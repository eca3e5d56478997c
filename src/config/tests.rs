//! The rows of the table and the rules across settings. `accounts::tests` has the accounts file.

use std::io;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use super::*;
use crate::domain::hex;
use crate::twilio::signature::Algorithm;
use crate::twilio::twiml::RedirectUrl;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const SECOND: &str = "fedcba9876543210fedcba9876543210";
const SID: &str = "AC0123456789abcdef0123456789abcdef";
const KEY_SID: &str = "SK0123456789abcdef0123456789abcdef";

fn args() -> SettingsArgs {
    SettingsArgs::of([
        ("HEARDBACK_PUBLIC_URL", "https://hooks.example.com"),
        ("TWILIO_ACCOUNT_SID", SID),
    ])
}

fn file(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some("/run/token") => Ok(format!("{TOKEN}\r\n")),
        Some("/run/shared") => Ok("webhooks_sharedkey_01:HMAC_SHA1:hush\n".to_owned()),
        Some("/run/empty") => Ok("\n".to_owned()),
        Some("/run/store") => Ok("postgres://u:hush@db.example.com/x\n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    }
}

/// Loads these settings, with an auth token unless `env` names one.
fn load(args: &SettingsArgs, env: &[(&str, &str)]) -> Result<Settings, Problems> {
    let has_token = env.iter().any(|(name, _)| name.starts_with("TWILIO_AUTH_TOKEN"));
    let token = (!has_token).then_some(("TWILIO_AUTH_TOKEN", TOKEN));
    let env = |name: &str| {
        let mut found = env.iter().copied().chain(token).filter(|(known, _)| *known == name);
        found.next().map(|(_, value)| value.to_owned())
    };
    Settings::load(args, &env, &file)
}

/// The settings with a problem, in order, and the text of the problems.
fn problems(args: &SettingsArgs, env: &[(&str, &str)]) -> (Vec<String>, String) {
    let problems = load(args, env).expect_err("a problem");
    let names = problems.iter().map(|problem| problem.setting().to_owned()).collect();
    (names, problems.to_string())
}

fn warnings(args: &SettingsArgs, env: &[(&str, &str)]) -> String {
    load(args, env).expect("valid").warnings.join("\n")
}

/// The values as `check` prints them.
fn shown(settings: &Settings) -> Vec<(&'static str, String)> {
    every_setting().map(|setting| (setting.name, (setting.show)(settings))).collect()
}

#[test]
fn each_row_has_its_own_name_and_its_default_is_valid_and_the_value_of_an_unset_setting() {
    let mut names: Vec<&str> = every_setting().map(|setting| setting.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    let unset = load(&args(), &[]).expect("valid");
    assert_eq!(unset.warnings, Vec::<String>::new());
    let values = shown(&unset);
    for (name, value) in [
        ("TWILIO_ACCOUNT_SID", SID),
        ("TWILIO_AUTH_TOKEN", "set (1 key)"),
        ("TWILIO_API_KEY", "not set: the auth token posts"),
        ("HEARDBACK_UPSTREAM_URL", "https://api.twilio.com"),
        ("HEARDBACK_UPSTREAM_CONCURRENCY", "4"),
        ("HEARDBACK_APP_KEYS", "the auth token"),
        ("HEARDBACK_PUBLIC_URL", "https://hooks.example.com"),
        ("HEARDBACK_LISTEN", "0.0.0.0:8080"),
        ("HEARDBACK_OPS_LISTEN", "127.0.0.1:9091"),
        ("HEARDBACK_CLICK_PATH_SECRET", "not set: every click must be signed"),
        ("HEARDBACK_CALL_REDIRECT_URL", "not set: calls are rejected"),
        ("HEARDBACK_PENDING_TTL", "7d"),
        ("HEARDBACK_REPLY_WINDOW", "1h"),
        ("HEARDBACK_EVENT_WINDOW", "15m"),
        ("HEARDBACK_READ_CONFIRMS", "false"),
        ("HEARDBACK_LINKS", "confirm-on-post"),
        ("HEARDBACK_GIVE_UP_AFTER", "1d"),
        ("HEARDBACK_DRY_RUN", "false"),
        ("HEARDBACK_STORE", "sled:heardback-data"),
        ("HEARDBACK_PHONE_KEY", "not set: the store keeps a random one"),
        ("HEARDBACK_RETENTION", "30d"),
        ("HEARDBACK_MAX_MESSAGES", "1000000"),
        ("HEARDBACK_MAX_PARKED", "200000"),
        ("HEARDBACK_LOG", "info"),
        ("HEARDBACK_LOG_FORMAT", "pretty on a terminal, json otherwise"),
    ] {
        assert!(values.contains(&(name, value.to_owned())), "{name} {value}: {values:?}");
    }
    // A blank counts as unset.
    let required = ["TWILIO_ACCOUNT_SID", "HEARDBACK_PUBLIC_URL"];
    let blank = every_setting().map(|row| row.name).filter(|name| !required.contains(name));
    let blank = blank.fold(args(), |args, name| args.with(name, " "));
    let env =
        [("TWILIO_AUTH_TOKEN", TOKEN), ("TWILIO_AUTH_TOKEN_FILE", ""), ("TWILIO_API_SECRET", "")];
    assert_eq!(shown(&load(&blank, &env).expect("valid")), values);
}

#[test]
fn good_values_are_accepted() {
    let rows = [
        ("TWILIO_API_KEY", KEY_SID, KEY_SID),
        ("TWILIO_EDGE", "dublin", "set"),
        ("TWILIO_REGION", "ie1", "set"),
        (
            "HEARDBACK_PUBLIC_URL",
            "https://a.example.com, https://b.example.com/x/,https://a.example.com",
            "https://a.example.com, https://b.example.com/x",
        ),
        ("HEARDBACK_STORE", "sled:/var/lib/heardback", "sled:/var/lib/heardback"),
        ("HEARDBACK_LISTEN", "[::]:0", "[::]:0"),
        ("HEARDBACK_OPS_LISTEN", "127.0.0.1:0", "127.0.0.1:0"),
        ("HEARDBACK_GIVE_UP_AFTER", "1h30m", "1h 30m"),
        ("HEARDBACK_PENDING_TTL", "90s", "1m 30s"),
        ("HEARDBACK_RETENTION", "2d 12h", "2d 12h"),
        ("HEARDBACK_UPSTREAM_CONCURRENCY", "64", "64"),
        ("HEARDBACK_READ_CONFIRMS", "YES", "true"),
        ("HEARDBACK_DRY_RUN", "1", "true: nothing is posted"),
        ("HEARDBACK_LOG", "info,heardback=debug", "info,heardback=debug"),
        ("HEARDBACK_LOG_FORMAT", "json", "json"),
    ];
    let args = rows.iter().fold(args(), |args, (name, text, _)| args.with(name, text));
    let tokens = format!("{TOKEN}, {SECOND},");
    let env = [
        ("TWILIO_AUTH_TOKEN", tokens.as_str()),
        ("TWILIO_API_SECRET", "the secret"),
        ("HEARDBACK_APP_KEYS", "a-key-of-sixteen-bytes"),
        ("HEARDBACK_PHONE_KEY", "0123456789abcdef"),
    ];
    let settings = load(&args, &env).expect("valid");
    let values = shown(&settings);
    let derived = [
        ("HEARDBACK_REPLY_WINDOW", "", "1m 30s"),
        ("HEARDBACK_UPSTREAM_URL", "", "https://api.dublin.ie1.twilio.com"),
        ("HEARDBACK_APP_KEYS", "", "set (1 key)"),
    ];
    for (name, _, value) in rows.into_iter().chain(derived) {
        assert!(values.contains(&(name, value.to_owned())), "{name} {value}: {values:?}");
    }
    let own = settings.accounts.first();
    let tokens: Vec<_> = own.tokens.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(tokens, [TOKEN, SECOND]);
    assert_eq!(settings.store, StoreUrl::Sled(PathBuf::from("/var/lib/heardback")));
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn each_bad_value_names_its_setting() {
    let rows: [(&'static str, &[&str]); 25] = [
        ("HEARDBACK_LINKS", &["on", "confirm", "Off"]),
        ("HEARDBACK_PUBLIC_URL", &["http://x.com", "https://x.com?a", "x"]),
        ("TWILIO_ACCOUNT_SID", &[TOKEN, KEY_SID]),
        ("TWILIO_EDGE", &["a.b", "a/b"]),
        ("TWILIO_REGION", &["ie1", "a b"]),
        ("HEARDBACK_UPSTREAM_URL", &["http://x.com", "https://x.com/a"]),
        ("HEARDBACK_UPSTREAM_CONCURRENCY", &["0", "65", "-1", "x"]),
        (
            "HEARDBACK_STORE",
            &["data", "sled:", "sled:///data", "postgres://h:x/d", "postgres://h/d?ssl=1", "x:y"],
        ),
        ("HEARDBACK_STORE_CONNECTIONS", &["2", "x"]),
        ("HEARDBACK_ALLOW_UNVERIFIED_DATABASE", &["maybe"]),
        ("HEARDBACK_LISTEN", &["8080", ":8080", "localhost", "::1:8080", "127.1:80"]),
        ("HEARDBACK_CLIENT_IP_HEADER", &["X-Real-IP: 1", "a b", "Fly-Client-IP,X-Real-IP", "é"]),
        ("HEARDBACK_OPS_LISTEN", &["x", "127.0.0.1:8080"]),
        ("HEARDBACK_GIVE_UP_AFTER", &["0s", "-1h", "24", "1mo", "99999d"]),
        ("HEARDBACK_PENDING_TTL", &["0s", "x"]),
        ("HEARDBACK_REPLY_WINDOW", &["0s", "8d"]),
        ("HEARDBACK_EVENT_WINDOW", &["0s", "8d"]),
        ("HEARDBACK_RETENTION", &["0s", "x"]),
        ("HEARDBACK_MAX_MESSAGES", &["0", "many", "1e6"]),
        ("HEARDBACK_MAX_PARKED", &["0", "-1", "2k"]),
        ("HEARDBACK_READ_CONFIRMS", &["maybe", "2"]),
        ("HEARDBACK_DRY_RUN", &["maybe"]),
        ("HEARDBACK_LOG", &["inof", "info,heardbak", "heardback=loud"]),
        ("HEARDBACK_LOG_FORMAT", &["xml"]),
        ("TWILIO_API_KEY", &[SID]),
    ];
    for (name, values) in rows {
        for value in values {
            let (names, _) = problems(&args().with(name, value), &[]);
            assert_eq!(names.first().map(String::as_str), Some(name), "{value}");
        }
    }
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_table() {
    let (_, text) = problems(&SettingsArgs::default(), &[("TWILIO_AUTH_TOKEN", "")]);
    assert_eq!(
        text,
        "3 settings need attention:\n  \
         TWILIO_ACCOUNT_SID is missing: Twilio Console → Account → Account info (AC…)\n  \
         TWILIO_AUTH_TOKEN is missing: Twilio Console → Account → API keys & tokens\n  \
         HEARDBACK_PUBLIC_URL is missing: expected the origin that Twilio calls, e.g. \
         https://hooks.example.com"
    );
    let env = [("HEARDBACK_PHONE_KEY", "short"), ("TWILIO_AUTH_TOKEN_FILE", "/run/none")];
    let args = SettingsArgs::of([("HEARDBACK_LOG", "inof"), ("HEARDBACK_LISTEN", "x")]);
    let expected = [
        "TWILIO_ACCOUNT_SID",
        "TWILIO_AUTH_TOKEN_FILE",
        "HEARDBACK_PUBLIC_URL",
        "HEARDBACK_LISTEN",
        "HEARDBACK_PHONE_KEY",
        "HEARDBACK_LOG",
    ];
    assert_eq!(problems(&args, &env).0, expected);
}

#[test]
fn a_wrong_secret_is_a_problem_that_says_why_and_never_shows_it() {
    let with_key = args().with("TWILIO_API_KEY", KEY_SID);
    let both = [("TWILIO_AUTH_TOKEN", "hush"), ("TWILIO_AUTH_TOKEN_FILE", "/run/token")];
    for (args, env, name, words) in [
        (&with_key, &[][..], "TWILIO_API_SECRET", "is missing"),
        (&args(), &[("TWILIO_API_SECRET", "hush")], "TWILIO_API_KEY", "is missing"),
        (
            &args(),
            &[("TWILIO_AUTH_TOKEN_FILE", "/run/none")],
            "TWILIO_AUTH_TOKEN_FILE",
            "\"/run/none\" cannot be read",
        ),
        (
            &args(),
            &[("TWILIO_AUTH_TOKEN_FILE", "/run/empty")],
            "TWILIO_AUTH_TOKEN_FILE",
            "is empty",
        ),
        (&args(), &both, "TWILIO_AUTH_TOKEN", "are both set"),
        (
            &args(),
            &[("HEARDBACK_APP_KEYS", "hush5678901234")],
            "HEARDBACK_APP_KEYS",
            "at least 16 bytes",
        ),
        (
            &args(),
            &[("HEARDBACK_APP_KEYS", "0123456789abcdef,hush")],
            "HEARDBACK_APP_KEYS",
            "cannot be used: ",
        ),
        (
            &args(),
            &[("HEARDBACK_OPS_TOKEN_FILE", "/run/none")],
            "HEARDBACK_OPS_TOKEN_FILE",
            "cannot be read",
        ),
    ] {
        let (names, text) = problems(args, env);
        assert_eq!(names, [name], "{text}");
        assert!(text.contains(words) && !text.contains("hush"), "{text}");
    }
    let settings = load(&args(), &[("TWILIO_AUTH_TOKEN_FILE", "/run/token")]).expect("valid");
    assert_eq!(settings.accounts.first().tokens[0].expose_secret(), TOKEN);
    for keys in ["0123456789abcdef", "0123456789abcdef,fedcba9876543210"] {
        assert!(load(&args(), &[("HEARDBACK_APP_KEYS", keys)]).is_ok(), "{keys}");
    }
}

#[test]
fn a_phone_key_is_a_text_or_the_digits_after_hex() {
    let key = |text: &str| {
        let env = [("TWILIO_AUTH_TOKEN", TOKEN), ("HEARDBACK_PHONE_KEY", text)];
        let settings = load(&args(), &env).map_err(|problems| problems.to_string())?;
        Ok(settings.phone_key.as_ref().map(|key| key.expose_secret().to_vec()))
    };
    let text = "0123456789abcdef0123456789abcdef";
    assert_eq!(key(text), Ok(Some(text.as_bytes().to_vec())), "digits alone are a text");
    assert_eq!(key(&format!("{HEX}{text}")), Ok(hex::decoded(text)));
    // A text never begins with `hex:`, so that a cut key is not taken for a text.
    for (wrong, why) in [
        ("hex:0123456789abcdef0123456789abcde", "pairs of hexadecimal digits"),
        ("hex:a phone key that is a text", "pairs of hexadecimal digits"),
        ("hex:0123456789abcdef0123456789abcd", "at least 16 bytes"),
        ("hex:", "at least 16 bytes"),
    ] {
        let problem: String = key(wrong).expect_err(wrong);
        assert!(problem.contains(why) && !problem.contains("0123"), "{problem}");
    }
}

#[test]
fn the_store_comes_from_its_variable_its_file_or_the_platforms_database() {
    const KEY: (&str, &str) = ("HEARDBACK_PHONE_KEY", "0123456789abcdef");
    const FILE: (&str, &str) = ("HEARDBACK_STORE_FILE", "/run/store");
    const PLATFORM: (&str, &str) = ("DATABASE_URL", "postgres://u:hush@platform/x");
    let store = |args: &SettingsArgs, env: &[(&str, &str)]| {
        load(args, env).expect("valid").store.to_string()
    };
    let sled = args().with("HEARDBACK_STORE", "sled:/data");
    assert_eq!(store(&sled, &[PLATFORM]), "sled:/data");
    assert_eq!(store(&args(), &[KEY, FILE, PLATFORM]), "postgres://u@db.example.com:5432/x");
    assert_eq!(store(&args(), &[KEY, PLATFORM]), "postgres://u@platform:5432/x");
    let other = ("DATABASE_URL", "mysql://u:hush@platform/x");
    assert_eq!(store(&args(), &[other]), "sled:heardback-data", "it is the app's");
    assert_eq!(problems(&sled, &[FILE]).0, ["HEARDBACK_STORE"], "both are set");
    let (names, text) = problems(&args(), &[("HEARDBACK_STORE_FILE", "/run/none")]);
    assert_eq!(names, ["HEARDBACK_STORE_FILE"], "{text}");
    assert_eq!(problems(&args(), &[PLATFORM]).0, ["HEARDBACK_PHONE_KEY"], "receivers share it");
}

#[test]
fn arguments_show_the_names_of_their_settings_but_no_value() {
    let args = SettingsArgs::of([("HEARDBACK_STORE", "postgres://u:hush@db.example.com/x")]);
    assert_eq!(format!("{args:?}"), r#"{"HEARDBACK_STORE"}"#);
}

#[test]
fn an_unverified_database_needs_a_word_of_its_own() {
    let key = ("HEARDBACK_PHONE_KEY", "0123456789abcdef");
    let store = |text: &str| args().with("HEARDBACK_STORE", text);
    let weak = store("postgres://u:hush@db.example.com/x?sslmode=require");
    let (names, text) = problems(&weak, &[key]);
    assert_eq!(names, ["HEARDBACK_STORE"]);
    assert!(text.contains("verify-full") && !text.contains("hush"), "{text}");
    let allowed = weak.with("HEARDBACK_ALLOW_UNVERIFIED_DATABASE", "true");
    assert!(warnings(&allowed, &[key]).contains("sslmode=require"));
    let near = store("postgres://u:hush@localhost/x?sslmode=disable");
    assert_eq!(warnings(&near, &[key]), "");
}

#[test]
fn no_secret_ever_shows() {
    let env = [
        ("TWILIO_AUTH_TOKEN", "hush-1,hush-2"),
        ("TWILIO_API_SECRET", "hush-3"),
        ("HEARDBACK_APP_KEYS", "hush-4 is long enough"),
        ("HEARDBACK_PHONE_KEY", "hush-5 is long enough"),
        ("HEARDBACK_OPS_TOKEN", "hush-6 is long enough"),
        ("TWILIO_SHARED_KEYS", "webhooks_sharedkey_1:HMAC_SHA1:hush-7"),
        ("HEARDBACK_SEND_API_KEYS", "SK0123456789abcdef0123456789abcdef:hush-8 is long enough"),
    ];
    let settings = load(&args().with("TWILIO_API_KEY", KEY_SID), &env).expect("valid");
    let text = format!("{settings:?} {:?} {:?}", settings.warnings, shown(&settings));
    assert!(!text.contains("hush"), "{text}");
    assert_eq!(settings.warnings.len(), 2, "two unusual tokens: {text}");

    // A secret in the wrong setting does not show, either.
    let broken = SettingsArgs::of([
        ("HEARDBACK_PUBLIC_URL", "https://me:hush@x.com,https://x.com/?t=hush"),
        ("TWILIO_ACCOUNT_SID", "hush"),
        ("TWILIO_API_KEY", "hush"),
        ("HEARDBACK_UPSTREAM_URL", "https://hush@x.com"),
        ("HEARDBACK_STORE", "postgres://me:hush@db/x?sslmode=hush"),
    ]);
    let short = [
        ("TWILIO_AUTH_TOKEN", ","),
        ("HEARDBACK_PHONE_KEY", "hush"),
        ("HEARDBACK_OPS_TOKEN", "hush"),
        ("HEARDBACK_APP_KEYS", "hush hush hush hush,hush"),
        ("HEARDBACK_CLICK_PATH_SECRET", "hush/hush/hush/hush/hush"),
    ];
    let problems = load(&broken, &short).expect_err("refused");
    assert_eq!(problems.iter().count(), 12, "{problems}");
    let text = format!("{problems} {problems:?}");
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn a_shared_key_is_bound_to_its_algorithm_and_its_secret_is_not_decoded() {
    let keys = |name, text| {
        let settings = load(&args(), &[(name, text)]).expect("valid");
        assert_eq!(settings.warnings, Vec::<String>::new());
        let keys = settings.accounts.first().shared_keys.iter();
        let key = |key: &SharedKey| {
            (key.id.as_str().to_owned(), key.algorithm, key.secret.expose_secret().to_owned())
        };
        keys.map(key).collect::<Vec<_>>()
    };
    let key = |id: &str, algorithm, secret: &str| (id.to_owned(), algorithm, secret.to_owned());
    let text = "webhooks_sharedkey_01:HMAC_SHA256:a:b==, webhooks_sharedkey_02:HMAC_SHA1:c,";
    let expected = [
        key("webhooks_sharedkey_01", Algorithm::HmacSha256, "a:b=="),
        key("webhooks_sharedkey_02", Algorithm::HmacSha1, "c"),
    ];
    assert_eq!(keys("TWILIO_SHARED_KEYS", text), expected);
    assert_eq!(keys("TWILIO_SHARED_KEYS", ""), []);
    let expected = [key("webhooks_sharedkey_01", Algorithm::HmacSha1, "hush")];
    assert_eq!(keys("TWILIO_SHARED_KEYS_FILE", "/run/shared"), expected);
    let unusual = warnings(&args(), &[("TWILIO_SHARED_KEYS", "an-id:HMAC_SHA1:hush")]);
    assert!(unusual.contains("key 1") && !unusual.contains("an-id"), "{unusual}");
}

#[test]
fn a_wrong_shared_key_is_a_problem_that_shows_none_of_its_parts() {
    let long = format!("{}:HMAC_SHA1:hush", "x".repeat(129));
    for (text, words) in [
        (",", "it has commas only"),
        ("hush", "key 1: expected id:algorithm:secret"),
        ("hush:HMAC_SHA1", "expected id:algorithm:secret"),
        ("hush:HMAC_SHA512:hush", "its algorithm must be HMAC_SHA1 or HMAC_SHA256"),
        ("hush:hmac-sha1:hush", "its algorithm must be"),
        ("hush::hush", "its algorithm must be"),
        (":HMAC_SHA1:hush", "its id must be"),
        ("hush hush:HMAC_SHA1:hush", "its id must be"),
        ("hush=:HMAC_SHA1:hush", "its id must be"),
        (&long, "its id must be"),
        ("hush,hush:HMAC_SHA1:hush", "key 1: expected id:algorithm:secret"),
        ("hush:HMAC_SHA1:", "its secret is empty"),
        ("hush:HMAC_SHA1:hush,hush:HMAC_SHA256:hush", "key 2 has the id of another key"),
    ] {
        let problems = load(&args(), &[("TWILIO_SHARED_KEYS", text)]).expect_err(text);
        let shown = format!("{problems} {problems:?}");
        assert!(shown.contains("TWILIO_SHARED_KEYS") && shown.contains(words), "{text}: {shown}");
        assert!(!shown.contains("hush"), "{shown}");
    }
    let (names, text) =
        problems(&args(), &[("TWILIO_SHARED_KEYS", "hush,hush:x:hush,:HMAC_SHA1:hush")]);
    assert_eq!(names.len(), 3, "{text}");
}

#[test]
fn the_operators_page_needs_a_token_unless_its_listener_is_loopback() {
    let listen = |ops: &str| args().with("HEARDBACK_OPS_LISTEN", ops);
    // A host name may resolve to any address.
    for open in [
        "0.0.0.0:9091",
        "[::]:9091",
        "10.0.0.1:9091",
        "fly-local-6pn:9091",
        "localhost.example.com:9091",
        "[fdaa::3]:1",
    ] {
        let (_, text) = problems(&listen(open), &[]);
        for words in ["HEARDBACK_OPS_TOKEN is missing", open, "openssl rand", "127.0.0.1"] {
            assert!(text.contains(words), "{words} is not in {text}");
        }
        for (name, value, token) in [
            ("HEARDBACK_OPS_TOKEN", "sixteen bytes it", "sixteen bytes it"),
            ("HEARDBACK_OPS_TOKEN_FILE", "/run/token", TOKEN),
        ] {
            let settings = load(&listen(open), &[(name, value)]).expect("valid");
            assert_eq!(settings.ops_token.as_ref().expect("set").expose_secret(), token);
        }
    }
    for loopback in ["127.0.0.1:9091", "[::1]:9091", "localhost:9091", "[::ffff:127.0.0.1]:9091"] {
        assert!(load(&listen(loopback), &[]).expect("valid").ops_token.is_none());
    }
}

#[test]
fn calls_go_to_an_absolute_url_and_unsigned_clicks_to_a_long_secret() {
    let settings = load(&args(), &[]).expect("valid");
    assert!(settings.call_redirect.is_none() && settings.click_secret.is_none());
    let with = |url: &str| args().with("HEARDBACK_CALL_REDIRECT_URL", url);
    let secret = |secret| [("HEARDBACK_CLICK_PATH_SECRET", secret)];
    let settings = load(&with(" https://app.example.com/voice?a=1 "), &secret("0123456789abcdef"));
    let settings = settings.expect("valid");
    let redirect = settings.call_redirect.as_ref().map(RedirectUrl::as_str);
    assert_eq!(redirect, Some("https://app.example.com/voice?a=1"));
    assert!(settings.click_secret.as_ref().expect("set").is("0123456789abcdef"));
    let (names, _) = problems(&with("http://app.example.com/voice"), &secret("0123456789abcde"));
    assert_eq!(names, ["HEARDBACK_CLICK_PATH_SECRET", "HEARDBACK_CALL_REDIRECT_URL"]);
}

#[test]
fn a_doubtful_value_is_a_warning() {
    let args = |name: &'static str, value: &str| args().with(name, value);
    let url = |url: &str| args("HEARDBACK_PUBLIC_URL", url);
    let unreachable = |host: &str, why: &str| {
        (url(host), format!("HEARDBACK_PUBLIC_URL {host}: Twilio cannot reach it: {why}"))
    };
    let long = "https://the-hooks-of-a-company-with-a-very-long-name.example.com";
    let proxied = args("HEARDBACK_UPSTREAM_URL", "http://127.0.0.1:4010");
    for (args, words) in [
        (args("HEARDBACK_OPS_LISTEN", "0.0.0.0:9091"), "open to other machines".to_owned()),
        (proxied.clone(), "do not go to Twilio".to_owned()),
        (proxied.with("TWILIO_EDGE", "dublin"), "are ignored".to_owned()),
        (url("https://h.example/twilio/message"), "looks like a route".to_owned()),
        unreachable("http://127.0.0.1:8080", "it is this machine"),
        unreachable("http://localhost:8080", ""),
        unreachable("https://app.internal", "public DNS does not have that name"),
        unreachable("https://10.0.0.5", "the address is private"),
        unreachable("https://heardback", ""),
        unreachable("https://[fd00::1]:8443/hb", "the address is private"),
        (url(long), "takes 83 of the 160".to_owned()),
    ] {
        let warnings = warnings(&args, &[("HEARDBACK_OPS_TOKEN", "sixteen bytes it")]);
        assert!(warnings.contains(&words), "{words} is not in {warnings}");
    }
    assert!(warnings(&url("https://heardback"), &[]).contains("without a dot"));
    assert_eq!(warnings(&url(long).with("HEARDBACK_LINKS", "off"), &[]), "");
}
