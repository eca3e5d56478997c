//! Redaction: hides parts of external text that look like a phone number or a secret.
//!
//! It serves texts from outside that must be shown: Twilio's reasons, which may repeat the post; an invalid setting,
//! into which a token may have been pasted; a command line. It is a second defence, because it recognises only some
//! shapes: private data must not be in such texts in the first place.

/// The replacement.
const REPLACEMENT: &str = "…";
/// A word with so many digits in a row may be a phone number.
const PHONE_DIGITS: usize = 7;
/// With blanks between the digits, the limit is higher: a date has eight digits.
const SPACED_DIGITS: usize = 9;
/// A mix of letters and digits of this length may be a secret.
const SECRET_LEN: usize = 16;
/// A text of this length that ends like Base64 may be a signature or credentials.
const BASE64_LEN: usize = 20;
/// Hexadecimal digits of a SID, after its two letters.
const SID_DIGITS: usize = 32;

/// The text without parts that look like a phone number or a secret. SIDs stay.
pub fn redacted(text: &str) -> String {
    let text = without_credentials(text);
    let text = without(&text, |c| c.is_ascii_alphanumeric() || "+/=_-".contains(c), is_base64);
    let text = without(&text, |c| c.is_ascii_alphanumeric() || "_-".contains(c), is_private);
    let is_number = |run: &str| run.bytes().filter(u8::is_ascii_digit).count() >= SPACED_DIGITS;
    without(&text, |c| c.is_ascii_digit() || " -()".contains(c), is_number)
}

/// The text without control and direction characters, which could move a terminal's cursor or reverse a line.
pub fn plain(text: &str) -> String {
    let is_order = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_order(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Hides the credentials after a scheme of an `Authorization` header.
fn without_credentials(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut hides = false;
    for word in text.split_inclusive(char::is_whitespace) {
        let bare = word.trim_end();
        if hides && !bare.is_empty() {
            shown.push_str(REPLACEMENT);
            shown.push_str(word.trim_start_matches(bare));
        } else {
            shown.push_str(word);
        }
        let scheme = bare.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        let scheme = scheme.rsplit([':', '"', '\'']).next().unwrap_or_default();
        hides = ["basic", "bearer"].iter().any(|known| known.eq_ignore_ascii_case(scheme));
    }
    shown
}

/// Hides the longest runs of these characters, unless a run is only a part of a word.
fn without(text: &str, is_part: fn(char) -> bool, is_hidden: fn(&str) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        shown.push_str(before);
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        let (run, after) = from.split_at(end);
        let is_word = |c: char| c.is_ascii_alphanumeric();
        let goes_on = (shown.ends_with(is_word) && !run.starts_with(' '))
            || (after.starts_with(is_word) && !run.ends_with(' '));
        let core = run.trim_matches(' ');
        if !goes_on && is_hidden(core) {
            shown.push_str(&run.replace(core, REPLACEMENT));
        } else {
            shown.push_str(run);
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

fn is_base64(run: &str) -> bool {
    run.len() >= BASE64_LEN && run.ends_with('=')
}

fn is_private(word: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic();
    let is_mixed = word.bytes().any(is_letter) && word.bytes().any(|byte| byte.is_ascii_digit());
    let mut numbers = word.split(|c: char| !c.is_ascii_digit());
    let has_number = numbers.any(|number| number.len() >= PHONE_DIGITS);
    !is_sid(word) && (has_number || (is_mixed && word.len() >= SECRET_LEN))
}

fn is_sid(word: &str) -> bool {
    let Some((kind, digits)) = word.split_at_checked(2) else { return false };
    kind.bytes().all(|byte| byte.is_ascii_uppercase())
        && digits.len() == SID_DIGITS
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_hidden_however_they_are_written() {
        for (text, shown) in [
            ("to +15551234567, and +49", "to +…, and +49"),
            ("to %2B15551234567", "to %…"),
            ("to 5551234567.", "to …."),
            ("to +1 (555) 123-4567 now", "to +… now"),
            ("to 555-123-4567", "to …"),
            ("whatsapp:+15551234567", "whatsapp:+…"),
            ("SMx15551234567", "…"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }

    #[test]
    fn secrets_and_signatures_are_hidden() {
        for (text, shown) in [
            ("token f00dbabe98765432100123456789cafe.", "token …."),
            ("Authorization: Basic QUM6Zm9v/x", "Authorization: Basic …"),
            ("{\"a\":\"Bearer abc def", "{\"a\":\"Bearer … def"),
            ("signature ETeZxWx+KRQF1LOTxtueQM8wl3Y= of it", "signature … of it"),
            ("signature ab/cd+efghijklmnopqrstuvwx=", "signature …"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }

    #[test]
    fn twilios_words_and_the_expected_values_of_settings_are_shown() {
        for text in [
            "",
            "+",
            "a+ü and 1+1",
            "The requested resource /2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Messages/\
             SM00000000000000000000000000000001/Feedback.json was not found",
            "https://www.twilio.com/docs/errors/20404",
            "http://hooks.example.com:8080/prefix, 192.168.100.200:9091",
            "RequestTimeout=90s misconfiguration on 2026-11-23",
        ] {
            assert_eq!(redacted(text), text);
        }
    }
}
