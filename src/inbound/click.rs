//! Clicks on links that Twilio shortened.
//!
//! The callback should be signed like all of Twilio's, and nobody could confirm that it is. So there is
//! a second route, open only if the settings hold a secret for its path.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::route;
use crate::domain::signal::{Malformed, Signal};
use crate::inbound::near_miss::spellings;
use crate::inbound::rejection::LocalizedRejection;
use crate::inbound::signed::{RequestParts, Signed, SignedPayload, Signer};
use crate::inbound::twilio::observe;
use crate::inbound::{Receiver, wrong_method};
use crate::twilio::callback::ParseContext;
use crate::twilio::click;
use crate::twilio::fields::FieldSpelling;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource(spellings(route::CLICK))
                .route(web::post().to(clicked::<BySignature>))
                .default_service(web::to(wrong_method)),
        )
        .service(
            web::resource(route::SECRET_CLICK)
                .route(web::post().to(clicked::<BySecret>))
                .default_service(web::to(wrong_method)),
        );
}

/// How it is known who tells of a click.
trait ClickProof: 'static {
    const RING: Signer;
}

enum BySignature {}
enum BySecret {}

impl ClickProof for BySignature {
    const RING: Signer = Signer::Account;
}

impl ClickProof for BySecret {
    const RING: Signer = Signer::PathSecret;
}

struct Click<K> {
    /// Nothing, if it was something else than a click.
    signal: Option<Signal>,
    known: std::marker::PhantomData<K>,
}

impl<K: ClickProof> SignedPayload for Click<K> {
    const RING: Signer = K::RING;
    const SPELLING: FieldSpelling = FieldSpelling::Any;
    const JSON: bool = true;
    const FORM: bool = false;
    fn read(parts: &RequestParts<'_>, reading: &ParseContext<'_>) -> Result<Self, Malformed> {
        let signal = click::click(parts.fields, reading)?;
        Ok(Self { signal, known: std::marker::PhantomData })
    }
}

async fn clicked<K: ClickProof>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    Signed(click): Signed<Click<K>>,
) -> Result<HttpResponse, LocalizedRejection> {
    if let Some(signal) = click.signal {
        observe(&request, &receiver, signal).await?;
    }
    Ok(HttpResponse::NoContent().finish())
}
