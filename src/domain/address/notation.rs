//! Notation: folds the characters of an address before it is parsed.
//!
//! Decimal digits of every script, full-width characters, and the various signs for plus, hyphen and space become ASCII.
//! Invisible characters are removed, and a control character is an error.

/// The digit zero of each script with decimal digits outside ASCII: general category Nd, Unicode 14. In each
/// script the digits one to nine follow it.
const ZEROS: [u32; 65] = [
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
    0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90,
    0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
    0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650,
    0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16AC0, 0x16B50,
    0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];

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
    if let Some(digit) = digit(c) {
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

fn digit(c: char) -> Option<char> {
    let point = u32::from(c);
    let at = ZEROS.partition_point(|zero| *zero <= point).checked_sub(1)?;
    let value = point.checked_sub(*ZEROS.get(at)?)?;
    char::from_digit(value, 10)
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
    fn the_zeros_are_in_order_so_that_each_is_found() {
        assert!(ZEROS.is_sorted());
        for zero in ZEROS {
            let one = char::from_u32(zero + 1).expect("a character");
            assert_eq!(to_ascii(one), '1', "{zero:x}");
            let nine = char::from_u32(zero + 9).expect("a character");
            assert_eq!(to_ascii(nine), '9', "{zero:x}");
        }
    }

    #[test]
    fn a_control_character_is_named_and_blanks_at_the_ends_are_not_one() {
        assert_eq!(folded("\u{feff}\t+1 555\r\n"), Ok("+1 555".to_owned()));
        assert_eq!(folded("+1\n555"), Err('\n'));
        assert_eq!(folded("+1\0"), Err('\0'));
    }
}
