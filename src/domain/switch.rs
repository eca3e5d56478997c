//! Words for true and false, for settings and callback URLs.

/// `true`, `1`, `yes`, `on` and their opposites, in any case.
pub fn parse(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}
