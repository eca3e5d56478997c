//! The probe of credentials: GET requests that change nothing and read no data of a recipient.
//!
//! Only Twilio's own answers count: JSON that names our account, or an error with Twilio's code. A proxy may have sent
//! any other answer. The first request is for the account, which a Standard API key may not read: Twilio answers 401
//! (twilio-python #259; Twilio docs, "API keys"), or 403 with code 70051 for a restricted key. So a denied key is tried
//! again with a message that cannot exist: a 404 proves that Twilio accepts the key.

use reqwest::header::ACCEPT;
use secrecy::ExposeSecret;

use crate::domain::feedback::OutcomeDetail;
use crate::domain::sid::AccountSid;
use crate::upstream::answer::UpstreamResponse;
use crate::upstream::client::{Credential, JSON_TYPE, Upstream};

/// A message that cannot exist.
const NO_MESSAGE: &str = "SM00000000000000000000000000000000";
/// The prefix of an API key's SID.
const API_KEY: &str = "SK";
/// Twilio's code for a restricted key without that permission.
const NOT_PERMITTED: u32 = 70051;

/// Twilio's answer to a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialProbe {
    /// Accepted.
    Good {
        /// The status of the account, such as `active` or `suspended`.
        status: Option<String>,
    },
    /// An accepted API key that may not read the account, and probably may post feedback.
    Limited,
    Denied(OutcomeDetail),
    /// Unknown: there was no answer, or it was not Twilio's.
    Unknown(OutcomeDetail),
}

impl Upstream {
    /// Probes each credential in the order of the settings.
    pub async fn probe(&self, account: AccountSid) -> Vec<CredentialProbe> {
        let mut probed = Vec::with_capacity(self.config.credentials.len());
        for credential in &self.config.credentials {
            probed.push(self.probe_as(credential, account).await);
        }
        probed
    }

    /// Requests the account for the `Date` of Twilio's own answer. Returns whether there was one.
    pub(super) async fn request_date(&self, account: AccountSid) -> bool {
        let Some(credential) = self.config.credentials.first() else { return false };
        let answer = self.get(credential, &format!("Accounts/{account}.json")).await;
        answer.is_ok_and(|answer| self.note_date(&answer, account.as_str()))
    }

    async fn probe_as(&self, credential: &Credential, account: AccountSid) -> CredentialProbe {
        let answer = match self.get(credential, &format!("Accounts/{account}.json")).await {
            Ok(answer) => answer,
            Err(why) => return CredentialProbe::Unknown(why),
        };
        if answer.status.is_success() {
            return match answer.unlike_account(account) {
                None => CredentialProbe::Good { status: account_status(&answer) },
                Some(kind) => CredentialProbe::Unknown(answer.because(None, kind)),
            };
        }
        if !answer.is_twilios_denial() {
            return CredentialProbe::Unknown(answer.failure_detail());
        }
        if credential.user.starts_with(API_KEY) {
            return self.probe_key(credential, account, answer.failure_detail()).await;
        }
        CredentialProbe::Denied(answer.failure_detail())
    }

    /// Probes an API key that may not read its account.
    async fn probe_key(
        &self,
        key: &Credential,
        account: AccountSid,
        first: OutcomeDetail,
    ) -> CredentialProbe {
        if first.code == Some(NOT_PERMITTED) {
            return CredentialProbe::Limited;
        }
        let path = format!("Accounts/{account}/Messages/{NO_MESSAGE}.json");
        match self.get(key, &path).await {
            Ok(answer) if answer.is_twilios_404() => CredentialProbe::Limited,
            Ok(answer) if answer.is_twilios_denial() => match answer.failure_detail() {
                why if why.code == Some(NOT_PERMITTED) => CredentialProbe::Limited,
                why => CredentialProbe::Denied(why),
            },
            Ok(answer) => CredentialProbe::Unknown(answer.failure_detail()),
            Err(why) => CredentialProbe::Unknown(why),
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

/// The status of the account. The rest of the answer is not kept.
fn account_status(answer: &UpstreamResponse) -> Option<String> {
    let status = answer.json()?.get("status")?.as_str()?;
    status.bytes().all(|byte| byte.is_ascii_alphabetic()).then(|| status.to_owned())
}
