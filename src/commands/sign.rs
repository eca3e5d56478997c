//! `sign`: signs a request as Twilio does.
//!
//! Use it to try a webhook with `curl`, or to compare the signer of an app. It sends nothing. The URL is signed as given,
//! except for a `#fragment`, which Twilio does not sign and no client sends.

use std::fmt::Write as _;

use anyhow::{Context, ensure};
use secrecy::{ExposeSecret as _, SecretString};

use crate::cli::{RequestBody, SignArgs};
use crate::twilio::signature::{Content, SigningKey, sign, with_body_hash};

/// Signs the request. Returns the signature or the `curl` command, without a final line feed.
pub(super) fn run(args: &SignArgs, key: &SecretString) -> anyhow::Result<String> {
    let url = args.url.split('#').next().unwrap_or_default();
    ensure!(
        ["http://", "https://"].iter().any(|scheme| {
            url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        }),
        "the URL must be complete, as its sender configures it: https://host/path"
    );
    ensure!(
        !url.contains(|c: char| c.is_whitespace() || c.is_control()),
        "the URL contains white space; write a blank as %20"
    );
    let json = match &args.json {
        Some(RequestBody::File(path)) => {
            let text = std::fs::read_to_string(path);
            Some(text.with_context(|| format!("cannot read --json @{}", path.display()))?)
        }
        Some(RequestBody::Text(text)) => Some(text.clone()),
        None => None,
    };
    let fields = args.form.iter();
    let pairs: Vec<_> =
        fields.map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into())).collect();
    let (url, content) = match &json {
        Some(json) => (with_body_hash(url, json.as_bytes()), Content::Other(json.as_bytes())),
        None => (url.to_owned(), Content::Form { pairs: &pairs, body: b"" }),
    };
    let signature = sign(&SigningKey::new(key.expose_secret().as_bytes()), &url, &content);
    Ok(if args.curl { curl(&url, &signature, &args.form, json.as_deref()) } else { signature })
}

fn curl(url: &str, signature: &str, form: &[(String, String)], json: Option<&str>) -> String {
    let mut command = "curl".to_owned();
    if json.is_some() || !form.is_empty() {
        command.push_str(" --request POST");
    }
    // Without these options, curl rewrites parts of the signed URL.
    if url.contains(['[', ']', '{', '}']) {
        command.push_str(" --globoff");
    }
    if url.contains("/.") {
        command.push_str(" --path-as-is");
    }
    let _ = write!(command, " {}", quoted(url));
    let mut option = |name: &str, value: &str| {
        let _ = write!(command, " \\\n  --{name} {}", quoted(value));
    };
    option("header", &format!("X-Twilio-Signature: {signature}"));
    if let Some(json) = json {
        option("header", "Content-Type: application/json");
        // `--data` would read a file if the text began with `@`.
        option("data-raw", json);
    }
    for (name, value) in form {
        // curl escapes the value only; it sends the name, up to the first `=`, unchanged.
        option("data-urlencode", &format!("{}={value}", escaped(name)));
    }
    // A response has no final line feed, so the prompt of the shell would follow it directly.
    option("write-out", r"\n");
    command
}

/// Escapes a name as in a form, so that no byte is special to curl.
fn escaped(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Quotes a text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(url: &str) -> SignArgs {
        SignArgs {
            url: url.to_owned(),
            form: Vec::new(),
            json: None,
            curl: true,
            key_env: None,
            auth_token_file: None,
        }
    }

    fn signed(args: &SignArgs) -> anyhow::Result<String> {
        run(args, &SecretString::from("12345"))
    }

    fn fields(form: &[(&str, &str)]) -> Vec<(String, String)> {
        form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn twilios_worked_example_gives_twilios_signature() {
        let form = fields(&[
            ("Digits", "1234"),
            ("To", "+18005551212"),
            ("From", "+14158675310"),
            ("Caller", "+14158675310"),
            ("CallSid", "CA1234567890ABCDE"),
        ]);
        let url = "https://example.com/myapp.php?foo=1&bar=2#rc=3";
        let args = SignArgs { form, curl: false, ..args(url) };
        assert_eq!(signed(&args).expect("signed"), "L/OH5YylLD5NRKLltdqwSvS0BnU=");
    }

    #[test]
    fn a_form_becomes_a_command_that_the_shell_and_curl_do_not_change() {
        let form = fields(&[("Body", "It's 5 > 3 & $HOME\n=@x"), ("a=b@ é", "")]);
        let command = signed(&SignArgs { form, ..args("https://h.example/twilio/message?a='") });
        insta::assert_snapshot!(command.expect("signed"), @r#"
curl --request POST 'https://h.example/twilio/message?a='\''' \
  --header 'X-Twilio-Signature: iAtufM7aTV7vPasyd9iTsUIhsrw=' \
  --data-urlencode 'Body=It'\''s 5 > 3 & $HOME
=@x' \
  --data-urlencode 'a%3Db%40%20%C3%A9=' \
  --write-out '\n'
"#);
    }

    #[test]
    fn json_adds_its_hash_to_the_url() {
        let json = Some(RequestBody::Text("[{\"id\":\"it's\"}]".to_owned()));
        let command = signed(&SignArgs { json, ..args("https://h.example/twilio/events") });
        insta::assert_snapshot!(command.expect("signed"), @r#"
curl --request POST 'https://h.example/twilio/events?bodySHA256=fc9d762a68e06a65f102ed479c65a6c7de4907102dc989a5e0ea888f8eac3b14' \
  --header 'X-Twilio-Signature: BrHN2TIEtmyo2NHqgdvRWm7QjKo=' \
  --header 'Content-Type: application/json' \
  --data-raw '[{"id":"it'\''s"}]' \
  --write-out '\n'
"#);
    }

    #[test]
    fn without_a_body_the_request_is_a_get() {
        let command = signed(&args("http://[::1]:8080/../twilio/call?a=1")).expect("signed");
        insta::assert_snapshot!(command, @r#"
curl --globoff --path-as-is 'http://[::1]:8080/../twilio/call?a=1' \
  --header 'X-Twilio-Signature: THTSoxwd3jpF6/elyrt0pAZSmLI=' \
  --write-out '\n'
"#);
    }

    #[test]
    fn an_invalid_url_is_an_error_with_advice() {
        for (url, advice) in [("h.example/", "https://host/path"), ("https://h.example/a b", "%20")]
        {
            let error = signed(&args(url)).expect_err("refused").to_string();
            assert!(error.contains(advice), "{error}");
        }
    }
}
