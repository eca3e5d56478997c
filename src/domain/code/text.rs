//! Finds possible codes in a text: in any script's digits, with any separators, within any sentence.
//!
//! Messages are matched by the HMAC of the code as the app wrote it, so each possible code is compared in the few
//! spellings that an app may have used: as typed, in lower case, in upper case, and with the usual separator.

/// The shortest code in a text, in characters. Shorter words are too frequent.
const MIN_CODE_CHARS: usize = 4;
/// The length in bytes from which a spelling hardly matches a code by chance.
pub(super) const SURE_CODE_BYTES: usize = 6;
/// The longest code in a text, in characters.
const MAX_CODE_CHARS: usize = 16;
/// The most spellings that are tried. A text of ten SMS segments has about 300 words.
const MAX_SPELLINGS: usize = 512;
/// The most words that one code is split into, such as single digits.
const MAX_PARTS: usize = 8;
/// The longest code that an app may report, in characters.
const MAX_ENTERED_CHARS: usize = 64;

/// The zeros of the decimal digits that Unicode knows (category Nd, Unicode 16). Nine more digits follow each.
const ZEROS: [u32; 76] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
    0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x10d30, 0x10d40, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0,
    0x11650, 0x116c0, 0x116d0, 0x116da, 0x11730, 0x118e0, 0x11950, 0x11bf0, 0x11c50, 0x11d50,
    0x11da0, 0x11f50, 0x16130, 0x16a60, 0x16ac0, 0x16b50, 0x16d70, 0x1ccf0, 0x1d7ce, 0x1d7d8,
    0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e5f1, 0x1e950, 0x1fbf0,
];

/// The possible codes of a text.
pub(super) struct CodesInText {
    /// Each possible code, in the spellings that an app may have sent.
    pub(super) spellings: Vec<String>,
    /// Whether the text contains the shape of a code: 4 to 16 characters with a digit, in one part, or in several parts
    /// that each have a digit.
    pub(super) has_code_shape: bool,
}

/// A run of letters and digits.
struct Part {
    /// Folded: ASCII digits, and full-width letters as plain ones.
    text: String,
    /// The text between the part before it and this one.
    before: String,
}

impl Part {
    fn has_digit(&self) -> bool {
        self.text.bytes().any(|byte| byte.is_ascii_digit())
    }
}

/// Finds the possible codes in a text.
pub(super) fn possible_codes(text: &str) -> CodesInText {
    let parts = parts(text);
    let (mut with_digits, mut has_code_shape) = (Vec::new(), false);
    for (at, first) in parts.iter().enumerate() {
        let (mut joined, mut written) = (first.text.clone(), first.text.clone());
        let mut all_have_digits = first.has_digit();
        has_code_shape |= add_if_code(&joined, &written, &mut with_digits);
        for next in parts.iter().skip(at + 1).take(MAX_PARTS - 1) {
            joined.push_str(&next.text);
            written.push_str(&next.before);
            written.push_str(&next.text);
            if joined.chars().count() > MAX_CODE_CHARS {
                break;
            }
            // "in 5 min" does not have a code's shape, but it is tried as a code.
            all_have_digits &= next.has_digit();
            has_code_shape |= add_if_code(&joined, &written, &mut with_digits) && all_have_digits;
        }
    }
    // Plain numbers first, so that other words cannot displace them at the limit.
    with_digits.sort_by_key(|(joined, _)| !joined.bytes().all(|byte| byte.is_ascii_digit()));
    let mut spellings = Vec::new();
    for (joined, written) in &with_digits {
        add_spellings(joined, written, &mut spellings);
    }
    let words = parts.iter().filter(|part| !part.has_digit());
    for word in
        words.filter(|part| (MIN_CODE_CHARS..=MAX_CODE_CHARS).contains(&part.text.chars().count()))
    {
        add_spellings(&word.text, &word.text, &mut spellings);
    }
    CodesInText { spellings, has_code_shape }
}

/// The spellings of a code that a person entered and the app reported.
pub(super) fn spellings_of_code(code: &str) -> Vec<String> {
    let code = code.trim();
    let mut spellings = Vec::new();
    if code.is_empty() || code.chars().count() > MAX_ENTERED_CHARS {
        return spellings;
    }
    let joined: String = parts(code).into_iter().map(|part| part.text).collect();
    push(code.to_owned(), &mut spellings);
    add_spellings(&joined, &folded(code), &mut spellings);
    spellings
}

/// Adds a possible code if it has 4 to 16 characters and a digit. Returns whether it has.
fn add_if_code(joined: &str, written: &str, found: &mut Vec<(String, String)>) -> bool {
    let has_digit = joined.bytes().any(|byte| byte.is_ascii_digit());
    let is_code = has_digit && (MIN_CODE_CHARS..=MAX_CODE_CHARS).contains(&joined.chars().count());
    if is_code {
        found.push((joined.to_owned(), written.to_owned()));
    }
    is_code
}

/// The spellings that an app may have sent for a code that was typed as `written`, or `joined` without separators.
fn add_spellings(joined: &str, written: &str, spellings: &mut Vec<String>) {
    let halves = halves(joined);
    let with = |separator: &str| halves.map(|(left, right)| format!("{left}{separator}{right}"));
    let forms = [Some(joined.to_owned()), Some(written.to_owned()), with("-"), with(" ")];
    for form in forms.into_iter().flatten().filter(|form| !form.is_empty()) {
        push(form.to_lowercase(), spellings);
        push(form.to_uppercase(), spellings);
        push(form, spellings);
    }
}

fn push(spelling: String, spellings: &mut Vec<String>) {
    if spellings.len() < MAX_SPELLINGS && !spellings.contains(&spelling) {
        spellings.push(spelling);
    }
}

/// The halves of six or eight digits, between which apps put a separator.
fn halves(joined: &str) -> Option<(&str, &str)> {
    let is_number = joined.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && matches!(joined.len(), 6 | 8)).then(|| joined.split_at(joined.len() / 2))
}

fn parts(text: &str) -> Vec<Part> {
    let (mut parts, mut between, mut word) = (Vec::new(), String::new(), String::new());
    for c in folded(text).chars() {
        if c.is_alphanumeric() {
            word.push(c);
        } else {
            if !word.is_empty() {
                let before = std::mem::take(&mut between);
                parts.push(Part { text: std::mem::take(&mut word), before });
            }
            between.push(c);
        }
    }
    if !word.is_empty() {
        parts.push(Part { text: word, before: between });
    }
    parts
}

/// Digits and full-width letters as ASCII, without invisible marks.
fn folded(text: &str) -> String {
    text.chars().filter(|c| !is_mark(*c)).map(|c| digit(c).or(letter(c)).unwrap_or(c)).collect()
}

fn digit(c: char) -> Option<char> {
    let code = u32::from(c);
    let at = ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?;
    char::from_digit(code - ZEROS.get(at)?, 10)
}

fn letter(c: char) -> Option<char> {
    matches!(c, 'Ａ'..='Ｚ' | 'ａ'..='ｚ').then(|| char::from_u32(u32::from(c) - 0xfee0)).flatten()
}

/// Marks of direction and joining, variation selectors, and the frame of an emoji's digit.
fn is_mark(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{20e3}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_in_every_script_with_every_separator_and_in_any_sentence() {
        for text in [
            "111222",
            "۱۱۱۲۲۲",
            "١١١٢٢٢",
            "१११२२२",
            "１１１２２２",
            "𝟏𝟏𝟏𝟐𝟐𝟐",
            "1️⃣1️⃣1️⃣2️⃣2️⃣2️⃣",
            "my code is 111 222",
            "my code is 111-222, thanks",
            "1 1 1 2 2 2",
            "111\u{a0}222",
            "111.222",
            "\u{2068}111\u{2069}222",
            "code:111222!",
            "code 111\n222",
        ] {
            let found = possible_codes(text);
            assert!(found.has_code_shape, "{text}");
            assert!(found.spellings.iter().any(|spelling| spelling == "111222"), "{text}");
        }
    }

    #[test]
    fn a_code_with_letters_is_tried_in_each_case() {
        for (typed, sent) in [
            ("K7m2qp", "k7m2qp"),
            ("k7m2qp", "K7M2QP"),
            ("it is K7M 2QP", "k7m2qp"),
            ("ｋ７ｍ２ｑｐ", "k7m2qp"),
            ("g-123456", "G-123456"),
            ("123456", "123-456"),
            ("123456", "123 456"),
        ] {
            let found = possible_codes(typed);
            assert!(found.spellings.iter().any(|spelling| spelling == sent), "{typed} for {sent}");
        }
    }

    #[test]
    fn a_code_at_the_end_of_a_long_quoted_text_is_found() {
        let text = format!("Liked “{} 111222”", "every word of a long text ".repeat(60));
        assert!(possible_codes(&text).spellings.iter().any(|spelling| spelling == "111222"));
    }

    #[test]
    fn small_talk_has_no_code_s_shape() {
        for text in ["", "thanks a lot", "ok", "in 5 min", "at 9", "you 2"] {
            assert!(!possible_codes(text).has_code_shape, "{text}");
        }
        for text in ["1234", "k7m2", "12 34", "at 10:30"] {
            assert!(possible_codes(text).has_code_shape, "{text}");
        }
    }

    #[test]
    fn a_code_that_the_app_reports_may_be_of_any_length_and_script() {
        for (entered, sent) in [("12", "12"), (" 111222 ", "111222"), ("۱۱۱۲۲۲", "111222")] {
            let spellings = spellings_of_code(entered);
            assert!(spellings.iter().any(|spelling| spelling == sent), "{entered}");
        }
        assert!(spellings_of_code("  ").is_empty());
    }

    #[test]
    fn every_zero_begins_ten_digits() {
        assert!(ZEROS.is_sorted());
        for zero in ZEROS {
            for value in 0..10 {
                let c = char::from_u32(zero + value).expect("a character");
                assert_eq!(digit(c), char::from_digit(value, 10), "U+{zero:X}");
            }
        }
    }
}
