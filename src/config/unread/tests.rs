//! Both sides of the line, by table.

use super::*;

fn judged(name: &str, value: &str) -> (Problems, Vec<String>) {
    let env = |asked: &str| (asked == name).then(|| value.to_owned());
    judge(&[name.to_owned()], &env)
}

#[test]
fn a_name_close_to_a_setting_is_a_problem_that_names_the_setting() {
    for (name, meant) in [
        // From the issue.
        ("HEARDBACK_APP_KEY", "HEARDBACK_APP_KEYS"),
        ("HEARDBACK_DRYRUN", "HEARDBACK_DRY_RUN"),
        ("HEARDBACK_DRY-RUN", "HEARDBACK_DRY_RUN"),
        ("HEARDBACK_PUBLIC_URLS", "HEARDBACK_PUBLIC_URL"),
        ("TWILIO_TOKEN", "TWILIO_AUTH_TOKEN"),
        ("TWILIO_AUTHTOKEN", "TWILIO_AUTH_TOKEN"),
        ("TWILIO_SID", "TWILIO_ACCOUNT_SID"),
        // Other cases, other marks between the words.
        ("heardback_dry_run", "HEARDBACK_DRY_RUN"),
        ("Heardback.Dry.Run", "HEARDBACK_DRY_RUN"),
        ("HEARDBACK__DRY_RUN", "HEARDBACK_DRY_RUN"),
        ("HEARDBACKDRYRUN", "HEARDBACK_DRY_RUN"),
        ("HEARD_BACK_DRY_RUN", "HEARDBACK_DRY_RUN"),
        ("twilio_auth_token", "TWILIO_AUTH_TOKEN"),
        ("TWILIO_ACCOUNTSID", "TWILIO_ACCOUNT_SID"),
        ("TWILIO_APIKEY", "TWILIO_API_KEY"),
        ("HEARDBACK_OPSLISTEN", "HEARDBACK_OPS_LISTEN"),
        // The prefix is misspelt.
        ("HEARBACK_DRY_RUN", "HEARDBACK_DRY_RUN"),
        ("HEADBACK_PUBLIC_URL", "HEARDBACK_PUBLIC_URL"),
        ("HERDBACK_STORE", "HEARDBACK_STORE"),
        ("TWILLIO_AUTH_TOKEN", "TWILIO_AUTH_TOKEN"),
        ("TWILO_ACCOUNT_SID", "TWILIO_ACCOUNT_SID"),
        ("TIWLIO_AUTH_TOKEN", "TWILIO_AUTH_TOKEN"),
        // A letter or two.
        ("HEARDBACK_DRY_RUM", "HEARDBACK_DRY_RUN"),
        ("HEARDBACK_PUBILC_URL", "HEARDBACK_PUBLIC_URL"),
        ("HEARDBACK_PENDING_TLL", "HEARDBACK_PENDING_TTL"),
        ("HEARDBACK_LSITEN", "HEARDBACK_LISTEN"),
        ("HEARDBACK_LISTN", "HEARDBACK_LISTEN"),
        ("HEARDBACK_STOR", "HEARDBACK_STORE"),
        ("HEARDBACK_LINK", "HEARDBACK_LINKS"),
        ("HEARDBACK_LOGS", "HEARDBACK_LOG"),
        ("HEARDBACK_RESENDS", "HEARDBACK_RESEND"),
        ("HEARDBACK_MAX_MESSAGE", "HEARDBACK_MAX_MESSAGES"),
        ("HEARDBACK_IGNORE_CRAWLER", "HEARDBACK_IGNORE_CRAWLERS"),
        ("HEARDBACK_REPLY_WINDOWS", "HEARDBACK_REPLY_WINDOW"),
        ("HEARDBACK_ACCOUNT_FILE", "HEARDBACK_ACCOUNTS_FILE"),
        ("HEARDBACK_RECORD_REFUSE", "HEARDBACK_RECORD_REFUSED"),
        ("TWILIO_AUTH_TOKENS", "TWILIO_AUTH_TOKEN"),
        ("TWILIO_AUTH_TOKN", "TWILIO_AUTH_TOKEN"),
        ("TWILIO_AUTH_TOKEN2", "TWILIO_AUTH_TOKEN"),
        ("TWILIO_ACCOUNT_ID", "TWILIO_ACCOUNT_SID"),
        ("TWILIO_SHARED_KEY", "TWILIO_SHARED_KEYS"),
        ("TWILIO_REGIONS", "TWILIO_REGION"),
        ("TWILIO_EGDE", "TWILIO_EDGE"),
        ("HEARDBACK_APP_KEYS_FILES", "HEARDBACK_APP_KEYS_FILE"),
        // Words are missing.
        ("TWILIO_ACCOUNT", "TWILIO_ACCOUNT_SID"),
        ("TWILIO_AUTH", "TWILIO_AUTH_TOKEN"),
        ("TWILIO_SECRET", "TWILIO_API_SECRET"),
        ("TWILIO_KEY", "TWILIO_API_KEY"),
        ("TWILIO_TOKEN_FILE", "TWILIO_AUTH_TOKEN_FILE"),
        ("HEARDBACK_URL", "HEARDBACK_PUBLIC_URL"),
        ("HEARDBACK_KEYS", "HEARDBACK_APP_KEYS"),
        ("HEARDBACK_TTL", "HEARDBACK_PENDING_TTL"),
        ("HEARDBACK_DRY", "HEARDBACK_DRY_RUN"),
        ("HEARDBACK_PUBLIC", "HEARDBACK_PUBLIC_URL"),
        ("HEARDBACK_GIVE_UP", "HEARDBACK_GIVE_UP_AFTER"),
        ("HEARDBACK_CLICK_SECRET", "HEARDBACK_CLICK_PATH_SECRET"),
        ("HEARDBACK_IP_HEADER", "HEARDBACK_CLIENT_IP_HEADER"),
        ("HEARDBACK_MESSAGES", "HEARDBACK_MAX_MESSAGES"),
        // Words are cut.
        ("TWILIO_ACCT_SID", "TWILIO_ACCOUNT_SID"),
        ("TWILIO_ACC_SID", "TWILIO_ACCOUNT_SID"),
        ("TWILIO_AUTH_TKN", "TWILIO_AUTH_TOKEN"),
        ("HEARDBACK_PUB_URL", "HEARDBACK_PUBLIC_URL"),
        ("HEARDBACK_MAX_MSGS", "HEARDBACK_MAX_MESSAGES"),
        ("HEARDBACK_RETENT", "HEARDBACK_RETENTION"),
        // Words are added.
        ("HEARDBACK_LOG_LEVEL", "HEARDBACK_LOG"),
        ("HEARDBACK_LISTEN_ADDR", "HEARDBACK_LISTEN"),
        ("HEARDBACK_LISTENER", "HEARDBACK_LISTEN"),
        ("HEARDBACK_STORE_PATH", "HEARDBACK_STORE"),
        ("HEARDBACK_PUBLIC_BASE_URL", "HEARDBACK_PUBLIC_URL"),
        ("HEARDBACK_DRY_RUN_MODE", "HEARDBACK_DRY_RUN"),
        ("HEARDBACK_PUBLIC_URL_FILE", "HEARDBACK_PUBLIC_URL"),
        ("TWILIO_ACCOUNT_SID_FILE", "TWILIO_ACCOUNT_SID"),
        ("TWILIO_API_KEY_FILE", "TWILIO_API_KEY"),
        // The other prefix.
        ("HEARDBACK_AUTH_TOKEN", "TWILIO_AUTH_TOKEN"),
        ("HEARDBACK_ACCOUNT_SID", "TWILIO_ACCOUNT_SID"),
        ("HEARDBACK_TWILIO_AUTH_TOKEN", "TWILIO_AUTH_TOKEN"),
    ] {
        let (problems, warnings) = judged(name, "hush");
        let said = problems.to_string();
        assert_eq!(
            (problems.iter().count(), warnings.len()),
            (1, 0),
            "{name}: {said} {warnings:?}"
        );
        assert!(said.contains(name), "{name}: {said}");
        let names_it =
            said.split(|c: char| !c.is_ascii_uppercase() && c != '_').any(|word| word == meant);
        assert!(names_it, "{name} is {meant}: {said}");
        assert!(!said.contains("hush"), "{said}");
    }
}

#[test]
fn a_name_that_other_software_defines_stops_nothing_and_says_nothing() {
    for (name, value) in [
        // Twilio's command line, libraries and samples.
        ("TWILIO_PROFILE", "default"),
        ("TWILIO_LOG_LEVEL", "debug"),
        ("TWILIO_PHONE_NUMBER", "+15017122661"),
        ("TWILIO_NUMBER", "+15017122661"),
        ("TWILIO_FROM", "+15017122661"),
        ("TWILIO_FROM_NUMBER", "+15017122661"),
        ("TWILIO_TO", "x"),
        ("TWILIO_MESSAGING_SERVICE_SID", "MG1"),
        ("TWILIO_MESSAGE_SERVICE_SID", "MG1"),
        ("TWILIO_VERIFY_SERVICE_SID", "VA1"),
        ("TWILIO_VERIFY_SID", "VA1"),
        ("TWILIO_SERVICE_SID", "IS1"),
        ("TWILIO_SYNC_SERVICE_SID", "IS1"),
        ("TWILIO_CHAT_SERVICE_SID", "IS1"),
        ("TWILIO_TWIML_APP_SID", "AP1"),
        ("TWILIO_APP_SID", "AP1"),
        ("TWILIO_WORKSPACE_SID", "WS1"),
        ("TWILIO_WORKFLOW_SID", "WW1"),
        ("TWILIO_SUBACCOUNT_SID", "AC1"),
        ("TWILIO_TEST_ACCOUNT_SID", "AC1"),
        ("TWILIO_TEST_AUTH_TOKEN", "x"),
        ("TWILIO_SERVERLESS_API_CONCURRENCY", "1"),
        ("TWILIO_STUDIO_FLOW_SID", "FW1"),
        ("TWILIO_API_URL", "x"),
        ("TWILIO_API_BASE_URL", "x"),
        ("TWILIO_API", "x"),
        ("TWILIO_BASE_URL", "x"),
        ("TWILIO_WEBHOOK_URL", "x"),
        ("TWILIO_STATUS_CALLBACK", "x"),
        ("TWILIO_SERVICE_NAME", "x"),
        ("TWILIO_ENABLED", "true"),
        ("TWILIO_HTTP_PROXY", "x"),
        ("TWILIO_ENVIRONMENT", "x"),
        // Kubernetes service links.
        ("HEARDBACK_SERVICE_HOST", "10.0.0.1"),
        ("HEARDBACK_SERVICE_PORT", "8080"),
        ("HEARDBACK_SERVICE_PORT_HTTP", "8080"),
        ("HEARDBACK_PORT", "tcp://10.0.0.1:8080"),
        ("HEARDBACK_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("HEARDBACK_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("HEARDBACK_PORT_8080_TCP_PORT", "8080"),
        ("HEARDBACK_PORT_8080_TCP_PROTO", "tcp"),
        ("HEARDBACK_PORT_53_UDP", "udp://10.0.0.1:53"),
        ("HEARDBACK_OPS_SERVICE_HOST", "10.0.0.1"),
        ("HEARDBACK_OPS_PORT", "tcp://10.0.0.1:9091"),
        ("HEARDBACK_OPS_PORT_9091_TCP_ADDR", "10.0.0.1"),
        ("HEARDBACK_STORE_SERVICE_PORT_METRICS", "1"),
        ("TWILIO_SERVICE_HOST", "10.0.0.1"),
        ("TWILIO_EDGE_PORT_80_TCP", "tcp://10.0.0.1:80"),
        // Docker links.
        ("HEARDBACK_NAME", "/web/heardback"),
        ("HEARDBACK_ENV_HEARDBACK_DRYRUN", "true"),
        ("HEARDBACK_1_PORT_8080_TCP", "tcp://172.17.0.2:8080"),
        // This repository's tests and examples.
        ("HEARDBACK_CI", "1"),
        ("HEARDBACK_PYTHON", "python3"),
        ("HEARDBACK_SPOOL", "/tmp"),
        // Nothing of ours.
        ("PATH", "/bin"),
        ("DRY_RUN", "true"),
        ("PUBLIC_URL", "x"),
        ("RAILWAY_SERVICE_HEARDBACK_URL", "x"),
        ("APPSETTING_HEARDBACK_DRY_RUN", "x"),
        ("OTEL_SERVICE_NAME", "x"),
        ("", "x"),
        ("_", "x"),
        ("é", "x"),
    ] {
        let (problems, warnings) = judged(name, value);
        assert!(problems.is_empty() && warnings.is_empty(), "{name}: {problems} {warnings:?}");
    }
}

#[test]
fn a_name_of_ours_that_is_close_to_nothing_is_a_warning() {
    for (name, value) in [
        ("HEARDBACK_PORT", "8080"),
        ("HEARDBACK_NAME", "hooks"),
        ("HEARDBACK_VERSION", "1"),
        ("HEARDBACK_HOME", "/x"),
        ("HEARDBACK_CONFIG", "/x"),
        ("HEARDBACK_DEBUG", "1"),
        ("HEARDBACK_IMAGE", "x"),
        ("HEARDBACK_PATH", "/opt"),
        ("HEARDBACK_APP", "x"),
        ("HEARDBACK_REGION", "fra"),
        ("HEARDBACK_POWER_SEED", "1"),
        ("HEARDBACK_RECORD_LOG", "/x"),
        ("TWILIO_API_KEY_SECRET", "x"),
        ("TWILIO_API_KEY_SID", "x"),
        ("TWILIO_PUBLIC_URL", "x"),
        ("TWILIO_AUTH_TOKEN_SECONDARY", "x"),
        ("TWILIO_ACCOUNT_SID_TEST", "x"),
    ] {
        let (problems, warnings) = judged(name, value);
        assert!(problems.is_empty(), "{name}: {problems}");
        assert_eq!(warnings.len(), 1, "{name}: {warnings:?}");
        assert!(warnings[0].contains(name), "{warnings:?}");
    }
}

#[test]
fn every_setting_is_known_and_an_empty_variable_counts_as_unset() {
    for name in SETTINGS.iter().flat_map(Setting::variables) {
        let (problems, warnings) = judged(&name, "x");
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
        let (problems, warnings) = judged(name, "hush");
        let said = format!("{problems} {problems:?} {warnings:?}");
        assert!(!said.contains("hush"), "{said}");
    }
}

#[test]
fn a_distance_counts_letters_added_removed_replaced_or_exchanged() {
    for (one, other, edits) in [
        ("", "", 0),
        ("abc", "abc", 0),
        ("abc", "", 3),
        ("", "ab", 2),
        ("abc", "acb", 1),
        ("abc", "abd", 1),
        ("abc", "abcd", 1),
        ("kitten", "sitting", 3),
    ] {
        assert_eq!(distance(one, other), edits, "{one} {other}");
        assert_eq!(distance(other, one), edits, "{other} {one}");
    }
}
