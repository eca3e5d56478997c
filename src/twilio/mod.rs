//! Twilio's protocol: signatures, forms, JSON and events, parsed into the types of `domain`. Pure: imports `domain` only.

pub mod api_url;
pub mod app;
pub mod app_url;
pub mod call;
pub mod callback;
pub mod click;
pub mod crawlers;
mod direction;
pub mod event_streams;
pub mod fields;
pub mod form;
pub mod json;
pub mod network;
pub mod origin;
pub mod placeholder;
pub mod public_url;
mod reachability;
pub mod send_answer;
pub mod send_form;
pub mod signature;
pub mod timestamps;
pub mod twiml;
pub mod twiml_urls;
