//! Probe: does Twilio take a credential? Asked with GETs that change nothing and read nobody's data.
//!
//! Only Twilio's own answers count: JSON that names our account, or an error with Twilio's code. Any other
//! answer is trouble, named by its status and body: a proxy or a stand-in may have sent it.
//!
//! First the account itself. A Standard API key may not read that and is told 401 all the same
//! (twilio-python #259; Twilio docs, "API keys": `/Accounts` needs a Main key), a restricted one 403
//! with code 70051. So a key that is turned away is tried once more, on a message that cannot exist:
//! whoever is told 404 there was let in.

use reqwest::header::ACCEPT;
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::domain::feedback::OutcomeDetail;
use crate::domain::sid::AccountSid;
use crate::upstream::answer::UpstreamResponse;
use crate::upstream::{Credential, JSON_TYPE, Upstream};

/// A message that Twilio has never made.
const NO_MESSAGE: &str = "SM00000000000000000000000000000000";
/// What every API key's SID begins with.
const API_KEY: &str = "SK";
/// Twilio's code for a restricted key without that permission.
const NOT_PERMITTED: u32 = 70051;

/// What Twilio says to a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// It is let in. `status` is the account's, such as `active` or `suspended`.
    Good {
        /// In Twilio's words.
        status: Option<String>,
    },
    /// An API key that is let in, but may not read the account; it may well post feedback.
    Limited,
    /// It is turned away.
    Denied(OutcomeDetail),
    /// It is not known: there was no answer, or it was not Twilio's.
    Trouble(OutcomeDetail),
}

impl Upstream {
    /// Asks Twilio about each credential, in the order in which they are configured. Posts nothing.
    pub async fn probe(&self, account: AccountSid) -> Vec<Probed> {
        let mut probed = Vec::with_capacity(self.config.credentials.len());
        for credential in &self.config.credentials {
            probed.push(self.probe_as(credential, account).await);
        }
        probed
    }

    /// Requests the account for the `Date` of Twilio's own answer. Returns whether there was one.
    pub(super) async fn ask_time(&self, account: AccountSid) -> bool {
        let Some(credential) = self.config.credentials.first() else { return false };
        let answer = self.get(credential, &format!("Accounts/{account}.json")).await;
        answer.is_ok_and(|answer| self.note_date(&answer, account.as_str()))
    }

    async fn probe_as(&self, credential: &Credential, account: AccountSid) -> Probed {
        let answer = match self.get(credential, &format!("Accounts/{account}.json")).await {
            Ok(answer) => answer,
            Err(why) => return Probed::Trouble(why),
        };
        if answer.status.is_success() {
            return match answer.unlike_account(account) {
                None => Probed::Good { status: account_status(&answer) },
                Some(kind) => Probed::Trouble(answer.because(None, kind)),
            };
        }
        if !answer.is_twilios_denial() {
            return Probed::Trouble(answer.failure_detail());
        }
        if credential.user.starts_with(API_KEY) {
            return self.probe_key(credential, account, answer.failure_detail()).await;
        }
        Probed::Denied(answer.failure_detail())
    }

    /// A key that may not read its account: is it let in at all?
    async fn probe_key(
        &self,
        key: &Credential,
        account: AccountSid,
        first: OutcomeDetail,
    ) -> Probed {
        if first.code == Some(NOT_PERMITTED) {
            return Probed::Limited;
        }
        let path = format!("Accounts/{account}/Messages/{NO_MESSAGE}.json");
        match self.get(key, &path).await {
            Ok(answer) if answer.is_twilios_404() => Probed::Limited,
            Ok(answer) if answer.is_twilios_denial() => match answer.failure_detail() {
                why if why.code == Some(NOT_PERMITTED) => Probed::Limited,
                why => Probed::Denied(why),
            },
            Ok(answer) => Probed::Trouble(answer.failure_detail()),
            Err(why) => Probed::Trouble(why),
        }
    }

    async fn get(
        &self,
        credential: &Credential,
        path: &str,
    ) -> Result<UpstreamResponse, OutcomeDetail> {
        let request = self
            .client
            .get(format!("{}/2010-04-01/{path}", self.config.base))
            .basic_auth(&credential.user, Some(credential.secret.expose_secret()))
            .header(ACCEPT, JSON_TYPE);
        match request.send().await {
            Ok(response) => Ok(self.read(response).await),
            Err(error) => {
                Err(OutcomeDetail { status: None, code: None, message: self.describe_error(error) })
            }
        }
    }
}

impl UpstreamResponse {
    fn is_twilios_denial(&self) -> bool {
        matches!(self.status.as_u16(), 401 | 403) && self.is_twilios_error()
    }

    /// Twilio's own error, or the kind of another server's answer.
    fn failure_detail(&self) -> OutcomeDetail {
        match self.status.as_u16() {
            300..=399 => self.why_redirected(),
            _ if self.is_twilios_error() => self.detail(),
            _ => self.because(None, self.described()),
        }
    }
}

/// One word of the answer's; nothing else of the account is anybody's business here.
fn account_status(answer: &UpstreamResponse) -> Option<String> {
    let account: Value = serde_json::from_slice(&answer.body).ok()?;
    let status = account.get("status")?.as_str()?;
    status.bytes().all(|byte| byte.is_ascii_alphabetic()).then(|| status.to_owned())
}
