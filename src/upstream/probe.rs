//! Probe: does Twilio take a credential? Asked with GETs that change nothing and read nobody's data.
//!
//! First the account itself. A Standard API key may not read that and is told 401 all the same
//! (twilio-python #259; Twilio docs, "API keys": `/Accounts` needs a Main key), a restricted one 403
//! with code 70051. So a key that is turned away is tried once more, on a message that cannot exist:
//! whoever is told 404 there was let in.

use reqwest::header::ACCEPT;
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::domain::feedback::Why;
use crate::domain::sid::AccountSid;
use crate::upstream::answer::Answer;
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
    Denied(Why),
    /// It is not known: another answer, or none.
    Trouble(Why),
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

    /// Asks Twilio about the account, only to learn what time it is there. Whether it said so.
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
        if answer.broken.is_none() && answer.status.is_success() {
            return Probed::Good { status: account_status(&answer) };
        }
        let turned_away = matches!(answer.status.as_u16(), 401 | 403);
        let why = answer.why();
        match turned_away {
            true if credential.user.starts_with(API_KEY) => {
                self.probe_key(credential, account, why).await
            }
            true => Probed::Denied(why),
            false => Probed::Trouble(why),
        }
    }

    /// A key that may not read its account: is it let in at all?
    async fn probe_key(&self, key: &Credential, account: AccountSid, first: Why) -> Probed {
        if first.code == Some(NOT_PERMITTED) {
            return Probed::Limited;
        }
        let path = format!("Accounts/{account}/Messages/{NO_MESSAGE}.json");
        match self.get(key, &path).await {
            Ok(answer) => match answer.status.as_u16() {
                404 | 200..=299 => Probed::Limited,
                401 | 403 if answer.why().code == Some(NOT_PERMITTED) => Probed::Limited,
                401 | 403 => Probed::Denied(answer.why()),
                _ => Probed::Trouble(answer.why()),
            },
            Err(why) => Probed::Trouble(why),
        }
    }

    async fn get(&self, credential: &Credential, path: &str) -> Result<Answer, Why> {
        let request = self
            .client
            .get(format!("{}/2010-04-01/{path}", self.config.base))
            .basic_auth(&credential.user, Some(credential.secret.expose_secret()))
            .header(ACCEPT, JSON_TYPE);
        match request.send().await {
            Ok(response) => Ok(self.read(response).await),
            Err(error) => Err(Why { status: None, code: None, message: self.trouble(error) }),
        }
    }
}

/// One word of the answer's; nothing else of the account is anybody's business here.
fn account_status(answer: &Answer) -> Option<String> {
    let account: Value = serde_json::from_slice(&answer.body).ok()?;
    let status = account.get("status")?.as_str()?;
    status.bytes().all(|byte| byte.is_ascii_alphabetic()).then(|| status.to_owned())
}
