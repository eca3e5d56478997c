//! A recorded request as the receiver reads it: its route's signer, its signed content, its proxies' headers.

use crate::config::Settings;
use crate::domain::route::{RouteSigner, signer_of};
use crate::recording::{BODY_HASH_NOTE, REFUSED_NOTE, Recording, SIGNATURE_LENGTH_NOTE};
use crate::twilio::form;
use crate::twilio::signature;

/// The receiver's classification of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyType {
    /// A GET without a body.
    Nothing,
    Form,
    Other,
}

pub(super) type Parameter = (Vec<u8>, Vec<u8>);

pub(super) struct Case<'a> {
    pub(super) config: &'a Settings,
    pub(super) recording: &'a Recording,
    /// `None`: the path is no route.
    pub(super) signer: Option<RouteSigner>,
    pub(super) media: BodyType,
    /// The parameters of a form, in wire order.
    pub(super) form: Vec<Parameter>,
    pub(super) is_get: bool,
}

impl<'a> Case<'a> {
    pub(super) fn new(config: &'a Settings, recording: &'a Recording) -> Self {
        let is_get = recording.method == "GET";
        let media = match recording.is_form() {
            _ if is_get && recording.body.is_empty() => BodyType::Nothing,
            true => BodyType::Form,
            false => BodyType::Other,
        };
        let path = recording.target.split('?').next().unwrap_or_default();
        let form = if media == BodyType::Form { decoded(&recording.body) } else { Vec::new() };
        Self { config, recording, signer: signer_of(path), media, form, is_get }
    }

    /// Whether the receiver recorded that it rejected the request.
    pub(super) fn was_rejected(&self) -> bool {
        self.recording.note(REFUSED_NOTE).is_some()
    }

    pub(super) fn signatures(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.recording.headers_named("X-Twilio-Signature")
    }

    pub(super) fn is_unsigned(&self) -> bool {
        self.signatures().all(str::is_empty) && self.signature_length().is_none()
    }

    /// The length of a signature that was not recorded.
    pub(super) fn signature_length(&self) -> Option<usize> {
        self.recording.note(SIGNATURE_LENGTH_NOTE)?.split(' ').next()?.parse().ok()
    }

    /// The SHA-256 of a body that was not recorded.
    fn recorded_hash(&self) -> Option<&'a str> {
        self.recording.note(BODY_HASH_NOTE)?.split(',').next().map(str::trim)
    }

    pub(super) fn is_body_gone(&self) -> bool {
        self.recorded_hash().is_some()
    }

    /// The SHA-256 of the body that arrived.
    pub(super) fn body_hash(&self) -> String {
        let recorded = self.recorded_hash().map(str::to_owned);
        recorded.unwrap_or_else(|| signature::body_hash(&self.recording.body))
    }

    pub(super) fn account(&self) -> Option<String> {
        let mut pairs = self.query_parameters();
        pairs.extend(match self.media {
            BodyType::Nothing | BodyType::Form => self.form.clone(),
            BodyType::Other => {
                self.json_fields().or_else(|| self.recording.multipart_fields()).unwrap_or_default()
            }
        });
        let field = |name: &str| pairs.iter().find(|(known, _)| known == name.as_bytes());
        let (_, account) = field("AccountSid").or_else(|| field("account_sid"))?;
        String::from_utf8(account.clone()).ok()
    }

    /// The header that names a `SharedKey`: a list, so several lines are one.
    pub(super) fn settings_header(&self) -> Option<String> {
        let lines = self.recording.headers_named("X-Twilio-Webhooks-Signature-Settings");
        let lines: Vec<&str> = lines.collect();
        (!lines.is_empty()).then(|| lines.join(","))
    }

    pub(super) fn path(&self) -> &'a str {
        self.recording.target.split('?').next().unwrap_or_default()
    }

    pub(super) fn query(&self) -> Option<&'a str> {
        self.recording.target.split_once('?').map(|(_, query)| query)
    }

    /// The first of a header's comma-separated values.
    pub(super) fn first(&self, header: &str) -> Option<&'a str> {
        let value = self.recording.header(header)?.split(',').next()?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// The body's parameters under any content type, in wire order.
    pub(super) fn parameters(&self) -> Vec<Parameter> {
        decoded(&self.recording.body)
    }

    /// The query's parameters, in wire order.
    pub(super) fn query_parameters(&self) -> Vec<Parameter> {
        decoded(self.query().unwrap_or_default().as_bytes())
    }

    /// The fields of a JSON object, as a form would carry them.
    pub(super) fn json_fields(&self) -> Option<Vec<Parameter>> {
        let value: serde_json::Value = serde_json::from_slice(&self.recording.body).ok()?;
        let fields = value.as_object()?.iter().map(|(name, value)| {
            let text = match value.as_str() {
                Some(text) => text.to_owned(),
                None if value.is_null() => String::new(),
                None => value.to_string(),
            };
            (name.clone().into_bytes(), text.into_bytes())
        });
        Some(fields.collect())
    }
}

fn decoded(text: &[u8]) -> Vec<Parameter> {
    let pairs = form::pairs(text).into_iter();
    pairs.map(|(name, value)| (name.decoded().into_owned(), value.decoded().into_owned())).collect()
}
