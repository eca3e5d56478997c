//! The accounts file: valid files, and all problems of invalid ones without a value.

use std::io;
use std::path::Path;

use secrecy::ExposeSecret;

use crate::config::Settings;
use crate::config::SettingsArgs;
use crate::config::problems::Problems;

const ONE: &str = "AC00000000000000000000000000000001";
const TWO: &str = "AC00000000000000000000000000000002";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const KEY_SID: &str = "SK0123456789abcdef0123456789abcdef";

fn load_with(
    file: &str,
    env: &[(&str, &str)],
    change: impl FnOnce(SettingsArgs) -> SettingsArgs,
) -> Result<Settings, Problems> {
    let args = SettingsArgs::of([
        ("HEARDBACK_PUBLIC_URL", "https://hooks.example.com"),
        ("HEARDBACK_ACCOUNTS_FILE", "/run/accounts.toml"),
    ]);
    let args = change(args);
    let read = |path: &Path| match path.to_str() {
        Some("/run/accounts.toml") => Ok(file.to_owned()),
        Some("/run/tokens") => Ok("hush-a, hush-b\n".to_owned()),
        Some("/run/secret") => Ok("hush-c\n".to_owned()),
        Some("/run/empty") => Ok("\n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let env = |name: &str| {
        env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    Settings::load(&args, &env, &read)
}

fn load(file: &str) -> Result<Settings, Problems> {
    load_with(file, &[], |args| args)
}

fn exposed(secrets: &[secrecy::SecretString]) -> Vec<&str> {
    secrets.iter().map(ExposeSecret::expose_secret).collect()
}

#[test]
fn each_account_has_its_own_secrets_and_its_own_upstream() {
    let file = format!(
        r#"
        [[account]]
        sid = "{ONE}"
        auth_tokens = ["hush-1", "hush-2"]
        shared_keys = [
            {{ id = "webhooks_sharedkey_01", algorithm = "HMAC_SHA256", secret = "hush,3:=" }},
            {{ id = "webhooks_sharedkey_02", algorithm = "HMAC_SHA1", secret_file = "/run/secret" }},
        ]
        app_keys = ["an app key of its own"]
        api_key = "{KEY_SID}"
        api_secret = "hush-5"
        edge = "dublin"
        region = "ie1"

        [[account]]
        sid = "{TWO}"
        auth_tokens_file = "/run/tokens"
        upstream_url = "https://twilio.example.com"
        "#
    );
    let settings = load(&file).expect("valid");
    let [one, two]: [_; 2] =
        settings.accounts.iter().collect::<Vec<_>>().try_into().expect("two accounts");
    assert_eq!(settings.accounts.first().sid.as_str(), ONE, "the file's first is the default");
    assert_eq!((one.sid.as_str(), one.number), (ONE, Some(1)));
    assert_eq!(exposed(&one.tokens), ["hush-1", "hush-2"]);
    let secrets: Vec<_> = one.shared_keys.iter().map(|key| key.secret.expose_secret()).collect();
    assert_eq!(secrets, ["hush,3:=", "hush-c"]);
    assert_eq!(exposed(&one.app_keys), ["an app key of its own"]);
    let key = one.api_key.as_ref().expect("given");
    assert_eq!((key.sid.as_str(), key.secret.expose_secret()), (KEY_SID, "hush-5"));
    assert_eq!(one.upstream.as_str(), "https://api.dublin.ie1.twilio.com");
    assert_eq!(one.region.as_deref(), Some("ie1"));
    assert_eq!((two.sid.as_str(), two.number), (TWO, Some(2)));
    assert_eq!(exposed(&two.tokens), ["hush-a", "hush-b"]);
    assert_eq!(two.upstream.as_str(), "https://twilio.example.com");
    assert_eq!(two.region, None, "the region of an own URL is unknown");
    assert!(!format!("{settings:?}").contains("hush"), "{settings:?}");
    let secrets = two.app_secrets(&settings.app_keys);
    assert_eq!(secrets.len(), 2, "without an app key, the tokens");
    assert_eq!(one.app_secrets(&settings.app_keys).len(), 1);
}

#[test]
fn the_environments_account_is_the_default_and_its_upstream_is_that_of_all_accounts() {
    let file = format!("[[account]]\nsid = '{TWO}'\nauth_tokens = ['hush']\n");
    let env = [("TWILIO_AUTH_TOKEN", TOKEN), ("HEARDBACK_APP_KEYS", "an app key of all apps")];
    let settings = load_with(&file, &env, |args| {
        args.with("TWILIO_ACCOUNT_SID", ONE)
            .with("TWILIO_EDGE", "sydney")
            .with("TWILIO_REGION", "au1")
    });
    let settings = settings.expect("valid");
    let sids: Vec<_> = settings.accounts.iter().map(|account| account.sid.as_str()).collect();
    assert_eq!(sids, [ONE, TWO]);
    for account in settings.accounts.iter() {
        assert_eq!(account.upstream.as_str(), "https://api.sydney.au1.twilio.com");
        assert_eq!(account.region.as_deref(), Some("au1"));
        assert_eq!(account.app_secrets(&settings.app_keys).len(), 1);
    }
}

#[test]
fn the_upstream_url_takes_precedence_over_edges_and_regions_but_not_over_an_accounts_own() {
    let file = format!(
        "[[account]]\nsid = '{ONE}'\nauth_tokens = ['a']\nedge = 'dublin'\nregion = 'ie1'\n\
         [[account]]\nsid = '{TWO}'\nauth_tokens = ['b']\nupstream_url = 'https://own.example'\n"
    );
    let settings =
        load_with(&file, &[], |args| args.with("HEARDBACK_UPSTREAM_URL", "http://127.0.0.1:4010"));
    let settings = settings.expect("valid");
    let places: Vec<_> = settings.accounts.iter().map(|a| a.upstream.as_str()).collect();
    assert_eq!(places, ["http://127.0.0.1:4010", "https://own.example"]);
    assert_eq!(settings.accounts.first().region.as_deref(), Some("ie1"));
}

#[test]
fn a_shared_key_with_an_api_key_replaces_the_token() {
    let keys = "shared_keys = [{ id = 'webhooks_sharedkey_1', algorithm = 'HMAC_SHA256', \
                secret = 'hush' }]";
    let posts = format!("api_key = '{KEY_SID}'\napi_secret = 'hush'");
    let account = |more: &str| format!("[[account]]\nsid = '{ONE}'\n{keys}\n{more}\n");
    let own = format!("{posts}\napp_keys = ['an app key of its own']");
    assert!(load(&account(&own)).is_ok());
    let no_app_key = load(&account(&posts)).expect_err("no key for the app").to_string();
    assert!(no_app_key.contains("HEARDBACK_APP_KEYS is missing"), "{no_app_key}");
    let none =
        load(&account("app_keys = ['an app key of its own']")).expect_err("no key for posts");
    assert!(none.to_string().contains("auth_tokens is missing"), "{none}");
    // And in the environment.
    let env = [
        ("TWILIO_SHARED_KEYS", "webhooks_sharedkey_1:HMAC_SHA256:hush"),
        ("TWILIO_API_SECRET", "hush"),
        ("HEARDBACK_APP_KEYS", "an app key of all apps"),
    ];
    let alone = |args: SettingsArgs| {
        args.with("HEARDBACK_ACCOUNTS_FILE", "")
            .with("TWILIO_ACCOUNT_SID", ONE)
            .with("TWILIO_API_KEY", KEY_SID)
    };
    assert!(load_with("", &env, alone).expect("valid").accounts.first().tokens.is_empty());
    let missing = load_with("", &env[..1], |args| {
        args.with("HEARDBACK_ACCOUNTS_FILE", "").with("TWILIO_ACCOUNT_SID", ONE)
    });
    let missing = missing.expect_err("no key for posts").to_string();
    assert!(missing.contains("TWILIO_AUTH_TOKEN is missing"), "{missing}");
}

/// The problems of one account with these lines and its SID.
fn problems_of(lines: &str) -> String {
    let problems = load(&format!("[[account]]\nsid = \"{ONE}\"\n{lines}\n")).expect_err(lines);
    let text = format!("{problems} {problems:?}");
    assert!(!text.contains("hush"), "{text}");
    problems.to_string()
}

#[test]
fn a_problem_of_an_account_has_its_number_and_sid_and_no_value() {
    let with_token = |line: &str| problems_of(&format!("auth_tokens = [\"hush\"]\n{line}"));
    let token = |line: &str| problems_of(line);
    for (text, words) in [
        (token(""), "auth_tokens is missing"),
        (token("auth_tokens = []"), "auth_tokens must be a list of texts, none empty"),
        (token("auth_tokens = \"hush\""), "auth_tokens must be a list"),
        (token("auth_tokens = [\"hush\", 1]"), "auth_tokens must be a list"),
        (token("auth_tokens = [\"hush\", \"\"]"), "none empty"),
        (token("auth_tokens = ['hush1','hush2','hush3','hush4','hush5']"), "more than 4"),
        (token("auth_tokens_file = \"/hush\""), "the file of auth_tokens_file cannot be read"),
        (token("auth_tokens_file = \"/run/empty\""), "the file of auth_tokens_file is empty"),
        (token("auth_tokens_file = 7"), "auth_tokens_file must be text"),
        (with_token("auth_tokens_file = \"/run/tokens\""), "are both set"),
        (with_token("token = \"hush\""), "the key token is unknown; expected sid, auth_tokens"),
        (with_token("\"hush hush\" = 1"), "a key is unknown"),
        (with_token("app_keys = ['hush']"), "app_keys: expected at least 16 bytes for each key"),
        (with_token("app_keys = 5"), "app_keys must be a list"),
        (with_token("api_key = \"hush\"\napi_secret = \"hush\""), "api_key must be the key's SID"),
        (with_token(&format!("api_key = \"{KEY_SID}\"")), "api_key needs its api_secret"),
        (with_token("api_secret = \"hush\""), "api_secret needs its api_key"),
        (with_token("api_secret = [\"hush\"]"), "api_secret must be text in quotes"),
        (with_token("send_api_keys = 'hush'"), "send_api_keys must be a list"),
        (with_token("send_api_keys = ['hush']"), "send_api_keys: expected SK…:secret"),
        (with_token(&format!("send_api_keys = ['{KEY_SID}:hush']")), "send_api_keys: expected"),
        (with_token("region = \"ie1\""), "set edge=dublin"),
        (with_token("edge = \"du.blin\""), "the edge must be one word"),
        (with_token("upstream_url = \"http://hush.example.com\""), "upstream_url: "),
        (with_token("shared_keys = \"hush\""), "shared_keys must be a list"),
        (with_token("shared_keys = [\"hush\"]"), "shared key 1 must be"),
    ] {
        let named = format!("account 1 ({ONE}): ");
        assert!(text.contains(words) && text.contains(&named), "{words} is not in\n{text}");
    }
}

#[test]
fn a_problem_of_a_shared_key_has_its_number_and_no_value() {
    let shared =
        |keys: &str| problems_of(&format!("auth_tokens = [\"hush\"]\nshared_keys = [{keys}]"));
    let good = "{ id = 'hush1', algorithm = 'HMAC_SHA1', secret = 'hush' }";
    for (keys, words) in [
        ("{ id = '', algorithm = 'HMAC_SHA1', secret = 'hush' }", "its id must be"),
        ("{ algorithm = 'HMAC_SHA1', secret = 'hush' }", "its id must be"),
        ("{ id = 'hush,hush', algorithm = 'HMAC_SHA1', secret = 'hush' }", "its id must be"),
        ("{ id = 'hush=hush', algorithm = 'HMAC_SHA1', secret = 'hush' }", "its id must be"),
        ("{ id = 'hush', algorithm = 'HMAC_MD5', secret = 'hush' }", "its algorithm must be"),
        ("{ id = 'hush', secret = 'hush' }", "its algorithm must be"),
        ("{ id = 'hush', algorithm = 'HMAC_SHA1' }", "it has no secret"),
        ("{ id = 'hush', algorithm = 'HMAC_SHA1', secret = '' }", "it has no secret"),
        ("{ id = 'hush', algorithm = 'HMAC_SHA1', secret_file = 'hush' }", "cannot be read"),
        ("{ id = 'hush', algorithm = 'HMAC_SHA1', secret = 'hush', x = 1 }", "the key x is"),
    ] {
        let text = shared(keys);
        let named = format!("account 1 ({ONE}): shared key 1: ");
        assert!(text.contains(words) && text.contains(&named), "{words} is not in\n{text}");
    }
    assert!(shared(&format!("{good}, {good}")).contains("shared key 2: it has the id of another"));
}

#[test]
fn all_problems_are_reported_at_once() {
    let file = "tokens = ['hush']\n[[account]]\nsid = 'hush'\nauth_tokens = ['hush1']\n\
                [[account]]\nauth_tokens = 'hush'\nextra = 'hush'\n";
    let env = [("TWILIO_AUTH_TOKEN", "hush-e"), ("TWILIO_SHARED_KEYS", "hush")];
    let problems = load_with(file, &env, |args| args.with("HEARDBACK_LISTEN", "x"));
    let text = problems.expect_err("many").to_string();
    for words in [
        "TWILIO_ACCOUNT_SID is missing",
        "TWILIO_SHARED_KEYS cannot be used",
        "the key tokens is unknown; expected [[account]] tables",
        "account 1: sid: ",
        "account 2: sid is missing",
        "account 2: auth_tokens must be a list",
        "account 2: the key extra is unknown",
        "HEARDBACK_LISTEN",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn a_file_that_is_no_toml_is_a_problem_with_its_place_and_no_quote() {
    for (file, words) in [
        ("", "there is no [[account]]"),
        ("account = 'hush'", "there is no [[account]]"),
        ("[account]\nsid = 'hush'", "there is no [[account]]"),
        ("account = ['hush']", "account 1 is not a table"),
        ("[[account]]\nauth_tokens = [hush]", "line 2, column"),
        ("[[account]]\nauth_tokens = ['hush", "line 2, column"),
        ("[[account]]\nauth_tokens = \"hush\\q\"", "line 2, column"),
        ("[[account]]\nhush", "line 2, column"),
        ("[[account]]\nhush = ", "line 2, column"),
        ("[[account]]\nsid = 'a' hush", "line 2, column"),
        ("[[account]]\nhush = 'hush'\nhush = 'hush'", "line 3, column"),
        ("[[account]]\nsid = 2026-99-99hush", "line 2, column"),
        ("[[account]]\nsid = 0xhush", "line 2, column"),
        ("[[account]]\nsid = 'é' hush", "line 2, column"),
        ("\u{0}hush", "line 1, column"),
        ("[[account]\nsid = 'hush'", "line 1, column"),
    ] {
        let problems = load(file).expect_err(file);
        let text = format!("{problems} {problems:?}");
        assert!(text.contains("HEARDBACK_ACCOUNTS_FILE") && text.contains(words), "{file}: {text}");
        assert!(!text.contains("hush"), "{text}");
    }
    let none = load_with("", &[], |args| args.with("HEARDBACK_ACCOUNTS_FILE", "/run/none"));
    let text = none.expect_err("not there").to_string();
    assert!(text.contains("\"/run/none\" cannot be read"), "{text}");
}

#[test]
fn no_account_and_no_key_occurs_twice() {
    let account = |sid: &str, lines: &str| format!("[[account]]\nsid = '{sid}'\n{lines}\n");
    let shared = |token: &str| {
        format!(
            "auth_tokens = ['{token}']\nshared_keys = [{{ id = 'webhooks_sharedkey_1', \
             algorithm = 'HMAC_SHA1', secret = 'hush' }}]"
        )
    };
    let sending = |token: &str| {
        let secret = "hush hush hush hush";
        format!("auth_tokens = ['{token}']\nsend_api_keys = ['{KEY_SID}:{secret} {token}']")
    };
    for (one, two, words) in [
        (account(ONE, "auth_tokens = ['a']"), account(ONE, "auth_tokens = ['b']"), "the SID of"),
        (
            account(ONE, "auth_tokens = ['hush']"),
            account(TWO, "auth_tokens = ['b', 'hush']"),
            "an auth token of",
        ),
        (
            account(ONE, "auth_tokens = ['a']\napp_keys = ['hush hush hush hush']"),
            account(TWO, "auth_tokens = ['b']\napp_keys = ['hush hush hush hush']"),
            "an app key of",
        ),
        (account(ONE, &shared("a")), account(TWO, &shared("b")), "a SharedKey's id of"),
        (account(ONE, &sending("a")), account(TWO, &sending("b")), "an API key that may send of"),
    ] {
        let text = load(&(one + &two)).expect_err(words).to_string();
        assert!(text.contains("account 2 (") && text.contains(words), "{words} is not in\n{text}");
        assert!(text.contains("account 1 (") && !text.contains("hush"), "{text}");
    }
    let twice =
        load_with(&account(ONE, "auth_tokens = ['a']"), &[("TWILIO_AUTH_TOKEN", TOKEN)], |args| {
            args.with("TWILIO_ACCOUNT_SID", ONE)
        });
    let text = twice.expect_err("twice").to_string();
    assert!(text.contains("the SID of TWILIO_ACCOUNT_SID"), "{text}");
    let keys = account(ONE, "auth_tokens = ['a']\napp_keys = ['hush hush hush hush']");
    let text = load_with(&keys, &[("HEARDBACK_APP_KEYS", "hush hush hush hush")], |args| args);
    let text = text.expect_err("twice").to_string();
    assert!(text.contains("HEARDBACK_APP_KEYS") && text.contains("keep it in one place"), "{text}");
    assert!(!text.contains("hush"), "{text}");
}
