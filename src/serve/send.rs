//! The parts of send through: the credentials of the settings, and the client of Twilio's API behind the route.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::ExposeSecret;
use tokio::runtime::Handle;

use crate::config::{AccountSettings, Settings};
use crate::domain::basic_auth::CredentialTag;
use crate::domain::outgoing::{OutgoingSend, SendAnswer, SendFailure};
use crate::inbound::send::credentials::{CredentialsByAccount, SendCredentials};
use crate::inbound::send::sends::{MessageCreator, Sends};
use crate::upstream::Upstreams;

struct UpstreamCreator(Arc<Upstreams>);

#[async_trait]
impl MessageCreator for UpstreamCreator {
    async fn create(&self, send: OutgoingSend) -> Result<SendAnswer, SendFailure> {
        self.0.create_message(send).await
    }
}

/// The state of send through; `None` if it is off.
pub(super) fn sends(
    settings: &Settings,
    credentials: &Arc<SendCredentials>,
    upstreams: &Arc<Upstreams>,
) -> Option<Arc<Sends>> {
    let send = settings.send;
    let creator = Arc::new(UpstreamCreator(Arc::clone(upstreams)));
    let limits = (send.concurrency, send.timeout);
    let build = || Sends::new(Arc::clone(credentials), creator, limits, Handle::current());
    send.is_on.then(|| Arc::new(build()))
}

/// The credentials that may send, by account.
pub(super) fn credentials(settings: &Settings) -> CredentialsByAccount {
    settings.accounts.iter().map(|account| (account.sid, of_account(account))).collect()
}

fn of_account(account: &AccountSettings) -> Vec<CredentialTag> {
    let tokens = account.tokens.iter().map(|token| (account.sid.as_str(), token));
    let keys = account.api_key.iter().chain(&account.send_api_keys);
    let keys = keys.map(|key| (key.sid.as_str(), &key.secret));
    let tag = |(user, secret): (&str, &secrecy::SecretString)| {
        CredentialTag::new(user, secret.expose_secret())
    };
    tokens.chain(keys).map(tag).collect()
}
