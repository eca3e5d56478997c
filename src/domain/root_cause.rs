//! The root cause of an error.

use std::error::Error;

/// The innermost error, which names the cause. The outer errors of an HTTP client may name URLs.
pub fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    error.source().map_or(error, root_cause)
}
