//! Random choices for requests: a seed, and tokens, URLs and words that have caused errors in some
//! library.

use std::fmt::Write as _;

pub(super) const TOKENS: [&str; 4] =
    ["12345", "2b3c4d5e6f708192a3b4c5d6e7f80912", "pässwörd 🔑", "x"];
pub(super) const HOSTS: [&str; 6] = [
    "hooks.example.com",
    "Hooks.Example.com",
    "127.0.0.1",
    "[2001:db8::1]",
    "user:pass@hooks.example.com",
    "xn--bcher-kva.example",
];
pub(super) const SCHEMES: [&str; 6] = ["https", "https", "https", "http", "http", "HTTPS"];
pub(super) const PORTS: [&str; 6] = ["", "", "", ":443", ":8443", ":80"];
pub(super) const PATHS: [&str; 9] = [
    "/",
    "/twilio/status",
    "/twilio/inbound",
    "/a%20b/it's",
    "/a/../b/./c",
    "//x//",
    "/x;v=1/y",
    "/%C3%BC/%7e",
    "/grüße",
];
const NAMES: [&str; 12] = [
    "MessageSid",
    "AccountSid",
    "From",
    "To",
    "Body",
    "NumMedia",
    "a b",
    "é",
    "😀",
    "\u{ff5e}",
    "",
    "a",
];
pub(super) const VALUES: [&str; 16] = [
    "",
    "SM0123456789abcdef0123456789abcdef",
    "+15551234567",
    "whatsapp:+15551234567",
    "yes, that's me & \"you\"",
    " leading and trailing ",
    "a+b=c&d%20e%",
    "über 100 %",
    "😀",
    "\u{ff5e}",
    "line\r\nbreak\tand\u{0}",
    "'",
    "1",
    "9",
    "10",
    "=",
];
const QUERY_VALUES: [&str; 10] =
    ["1", "", "it's", "it%27s", "a+b", "a%20b", "sip:x@y", "sip%3Ax%40y", "%C3%A9", "a;b=c"];

/// `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end as u64).expect("small")
    }

    pub(super) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// True once in this many times.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// A query, an empty query, or none.
pub(super) fn query(dice: &mut Dice) -> String {
    let pairs: Vec<String> = (0..dice.below(4))
        .map(|_| format!("{}={}", dice.one_of(&["a", "b", "q"]), dice.one_of(&QUERY_VALUES)))
        .collect();
    match pairs.as_slice() {
        [] if dice.once_in(4) => "?".to_owned(),
        [] => String::new(),
        pairs => format!("?{}", pairs.join("&")),
    }
}

/// A form as hand-written code could encode it: repeated names, escapes in either case or left out.
pub(super) fn form_body(dice: &mut Dice) -> String {
    let mut body = String::new();
    for _ in 0..dice.below(8) {
        if !body.is_empty() {
            body.push('&');
        }
        let (name, value) = (dice.one_of(&NAMES), dice.one_of(&VALUES));
        body.push_str(&escaped(name, dice));
        if !value.is_empty() || name.is_empty() || dice.once_in(2) {
            body.push('=');
        }
        body.push_str(&escaped(value, dice));
        if dice.once_in(60) {
            body.push_str("%FF");
        }
    }
    body
}

fn escaped(text: &str, dice: &mut Dice) -> String {
    let style = dice.below(3);
    let mut out = String::new();
    for byte in text.bytes() {
        // Unneeded escapes, and escapes in lower case, mean the same.
        let is_plain = byte.is_ascii_alphanumeric()
            || b"-_.".contains(&byte)
            || (style == 2 && b":'!*,".contains(&byte));
        let written = match byte {
            b' ' if style != 0 => write!(out, "+"),
            byte if is_plain => write!(out, "{}", char::from(byte)),
            byte if style == 1 && byte.is_ascii() => write!(out, "%{byte:02x}"),
            byte => write!(out, "%{byte:02X}"),
        };
        written.expect("a text takes everything");
    }
    out
}
