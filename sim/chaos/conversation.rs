//! Conversations: texts of one person that overlap. They prove nothing, because no message went to the person; the judge
//! checks that the app gets them one at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::driver::Driver;
use crate::history::Role;
use crate::identities::{BODY_MARKER, TEXT};
use crate::requests::{Request, Scenario, Signer};
use crate::support::http::{form, request_bytes};

/// The kind of these requests in the history.
pub(crate) const TEXTING: &str = "text of a conversation";
/// The texts of a conversation.
const TEXTS: u32 = 3;
/// The time between two texts. It is shorter than the service waits for the app.
const APART: Duration = Duration::from_millis(700);

impl Driver {
    /// Sends the texts of one person, each once and on a connection of its own, and waits for all answers.
    pub(crate) async fn converse(self: &Arc<Self>, scenario: &Scenario<'_>) {
        let mut texts = JoinSet::new();
        for number in 0..TEXTS {
            let request = scenario.text(number);
            let driver = Arc::clone(self);
            texts.spawn(async move {
                tokio::time::sleep(APART * number).await;
                let bytes = request_bytes(&request.signed(&driver.identities));
                driver.send(&mut None, Role::Honest, &request, &bytes).await;
            });
        }
        while texts.join_next().await.is_some() {}
    }
}

impl Scenario<'_> {
    /// One text. The history names the conversation, by the SID of the scenario.
    fn text(&self, number: u32) -> Request {
        let (account, person, sender) = self.parties();
        let own = self.index * u64::from(TEXTS) + u64::from(number);
        let text = self.identities.message(TEXT, own);
        let fields = [
            ("MessageSid", text.as_str()),
            ("AccountSid", &account),
            ("From", &person),
            ("To", &sender),
            ("Body", BODY_MARKER),
        ];
        self.request(TEXTING, Signer::Account, form("/twilio/message", &fields))
    }
}
