//! Notation: folds the characters of an address before it is parsed.
//!
//! Decimal digits of every script, full-width characters, and the various signs for plus, hyphen and space become ASCII.
//! Invisible characters are removed, and a control character is an error.

use crate::domain::digit::ascii_digit;

/// The text with ASCII equivalents, without invisible characters and surrounding blanks.
///
/// # Errors
/// A control character between other characters: that character.
pub(super) fn folded(text: &str) -> Result<String, char> {
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if text.bytes().all(is_plain) {
        return Ok(text.trim().to_owned());
    }
    let visible: String = text.chars().filter(|c| !is_invisible(*c)).collect();
    let visible = visible.trim();
    match visible.chars().find(|c| c.is_control()) {
        Some(control) => Err(control),
        None => Ok(visible.chars().map(to_ascii).collect()),
    }
}

fn to_ascii(c: char) -> char {
    if c.is_ascii() {
        return c;
    }
    if let Some(digit) = ascii_digit(c) {
        return digit;
    }
    match c {
        // Full-width forms of ASCII.
        '\u{ff01}'..='\u{ff5e}' => u8::try_from(u32::from(c) - 0xfee0).map_or(c, char::from),
        '\u{207a}' | '\u{fe62}' | '\u{2795}' => '+',
        '\u{2010}'..='\u{2015}'
        | '\u{2212}'
        | '\u{30fc}'
        | '\u{fe58}'
        | '\u{fe63}'
        | '\u{2043}' => '-',
        '\u{b7}' | '\u{2022}' | '\u{2024}' => '.',
        '\u{2044}' | '\u{2215}' => '/',
        '\u{fe59}' | '\u{207d}' => '(',
        '\u{fe5a}' | '\u{207e}' => ')',
        _ if c.is_whitespace() => ' ',
        _ => c,
    }
}

/// Whether a character is invisible: marks of direction, joiners, byte order marks, variation selectors (general
/// category Cf and `Default_Ignorable_Code_Point`).
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{20e3}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_character_is_named_and_blanks_at_the_ends_are_not_one() {
        assert_eq!(folded("\u{feff}\t+1 555\r\n"), Ok("+1 555".to_owned()));
        assert_eq!(folded("+1\n555"), Err('\n'));
        assert_eq!(folded("+1\0"), Err('\0'));
    }
}
