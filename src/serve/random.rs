//! The service's random numbers: the page's secret, tokens of click links, and the spread of retries.

use std::hash::{BuildHasher as _, RandomState};

use anyhow::Context as _;

use crate::domain::click_link::{LinkToken, TOKEN_BYTES};

/// A secret for this process alone.
#[expect(clippy::disallowed_methods, reason = "an owner of randomness")]
pub(super) fn secret<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("the system has no randomness")?;
    Ok(bytes)
}

/// `None` if the system has no randomness.
pub(super) fn link_token() -> Option<LinkToken> {
    secret::<TOKEN_BYTES>().ok().map(LinkToken::from_random)
}

/// Uniform in [0, 1). It hashes with new random keys, which take no system call.
#[expect(clippy::disallowed_methods, reason = "an owner of randomness")]
pub(super) fn jitter() -> f64 {
    let bits = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}
