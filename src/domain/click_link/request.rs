//! The field `Link` of a registration: the target of a new link, or a link that was created before.
//!
//! Our own addresses are not accepted as targets, so no link can lead to a link.

use crate::domain::click_link::{LinkTarget, LinkToken};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkRequest {
    /// Create a link to this target.
    To(LinkTarget),
    /// A link that was created before.
    Made(LinkToken),
}

impl LinkRequest {
    /// Parses the field. A bare token, or an address below one of our own (`bases`) under `/c/`, is a link that was
    /// created before. All other texts are targets.
    ///
    /// # Errors
    /// The expected value. The error does not repeat the text.
    pub fn read(text: &str, bases: &[String]) -> Result<Self, &'static str> {
        if let Some(token) = LinkToken::parse(text) {
            return Ok(Self::Made(token));
        }
        if let Some(path) = bases.iter().find_map(|base| below(text, base)) {
            let path = path.split(['?', '#']).next().unwrap_or_default();
            let token = path.strip_prefix(PATH).and_then(LinkToken::parse);
            return token.map(Self::Made).ok_or(NOT_OURS);
        }
        LinkTarget::parse(text).map(Self::To).ok_or(TARGET_EXPECTED)
    }
}

/// The path of links below the public URL.
const PATH: &str = "/c/";
const TARGET_EXPECTED: &str = "expected the https address that it leads to: absolute, at most 2048 \
                               printable ASCII characters, no user name or password in it; or the \
                               short address of a link made before";
const NOT_OURS: &str = "expected an address that is not our own, or the short address of a link made \
                        before, as it was given";

pub fn address(base: &str, token: &LinkToken) -> String {
    format!("{base}{PATH}{}", token.as_str())
}

/// The rest of a text that begins with one of our own addresses. Scheme and host match in any case, with or without
/// the default port.
fn below<'a>(text: &'a str, base: &str) -> Option<&'a str> {
    let (base_origin, prefix) = origin(base)?;
    let (text_origin, path) = origin(text)?;
    let rest = path.strip_prefix(prefix).filter(|_| base_origin == text_origin)?;
    (rest.is_empty() || rest.starts_with(['/', '?', '#'])).then_some(rest)
}

fn origin(url: &str) -> Option<(String, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
    let default = if scheme == "https" { ":443" } else { ":80" };
    let host = host.strip_suffix(default).unwrap_or(&host);
    Some((format!("{scheme}://{host}"), path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::click_link::TOKEN_BYTES;

    #[test]
    fn our_own_address_is_a_link_made_before_and_never_a_target() {
        let bases =
            ["https://hooks.example.com", "https://example.com/hb", "http://127.0.0.1:8080"];
        let bases = bases.map(str::to_owned);
        let token = LinkToken::from_random([7; TOKEN_BYTES]);
        let made = Ok(LinkRequest::Made(token.clone()));
        assert_eq!(LinkRequest::read(token.as_str(), &bases), made);
        for base in &bases {
            assert_eq!(LinkRequest::read(&address(base, &token), &bases), made, "{base}");
            for more in ["?utm_source=x", "#top"] {
                assert_eq!(
                    LinkRequest::read(&format!("{}{more}", address(base, &token)), &bases),
                    made
                );
            }
        }
        let shouted = format!("HTTPS://Hooks.Example.Com:443/c/{}", token.as_str());
        assert_eq!(LinkRequest::read(&shouted, &bases), made);
        for ours in [
            "https://hooks.example.com",
            "https://hooks.example.com/",
            "https://hooks.example.com/c/",
            "https://hooks.example.com/c/short",
            "https://hooks.example.com/somewhere",
            "https://hooks.example.com?x",
            "https://example.com/hb",
            "https://example.com/hb/c/0123456789abcdef/more",
        ] {
            assert_eq!(LinkRequest::read(ours, &bases), Err(NOT_OURS), "{ours}");
        }
        for others in [
            "https://hooks.example.com.evil.example/c/0123456789abcdef",
            "https://hooks.example.com:8443/c/0123456789abcdef",
            "https://example.com/c/0123456789abcdef",
            "https://example.com/hbx",
            "https://example.com/welcome",
        ] {
            assert!(
                matches!(LinkRequest::read(others, &bases), Ok(LinkRequest::To(_))),
                "{others}"
            );
        }
        assert_eq!(LinkRequest::read("http://example.com", &bases), Err(TARGET_EXPECTED));
    }
}
