//! Reads Twilio's answer to "create message" into the facts that the message is registered with.

use crate::domain::code::CodeHmac;
use crate::domain::message::Reference;
use crate::domain::sid::kind;
use crate::domain::signal::{Malformed, MessageUpdate};
use crate::twilio::app;
use crate::twilio::callback::ParseContext;
use crate::twilio::fields::{FieldSpelling, Fields, missing};

/// The parameters that the caller gave to Heardback beside the form.
#[derive(Debug, Default)]
pub struct SendParameters {
    pub reference: Option<Reference>,
    pub code: Option<String>,
    /// Whether Twilio is requested to track the message.
    pub is_tracked: bool,
}

/// Parses a 2xx answer. A recipient or a sender that cannot be read is left out, because the message was sent all the same.
///
/// # Errors
/// [`Malformed`], if the answer names no message, or a message of another account.
pub fn created(
    body: &[u8],
    parameters: SendParameters,
    reading: &ParseContext<'_>,
) -> Result<MessageUpdate, Malformed> {
    let fields = Fields::from_json(body, FieldSpelling::Any)?;
    let update = match app::message(&fields, reading) {
        Ok(registration) => registration.message.ok_or_else(|| missing("Sid"))?,
        Err(Malformed::OtherAccount) => return Err(Malformed::OtherAccount),
        Err(_) => named_only(&fields, reading)?,
    };
    let SendParameters { reference, code, is_tracked } = parameters;
    let digest = |code: String| -> Option<CodeHmac> {
        Some(reading.code_keys.first()?.hmac(update.sid, &code))
    };
    let code = code.and_then(digest);
    // Twilio's own answer, so a contradiction of known facts is no error of the app.
    Ok(MessageUpdate { tracked: is_tracked, strict: false, reference, code, ..update })
}

/// The facts of a message of which only SID and account can be read.
fn named_only(fields: &Fields, reading: &ParseContext<'_>) -> Result<MessageUpdate, Malformed> {
    let sid = fields.sid::<kind::MessageKind>("Sid", Some("MessageSid"))?;
    let sid = sid.ok_or_else(|| missing("Sid"))?;
    let account = reading.account(fields)?.unwrap_or(reading.account);
    Ok(MessageUpdate {
        sid,
        account,
        tracked: true,
        strict: false,
        by_twilio: false,
        recipient: None,
        number: None,
        names: None,
        from: None,
        service: None,
        reference: None,
        status: None,
        error_code: None,
        code: None,
        link: None,
        created_at: None,
        seen_at: reading.now,
        trace: reading.trace,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::address::RecipientHashKey;
    use crate::domain::code::CodeKey;
    use crate::domain::message::Status;

    const SID: &str = "SM0123456789abcdef0123456789abcdef";
    const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

    fn read(body: &str, parameters: SendParameters) -> Result<MessageUpdate, Malformed> {
        let key = RecipientHashKey::new(b"key");
        let keys = [CodeKey::new(b"app key"), CodeKey::new(b"older key")];
        let context = ParseContext::example(&key, "2026-11-23T10:00:00Z");
        created(body.as_bytes(), parameters, &ParseContext { code_keys: &keys, ..context })
    }

    #[test]
    fn twilios_answer_becomes_the_facts_of_the_message() {
        let body = format!(
            r#"{{"body":"Your code is 123456","num_segments":"1","direction":"outbound-api","from":null,
            "date_updated":"Mon, 23 Nov 2026 09:59:58 +0000","price":null,"error_message":null,
            "uri":"/2010-04-01/Accounts/{ACCOUNT}/Messages/{SID}.json","account_sid":"{ACCOUNT}","num_media":"0",
            "to":"+15551234567","date_created":"Mon, 23 Nov 2026 09:59:58 +0000","status":"scheduled","sid":"{SID}",
            "messaging_service_sid":"MG0123456789abcdef0123456789abcdef","subresource_uris":{{"media":"x"}}}}"#
        );
        let parameters = SendParameters {
            reference: Reference::parse("login-7"),
            code: Some("123456".to_owned()),
            is_tracked: true,
        };
        let update = read(&body, parameters).expect("read");
        let sid = SID.parse().expect("valid");
        assert_eq!((update.sid, update.tracked, update.strict), (sid, true, false));
        assert!(update.recipient.is_some() && update.service.is_some() && update.from.is_none());
        assert_eq!(update.status, Some(Status::Scheduled));
        assert_eq!(update.code, Some(CodeKey::new(b"app key").hmac(sid, "123456")));
        assert_eq!(update.reference, Reference::parse("login-7"));
        assert!(!read(&body, SendParameters::default()).expect("read").tracked);
    }

    #[test]
    fn a_field_that_cannot_be_read_does_not_hide_the_message() {
        for more in [
            r#""to":"5551234567""#,
            r#""from":"?""#,
            r#""date_created":"soon""#,
            r#""messaging_service_sid":"MG1""#,
            r#""to":"undefined""#,
        ] {
            let body = format!(r#"{{"sid":"{SID}",{more}}}"#);
            let update = read(&body, SendParameters::default()).expect(more);
            assert_eq!(update.sid.as_str(), SID);
            assert_eq!(update.account.as_str(), ACCOUNT);
        }
    }

    #[test]
    fn an_answer_about_no_message_or_another_accounts_is_not_believed() {
        let other = ACCOUNT.replace("AC0", "AC1");
        for body in [
            "",
            "OK",
            "<html>",
            "[]",
            "{}",
            r#"{"sid":null}"#,
            r#"{"sid":"CA0123456789abcdef0123456789abcdef"}"#,
            r#"{"sid":"SM1"}"#,
            &format!(r#"{{"sid":"{SID}","account_sid":"{other}"}}"#),
            &format!(r#"{{"sid":"{SID}","account_sid":"{other}","to":"?"}}"#),
        ] {
            assert!(read(body, SendParameters::default()).is_err(), "{body}");
        }
    }
}
