//! Bodies and parameters that were changed in transit, and signers with a wrong algorithm: `doctor`
//! names each cause.

use crate::causes::{
    APP_KEY, BASE, BODY, TARGET, TOKEN, arrived, causes, finding, ours, signed, signed_url, with,
};
use heardback::commands::doctor::offline::DiagnosisOutcome;
use heardback::recording::Recording;
use heardback::twilio::signature::{body_hash, with_body_hash};

#[test]
fn a_body_that_was_changed_in_transit_is_named() {
    let url = format!("{BASE}{TARGET}");
    for (sent, came, cause) in [
        (BODY, BODY.replace("%2B1", "+1"), "plus_unescaped"),
        (
            "From=whatsapp%3A%2B15558675310&Body=a+b",
            "From=whatsapp%3A+15558675310&Body=a+b".to_owned(),
            "plus_unescaped",
        ),
        ("Body=a%2Bb%2Bc", "Body=a+b+c".to_owned(), "blank_was_plus"),
        ("Body=a+b+c", "Body=a%2Bb%2Bc".to_owned(), "plus_was_blank"),
        ("Body=hi+&A=1", "Body=hi&A=1".to_owned(), "blank_trimmed"),
        ("Body=hi%0A&A=1", "Body=hi&A=1".to_owned(), "line_break_trimmed"),
        ("Body=+hi&A=1", "Body=hi&A=1".to_owned(), "leading_blank_trimmed"),
        ("Body=hi&A=1", "Body=+hi+&A=+1".to_owned(), "trimmed_signed"),
        (BODY, BODY.replace("%0A", "%0D%0A"), "lf_became_crlf"),
        ("Body=a%0D%0Ab", "Body=a%0Ab".to_owned(), "crlf_became_lf"),
        ("A=1&C=3", "A=1&B=&C=3&D=".to_owned(), "empty_dropped"),
        ("A.B=1&C.D=2", "A_B=1&C_D=2".to_owned(), "dots_became_underscores"),
        ("A_B=1&C_D=2", "A.B=1&C.D=2".to_owned(), "dots_signed_as_underscores"),
        ("M=1&M=2&A=1", "M%5B%5D=1&M%5B%5D=2&A=1".to_owned(), "brackets"),
        ("M=1", "M=1&M=2".to_owned(), "repeated_first"),
        ("M=2", "M=1&M=2".to_owned(), "repeated_last"),
        ("M=1,2", "M=1&M=2".to_owned(), "repeated_joined"),
        ("M=21", "M=2&M=1".to_owned(), "repeated_run_together"),
        ("M=1&M=2", "M=1%2C2".to_owned(), "comma_was_repeated"),
        ("M=a%2Bb&N=%2B1", "M=a%252Bb&N=%252B1".to_owned(), "encoded_twice"),
        ("M=a%252Bb%2Bc", "M=a%2Bb+c".to_owned(), "signed_encoded"),
        ("M=a%252Bb%2520c", "M=a%2Bb+c".to_owned(), "signed_encoded_20"),
        ("M=caf%C3%A9", "M=caf%C3%83%C2%A9".to_owned(), "mojibake"),
        ("M=caf%C3%A9", "M=caf%E9".to_owned(), "latin1"),
        (BODY, BODY.replace("&NumMedia=0", "&NumMedia=0&Extra=5"), "parameter_added"),
        (BODY, BODY.replace("&NumMedia=0", ""), "parameter_missing"),
        (BODY, BODY.replace("&ApiVersion=2010-04-01", ""), "parameter_missing"),
        (BODY, BODY.replace("&SmsSid=SM0123456789abcdef0123456789abcdef", ""), "parameter_missing"),
        ("A=1&Body=&To=2", "A=1&To=2".to_owned(), "parameter_missing"),
        (
            "A=1&FromCity=&FromState=&FromZip=&FromCountry=&ToCity=&ToState=&ToZip=&ToCountry=",
            "A=1".to_owned(),
            "empty_parameters_missing",
        ),
    ] {
        let request = arrived(TARGET, &came, &signed(TOKEN, &url, sent));
        assert_eq!(causes(&ours(), &request), [cause], "{sent} came as {came}");
    }
    let came = BODY.replace("&NumMedia=0", "");
    let text = finding(&ours(), &arrived(TARGET, &came, &signed(TOKEN, &url, BODY))).text();
    assert!(text.contains("The parameter NumMedia is missing"), "{text}");
}

#[test]
fn a_custom_signer_with_a_wrong_algorithm_gets_the_wrong_step_named() {
    let url = format!("{BASE}/app/events");
    let body = "To=%2B15558675310&Type=code+entered&b=1&A=2";
    for (string, cause) in [
        (url.clone(), "parameters_unsigned"),
        (format!("{url}{body}"), "raw_body"),
        (format!("{url}To+15558675310Typecode enteredb1A2"), "unsorted"),
        (format!("{url}A2b1To+15558675310Typecode entered"), "caseless_sort"),
        (format!("{url}2+15558675310code entered1"), "values_only"),
    ] {
        let request = arrived("/app/events", body, &signed_url(APP_KEY, &string));
        assert_eq!(causes(&ours(), &request), [cause], "{string}");
    }
}

fn json(target: &str, body: &str, signature: &str) -> Recording {
    with(arrived(target, body, signature), "Content-Type", "application/json")
}

#[test]
fn json_without_a_body_hash_is_distinguished_from_json_that_was_changed() {
    let body = r#"{"Reference":"order-7","To":"+15558675310"}"#;
    let target = with_body_hash("/app/events?x=1", body.as_bytes());
    let url = format!("{BASE}{target}");
    let good = signed_url(APP_KEY, &url);
    assert_eq!(finding(&ours(), &json(&target, body, &good)).outcome, DiagnosisOutcome::Good);
    for (came, how) in [
        (format!("{body}\n"), "a line break was added"),
        (body.replace(':', ": ").replace(",\"", ", \""), "written anew, with blanks"),
        (body.replace('7', "8"), "does not match it"),
    ] {
        let request = json(&target, &came, &good);
        assert_eq!(causes(&ours(), &request), ["body_altered"], "{came}");
        let text = finding(&ours(), &request).text();
        assert!(text.contains(how), "{text}");
    }
    let bare = format!("{BASE}/app/events");
    let request = json("/app/events", body, &signed_url(APP_KEY, &bare));
    assert_eq!(causes(&ours(), &request), ["body_hash_missing"]);
    let lost = with_body_hash(&bare, body.as_bytes());
    let request = json("/app/events", body, &signed_url(APP_KEY, &lost));
    assert_eq!(causes(&ours(), &request), ["body_hash_lost"]);
    let form = "Reference=order-7&To=%2B15558675310";
    let request = json("/app/events", body, &signed(APP_KEY, &bare, form));
    assert_eq!(causes(&ours(), &request), ["json_as_form"]);
    let request = json("/app/events", body, &signed_url(APP_KEY, &format!("{bare}{body}")));
    assert_eq!(causes(&ours(), &request), ["raw_body"]);
    let request = with(
        arrived(TARGET, BODY, &signed(TOKEN, &format!("{BASE}{TARGET}"), BODY)),
        "Content-Type",
        "text/plain",
    );
    assert_eq!(causes(&ours(), &request), ["content_type"]);
    let part = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let fields = [part("To", "+15558675310"), part("Reference", "order-7")];
    let multipart = format!("{}--b--\r\n", fields.concat());
    let request = with(
        arrived("/app/events", &multipart, &signed(APP_KEY, &bare, form)),
        "Content-Type",
        "multipart/form-data; boundary=b",
    );
    assert_eq!(causes(&ours(), &request), ["multipart"]);
    let upper =
        target.replace(&body_hash(body.as_bytes()), &body_hash(body.as_bytes()).to_uppercase());
    let request = json(&upper, body, &signed_url(APP_KEY, &format!("{BASE}{upper}")));
    assert_eq!(causes(&ours(), &request), ["body_hash_upper_case"]);
}

#[test]
fn the_hash_of_a_body_that_was_not_kept_is_enough() {
    let body = r#"{"Reference":"order-7"}"#;
    let target = with_body_hash("/app/events", body.as_bytes());
    let note = |of: &str| {
        let hash = body_hash(of.as_bytes());
        format!("body sha256: {hash}, {} bytes", of.len())
    };
    let mut request = json(&target, "", &signed_url(APP_KEY, &format!("{BASE}{target}")));
    request.notes = vec![note(body)];
    assert_eq!(finding(&ours(), &request).outcome, DiagnosisOutcome::Good);
    request.notes = vec![note("something else")];
    assert_eq!(causes(&ours(), &request), ["body_altered"]);
    request.target = "/app/events".to_owned();
    request.notes = vec![note(body)];
    assert_eq!(causes(&ours(), &request), ["body_hash_lost"]);
}
