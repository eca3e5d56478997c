//! Placeholders: words that programs write for a missing value, such as `undefined`, `null`, `None`, an empty template.
//!
//! A JavaScript program that sends `Reference=undefined` for everyone makes all of its users one (whatwg/url#427).

/// Names of a missing value: JavaScript, JSON, SQL; Python; Ruby, Go, Swift, Lua; C and Go's `fmt`; Excel.
const NOTHING: &str = "undefined null (null) <null> none nil (nil) <nil> nan n/a #n/a na empty unset \
     missing unknown default";
/// Values of other types where a name was expected, and the nil UUID (RFC 9562, 5.9).
const NO_NAMES: &str = "true false 0 -1 {} [] 00000000-0000-0000-0000-000000000000 \
     00000000000000000000000000000000";
/// Names of a missing value as a part of a longer name: `login-undefined`.
const PARTS: [&str; 7] = ["undefined", "null", "NULL", "None", "nil", "NaN", "Nil"];
/// A template that was not filled in, or an object that was printed instead of its name.
const TEMPLATES: [&str; 9] = ["${", "#{", "{{", "%{", "<%", "%s", "%v", "[object ", "%!"];

/// Whether a text stands for a missing value.
pub fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    text.is_empty()
        || NOTHING.split(' ').any(|word| word.eq_ignore_ascii_case(text))
        || is_template(text)
}

/// Whether a name is the same for all users: a placeholder, a name with such a part, or a value of another
/// type.
pub fn is_shared_placeholder(name: &str) -> bool {
    let name = name.trim();
    let mut parts = name.split(|c: char| !c.is_alphanumeric());
    is_placeholder(name)
        || NO_NAMES.split(' ').any(|word| word.eq_ignore_ascii_case(name))
        || parts.any(|part| PARTS.contains(&part))
        || !name.chars().any(char::is_alphanumeric)
}

fn is_template(text: &str) -> bool {
    let is_within = |open, close| text.starts_with(open) && text.ends_with(close);
    // `%d0` is an encoded byte, as in a link.
    let is_encoded = |rest: &str| rest.starts_with(|c: char| c.is_ascii_hexdigit());
    TEMPLATES.iter().any(|template| text.contains(template))
        || text.split("%d").skip(1).any(|rest| !is_encoded(rest))
        || is_within('{', '}')
        || is_within('<', '>')
        || is_within('[', ']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_for_nothing_is_a_placeholder_in_every_spelling() {
        let words = "| |undefined|Undefined| undefined |null|NULL|None|nil|<nil>|NaN|(null)|\
             [object Object]|[object Undefined]|${userId}|#{user.id}|{{reference}}|<%= id %>|\
             {user_id}|<reference>|%!s(<nil>)|N/A";
        for text in words.split('|') {
            assert!(is_placeholder(text), "{text}");
            assert!(is_shared_placeholder(text), "{text}");
        }
    }

    #[test]
    fn a_name_with_a_missing_part_is_everyones() {
        let words = "login-undefined undefined-undefined user_null user:None nil/7 a.NaN true False 0 -1 \
             {} [] -- 00000000-0000-0000-0000-000000000000 login-%s login-%d %d-login login-${id}";
        for name in words.split(' ') {
            assert!(is_shared_placeholder(name), "{name}");
        }
    }

    #[test]
    fn a_name_that_only_resembles_one_is_a_name() {
        let words = "login-4711 login-%d0%bf 1 10 00 nullable-7 Nilsson nan-4 none-of-your-business \
             anonymous-9 truely e0000000-0000-0000-0000-000000000000 a<b> x{1} 50%-off ord[7] \
             nonesuch user-Nancy";
        for name in words.split(' ') {
            assert!(!is_shared_placeholder(name), "{name}");
        }
    }
}
