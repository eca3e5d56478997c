//! The settings table of the design, row by row.

use super::*;
use crate::config::problems::Problem;
use secrecy::ExposeSecret;

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

fn no_file(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some("/run/token") => Ok(format!("{TOKEN}\r\n")),
        Some("/run/empty") => Ok("\n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    }
}

fn gather(args: &SettingsArgs, env: &[(&str, &str)]) -> Result<Settings, Problems> {
    let env = |name: &str| {
        env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    Settings::gather(args, &env, &no_file)
}

fn with_token(args: &SettingsArgs) -> Result<Settings, Problems> {
    gather(args, &[("TWILIO_AUTH_TOKEN", TOKEN)])
}

/// The settings that have a problem after one valid setting was given this value.
fn blamed(name: &'static str, value: &str) -> Vec<String> {
    let problems = with_token(&args().with(name, value)).expect_err("a problem");
    problems.iter().map(|problem| problem.setting().to_owned()).collect()
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

#[test]
fn the_defaults_are_those_of_the_table() {
    let settings = with_token(&args()).expect("sound");
    assert_eq!(settings.public_urls[0].as_str(), "https://hooks.example.com");
    assert_eq!(settings.accounts.first().sid.as_str(), SID);
    assert_eq!(settings.accounts.first().tokens.len(), 1);
    assert_eq!(settings.accounts.first().app_secrets(&settings.app_keys)[0].expose_secret(), TOKEN);
    assert!(settings.accounts.first().api_key.is_none() && settings.phone_key.is_none());
    assert_eq!(settings.accounts.first().upstream.as_str(), "https://api.twilio.com");
    assert_eq!(settings.upstream_concurrency, 4);
    assert_eq!(settings.store, StoreUrl::Sled(PathBuf::from("heardback-data")));
    assert_eq!(settings.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(settings.ops_listen.to_string(), "127.0.0.1:9091");
    assert_eq!(settings.give_up_after, hours(24));
    assert_eq!(settings.pending_ttl, hours(7 * 24));
    assert_eq!(settings.reply_window, hours(1));
    assert_eq!(settings.retention, hours(30 * 24));
    assert_eq!((settings.max_messages, settings.max_parked), (1_000_000, 200_000));
    assert!(!settings.read_confirms && !settings.dry_run);
    assert_eq!(settings.links, Links::ConfirmOnPost);
    assert_eq!(settings.log.filter, "info");
    assert_eq!(settings.log.format, LogFormat::Auto);
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn each_name_has_one_row_and_each_default_is_valid() {
    let mut names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    let mut reader = SettingsReader::new(SettingsArgs::default(), &|_| None, &no_file);
    reader.rows(|setting| !setting.default().is_empty());
    assert!(reader.problems.is_empty(), "{}", reader.problems);
}

#[test]
fn empty_is_unset() {
    let unset = ["TWILIO_ACCOUNT_SID", "HEARDBACK_PUBLIC_URL"];
    let names = SETTINGS.iter().map(|setting| setting.name).filter(|name| !unset.contains(name));
    let args = names.fold(args(), |args, name| args.with(name, " "));
    let env =
        [("TWILIO_AUTH_TOKEN", TOKEN), ("TWILIO_AUTH_TOKEN_FILE", ""), ("TWILIO_API_SECRET", "")];
    let settings = gather(&args, &env).expect("sound");
    assert_eq!(settings.store, StoreUrl::Sled(PathBuf::from("heardback-data")));
}

#[test]
fn without_anything_every_missing_setting_is_named_with_its_place() {
    let problems = gather(&SettingsArgs::default(), &[]).expect_err("problems").to_string();
    assert_eq!(
        problems,
        "3 settings need attention:\n  \
         TWILIO_ACCOUNT_SID is missing: Twilio Console → Account → Account info (AC…)\n  \
         TWILIO_AUTH_TOKEN is missing: Twilio Console → Account → API keys & tokens\n  \
         HEARDBACK_PUBLIC_URL is missing: expected the origin that Twilio calls, e.g. \
         https://hooks.example.com"
    );
}

#[test]
fn problems_stand_in_the_order_of_the_table() {
    let env = [("HEARDBACK_PHONE_KEY", "short"), ("TWILIO_AUTH_TOKEN_FILE", "/run/none")];
    let args = SettingsArgs::of([("HEARDBACK_LOG", "inof"), ("HEARDBACK_LISTEN", "x")]);
    let problems = gather(&args, &env).expect_err("problems");
    let blamed: Vec<&str> = problems.iter().map(Problem::setting).collect();
    let expected = [
        "TWILIO_ACCOUNT_SID",
        "TWILIO_AUTH_TOKEN_FILE",
        "HEARDBACK_PUBLIC_URL",
        "HEARDBACK_LISTEN",
        "HEARDBACK_PHONE_KEY",
        "HEARDBACK_LOG",
    ];
    assert_eq!(blamed, expected);
}

#[test]
fn each_bad_value_names_its_setting() {
    let rows: [(&'static str, &[&str]); 23] = [
        ("HEARDBACK_LINKS", &["on", "confirm", "Off"]),
        ("HEARDBACK_PUBLIC_URL", &["http://x.com", "https://x.com?a", "x"]),
        ("TWILIO_ACCOUNT_SID", &[TOKEN, KEY_SID]),
        ("TWILIO_EDGE", &["a.b", "a/b"]),
        ("TWILIO_REGION", &["ie1", "a b"]),
        ("HEARDBACK_UPSTREAM_URL", &["http://x.com", "https://x.com/a"]),
        ("HEARDBACK_UPSTREAM_CONCURRENCY", &["0", "65", "-1", "x"]),
        ("HEARDBACK_STORE", &["data", "sled:", "sled:///data", "postgres://u:p@h/d", "x:y"]),
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
            let blamed = blamed(name, value);
            assert_eq!(blamed.first().map(String::as_str), Some(name), "{value}");
        }
    }
}

#[test]
fn good_values_are_understood() {
    let args = args()
        .with(
            "HEARDBACK_PUBLIC_URL",
            "https://a.example.com, https://b.example.com/x/,https://a.example.com",
        )
        .with("TWILIO_API_KEY", KEY_SID)
        .with("TWILIO_EDGE", "dublin")
        .with("TWILIO_REGION", "ie1")
        .with("HEARDBACK_STORE", "sled:/var/lib/heardback")
        .with("HEARDBACK_LISTEN", "[::]:0")
        .with("HEARDBACK_OPS_LISTEN", "127.0.0.1:0")
        .with("HEARDBACK_GIVE_UP_AFTER", "1h30m")
        .with("HEARDBACK_PENDING_TTL", "90s")
        .with("HEARDBACK_RETENTION", "2d 12h")
        .with("HEARDBACK_UPSTREAM_CONCURRENCY", "64")
        .with("HEARDBACK_READ_CONFIRMS", "YES")
        .with("HEARDBACK_DRY_RUN", "1")
        .with("HEARDBACK_LOG", "info,heardback=debug")
        .with("HEARDBACK_LOG_FORMAT", "json");
    let tokens = format!("{TOKEN}, {SECOND},");
    let env = [
        ("TWILIO_AUTH_TOKEN", tokens.as_str()),
        ("TWILIO_API_SECRET", "the secret"),
        ("HEARDBACK_APP_KEYS", "a-key-of-sixteen-bytes"),
        ("HEARDBACK_PHONE_KEY", "0123456789abcdef"),
    ];
    let settings = gather(&args, &env).expect("sound");
    let urls: Vec<_> = settings.public_urls.iter().map(PublicUrl::as_str).collect();
    assert_eq!(urls, ["https://a.example.com", "https://b.example.com/x"]);
    let tokens: Vec<_> =
        settings.accounts.first().tokens.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(tokens, [TOKEN, SECOND]);
    assert_eq!(settings.app_keys.len(), 1);
    assert_eq!(settings.accounts.first().api_key.clone().expect("given").sid, KEY_SID);
    assert_eq!(settings.accounts.first().upstream.as_str(), "https://api.dublin.ie1.twilio.com");
    assert_eq!(settings.give_up_after, Duration::from_mins(90));
    assert_eq!(settings.pending_ttl, Duration::from_secs(90));
    assert_eq!(settings.reply_window, Duration::from_secs(90), "the default shrinks with the ttl");
    assert_eq!(settings.retention, hours(60));
    assert!(settings.read_confirms && settings.dry_run);
    assert_eq!(settings.log.format, LogFormat::Json);
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn an_api_key_and_its_secret_come_together() {
    let half = args().with("TWILIO_API_KEY", KEY_SID);
    let problem = with_token(&half).expect_err("no secret").to_string();
    assert!(problem.contains("TWILIO_API_SECRET is missing"), "{problem}");
    let env = [("TWILIO_AUTH_TOKEN", TOKEN), ("TWILIO_API_SECRET", "hush")];
    let problem = gather(&args(), &env).expect_err("no key").to_string();
    assert!(problem.contains("TWILIO_API_KEY is missing"), "{problem}");
    assert!(!problem.contains("hush"));
}

#[test]
fn a_secret_may_come_from_a_file() {
    let settings = gather(&args(), &[("TWILIO_AUTH_TOKEN_FILE", "/run/token")]).expect("sound");
    assert_eq!(settings.accounts.first().tokens[0].expose_secret(), TOKEN);

    for (path, word) in [("/run/none", "\"/run/none\" cannot be read"), ("/run/empty", "is empty")]
    {
        let problems = gather(&args(), &[("TWILIO_AUTH_TOKEN_FILE", path)]).expect_err("refused");
        assert_eq!(problems.iter().count(), 1, "{problems}");
        let text = problems.to_string();
        assert!(text.contains("TWILIO_AUTH_TOKEN_FILE") && text.contains(word), "{text}");
    }

    let both = [("TWILIO_AUTH_TOKEN", TOKEN), ("TWILIO_AUTH_TOKEN_FILE", "/run/token")];
    let text = gather(&args(), &both).expect_err("refused").to_string();
    assert!(text.contains("are both set") && !text.contains(TOKEN), "{text}");
}

#[test]
fn no_secret_ever_shows() {
    let env = [
        ("TWILIO_AUTH_TOKEN", "hush-1,hush-2"),
        ("TWILIO_API_SECRET", "hush-3"),
        ("HEARDBACK_APP_KEYS", "hush-4 is long enough"),
        ("HEARDBACK_PHONE_KEY", "hush-5 is long enough"),
        ("HEARDBACK_OPS_TOKEN", "hush-6 is long enough"),
    ];
    let sound = args().with("TWILIO_API_KEY", KEY_SID);
    let settings = gather(&sound, &env).expect("sound");
    let shown = format!("{settings:?} {:?}", settings.warnings);
    assert!(!shown.contains("hush"), "{shown}");
    assert_eq!(settings.warnings.len(), 2, "two odd tokens: {shown}");

    // Pasted where it does not belong, a secret does not show either.
    let broken = SettingsArgs::of([
        ("HEARDBACK_PUBLIC_URL", "https://me:hush@x.com,https://x.com/?t=hush"),
        ("TWILIO_ACCOUNT_SID", "hush"),
        ("TWILIO_API_KEY", "hush"),
        ("HEARDBACK_UPSTREAM_URL", "https://hush@x.com"),
        ("HEARDBACK_STORE", "postgres://me:hush@db/x"),
    ]);
    let short = [
        ("TWILIO_AUTH_TOKEN", ","),
        ("HEARDBACK_PHONE_KEY", "hush"),
        ("HEARDBACK_OPS_TOKEN", "hush"),
        ("HEARDBACK_APP_KEYS", "hush hush hush hush,hush"),
        ("HEARDBACK_CLICK_PATH_SECRET", "hush/hush/hush/hush/hush"),
    ];
    let problems = gather(&broken, &short).expect_err("refused");
    assert_eq!(problems.iter().count(), 12, "{problems}");
    let shown = format!("{problems} {problems:?}");
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn other_machines_see_the_operators_page_with_a_token_or_nothing_starts() {
    let listening = |ops: &str, env: &[(&str, &str)]| {
        let args = args().with("HEARDBACK_OPS_LISTEN", ops);
        gather(&args, &[&[("TWILIO_AUTH_TOKEN", TOKEN)], env].concat())
    };
    let open = "0.0.0.0:9091";
    let problems = listening(open, &[]).expect_err("refused").to_string();
    assert!(problems.contains("HEARDBACK_OPS_TOKEN is missing"), "{problems}");
    assert!(problems.contains("openssl rand") && problems.contains("127.0.0.1"), "{problems}");
    // A name may lead anywhere, so it needs the token as well.
    for open in [
        "[::]:9091",
        "10.0.0.1:9091",
        "fly-local-6pn:9091",
        "localhost.example.com:9091",
        "[fdaa::3]:1",
    ] {
        let problems = listening(open, &[]).expect_err("refused").to_string();
        assert!(problems.contains("HEARDBACK_OPS_TOKEN is missing"), "{open}: {problems}");
        assert!(problems.contains(open), "{problems}");
    }
    for loopback in ["127.0.0.1:9091", "[::1]:9091", "localhost:9091", "[::ffff:127.0.0.1]:9091"] {
        assert!(listening(loopback, &[]).expect("sound").ops_token.is_none());
    }
    let token = [("HEARDBACK_OPS_TOKEN", "sixteen bytes it")];
    assert!(listening(open, &token).expect("sound").ops_token.is_some());
    let file = [("HEARDBACK_OPS_TOKEN_FILE", "/run/token")];
    assert_eq!(
        listening(open, &file).expect("sound").ops_token.as_ref().expect("set").expose_secret(),
        TOKEN
    );
    let missing = [("HEARDBACK_OPS_TOKEN_FILE", "/run/none")];
    assert_eq!(listening(open, &missing).expect_err("refused").iter().count(), 1);
}

#[test]
fn calls_go_to_an_absolute_url_and_unsigned_clicks_to_a_long_secret() {
    let settings = with_token(&args()).expect("sound");
    assert!(settings.call_redirect.is_none() && settings.click_secret.is_none());
    let with = |url: &str, secret: &str| {
        let args = args().with("HEARDBACK_CALL_REDIRECT_URL", url);
        let env = [("TWILIO_AUTH_TOKEN", TOKEN), ("HEARDBACK_CLICK_PATH_SECRET", secret)];
        gather(&args, &env)
    };
    let settings = with(" https://app.example.com/voice?a=1 ", "0123456789abcdef").expect("sound");
    let redirect = settings.call_redirect.as_ref().map(RedirectUrl::as_str);
    assert_eq!(redirect, Some("https://app.example.com/voice?a=1"));
    assert!(settings.click_secret.as_ref().expect("set").is("0123456789abcdef"));
    let problems = with("http://app.example.com/voice", "0123456789abcde").expect_err("refused");
    let blamed: Vec<&str> = problems.iter().map(Problem::setting).collect();
    assert_eq!(blamed, ["HEARDBACK_CLICK_PATH_SECRET", "HEARDBACK_CALL_REDIRECT_URL"]);
}

#[test]
fn a_host_that_makes_links_long_is_worth_a_word_unless_there_are_none() {
    let url = "https://the-hooks-of-a-company-with-a-very-long-name.example.com";
    let long =
        |links: &str| args().with("HEARDBACK_PUBLIC_URL", url).with("HEARDBACK_LINKS", links);
    let warnings = with_token(&long("")).expect("sound").warnings;
    assert!(warnings.iter().any(|warning| warning.contains("takes 83 of the 160")), "{warnings:?}");
    assert!(with_token(&long("off")).expect("sound").warnings.is_empty());
}

#[test]
fn what_is_doubtful_is_a_warning() {
    let args = args()
        .with("HEARDBACK_PUBLIC_URL", "http://localhost:8080,https://h.example/twilio/message")
        .with("HEARDBACK_OPS_LISTEN", "0.0.0.0:9091")
        .with("HEARDBACK_UPSTREAM_URL", "http://127.0.0.1:4010")
        .with("TWILIO_EDGE", "dublin");
    let env = [("TWILIO_AUTH_TOKEN", TOKEN), ("HEARDBACK_OPS_TOKEN", "sixteen bytes it")];
    let warnings = gather(&args, &env).expect("sound").warnings.join("\n");
    for word in [
        "Twilio cannot reach it",
        "like a route",
        "other machines",
        "do not go to Twilio",
        "are ignored",
    ] {
        assert!(warnings.contains(word), "{word} is not in {warnings}");
    }
}

#[test]
fn a_public_url_that_twilio_cannot_reach_is_a_warning_with_the_reason() {
    for (url, why) in [
        ("http://127.0.0.1:8080", "it is this machine"),
        ("https://app.internal", "public DNS does not have that name"),
        ("https://10.0.0.5", "the address is private"),
        ("https://heardback", "without a dot"),
        ("https://[fd00::1]:8443/hb", "the address is private"),
    ] {
        let args = args().with("HEARDBACK_PUBLIC_URL", url);
        let warnings = with_token(&args).expect("sound").warnings;
        let expected = format!("HEARDBACK_PUBLIC_URL {url}: Twilio cannot reach it: ");
        assert!(
            warnings.iter().any(|warning| warning.starts_with(&expected) && warning.contains(why)),
            "{url}: {warnings:?}"
        );
    }
}

#[test]
fn an_app_key_below_sixteen_bytes_is_refused() {
    for (keys, is_sound) in [
        ("0123456789abcdef", true),
        ("0123456789abcde", false),
        ("0123456789abcdef,short", false),
        ("0123456789abcdef,fedcba9876543210", true),
    ] {
        let gathered =
            gather(&args(), &[("TWILIO_AUTH_TOKEN", TOKEN), ("HEARDBACK_APP_KEYS", keys)]);
        let problems = gathered.map(drop).map_err(|problems| problems.to_string());
        assert_eq!(problems.is_ok(), is_sound, "{keys}: {problems:?}");
        if let Err(said) = problems {
            assert!(said.contains("HEARDBACK_APP_KEYS cannot be used: "), "{said}");
            assert!(said.contains("at least 16 bytes") && !said.contains("short"), "{said}");
        }
    }
}
