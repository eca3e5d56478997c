//! `heardback sign`: signs a request as Twilio does, by hand.
//!
//! For trying out a webhook with `curl` and for comparing an app's own signer with a known good one.
//! It needs no settings and sends nothing. What it says is exact: the URL is signed as given, letter
//! by letter, but for a `#fragment`, which Twilio does not sign and no client sends.

use std::fmt::Write as _;

use anyhow::{bail, ensure};
use secrecy::{ExposeSecret as _, SecretString};

use crate::twilio::signature::{Content, SigningKey, sign, with_body_hash};

/// The request to sign.
#[derive(Debug)]
pub struct SignRequest {
    /// The public URL, `http://` or `https://`.
    pub url: String,
    /// The method. By default POST with a form or JSON, else GET.
    pub method: Option<String>,
    /// The form's fields, decoded.
    pub form: Vec<(String, String)>,
    /// A body that is no form, byte by byte as it will be sent; excludes `form`.
    pub json: Option<String>,
    /// The auth token or app key to sign with.
    pub key: SecretString,
    /// What to answer with.
    pub output: SignOutput,
}

/// What to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignOutput {
    /// The bare signature. With JSON, the URL that it belongs to is `--curl`'s or `--json`'s to tell.
    #[default]
    Signature,
    /// A `curl` command for a POSIX shell, ready to be pasted.
    Curl,
    /// A JSON object with `url` (as signed, with any `bodySHA256`) and `signature`.
    Json,
}

/// Signs the request and returns what belongs on stdout, without a final line break.
///
/// # Errors
/// A request that cannot be sent, or not be signed, as it is described; says what to change.
pub fn run(request: &SignRequest) -> anyhow::Result<String> {
    let url = request.url.split('#').next().unwrap_or_default();
    ensure!(
        ["http://", "https://"].iter().any(|scheme| {
            url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        }),
        "the URL must be whole, as its sender knows it: https://host/path"
    );
    ensure!(
        !url.contains(|c: char| c.is_whitespace() || c.is_control()),
        "the URL contains white space; write a blank as %20"
    );
    let method = method(request)?;

    let pairs: Vec<_> = request
        .form
        .iter()
        .map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into()))
        .collect();
    let (url, content) = match &request.json {
        Some(json) => (with_body_hash(url, json.as_bytes()), Content::Other(json.as_bytes())),
        None => (url.to_owned(), Content::Form { pairs: &pairs, body: b"" }),
    };
    let key = SigningKey::new(request.key.expose_secret().as_bytes());
    let signature = sign(&key, &url, &content);
    Ok(match request.output {
        SignOutput::Signature => signature,
        SignOutput::Curl => curl(request, &method, &url, &signature),
        SignOutput::Json => serde_json::json!({ "url": url, "signature": signature }).to_string(),
    })
}

fn method(request: &SignRequest) -> anyhow::Result<String> {
    let has_body = request.json.is_some() || !request.form.is_empty();
    if request.json.is_some() && !request.form.is_empty() {
        bail!("a request carries form fields or JSON, not both");
    }
    ensure!(
        request.form.iter().all(|(name, _)| !name.is_empty()),
        "a form field needs a name: NAME=VALUE"
    );
    let default = if has_body { "POST" } else { "GET" };
    let method = request.method.as_deref().unwrap_or(default).to_ascii_uppercase();
    ensure!(
        !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase()),
        "the method must be a word such as GET or POST"
    );
    ensure!(
        !(has_body && method == "GET"),
        "a GET has no body; put its parameters into the URL, which is all that is signed"
    );
    Ok(method)
}

fn curl(request: &SignRequest, method: &str, url: &str, signature: &str) -> String {
    let mut command = "curl".to_owned();
    if method != "GET" {
        let _ = write!(command, " --request {method}");
    }
    // What curl would otherwise rewrite was signed as it stands.
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
    if let Some(json) = &request.json {
        option("header", "Content-Type: application/json");
        // `--data` would read a file if the text began with `@`.
        option("data-raw", json);
    } else if request.form.is_empty() && method != "GET" {
        option("data-raw", "");
    }
    for (name, value) in &request.form {
        // curl escapes the value alone; up to the first `=` it takes the name as it is.
        option("data-urlencode", &format!("{}={value}", escaped(name)));
    }
    // An answer ends without a line's end, and a prompt would stand right behind it.
    option("write-out", r"\n");
    command
}

/// Escaped as in a form, so that no byte means anything to curl.
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

/// One word to a POSIX shell, whatever it contains.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> SignRequest {
        SignRequest {
            url: url.to_owned(),
            method: None,
            form: Vec::new(),
            json: None,
            key: SecretString::from("12345"),
            output: SignOutput::Curl,
        }
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
        let request = SignRequest { form, output: SignOutput::Signature, ..request(url) };
        assert_eq!(run(&request).expect("signs"), "L/OH5YylLD5NRKLltdqwSvS0BnU=");
        let json = run(&SignRequest { output: SignOutput::Json, ..request }).expect("signs");
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["url"], "https://example.com/myapp.php?foo=1&bar=2");
        assert_eq!(json["signature"], "L/OH5YylLD5NRKLltdqwSvS0BnU=");
    }

    #[test]
    fn a_form_becomes_a_command_that_the_shell_and_curl_leave_alone() {
        let form = fields(&[("Body", "It's 5 > 3 & $HOME\n=@x"), ("a=b@ é", "")]);
        let command = run(&SignRequest { form, ..request("https://h.example/twilio/message?a='") })
            .expect("signs");
        insta::assert_snapshot!(command, @r#"
curl --request POST 'https://h.example/twilio/message?a='\''' \
  --header 'X-Twilio-Signature: iAtufM7aTV7vPasyd9iTsUIhsrw=' \
  --data-urlencode 'Body=It'\''s 5 > 3 & $HOME
=@x' \
  --data-urlencode 'a%3Db%40%20%C3%A9=' \
  --write-out '\n'
"#);
    }

    #[test]
    fn json_puts_its_hash_into_the_url() {
        let json = Some("[{\"id\":\"it's\"}]".to_owned());
        let command = run(&SignRequest { json, ..request("https://h.example/twilio/events") })
            .expect("signs");
        insta::assert_snapshot!(command, @r#"
curl --request POST 'https://h.example/twilio/events?bodySHA256=fc9d762a68e06a65f102ed479c65a6c7de4907102dc989a5e0ea888f8eac3b14' \
  --header 'X-Twilio-Signature: BrHN2TIEtmyo2NHqgdvRWm7QjKo=' \
  --header 'Content-Type: application/json' \
  --data-raw '[{"id":"it'\''s"}]' \
  --write-out '\n'
"#);
    }

    #[test]
    fn without_a_body_it_is_a_get_unless_told_otherwise() {
        let get = run(&request("http://[::1]:8080/../twilio/call?a=1")).expect("signs");
        insta::assert_snapshot!(get, @r#"
curl --globoff --path-as-is 'http://[::1]:8080/../twilio/call?a=1' \
  --header 'X-Twilio-Signature: THTSoxwd3jpF6/elyrt0pAZSmLI=' \
  --write-out '\n'
"#);
        let method = Some("post".to_owned());
        let post = run(&SignRequest { method, ..request("http://h.example/") }).expect("signs");
        insta::assert_snapshot!(post, @r#"
curl --request POST 'http://h.example/' \
  --header 'X-Twilio-Signature: tcnnSw2GCUDeNpMlfCk6DYeQg4o=' \
  --data-raw '' \
  --write-out '\n'
"#);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_advice() {
        let refusal = |request: SignRequest| run(&request).expect_err("refused").to_string();
        let url = "https://h.example/";
        let some = |text: &str| Some(text.to_owned());
        let form = || fields(&[("a", "b")]);
        assert!(refusal(request("h.example/")).contains("https://host/path"));
        assert!(refusal(request("https://h.example/a b")).contains("%20"));
        let both = SignRequest { form: form(), json: some("{}"), ..request(url) };
        assert!(refusal(both).contains("not both"));
        let get = SignRequest { form: form(), method: some("get"), ..request(url) };
        assert!(refusal(get).contains("into the URL"));
        let nameless = SignRequest { form: fields(&[("", "b")]), ..request(url) };
        assert!(refusal(nameless).contains("NAME=VALUE"));
        let odd = SignRequest { method: some("PO ST"), ..request(url) };
        assert!(refusal(odd).contains("GET or POST"));
    }

    #[test]
    fn the_key_does_not_show() {
        assert!(!format!("{:?}", request("https://h.example/")).contains("12345"));
    }
}
