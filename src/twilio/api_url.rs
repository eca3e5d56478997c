//! The base URL of Twilio's REST API: `api.twilio.com`, a region of it, or a stand-in for tests.
//!
//! Hosts follow Twilio's helper libraries: `api.{edge}.{region}.twilio.com`, and an edge alone means region `us1`.
//! A region alone names no host that works (twilio-node #1012), so it is rejected with the edge that fits.

use std::fmt;

use crate::twilio::origin;

/// An origin without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamUrl {
    text: String,
}

/// Why a text is no base URL. The error never repeats the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamUrlError {
    /// Not an origin, or plain http to another machine.
    #[error(transparent)]
    Origin(#[from] origin::OriginError),
    #[error("it must be an origin, without a path")]
    Path,
    /// A region without the edge that leads into it.
    #[error("region {region} needs an edge as well: {}", edge_hint(*edge))]
    RegionAlone {
        region: String,
        /// The edge that fits, if the region is a known one.
        edge: Option<&'static str>,
    },
    #[error("the edge must be one word of letters, digits and hyphens, e.g. dublin")]
    Edge,
    #[error("the region must be one word of letters, digits and hyphens, e.g. ie1")]
    Region,
}

/// Twilio's regions and the edge next to each (`regionMappings` in twilio-node's `RestClient`).
const EDGES: [(&str, &str); 9] = [
    ("au1", "sydney"),
    ("br1", "sao-paulo"),
    ("de1", "frankfurt"),
    ("ie1", "dublin"),
    ("jp1", "tokyo"),
    ("jp2", "osaka"),
    ("sg1", "singapore"),
    ("us1", "ashburn"),
    ("us2", "umatilla"),
];

fn edge_hint(edge: Option<&'static str>) -> String {
    edge.map_or_else(
        || "set TWILIO_EDGE to the edge that leads into it".to_owned(),
        |edge| format!("set TWILIO_EDGE={edge}"),
    )
}

impl UpstreamUrl {
    /// The API's host for an edge and a region, as Twilio's helper libraries build it.
    ///
    /// # Errors
    /// [`UpstreamUrlError::RegionAlone`] for a region without an edge; `Edge` or `Region` for a text that cannot be part
    /// of a host name.
    pub fn from_region(edge: Option<&str>, region: Option<&str>) -> Result<Self, UpstreamUrlError> {
        if edge.is_some_and(|edge| !origin::is_label(edge)) {
            return Err(UpstreamUrlError::Edge);
        }
        if region.is_some_and(|region| !origin::is_label(region)) {
            return Err(UpstreamUrlError::Region);
        }
        let text = match (edge, region) {
            (None, None) => "https://api.twilio.com".to_owned(),
            (Some(edge), region) => {
                format!("https://api.{edge}.{}.twilio.com", region.unwrap_or("us1"))
            }
            (None, Some(region)) => {
                let known = EDGES.iter().find(|(name, _)| *name == region);
                return Err(UpstreamUrlError::RegionAlone {
                    region: region.to_owned(),
                    edge: known.map(|(_, edge)| *edge),
                });
            }
        };
        Ok(Self { text })
    }

    /// https to any host, plain http only to loopback.
    ///
    /// # Errors
    /// [`UpstreamUrlError`] names the first flaw.
    pub fn parse(text: &str) -> Result<Self, UpstreamUrlError> {
        let origin = origin::read(text)?;
        if !origin.prefix.is_empty() {
            return Err(UpstreamUrlError::Path);
        }
        Ok(Self { text: origin.text.to_owned() })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_and_region_make_the_host_that_twilios_libraries_make() {
        for (edge, region, expected) in [
            (None, None, "https://api.twilio.com"),
            (Some("ashburn"), None, "https://api.ashburn.us1.twilio.com"),
            (Some("dublin"), Some("ie1"), "https://api.dublin.ie1.twilio.com"),
        ] {
            let url = UpstreamUrl::from_region(edge, region).expect("valid");
            assert_eq!(url.as_str(), expected);
        }
    }

    #[test]
    fn the_error_for_a_region_alone_names_its_edge() {
        for (region, edge) in [("ie1", "dublin"), ("au1", "sydney"), ("sg1", "singapore")] {
            let error = UpstreamUrl::from_region(None, Some(region)).expect_err("refused");
            assert!(error.to_string().ends_with(&format!("set TWILIO_EDGE={edge}")), "{error}");
        }
        let error = UpstreamUrl::from_region(None, Some("xx9")).expect_err("refused").to_string();
        assert!(error.contains("set TWILIO_EDGE to the edge"), "{error}");
    }

    #[test]
    fn nothing_smuggles_another_host_in() {
        for word in ["evil.example", "evil.com/", "", "a b", "x@y", "-a"] {
            let edge = UpstreamUrl::from_region(Some(word), None);
            assert_eq!(edge, Err(UpstreamUrlError::Edge), "{word}");
            let region = UpstreamUrl::from_region(Some("dublin"), Some(word));
            assert_eq!(region, Err(UpstreamUrlError::Region), "{word}");
        }
    }

    #[test]
    fn a_given_origin_is_https_or_on_this_machine() {
        for (text, kept) in [
            ("https://api.example.com/", "https://api.example.com"),
            ("http://127.0.0.1:4010", "http://127.0.0.1:4010"),
        ] {
            assert_eq!(UpstreamUrl::parse(text).expect(text).as_str(), kept);
        }
        for (text, word) in [
            ("http://api.twilio.com", "plain http"),
            ("https://api.twilio.com/2010-04-01", "without a path"),
            ("https://AC1:token@api.twilio.com", "password"),
        ] {
            let error = UpstreamUrl::parse(text).expect_err(text).to_string();
            assert!(error.contains(word) && !error.contains("token"), "{error}");
        }
    }
}
