//! Finds possible codes in a text: in any script's digits, with any separators, within any sentence.
//!
//! Messages are matched by the HMAC of the code as the app wrote it, so each possible code is compared in the few
//! spellings that an app may have used: as typed, in lower case, in upper case, and with the usual separator.

use crate::domain::digit::ascii_digit;

/// The shortest code in a text, in characters. Shorter words are too frequent.
const MIN_CODE_CHARS: usize = 4;
/// The length in bytes from which a spelling hardly matches a code by chance.
pub(super) const SURE_CODE_BYTES: usize = 6;
/// The longest code that is typed in several parts, in characters.
const MAX_JOINED_CHARS: usize = 16;
/// The most spellings that are tried. A text of ten SMS segments has about 300 words.
const MAX_SPELLINGS: usize = 512;
/// The most words that one code is split into, such as single digits.
const MAX_PARTS: usize = 8;
/// The longest code, in characters.
const MAX_CODE_CHARS: usize = 64;
/// The shortest part of a code with hyphens, in characters, such as `WDJB-MJHT` (RFC 8628, section 6.1).
const MIN_GROUP_CHARS: usize = 3;

/// The Chinese digits from 0 to 9. They are digits only in a row of at least [`MIN_CODE_CHARS`].
const CHINESE: &str = "〇一二三四五六七八九";
/// The first of each row of raised, lowered or framed digits, its value, and the length of the row.
const FRAMED: [(u32, u32, u32); 19] = [
    (0xb2, 2, 2),
    (0xb9, 1, 1),
    (0x2070, 0, 1),
    (0x2074, 4, 6),
    (0x2080, 0, 10),
    (0x2460, 1, 9),
    (0x2474, 1, 9),
    (0x2488, 1, 9),
    (0x24ea, 0, 1),
    (0x24f5, 1, 9),
    (0x24ff, 0, 1),
    (0x2776, 1, 9),
    (0x2780, 1, 9),
    (0x278a, 1, 9),
    (0x1f100, 0, 1),
    (0x1f101, 0, 10),
    (0x1f10b, 0, 1),
    (0x1f10c, 0, 1),
    (0x3021, 1, 9),
];

/// The possible codes of a text.
pub(super) struct CodesInText {
    /// Each possible code, in the spellings that an app may have sent.
    pub(super) spellings: Vec<String>,
    /// Whether the text contains the shape of a code: at least 4 characters with a digit, in one part or in several that each
    /// have a digit; or groups with hyphens between them, in capitals or with a digit.
    pub(super) has_code_shape: bool,
}

/// A run of letters and digits. It ends where a script without capitals begins or ends, because such scripts may write
/// words without blanks.
struct Part {
    /// Folded: ASCII digits, and full-width letters as plain ones.
    text: String,
    /// The text between the part before it and this one, which may be empty.
    before: String,
}

/// One part, or several that are read as one code.
#[derive(Clone)]
struct Joined {
    /// Without separators.
    text: String,
    /// As typed.
    written: String,
    parts: usize,
    /// Whether only hyphens are between the parts.
    is_hyphenated: bool,
    /// Whether each part has a digit, and whether each is as long as a group of a code with hyphens.
    all_have_digits: bool,
    all_are_groups: bool,
}

impl Joined {
    fn of(part: &Part) -> Self {
        Self {
            text: part.text.clone(),
            written: part.text.clone(),
            parts: 1,
            is_hyphenated: true,
            all_have_digits: has_digit(&part.text),
            all_are_groups: part.text.chars().count() >= MIN_GROUP_CHARS,
        }
    }

    fn add(&mut self, part: &Part) {
        self.text.push_str(&part.text);
        self.written.push_str(&part.before);
        self.written.push_str(&part.text);
        self.parts += 1;
        self.is_hyphenated &= part.before == "-";
        self.all_have_digits &= has_digit(&part.text);
        self.all_are_groups &= part.text.chars().count() >= MIN_GROUP_CHARS;
    }

    fn has_code_shape(&self) -> bool {
        // "in 5 min" does not have a code's shape, but it is tried as a code.
        let is_upper = !self.text.chars().any(char::is_lowercase);
        let is_grouped = self.parts > 1 && self.is_hyphenated && self.all_are_groups;
        self.text.chars().count() >= MIN_CODE_CHARS
            && (self.all_have_digits || (is_grouped && (is_upper || has_digit(&self.text))))
    }

    /// The order in which possible codes are tried, so that words cannot displace numbers at the limit.
    fn rank(&self) -> u8 {
        match (has_digit(&self.text), self.parts) {
            (true, _) if self.text.bytes().all(|byte| byte.is_ascii_digit()) => 0,
            (true, _) => 1,
            (false, 2..) if self.is_hyphenated => 2,
            (false, 1) => 3,
            (false, _) => 4,
        }
    }
}

fn has_digit(text: &str) -> bool {
    text.chars().any(char::is_numeric)
}

/// Finds the possible codes in a text.
pub(super) fn possible_codes(text: &str) -> CodesInText {
    let parts = parts(text);
    let (mut found, mut has_code_shape) = (Vec::new(), false);
    for (at, first) in parts.iter().enumerate() {
        let mut joined = Joined::of(first);
        has_code_shape |= joined.has_code_shape();
        found.push(joined.clone());
        found.extend(digits_within(&first.text));
        for next in parts.iter().skip(at + 1).take(MAX_PARTS - 1) {
            joined.add(next);
            if joined.text.chars().count() > MAX_JOINED_CHARS {
                break;
            }
            has_code_shape |= joined.has_code_shape();
            found.push(joined.clone());
        }
    }
    found.retain(|it| (MIN_CODE_CHARS..=MAX_CODE_CHARS).contains(&it.text.chars().count()));
    found.sort_by_key(Joined::rank);
    // The whole text may be a code of several words.
    let is_long =
        parts.iter().map(|part| part.text.chars().count()).sum::<usize>() >= MIN_CODE_CHARS;
    let mut spellings = if is_long { spellings_of_code(text) } else { Vec::new() };
    for Joined { text, written, .. } in &found {
        if spellings.len() == MAX_SPELLINGS {
            break;
        }
        add_spellings(text, written, &mut spellings);
    }
    CodesInText { spellings, has_code_shape }
}

/// The numbers inside a word, such as that of `code111222`.
fn digits_within(word: &str) -> impl Iterator<Item = Joined> {
    let runs = word.split(|c: char| !c.is_ascii_digit());
    let is_within = |run: &&str| run.len() >= MIN_CODE_CHARS && run.len() < word.len();
    let joined = |run: &str| Joined::of(&Part { text: run.to_owned(), before: String::new() });
    runs.filter(is_within).map(joined)
}

/// The spellings of a code that a person entered and the app reported.
pub(super) fn spellings_of_code(code: &str) -> Vec<String> {
    let code = code.trim();
    let mut spellings = Vec::new();
    if code.is_empty() || code.chars().count() > MAX_CODE_CHARS {
        return spellings;
    }
    let parts: Vec<String> = parts(code).into_iter().map(|part| part.text).collect();
    push(code.to_owned(), &mut spellings);
    for written in [folded(code), parts.join("-"), parts.join(" ")] {
        add_spellings(&parts.concat(), &written, &mut spellings);
    }
    spellings
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

/// The halves of six or eight letters and digits, between which apps put a separator.
fn halves(joined: &str) -> Option<(&str, &str)> {
    let is_plain = joined.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_plain && matches!(joined.len(), 6 | 8)).then(|| joined.split_at(joined.len() / 2))
}

fn parts(text: &str) -> Vec<Part> {
    let (mut parts, mut between, mut word) = (Vec::new(), String::new(), String::new());
    for c in folded(text).chars() {
        let last = word.chars().next_back();
        let is_other_script = last.is_some_and(|last| has_case(last) != has_case(c));
        if !word.is_empty() && (is_other_script || !c.is_alphanumeric()) {
            let before = std::mem::take(&mut between);
            parts.push(Part { text: std::mem::take(&mut word), before });
        }
        if c.is_alphanumeric() { word.push(c) } else { between.push(c) }
    }
    if !word.is_empty() {
        parts.push(Part { text: word, before: between });
    }
    parts
}

/// Whether a character is of a script with capitals, or a digit.
fn has_case(c: char) -> bool {
    c.is_numeric() || c.is_lowercase() || c.is_uppercase()
}

/// Digits and full-width letters as ASCII, without invisible marks.
fn folded(text: &str) -> String {
    let visible: Vec<char> = text.chars().filter(|c| !is_mark(*c)).collect();
    let rows = visible.chunk_by(|one, other| chinese(*one).is_some() == chinese(*other).is_some());
    rows.flat_map(|row| {
        let is_number = row.len() >= MIN_CODE_CHARS;
        row.iter().map(move |c| chinese(*c).filter(|_| is_number).unwrap_or_else(|| plain(*c)))
    })
    .collect()
}

/// A character as ASCII if it is a digit, a full-width letter or a hyphen, otherwise unchanged.
fn plain(c: char) -> char {
    match c {
        _ if c.is_ascii() => c,
        'Ａ'..='Ｚ' | 'ａ'..='ｚ' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => '-',
        _ => ascii_digit(c).or_else(|| framed_digit(c)).unwrap_or(c),
    }
}

fn framed_digit(c: char) -> Option<char> {
    let point = u32::from(c);
    let is_in = |&&(first, _, length): &&(u32, u32, u32)| (first..first + length).contains(&point);
    let (first, value, _) = FRAMED.iter().find(is_in)?;
    char::from_digit(point - first + value, 10)
}

fn chinese(c: char) -> Option<char> {
    let c = if c == '零' { '〇' } else { c };
    let value = CHINESE.chars().position(|digit| digit == c)?;
    char::from_digit(u32::try_from(value).ok()?, 10)
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
            "code111222",
            "111222thanks",
            "验证码是111222请帮我登录谢谢你们",
            "コードは111 222です",
            "รหัสของฉันคือ111222ครับ",
            "코드는111222입니다",
            "①①①②②②",
            "¹¹¹²²²",
            "一一一二二二",
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
            ("wdjb mjht", "WDJB-MJHT"),
            ("it says WDJB-MJHT", "wdjb-mjht"),
            ("wdjbmjht", "WDJB-MJHT"),
            ("abc123", "ABC-123"),
            ("Correct horse battery staple", "correct horse battery staple"),
            ("correct horse battery", "correct-horse-battery"),
            ("a1b2 c3d4 e5f6", "A1B2-C3D4-E5F6"),
            (
                "see https://a.example/0123456789abcdef0123456789abcdef",
                "0123456789abcdef0123456789abcdef",
            ),
            ("验证码K7M2QP好的", "k7m2qp"),
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
        for text in [
            "",
            "thanks a lot",
            "ok",
            "in 5 min",
            "at 9",
            "you 2",
            "请等一下好吗",
            "well-known check-in",
        ] {
            assert!(!possible_codes(text).has_code_shape, "{text}");
        }
        for text in [
            "1234",
            "k7m2",
            "12 34",
            "at 10:30",
            "WDJB-MJHX",
            "abc-123",
            "ä1ö2ü3",
            "ⅠⅡⅢⅣ",
            "123456789012345678",
            "これは番号でしょうか12345678ですよね",
        ] {
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
}
