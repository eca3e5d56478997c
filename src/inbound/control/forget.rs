//! Forgetting people over the control socket: out of the store, and out of what was recorded of refused
//! requests. Who it was is in no log.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use crate::domain::address::Address;
use crate::inbound::control::{Control, failed, refused};
use crate::store::Forgotten;

/// Whom to forget.
#[derive(Serialize, Deserialize)]
pub struct Forget {
    /// Their addresses, as people write them.
    pub addresses: Vec<String>,
}

/// What was erased.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// Out of the store.
    #[serde(flatten)]
    pub forgotten: Forgotten,
    /// Files of refused requests: all there were, for any may name them.
    pub recordings: u64,
}

pub(super) async fn forget(control: web::Data<Control>, asked: web::Json<Forget>) -> HttpResponse {
    let addresses = asked.addresses.iter().map(|text| Address::parse_recipient(text));
    let addresses = match addresses.collect::<Result<Vec<_>, _>>() {
        Ok(addresses) => addresses,
        Err(error) => return failed(&error),
    };
    let forgotten = match control.store.forget(addresses).await {
        Ok(forgotten) => forgotten,
        Err(error) => return refused(&error),
    };
    let recordings = match control.refusals.clear() {
        Ok(recordings) => recordings,
        Err(error) => {
            let done = forgotten.messages;
            let why = format!("{done} messages are erased, but recordings are left: {error}");
            return failed(&std::io::Error::other(why));
        }
    };
    let Forgotten { messages, unreported, evidence, links, references } = forgotten;
    tracing::info!(
        messages,
        unreported,
        evidence,
        links,
        references,
        recordings,
        "erased what concerns a person"
    );
    HttpResponse::Ok().json(Erased { forgotten, recordings })
}
