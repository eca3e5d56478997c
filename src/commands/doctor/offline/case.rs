//! A recorded request, read as the receiver reads it: which keys its route takes, what of it is
//! signed, what its proxies say of the way it took.

use crate::config::Settings;
use crate::domain::route::{RouteSigner, signer_of};
use crate::recording::{
    BODY_HASH_NOTE, HASHED_NOTE, NEAREST_NOTE, REFUSED_NOTE, Recording, SIGNATURE_LENGTH_NOTE,
};
use crate::twilio::form;
use crate::twilio::signature;

const SETTINGS: &str = "X-Twilio-Webhooks-Signature-Settings";

/// What the receiver takes the body for.
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
        Self { config, recording, signer: signer_of(path), media, is_get }
    }

    /// Why the receiver refused it, if it wrote that down.
    pub(super) fn refused_for(&self) -> Option<&'a str> {
        self.recording.note(REFUSED_NOTE)
    }

    /// The nearest route, if the receiver wrote down that the path is none.
    pub(super) fn nearest_route(&self) -> Option<&'a str> {
        self.recording.note(NEAREST_NOTE)
    }

    /// Whether its values are gone, so that nothing can be verified.
    pub(super) fn is_hashed(&self) -> bool {
        self.recording.note(HASHED_NOTE).is_some()
    }

    /// How long a signature was that was not kept.
    pub(super) fn signature_length(&self) -> Option<usize> {
        self.recording.note(SIGNATURE_LENGTH_NOTE)?.split(' ').next()?.parse().ok()
    }

    /// The SHA-256 of a body that was not kept.
    fn kept_hash(&self) -> Option<&'a str> {
        let hash = self.recording.note(BODY_HASH_NOTE)?;
        hash.split(',').next().map(str::trim)
    }

    /// Whether the body was not recorded.
    pub(super) fn is_body_gone(&self) -> bool {
        self.kept_hash().is_some()
    }

    /// The SHA-256 of the body that arrived.
    pub(super) fn body_hash(&self) -> String {
        let recorded = self.kept_hash().map(str::to_owned);
        recorded.unwrap_or_else(|| signature::body_hash(&self.recording.body))
    }

    /// The account that the request names.
    pub(super) fn account(&self) -> Option<String> {
        self.field("AccountSid").or_else(|| self.field("account_sid"))
    }

    /// The header that names a `SharedKey`: a list, so several lines are one.
    pub(super) fn settings_header(&self) -> Option<String> {
        let lines = self.recording.headers.iter();
        let lines = lines.filter(|(name, _)| name.eq_ignore_ascii_case(SETTINGS));
        let values: Vec<&str> = lines.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    pub(super) fn path(&self) -> &'a str {
        self.recording.target.split('?').next().unwrap_or_default()
    }

    pub(super) fn query(&self) -> Option<&'a str> {
        self.recording.target.split_once('?').map(|(_, query)| query)
    }

    /// The first of a header's comma-separated values, without the blanks around it.
    pub(super) fn first(&self, header: &str) -> Option<&'a str> {
        let value = self.recording.header(header)?.split(',').next()?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// The form's parameters, in wire order.
    pub(super) fn parameters(&self) -> Vec<Parameter> {
        owned(&self.recording.body)
    }

    /// The query's parameters, in wire order.
    pub(super) fn query_parameters(&self) -> Vec<Parameter> {
        owned(self.query().unwrap_or_default().as_bytes())
    }

    /// A field of the form, the query or the JSON object.
    fn field(&self, name: &str) -> Option<String> {
        let mut pairs = self.query_parameters();
        match self.media {
            BodyType::Form => pairs.extend(self.parameters()),
            BodyType::Nothing => {}
            BodyType::Other => {
                let fields = self.json_fields().or_else(|| self.recording.multipart_fields());
                pairs.extend(fields.unwrap_or_default());
            }
        }
        let found = pairs.into_iter().find(|(known, _)| known == name.as_bytes())?;
        String::from_utf8(found.1).ok()
    }

    /// The fields of a JSON object, as a form would carry them.
    pub(super) fn json_fields(&self) -> Option<Vec<Parameter>> {
        let value: serde_json::Value = serde_json::from_slice(&self.recording.body).ok()?;
        let field = |(name, value): (&String, &serde_json::Value)| {
            let text = match value {
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Null => String::new(),
                serde_json::Value::Bool(_)
                | serde_json::Value::Number(_)
                | serde_json::Value::Array(_)
                | serde_json::Value::Object(_) => value.to_string(),
            };
            (name.clone().into_bytes(), text.into_bytes())
        };
        Some(value.as_object()?.iter().map(field).collect())
    }
}

fn owned(text: &[u8]) -> Vec<Parameter> {
    let pairs = form::pairs(text).into_iter();
    pairs.map(|(name, value)| (name.decoded().into_owned(), value.decoded().into_owned())).collect()
}
