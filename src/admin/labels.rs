//! Senders and calling codes as labels of metrics. No label has a recipient or a whole number or SID.

/// Twilio's alphanumeric senders have eleven characters, RCS agents more.
const LONGEST_SENDER: usize = 40;
/// The fewest digits of a phone number. A short code has at most six.
const PHONE_DIGITS: usize = 7;
/// Two letters and thirty-two hexadecimal digits.
const SID_LENGTH: usize = 34;
/// The last characters of a number or a SID that a label shows.
const SHOWN_CHARS: usize = 4;

pub(super) fn code_label(code: Option<u16>) -> String {
    code.map_or_else(|| "unknown".to_owned(), |code| code.to_string())
}

/// The label of a sender: a name or a short code in full; of a number or a SID only the kind and the end.
pub(super) fn sender_label(sender: &str) -> String {
    let (channel, name) = sender.split_once(':').unwrap_or(("", sender));
    let escaped = |text: &str| {
        let plain =
            |c: char| if c.is_ascii_alphanumeric() || "+-.&()".contains(c) { c } else { '_' };
        text.chars().map(plain).take(LONGEST_SENDER).collect::<String>()
    };
    let colon = if sender.contains(':') { ":" } else { "" };
    let is_sid = name.len() == SID_LENGTH && name.chars().all(|c| c.is_ascii_alphanumeric());
    let digits = name.chars().filter(char::is_ascii_digit).count();
    if !is_sid && digits < PHONE_DIGITS {
        return format!("{}{colon}{}", escaped(channel), escaped(name));
    }
    let kind = name.get(..2).filter(|_| is_sid).unwrap_or_default();
    let mut tail: Vec<_> =
        name.chars().rev().filter(char::is_ascii_alphanumeric).take(SHOWN_CHARS).collect();
    tail.reverse();
    format!("{}{colon}{kind}*{}", escaped(channel), tail.into_iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_of_a_sender_has_at_most_the_end_of_a_number() {
        for (sender, label) in [
            ("+15017122661", "*2661"),
            ("whatsapp:+15017122661", "whatsapp:*2661"),
            ("+1 (501) 712-2661", "*2661"),
            ("messenger:1234567890", "messenger:*7890"),
            ("MG0123456789abcdef0123456789abcdef", "MG*cdef"),
            ("MGabcdefabcdefabcdefabcdefabcdefab", "MG*efab"),
            ("ACME", "ACME"),
            ("Acme & Co", "Acme_&_Co"),
            ("12345", "12345"),
            ("rcs:acme_agent", "rcs:acme_agent"),
            ("a\"b\nc\\d", "a_b_c_d"),
            ("(unknown)", "(unknown)"),
            ("(other)", "(other)"),
            ("", ""),
        ] {
            assert_eq!(sender_label(sender), label, "{sender}");
        }
        assert!(sender_label(&"x".repeat(999)).len() <= LONGEST_SENDER);
    }
}
