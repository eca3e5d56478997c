//! One notation for each number: several countries write the same mobile phone in two ways.
//!
//! WhatsApp keeps the notation from the creation of an account; carriers and apps use today's. A person registered as
//! `+525512345678` answers from `whatsapp:+5215512345678`. [`canonical`] returns today's notation of both.
//!
//!
//! - A trunk prefix: `+44 (0)7911 123456`. The 0 is dialled inside the country only. A few countries have numbers that
//!   begin with 0, which stays.
//! - Mexico, `+52 1` and ten digits: the mobile's `1` ended on 3 August 2019 (IFT, "Plan Técnico
//!   Fundamental de Numeración"); no area code begins with 1.
//! - Argentina, `+54 9` and ten digits: the mobile's `9` in international notation, which some apps
//!   leave out. Area code and subscriber are ten digits in either, and blocks are given out once, for a
//!   fixed or for a mobile service (ENACOM, "Plan Fundamental de Numeración Nacional").
//! - Brazil, `+55`, two digits of area, `9` and eight digits: the ninth digit came to the mobiles between
//!   2012 and 6 November 2016 (Anatel, resolution 553/2010). The eight digits of a mobile from before
//!   begin with 6 to 9, those of a landline with 2 to 5; so only the first are folded. A mobile given out
//!   since (`9 2…` to `9 5…`) never had eight digits, and must never become the landline that has them.
//! - Benin, `+229` and eight digits: all numbers got `01` in front on 30 November 2024 (ARCEP Bénin).
//! - Côte d'Ivoire, `+225` and eight digits: mobiles got their operator's prefix in front on 31 January 2021,
//!   by their second digit: `01` (0 to 3), `05` (4 to 6), `07` (7 to 9) (ARTCI).
//! - Gabon, `+241` and seven digits, with a 0 before them or not: mobiles got a `6` or a `7` in front on
//!   15 November 2019, landlines a `1` (ARCEP Gabon).
//! - Vietnam, `+84 1…` and nine digits more: mobiles of eleven digits became those of ten between 15 September and
//!   15 November 2018 (Ministry of Information and Communications, plan 798/2018).
//!
//! The last two, Mexico and Brazil are also the mobile migrations in libphonenumber's own list (`migrator`,
//! `recipes.csv`). The library itself folds none of them: it parses `+52 1 55…` and `+52 55…` as two
//! numbers, and calls Benin's old notation invalid. Its metadata would add a megabyte for no answer.
//!
//! WhatsApp's own page on it: "About international phone number format"; the cases side by side:
//! docs.360dialog.com, "Number formats", and zoko.io, "Whatsapp IDs of Brazil and Mexico".

use std::borrow::Cow;

use crate::domain::address::countries;

/// The fewest digits of an international number.
const MIN_DIGITS: usize = 7;

/// Today's notation of a number in E.164. Other texts stay unchanged.
pub(super) fn canonical(number: &str) -> Cow<'_, str> {
    let Some(digits) =
        number.strip_prefix('+').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    else {
        return Cow::Borrowed(number);
    };
    let Some(code) = countries::calling_code(digits) else { return Cow::Borrowed(number) };
    let Some(written) = digits.strip_prefix(code) else { return Cow::Borrowed(number) };
    let bare = written.trim_start_matches('0');
    let is_trunk = !countries::keeps_zero(code) && code.len() + bare.len() >= MIN_DIGITS;
    let national = if is_trunk { bare } else { written };
    match renumbered(code, national) {
        Some(today) => Cow::Owned(format!("+{code}{today}")),
        None if national.len() < written.len() => Cow::Owned(format!("+{code}{national}")),
        None => Cow::Borrowed(number),
    }
}

/// Today's national number for one in an older notation; `None` for any other.
fn renumbered(code: &str, national: &str) -> Option<String> {
    let first = national.bytes().next()?;
    match (code, national.len()) {
        ("52", 11) => national.strip_prefix('1').map(str::to_owned),
        ("54", 11) => national.strip_prefix('9').map(str::to_owned),
        ("55", 10) => {
            let (area, old) = national.split_at_checked(2)?;
            was_mobile(old).then(|| format!("{area}9{old}"))
        }
        ("84", 10) => vietnamese(national),
        ("225", 8) if !matches!(first, b'2' | b'3') => {
            let operator = match national.as_bytes().get(1)? {
                b'0'..=b'3' => "01",
                b'4'..=b'6' => "05",
                _ => "07",
            };
            Some(format!("{operator}{national}"))
        }
        ("229", 8) => Some(format!("01{national}")),
        ("241", 7 | 8) => {
            let old = national.strip_prefix('0').unwrap_or(national);
            let block = match old.bytes().next()? {
                b'1' => '1',
                b'2' | b'5' | b'6' => '6',
                b'4' | b'7' => '7',
                _ => return None,
            };
            (old.len() == 7).then(|| format!("{block}{old}"))
        }
        // The 0 of Gabon's new notation is dialled inside the country only.
        ("241", 9) => national.strip_prefix('0').map(str::to_owned),
        _ => None,
    }
}

/// The first digits of Vietnamese mobiles without the trunk prefix, before and after 2018.
const VIETNAMESE: &str = "120:70 121:79 122:77 123:83 124:84 125:85 126:76 127:81 128:78 129:82 \
                          162:32 163:33 164:34 165:35 166:36 167:37 168:38 169:39 186:56 188:58 199:59";

/// A Vietnamese mobile of eleven digits (ten without the trunk prefix), as one of ten.
fn vietnamese(national: &str) -> Option<String> {
    let (old, rest) = national.split_at_checked(3)?;
    let (_, new) =
        VIETNAMESE.split(' ').filter_map(|row| row.split_once(':')).find(|row| row.0 == old)?;
    Some(format!("{new}{rest}"))
}

/// Whether eight Brazilian digits were a mobile's before the ninth came.
fn was_mobile(digits: &str) -> bool {
    matches!(digits.as_bytes(), [b'6'..=b'9', ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_of_a_mobile_are_one() {
        for (one, other) in [
            ("+5215512345678", "+525512345678"),
            ("+5491123456789", "+541123456789"),
            ("+5511987654321", "+551187654321"),
            ("+5571961234567", "+557161234567"),
            ("+5551999999999", "+555199999999"),
            ("+22961234567", "+2290161234567"),
            ("+22997123456", "+2290197123456"),
            ("+22507123456", "+2250707123456"),
            ("+22545123456", "+2250545123456"),
            ("+22503123456", "+2250103123456"),
            ("+2416123456", "+24166123456"),
            ("+24106123456", "+24166123456"),
            ("+241066123456", "+24166123456"),
            ("+2417281234", "+24177281234"),
            ("+2414281234", "+24174281234"),
            ("+841621234567", "+84321234567"),
            ("+841211234567", "+84791234567"),
            ("+841991234567", "+84591234567"),
            ("+4407911123456", "+447911123456"),
            ("+49015112345678", "+4915112345678"),
            ("+5205512345678", "+525512345678"),
        ] {
            assert_eq!(canonical(one), canonical(other), "{one}");
            assert_eq!(canonical(&canonical(one)), canonical(one), "{one}, twice");
        }
    }

    #[test]
    fn two_numbers_stay_two() {
        for (one, other) in [
            // Younger mobiles of Brazil beside the landlines that bear their last eight digits.
            ("+5511923456789", "+551123456789"),
            ("+5511956789012", "+551156789012"),
            ("+5511987654321", "+5521987654321"),
            // Nine digits are a mobile's only behind a 9.
            ("+5511887654321", "+551187654321"),
            // One digit too many or too few is no such number.
            ("+52155123456789", "+5255123456789"),
            ("+521551234567", "+52551234567"),
            ("+549112345678", "+54112345678"),
            ("+55119876543210", "+5511876543210"),
            ("+15512345678", "+1512345678"),
            // Here a 0 is a part of the number.
            ("+390612345678", "+39612345678"),
            ("+242061234567", "+24261234567"),
            // Other subscribers, and landlines of Côte d'Ivoire.
            ("+22961234567", "+2290161234568"),
            ("+22507123456", "+2250507123456"),
            ("+22522123456", "+2250122123456"),
            ("+841421234567", "+84421234567"),
            ("+2418123456", "+24168123456"),
        ] {
            assert_ne!(canonical(one), canonical(other), "{one}");
        }
    }

    #[test]
    fn a_text_that_is_no_such_number_stays_unchanged() {
        for text in ["12345", "5215512345678", "+55", "+551", "+552", "BRAND", "", "+5511é8765432"]
        {
            assert_eq!(canonical(text), text);
        }
    }
}
