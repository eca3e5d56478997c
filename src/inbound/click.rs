//! Clicks on links that Twilio shortened.
//!
//! The callback should be signed like all of Twilio's, and nobody could confirm that it is. So there is
//! a second route, open only if the settings hold a secret for its path.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::route;
use crate::domain::signal::callback::Reading;
use crate::domain::signal::fields::Spelling;
use crate::domain::signal::{Malformed, Signal, click};
use crate::inbound::near_miss::spellings;
use crate::inbound::rejection::Refused;
use crate::inbound::signed::{Parts, Ring, Signed, Wire};
use crate::inbound::twilio::observe;
use crate::inbound::{Receiver, wrong_method};

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
trait Known: 'static {
    const RING: Ring;
}

enum BySignature {}
enum BySecret {}

impl Known for BySignature {
    const RING: Ring = Ring::Account;
}

impl Known for BySecret {
    const RING: Ring = Ring::PathSecret;
}

struct Click<K> {
    /// Nothing, if it was something else than a click.
    signal: Option<Signal>,
    known: std::marker::PhantomData<K>,
}

impl<K: Known> Wire for Click<K> {
    const RING: Ring = K::RING;
    const SPELLING: Spelling = Spelling::Any;
    const JSON: bool = true;
    const FORM: bool = false;
    fn read(parts: &Parts<'_>, reading: &Reading<'_>) -> Result<Self, Malformed> {
        let signal = click::click(parts.fields, reading)?;
        Ok(Self { signal, known: std::marker::PhantomData })
    }
}

async fn clicked<K: Known>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    Signed(click): Signed<Click<K>>,
) -> Result<HttpResponse, Refused> {
    if let Some(signal) = click.signal {
        observe(&request, &receiver, signal).await?;
    }
    Ok(HttpResponse::NoContent().finish())
}
