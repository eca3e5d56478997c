//! The secret of the command `sign`. The command line names it; by default, the route of the URL selects it.

use secrecy::SecretString;

use crate::config::env::{Env, ReadFile};
use crate::config::names::{APP_KEYS, AUTH_TOKEN, TOKEN_PLACE};
use crate::config::problems::{Problem, Problems};
use crate::config::reader::{SettingsArgs, SettingsReader};
use crate::domain::route::{RouteSigner, signer_of};

/// The place of the key, as the command line names it.
#[derive(Debug, Default, Clone, Copy)]
pub struct KeyPlace<'a> {
    /// `--key-env`: an environment variable.
    pub env: Option<&'a str>,
    /// `--auth-token-file`: a file.
    pub file: Option<&'a str>,
}

#[derive(Debug)]
pub struct ChosenKey {
    pub secret: SecretString,
    /// Names the chosen key and the reason. It contains no secret.
    pub explanation: String,
}

/// Selects the secret. A route of Twilio uses the auth token. An app route, and any other path, uses the first app key,
/// or the auth token if no app key is set.
///
/// # Errors
/// No secret is set, or it cannot be read.
pub fn signing_key(
    url: &str,
    place: KeyPlace<'_>,
    env: Env<'_>,
    read: ReadFile<'_>,
) -> Result<ChosenKey, Problems> {
    let mut reader = SettingsReader::new(SettingsArgs::default(), env, read);
    let (found, name, why) = if let Some(path) = given(place.file) {
        (
            reader.secrets_in_file("--auth-token-file", path),
            "--auth-token-file",
            "as the command line says",
        )
    } else if let Some(name) = given(place.env) {
        (reader.secrets(name).unwrap_or_default(), name, "as the command line says")
    } else {
        by_route(&mut reader, url)
    };
    if found.is_empty() && reader.problems.is_empty() {
        reader.problem(Problem::missing(name, TOKEN_PLACE));
    }
    let count = found.len();
    match found.into_iter().next() {
        Some(secret) if reader.problems.is_empty() => {
            let which =
                if count > 1 { format!("the first of {count} in {name}") } else { name.to_owned() };
            Ok(ChosenKey { secret, explanation: format!("Signed with {which}, {why}.") })
        }
        Some(_) | None => Err(reader.problems),
    }
}

/// Empty counts as unset.
fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn by_route(
    reader: &mut SettingsReader<'_>,
    url: &str,
) -> (Vec<SecretString>, &'static str, &'static str) {
    const BY_DEFAULT: &str = "because HEARDBACK_APP_KEYS is not set";
    let before_query = url.split(['?', '#']).next().unwrap_or_default();
    let path = before_query.split_once("://").map_or(before_query, |(_, rest)| rest);
    let path = path.find('/').and_then(|at| path.get(at..)).unwrap_or_default();
    let signer = signer_of(path);
    if signer != Some(RouteSigner::Twilio) {
        let why = match signer {
            Some(_) => "because the app signs for this route",
            None => "because the path is no route of Heardback",
        };
        if let Some(keys) = reader.secrets(APP_KEYS) {
            return (keys, APP_KEYS, why);
        }
    }
    let why = match signer {
        Some(RouteSigner::Twilio) => "because Twilio signs for this route",
        Some(RouteSigner::App) | None => BY_DEFAULT,
    };
    (reader.secrets(AUTH_TOKEN).unwrap_or_default(), AUTH_TOKEN, why)
}

#[cfg(test)]
mod tests {
    use std::io;

    use secrecy::ExposeSecret as _;

    use super::*;

    const APP: &str = "https://hooks.example.com/app/events";
    const TWILIO: &str = "https://hooks.example.com/twilio/message?a=/app/events";

    fn chosen(url: &str, place: KeyPlace<'_>) -> Result<ChosenKey, Problems> {
        let env = |name: &str| match name {
            APP_KEYS => Some("app-1,app-2".to_owned()),
            AUTH_TOKEN | "OTHER" => Some(format!("{name}-value")),
            _ => None,
        };
        let read = |path: &std::path::Path| match path.to_str() {
            Some("/run/token") => Ok("of the file\n".to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        signing_key(url, place, &env, &read)
    }

    #[test]
    fn the_url_chooses_the_key_unless_the_command_line_does() {
        let by_route = KeyPlace::default();
        for (url, place, secret, says) in [
            (APP, by_route, "app-1", "the first of 2 in HEARDBACK_APP_KEYS, because the app signs"),
            ("https://h.example/hb/app/messages/SM1", by_route, "app-1", "the app signs"),
            (
                TWILIO,
                by_route,
                "TWILIO_AUTH_TOKEN-value",
                "TWILIO_AUTH_TOKEN, because Twilio signs",
            ),
            ("https://h.example/app/twilio/message", by_route, "app-1", "the app signs"),
            ("https://h.example/other", by_route, "app-1", "no route"),
            (
                APP,
                KeyPlace { env: Some("OTHER"), file: None },
                "OTHER-value",
                "OTHER, as the command line says",
            ),
            (
                APP,
                KeyPlace { env: None, file: Some("/run/token") },
                "of the file",
                "--auth-token-file, as the command line says",
            ),
        ] {
            let found = chosen(url, place).expect("a key");
            assert_eq!(found.secret.expose_secret(), secret, "{url}");
            assert!(
                found.explanation.contains(says) && !found.explanation.contains(secret),
                "{}",
                found.explanation
            );
        }
        let none = KeyPlace { env: Some("NONE"), file: None };
        assert!(chosen(APP, none).expect_err("missing").to_string().contains("NONE is missing"));
    }

    #[test]
    fn without_app_keys_the_auth_token_signs_for_the_app_and_an_app_key_never_signs_for_twilio() {
        let none = |_: &std::path::Path| Err(io::ErrorKind::NotFound.into());
        let token = |name: &str| (name == AUTH_TOKEN).then(|| "a token".to_owned());
        let found = signing_key(APP, KeyPlace::default(), &token, &none).expect("a key");
        assert_eq!(found.secret.expose_secret(), "a token");
        assert!(
            found.explanation.contains("HEARDBACK_APP_KEYS is not set"),
            "{}",
            found.explanation
        );
        let app = |name: &str| (name == APP_KEYS).then(|| "an app key".to_owned());
        for (url, env) in [(TWILIO, &app as Env<'_>), (APP, &|_: &str| None)] {
            let missing =
                signing_key(url, KeyPlace::default(), env, &none).expect_err("missing").to_string();
            assert!(missing.contains("TWILIO_AUTH_TOKEN is missing"), "{missing}");
        }
    }
}
