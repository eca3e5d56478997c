//! Rewrites the form of a request to create a message: takes Heardback's own parameters out, and adds what feedback needs.
//!
//! Every other byte stays as it is, in its order. Names are compared after decoding, so `Heardback%2ECode` is taken out, too.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use crate::domain::message::Reference;
use crate::domain::signal::Malformed;
use crate::domain::switch;
use crate::twilio::fields::{FieldSpelling, Fields};
use crate::twilio::form;

/// The beginning of the names of Heardback's own parameters, in lower case.
const OWN: &str = "heardback.";
const REFERENCE: &str = "Heardback.Reference";
const CODE: &str = "Heardback.Code";
const FEEDBACK: &str = "Heardback.Feedback";
/// Twilio's parameters.
const PROVIDE_FEEDBACK: &str = "ProvideFeedback";
const STATUS_CALLBACK: &str = "StatusCallback";
/// The longest code, in bytes.
const MAX_CODE: usize = 128;
/// Every byte that is not unreserved (RFC 3986, section 2.3).
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A rewritten form, and the parameters that were taken out of it.
pub struct RewrittenForm {
    /// The form as it goes to Twilio.
    pub form: Vec<u8>,
    pub reference: Option<Reference>,
    /// The code in the text of the message. It is hashed and dropped.
    pub code: Option<String>,
    /// Whether Twilio is requested to track the message.
    pub is_tracked: bool,
}

/// Without the form, the reference and the code.
impl fmt::Debug for RewrittenForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RewrittenForm")
            .field("is_tracked", &self.is_tracked)
            .finish_non_exhaustive()
    }
}

/// Rewrites a form. `status_url` is the URL for status callbacks, without query and fragment; `fragment` is the part from
/// `#` on.
///
/// # Errors
/// [`Malformed`], if the form is not valid, or one of Heardback's own parameters is not.
pub fn rewrite(body: &[u8], status_url: &str, fragment: &str) -> Result<RewrittenForm, Malformed> {
    let mut form = Vec::with_capacity(body.len() + status_url.len() + 128);
    let mut own = Vec::new();
    let (mut feedback_words, mut has_callback) = (Vec::new(), false);
    let mut is_first = true;
    for segment in body.split(|byte| *byte == b'&') {
        check_escapes(segment)?;
        if let Some((name, value)) = pair(segment)? {
            if name.get(..OWN.len()).is_some_and(|start| start.eq_ignore_ascii_case(OWN)) {
                own.push((name, value));
                continue;
            }
            match name.as_str() {
                PROVIDE_FEEDBACK => feedback_words.push(value),
                // A library sends an unset parameter as an empty one.
                STATUS_CALLBACK if value.is_empty() => continue,
                STATUS_CALLBACK => has_callback = true,
                _ => {}
            }
        }
        if !is_first {
            form.push(b'&');
        }
        is_first = false;
        form.extend_from_slice(segment);
    }
    let own = OwnParameters::read(&own)?;
    let is_asked = own.feedback.unwrap_or(true);
    let is_tracked =
        is_asked && feedback_words.iter().all(|word| switch::parse(word) == Some(true));
    if is_tracked && feedback_words.is_empty() {
        append(&mut form, PROVIDE_FEEDBACK, "true");
    }
    if is_tracked && !has_callback {
        append(&mut form, STATUS_CALLBACK, &callback(status_url, fragment, own.reference.as_ref()));
    }
    Ok(RewrittenForm { form, reference: own.reference, code: own.code, is_tracked })
}

/// Heardback's own parameters.
struct OwnParameters {
    reference: Option<Reference>,
    code: Option<String>,
    feedback: Option<bool>,
}

impl OwnParameters {
    fn read(own: &[(String, String)]) -> Result<Self, Malformed> {
        let known = [REFERENCE, CODE, FEEDBACK];
        if own.iter().any(|(name, _)| !known.iter().any(|known| known.eq_ignore_ascii_case(name))) {
            let expected = format!("expected one of {}", known.join(", "));
            return Err(Malformed::Field { field: "Heardback.*", expected });
        }
        let feedback = match one(own, FEEDBACK)? {
            None => None,
            Some(word) => Some(switch::parse(word).ok_or_else(|| Malformed::Field {
                field: FEEDBACK,
                expected: "expected true or false".to_owned(),
            })?),
        };
        let code = one(own, CODE)?;
        if code.is_some_and(|code| code.len() > MAX_CODE) {
            let expected = format!("expected at most {MAX_CODE} bytes");
            return Err(Malformed::Field { field: CODE, expected });
        }
        if let Some(code) = code {
            Fields::single(CODE, code, FieldSpelling::Twilio).reject_placeholders(&[CODE])?;
        }
        let reference = match one(own, REFERENCE)? {
            None => None,
            Some(text) => {
                Fields::single(REFERENCE, text, FieldSpelling::Twilio).reference(REFERENCE)?
            }
        };
        Ok(Self { reference, code: code.map(str::to_owned), feedback })
    }
}

/// The value of a parameter that may be repeated with the same value. Empty counts as absent.
fn one<'a>(own: &'a [(String, String)], name: &'static str) -> Result<Option<&'a str>, Malformed> {
    let is_it =
        |(known, value): &&(String, String)| known.eq_ignore_ascii_case(name) && !value.is_empty();
    let mut values = own.iter().filter(is_it).map(|(_, value)| value.as_str());
    let first = values.next();
    if values.any(|other| Some(other) != first) {
        return Err(Malformed::Ambiguous { field: name });
    }
    Ok(first)
}

/// The decoded pair of a segment; `None` for the empty segment between two `&`.
fn pair(segment: &[u8]) -> Result<Option<(String, String)>, Malformed> {
    let text = |text: form::Text<'_>| {
        String::from_utf8(text.decoded().into_owned()).map_err(|_| Malformed::Encoding)
    };
    match form::pairs(segment).into_iter().next() {
        None => Ok(None),
        Some((name, value)) => Ok(Some((text(name)?, text(value)?))),
    }
}

/// Checks that each `%` has its two digits. Another program might read such a form in another way.
fn check_escapes(segment: &[u8]) -> Result<(), Malformed> {
    let is_digit = |byte: &u8| byte.is_ascii_hexdigit();
    let mut escapes = segment.split(|byte| *byte == b'%').skip(1);
    let is_broken = escapes.any(|rest| !rest.get(..2).is_some_and(|two| two.iter().all(is_digit)));
    if !is_broken {
        return Ok(());
    }
    let expected = "expected two hexadecimal digits after each %".to_owned();
    Err(Malformed::Field { field: "the form", expected })
}

/// The URL for the status callbacks of one message.
fn callback(status_url: &str, fragment: &str, reference: Option<&Reference>) -> String {
    let reference = reference.map(|name| format!("&reference={}", escaped(name.as_str())));
    format!("{status_url}?feedback=1{}{fragment}", reference.unwrap_or_default())
}

fn append(form: &mut Vec<u8>, name: &str, value: &str) {
    if !form.is_empty() && !form.ends_with(b"&") {
        form.push(b'&');
    }
    form.extend_from_slice(format!("{name}={}", escaped(value)).as_bytes());
}

fn escaped(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, &RESERVED)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const URL: &str = "https://hooks.example.com/twilio/status";
    const ADDED: &str = "ProvideFeedback=true&StatusCallback=https%3A%2F%2Fhooks.example.com%2Ftwilio%2Fstatus%3Ffeedback%3D1%23rc%3D3";

    fn rewritten(body: &str) -> Result<RewrittenForm, Malformed> {
        rewrite(body.as_bytes(), URL, "#rc=3")
    }

    fn form_of(body: &str) -> String {
        String::from_utf8(rewritten(body).expect(body).form).expect("UTF-8")
    }

    #[test]
    fn what_feedback_needs_is_added_and_every_other_byte_stays() {
        for body in [
            "To=%2B15551234567&From=%2B15017122661&Body=Your+code+is+123456",
            "To=%2b15551234567&MessagingServiceSid=MG1&Body=%E2%9C%93&MediaUrl=a&MediaUrl=b",
            "Body=héllo&To=x&ScheduleType=fixed&SendAt=2026-12-01T00%3A00%3A00Z",
            "a&&b=&=c&a=1&provideFeedback=false&Statuscallback=x",
            "Body=a=b;c%20d+e%0d%0a\r\n",
        ] {
            assert_eq!(form_of(body), format!("{body}&{ADDED}"));
        }
        assert_eq!(form_of(""), ADDED);
        assert_eq!(form_of("a=1&"), format!("a=1&{ADDED}"));
    }

    #[test]
    fn what_the_caller_gives_itself_is_not_added() {
        let body = "To=x&StatusCallback=https%3A%2F%2Fapp.example%2F";
        assert_eq!(form_of(body), format!("{body}&ProvideFeedback=true"));
        assert_eq!(form_of("StatusCallback=&To=x"), form_of("To=x"), "an unset parameter");
        let body = "Provide%46eedback=True&To=x&%53tatusCallback=y";
        assert_eq!(form_of(body), body, "escaped names");
        assert!(rewritten(body).expect("valid").is_tracked);
        for body in [
            "ProvideFeedback=false&To=x",
            "ProvideFeedback=&To=x",
            "ProvideFeedback=maybe",
            "ProvideFeedback=true&ProvideFeedback=false",
        ] {
            let rewritten = rewritten(body).expect(body);
            assert_eq!(rewritten.form, body.as_bytes());
            assert!(!rewritten.is_tracked, "{body}");
        }
    }

    #[test]
    fn own_parameters_are_taken_out_in_every_spelling_and_place() {
        for body in [
            "Heardback.Reference=login-7&To=x&Heardback.Code=123456",
            "To=x&Heardback%2EReference=login-7&%48eardback.Code=123456",
            "heardback.reference=login%2D7&heardback.code=123456&To=x",
            "Heardback.Code=123456&Heardback.Code=123456&To=x&Heardback.Reference=login-7",
            "Heardback.Code=&Heardback.Code=123456&Heardback.Reference=login-7&To=x",
        ] {
            let rewritten = rewritten(body).expect(body);
            let form = String::from_utf8(rewritten.form).expect("UTF-8");
            assert!(form.starts_with("To=x&ProvideFeedback=true&StatusCallback="), "{form}");
            assert!(form.ends_with("%3Ffeedback%3D1%26reference%3Dlogin-7%23rc%3D3"), "{form}");
            assert!(!form.contains("123456") && !form.to_lowercase().contains("heardback."));
            assert_eq!(rewritten.reference, Reference::parse("login-7"));
            assert_eq!(rewritten.code.as_deref(), Some("123456"));
            assert!(rewritten.is_tracked);
        }
        let body = "To=x&Heardback.Feedback=False&ProvideFeedback=true";
        let plain = rewritten(body).expect("valid");
        assert_eq!(plain.form, b"To=x&ProvideFeedback=true");
        assert!(!plain.is_tracked);
        assert_eq!(form_of("To=x&Heardback.Feedback=off"), "To=x");
        assert_eq!(form_of("Heardback.Feedback=1&&To=x"), format!("&To=x&{ADDED}"));
    }

    #[test]
    fn a_reference_is_escaped_twice_so_that_the_callback_names_it_exactly() {
        let form = form_of("Heardback.Reference=a+b%26%23%25%C3%A9&To=x");
        let pairs = form::pairs(form.as_bytes());
        let callback = pairs.last().expect("added").1.decoded().into_owned();
        let url = String::from_utf8(callback).expect("UTF-8");
        assert_eq!(url, format!("{URL}?feedback=1&reference=a%20b%26%23%25%C3%A9#rc=3"));
    }

    #[test]
    fn a_form_that_cannot_be_understood_is_refused_and_the_error_shows_no_value() {
        for body in [
            "To=%",
            "To=%4",
            "To=%zz",
            "%G1=x",
            "To=%FF",
            "a=1&b=%E2%28%A1",
            "Heardback.Cod=123456",
            "Heardback.=1",
            "Heardback.Feedback=123456",
            "Heardback.Code=123456&Heardback.Code=123457",
            "Heardback.Reference=a&heardback.reference=b",
            "Heardback.Reference=%2B15551234567",
            "Heardback.Reference=undefined",
            "Heardback.Code=undefined",
        ] {
            let error = rewritten(body).expect_err(body).to_string();
            assert!(!error.contains("12345") && !error.contains("1555"), "{error}");
        }
        let long = "1".repeat(129);
        assert!(rewritten(&format!("Heardback.Code={long}")).is_err());
        assert!(rewritten(&format!("Heardback.Reference={long}x")).is_err());
    }

    proptest! {
        #[test]
        fn the_callers_own_pairs_arrive_unchanged_and_in_order(
            sent in prop::collection::vec((".{0,8}", ".{0,12}"), 0..8),
            own in prop::collection::vec(0_usize..9, 0..3),
        ) {
            let is_plain = |name: &str| !name.to_lowercase().starts_with(OWN)
                && name != PROVIDE_FEEDBACK && name != STATUS_CALLBACK;
            prop_assume!(sent.iter().all(|(name, _)| is_plain(name)));
            let mut mixed = sent.clone();
            for at in own {
                let own = ("Heardback.Code".to_owned(), "1".to_owned());
                mixed.insert(at.min(mixed.len()), own);
            }
            let body = serde_urlencoded::to_string(&mixed).expect("encodes");
            let form = String::from_utf8(rewritten(&body).expect("valid").form).expect("UTF-8");
            let expected = serde_urlencoded::to_string(&sent).expect("encodes");
            let kept = form.strip_suffix(ADDED).expect("added");
            prop_assert_eq!(kept.strip_suffix('&').unwrap_or(kept), expected);
        }
    }
}
