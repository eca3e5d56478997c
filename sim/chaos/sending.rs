//! Messages that the app sends through the service: each once, whatever happens. Twilio's status callback follows if the
//! fake Twilio created the message.

use std::io;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::client::{Answer, exchange};
use crate::driver::Driver;
use crate::history::{EventKind, Role};
use crate::identities::{BODY_MARKER, HONEST, Identities};
use crate::leaks::scan;
use crate::requests::Scenario;
use crate::support::fake_twilio::{ApiReply, ApiRequest};
use crate::support::http::{Connection, form, request_bytes};

/// The kind of these requests in the history.
pub(crate) const SEND: &str = "send";
/// The start of the reference of a message that is sent through; the rest is its index.
const REFERENCE: &str = "send-";

/// The reference of a message that is sent through.
pub(crate) fn reference(index: u64) -> String {
    format!("{REFERENCE}{index}")
}

impl Driver {
    /// Sends the message, once. Returns whether the app heard that it is registered.
    pub(crate) async fn send_through(
        &self,
        connection: &mut Option<Connection>,
        scenario: &Scenario<'_>,
    ) -> bool {
        let req = self.requests.fetch_add(1, Ordering::Relaxed);
        let (account, to, from) = scenario.parties();
        self.history.note(EventKind::Sent {
            req,
            role: Role::Honest,
            kind: SEND.to_owned(),
            account: account.clone(),
            sid: scenario.sid.clone(),
            registers: true,
            proves: false,
            form: String::new(),
        });
        let reference = reference(scenario.index);
        let fields = [
            ("To", to.as_str()),
            ("From", &from),
            ("Body", BODY_MARKER),
            ("Heardback.Reference", &reference),
        ];
        let mut request = form(&format!("/2010-04-01/Accounts/{account}/Messages.json"), &fields);
        let (valid, _) = self.identities.credentials(scenario.owner);
        // The newest is valid before and after a rotation.
        if let Some((user, secret)) = valid.last() {
            let credential = STANDARD.encode(format!("{user}:{secret}"));
            request.headers.push(("Authorization".to_owned(), format!("Basic {credential}")));
        }
        let answer = exchange(connection, self.proxy, request_bytes(&request)).await;
        let is_registered = |answer: &Answer| {
            let header = answer.response.header("Heardback-Registered");
            answer.response.status == 201 && header == Some("true")
        };
        let acked = answer.as_ref().is_ok_and(is_registered);
        self.history.note(match &answer {
            Ok(Answer { port, .. }) if acked => {
                EventKind::Answered { req, status: 201, port: *port, is_from_app: false }
            }
            Ok(answer) => EventKind::Unknown {
                req,
                why: format!("not registered: {}", answer.response.status),
            },
            Err(error) => EventKind::Unknown { req, why: error.to_string() },
        });
        if let Ok(answer) = &answer {
            // Twilio's answer repeats the number and the text to the app that sent them.
            scan(&self.history, "an answer's head", answer.response.head.as_bytes());
        }
        acked
    }
}

/// The SID of the message that a form creates, by the reference in its status callback URL.
pub(crate) fn created_sid(identities: &Identities, request: &ApiRequest) -> Option<String> {
    let (_, rest) = request.body.split_once(&format!("reference%3D{REFERENCE}"))?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(identities.message(HONEST, digits.parse().ok()?))
}

/// Twilio's answer to a form. Deliberately absent: `date_created`, because the app states an earlier one later.
pub(crate) fn created(request: &ApiRequest, sid: &str) -> io::Result<ApiReply> {
    let fields: Vec<(String, String)> =
        serde_urlencoded::from_str(&request.body).map_err(io::Error::other)?;
    let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, it)| it);
    let body = serde_json::json!({
        "sid": sid, "account_sid": request.account(), "status": "queued", "to": field("To"),
        "from": field("From"), "body": field("Body"), "direction": "outbound-api",
    });
    let headers = "Content-Type: application/json\r\n".to_owned();
    Ok(ApiReply { status: 201, headers, body: body.to_string() })
}
