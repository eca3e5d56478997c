//! Names on both sides of each rule.

use super::*;

fn checked(name: &str, value: &str) -> (Problems, Vec<String>) {
    let env = |variable: &str| (variable == name).then(|| value.to_owned());
    check(&[name.to_owned()], &env)
}

/// Misspelt prefixes, words, cases and separators, missing, cut and added words, and the other prefix.
#[test]
fn a_name_close_to_a_setting_is_a_problem_that_names_the_setting() {
    for (setting, names) in [
        ("HEARDBACK_APP_KEYS", "HEARDBACK_APP_KEY HEARDBACK_KEYS"),
        (
            "HEARDBACK_DRY_RUN",
            "HEARDBACK_DRYRUN HEARDBACK_DRY-RUN heardback_dry_run Heardback.Dry.Run \
             HEARDBACK__DRY_RUN HEARDBACKDRYRUN HEARD_BACK_DRY_RUN HEARBACK_DRY_RUN \
             HEARDBACK_DRY_RUM HEARDBACK_DRY HEARDBACK_DRY_RUN_MODE",
        ),
        (
            "HEARDBACK_PUBLIC_URL",
            "HEARDBACK_PUBLIC_URLS HEADBACK_PUBLIC_URL HEARDBACK_PUBILC_URL HEARDBACK_URL \
             HEARDBACK_PUBLIC HEARDBACK_PUB_URL HEARDBACK_PUBLIC_BASE_URL \
             HEARDBACK_PUBLIC_URL_FILE",
        ),
        (
            "TWILIO_AUTH_TOKEN",
            "TWILIO_TOKEN TWILIO_AUTHTOKEN twilio_auth_token TWILLIO_AUTH_TOKEN \
             TIWLIO_AUTH_TOKEN TWILIO_AUTH_TOKENS TWILIO_AUTH_TOKN TWILIO_AUTH_TOKEN2 \
             TWILIO_AUTH TWILIO_AUTH_TKN HEARDBACK_AUTH_TOKEN HEARDBACK_TWILIO_AUTH_TOKEN",
        ),
        (
            "TWILIO_ACCOUNT_SID",
            "TWILIO_SID TWILIO_ACCOUNTSID TWILO_ACCOUNT_SID TWILIO_ACCOUNT_ID TWILIO_ACCOUNT \
             TWILIO_ACCT_SID TWILIO_ACC_SID TWILIO_ACCOUNT_SID_FILE HEARDBACK_ACCOUNT_SID",
        ),
        ("TWILIO_API_KEY", "TWILIO_APIKEY TWILIO_KEY TWILIO_API_KEY_FILE"),
        ("HEARDBACK_OPS_LISTEN", "HEARDBACK_OPSLISTEN"),
        ("HEARDBACK_STORE", "HERDBACK_STORE HEARDBACK_STOR HEARDBACK_STORE_PATH"),
        ("HEARDBACK_PENDING_TTL", "HEARDBACK_PENDING_TLL HEARDBACK_TTL"),
        (
            "HEARDBACK_LISTEN",
            "HEARDBACK_LSITEN HEARDBACK_LISTN HEARDBACK_LISTEN_ADDR HEARDBACK_LISTENER",
        ),
        ("HEARDBACK_LINKS", "HEARDBACK_LINK"),
        ("HEARDBACK_LOG", "HEARDBACK_LOGS HEARDBACK_LOG_LEVEL"),
        ("HEARDBACK_RESEND", "HEARDBACK_RESENDS"),
        ("HEARDBACK_MAX_MESSAGES", "HEARDBACK_MAX_MESSAGE HEARDBACK_MESSAGES HEARDBACK_MAX_MSGS"),
        ("HEARDBACK_IGNORE_CRAWLERS", "HEARDBACK_IGNORE_CRAWLER"),
        ("HEARDBACK_REPLY_WINDOW", "HEARDBACK_REPLY_WINDOWS"),
        ("HEARDBACK_ACCOUNTS_FILE", "HEARDBACK_ACCOUNT_FILE"),
        ("HEARDBACK_RECORD_REFUSED", "HEARDBACK_RECORD_REFUSE"),
        ("TWILIO_SHARED_KEYS", "TWILIO_SHARED_KEY"),
        ("TWILIO_REGION", "TWILIO_REGIONS"),
        ("TWILIO_EDGE", "TWILIO_EGDE"),
        ("HEARDBACK_APP_KEYS_FILE", "HEARDBACK_APP_KEYS_FILES"),
        ("TWILIO_API_SECRET", "TWILIO_SECRET"),
        ("TWILIO_AUTH_TOKEN_FILE", "TWILIO_TOKEN_FILE"),
        ("HEARDBACK_GIVE_UP_AFTER", "HEARDBACK_GIVE_UP"),
        ("HEARDBACK_CLICK_PATH_SECRET", "HEARDBACK_CLICK_SECRET"),
        ("HEARDBACK_CLIENT_IP_HEADER", "HEARDBACK_IP_HEADER"),
        ("HEARDBACK_RETENTION", "HEARDBACK_RETENT"),
    ] {
        for name in names.split(' ') {
            let (problems, warnings) = checked(name, "hush");
            let text = problems.to_string();
            assert_eq!(
                (problems.iter().count(), warnings.len()),
                (1, 0),
                "{name}: {text} {warnings:?}"
            );
            let mut words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
            assert!(text.contains(name), "{name}: {text}");
            assert!(words.any(|word| word == setting), "{name} is {setting}: {text}");
            assert!(!text.contains("hush"), "{text}");
        }
    }
}

#[test]
fn a_name_that_other_software_defines_is_ignored() {
    for (value, names) in [
        // Twilio's command line, libraries and samples.
        (
            "x",
            "TWILIO_PROFILE TWILIO_LOG_LEVEL TWILIO_PHONE_NUMBER TWILIO_NUMBER TWILIO_FROM \
             TWILIO_FROM_NUMBER TWILIO_TO TWILIO_MESSAGING_SERVICE_SID \
             TWILIO_MESSAGE_SERVICE_SID TWILIO_VERIFY_SERVICE_SID TWILIO_VERIFY_SID \
             TWILIO_SERVICE_SID TWILIO_SYNC_SERVICE_SID TWILIO_CHAT_SERVICE_SID \
             TWILIO_TWIML_APP_SID TWILIO_APP_SID TWILIO_WORKSPACE_SID TWILIO_WORKFLOW_SID \
             TWILIO_SUBACCOUNT_SID TWILIO_TEST_ACCOUNT_SID TWILIO_TEST_AUTH_TOKEN \
             TWILIO_SERVERLESS_API_CONCURRENCY TWILIO_STUDIO_FLOW_SID TWILIO_API_URL \
             TWILIO_API_BASE_URL TWILIO_API TWILIO_BASE_URL TWILIO_WEBHOOK_URL \
             TWILIO_STATUS_CALLBACK TWILIO_SERVICE_NAME TWILIO_ENABLED TWILIO_HTTP_PROXY \
             TWILIO_ENVIRONMENT",
        ),
        (
            "10.0.0.1",
            "HEARDBACK_SERVICE_HOST HEARDBACK_PORT_8080_TCP_ADDR HEARDBACK_OPS_SERVICE_HOST \
             HEARDBACK_OPS_PORT_9091_TCP_ADDR TWILIO_SERVICE_HOST",
        ),
        ("8080", "HEARDBACK_SERVICE_PORT HEARDBACK_SERVICE_PORT_HTTP HEARDBACK_PORT_8080_TCP_PORT"),
        ("tcp://10.0.0.1:8080", "HEARDBACK_PORT HEARDBACK_PORT_8080_TCP"),
        ("tcp", "HEARDBACK_PORT_8080_TCP_PROTO"),
        ("udp://10.0.0.1:53", "HEARDBACK_PORT_53_UDP"),
        ("tcp://10.0.0.1:9091", "HEARDBACK_OPS_PORT"),
        ("1", "HEARDBACK_STORE_SERVICE_PORT_METRICS HEARDBACK_CI"),
        ("tcp://10.0.0.1:80", "TWILIO_EDGE_PORT_80_TCP"),
        ("/web/heardback", "HEARDBACK_NAME"),
        ("true", "HEARDBACK_ENV_HEARDBACK_DRYRUN DRY_RUN"),
        ("tcp://172.17.0.2:8080", "HEARDBACK_1_PORT_8080_TCP"),
        ("python3", "HEARDBACK_PYTHON"),
        ("/bin", "PATH"),
        (
            "x",
            "PUBLIC_URL RAILWAY_SERVICE_HEARDBACK_URL APPSETTING_HEARDBACK_DRY_RUN \
             OTEL_SERVICE_NAME _ é",
        ),
        ("x", ""),
    ] {
        for name in names.split(' ') {
            let (problems, warnings) = checked(name, value);
            assert!(problems.is_empty() && warnings.is_empty(), "{name}: {problems} {warnings:?}");
        }
    }
}

#[test]
fn a_name_of_ours_that_is_close_to_no_setting_is_a_warning() {
    for (value, names) in [
        ("8080", "HEARDBACK_PORT"),
        ("hooks", "HEARDBACK_NAME"),
        ("1", "HEARDBACK_VERSION HEARDBACK_DEBUG HEARDBACK_POWER_SEED"),
        ("/x", "HEARDBACK_HOME HEARDBACK_CONFIG HEARDBACK_RECORD_LOG"),
        (
            "x",
            "HEARDBACK_IMAGE HEARDBACK_APP TWILIO_API_KEY_SECRET TWILIO_API_KEY_SID \
             TWILIO_PUBLIC_URL TWILIO_AUTH_TOKEN_SECONDARY TWILIO_ACCOUNT_SID_TEST",
        ),
        ("/opt", "HEARDBACK_PATH"),
        ("fra", "HEARDBACK_REGION"),
    ] {
        for name in names.split(' ') {
            let (problems, warnings) = checked(name, value);
            assert!(problems.is_empty(), "{name}: {problems}");
            assert_eq!(warnings.len(), 1, "{name}: {warnings:?}");
            assert!(warnings[0].contains(name), "{warnings:?}");
        }
    }
}

#[test]
fn every_setting_is_known() {
    for name in every_setting().flat_map(Setting::variables) {
        let (problems, warnings) = checked(&name, "x");
        assert!(problems.is_empty() && warnings.is_empty(), "{name}: {problems} {warnings:?}");
    }
}

#[test]
fn neither_a_value_nor_a_name_that_may_hold_a_secret_is_shown() {
    for name in [
        "HEARDBACK_APP_KEY hush",
        "HEARDBACK_APP_KEYS:hush",
        "HEARDBACK_DRYRUN_\u{1b}[31mhush",
        "HEARDBACK_hush0123456789abcdef0123456789",
    ] {
        let (problems, warnings) = checked(name, "hush");
        let shown = format!("{problems} {problems:?} {warnings:?}");
        assert!(!shown.contains("hush"), "{shown}");
    }
}
