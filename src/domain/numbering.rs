//! One number, one notation: a few countries write the same mobile phone in two ways.
//!
//! WhatsApp keeps the notation that a number had when its account was made; carriers and apps write
//! today's. Whoever registered `+525512345678` is answered by `whatsapp:+5215512345678`, and both are
//! the same person. [`canonical`] takes out the digit that may or may not be there.
//!
//! - Mexico, `+52 1` and ten digits: the mobile's `1` ended on 3 August 2019 (IFT, "Plan Técnico
//!   Fundamental de Numeración"); no area code begins with 1.
//! - Argentina, `+54 9` and ten digits: the mobile's `9` in international notation, which some apps
//!   leave out. Area code and subscriber are ten digits in either, and blocks are given out once, for a
//!   fixed or for a mobile service (ENACOM, "Plan Fundamental de Numeración Nacional").
//! - Brazil, `+55`, two digits of area, `9` and eight digits: the ninth digit came to the mobiles between
//!   2012 and 6 November 2016 (Anatel, resolution 553/2010). The eight digits of a mobile from before
//!   begin with 6 to 9, those of a landline with 2 to 5; so only the first are folded. A mobile given out
//!   since (`9 2…` to `9 5…`) never had eight digits, and must never become the landline that has them.
//!
//! WhatsApp's own page on it: "About international phone number format"; the cases side by side:
//! docs.360dialog.com, "Number formats", and zoko.io, "Whatsapp IDs of Brazil and Mexico".

use std::borrow::Cow;

/// The one notation of a number in E.164. What is not a mobile of those countries stays as it is.
#[must_use]
pub fn canonical(number: &str) -> Cow<'_, str> {
    if let Some(rest) = number.strip_prefix("+521").filter(|rest| is_digits(rest, 10)) {
        return Cow::Owned(format!("+52{rest}"));
    }
    if let Some(rest) = number.strip_prefix("+549").filter(|rest| is_digits(rest, 10)) {
        return Cow::Owned(format!("+54{rest}"));
    }
    match number.strip_prefix("+55").and_then(|rest| rest.split_at_checked(2)) {
        // With the ninth digit: it is how the number is written today.
        Some((area, old)) if is_digits(area, 2) && is_digits(old, 8) && was_mobile(old) => {
            Cow::Owned(format!("+55{area}9{old}"))
        }
        Some(_) | None => Cow::Borrowed(number),
    }
}

/// Whether eight Brazilian digits were a mobile's before the ninth came.
fn was_mobile(digits: &str) -> bool {
    matches!(digits.as_bytes(), [b'6'..=b'9', ..])
}

fn is_digits(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
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
        ] {
            assert_ne!(canonical(one), canonical(other), "{one}");
        }
    }

    #[test]
    fn what_is_no_such_number_stays_as_it_is() {
        for text in ["12345", "5215512345678", "+55", "+551", "+552", "BRAND", "", "+5511é8765432"]
        {
            assert_eq!(canonical(text), text);
        }
    }
}
