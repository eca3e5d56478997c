//! Placeholders: words that programs write for a missing value, such as `undefined`, `null`, `None`, an empty template.
//!
//! A JavaScript program that sends `Reference=undefined` for everyone makes all of its users one (whatwg/url#427).

/// Names of a missing value: JavaScript, JSON, SQL; Python; Ruby, Go, Swift, Lua; C and Go's `fmt`; Excel.
const NOTHING: &str = "undefined null (null) <null> none nil (nil) <nil> nan n/a #n/a na empty unset \
     missing unknown default";
/// Values of other types where a name was expected; missing values of Perl, Java, Swift, pandas, Python and SQL; the example
/// of an `OpenAPI` page.
const NO_NAMES: &str = "true false 0 -1 0.0 {} [] undef optional.empty optional(nil) nat b'' \\n array string \
     nothing void(0) infinity -infinity";
/// Names of a missing value as a part of a longer name: `login-undefined`.
const PARTS: [&str; 6] = ["null", "NULL", "None", "nil", "NaN", "Nil"];
/// Names of a missing value at the end of a longer word, such as `loginnull`.
const ENDS: [&str; 3] = ["null", "None", "NaN"];
/// A template that was not filled in, or an object that was printed instead of its name.
const TEMPLATES: [&str; 15] = [
    "${", "#{", "{{", "%{", "<%", "%s", "%v", "[object ", "%!", "%(", "%@", "%1$", "$(", "#<", "=>",
];
/// Characters between the parts of a name.
const SEPARATORS: &str = "-_:/.#|=";
/// The fewest letters of a word.
const MIN_WORD: usize = 2;
/// The fewest equal digits that are the zero or the greatest value of an id.
const EMPTY_ID_DIGITS: usize = 8;

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
    let bare = name.trim_matches(|c: char| !c.is_alphanumeric());
    is_placeholder(name)
        || is_placeholder(bare)
        || name.to_ascii_lowercase().contains("undefined")
        || ENDS.iter().any(|end| name.ends_with(end))
        || NO_NAMES.split(' ').any(|word| word.eq_ignore_ascii_case(name))
        || parts.any(|part| PARTS.contains(&part))
        || is_empty_id(name)
        || lacks_its_id(name)
}

/// Whether all digits of an id are `0`, or all are `f`: the nil and the max UUID (RFC 9562, 5.9 and 5.10), and their like in
/// other notations.
fn is_empty_id(name: &str) -> bool {
    let digits = || name.chars().filter(|c| c.is_alphanumeric());
    let is_all = |digit: char| digits().all(|c| c.eq_ignore_ascii_case(&digit));
    digits().count() >= EMPTY_ID_DIGITS && (is_all('0') || is_all('f'))
}

/// Whether an id is missing before or after a word: `login-` is `login-${id}` with an empty id.
fn lacks_its_id(name: &str) -> bool {
    let is_word = name.chars().all(|c| c.is_ascii_lowercase() || is_separator(c));
    let letters = name.bytes().filter(u8::is_ascii_lowercase).count();
    let is_cut = name.starts_with(is_separator) || name.ends_with(is_separator);
    is_word && is_cut && letters >= MIN_WORD
}

fn is_separator(c: char) -> bool {
    SEPARATORS.contains(c)
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
        || is_variable(text)
}

/// Whether a text is the name of a variable: `$userId`, `:userId`, `%USERID%`.
fn is_variable(text: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    let is_after = |mark: char| text.strip_prefix(mark).is_some_and(is_word);
    let between = text.strip_prefix('%').and_then(|rest| rest.strip_suffix('%'));
    is_after('$') || is_after(':') || between.is_some_and(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_for_nothing_is_a_placeholder_in_every_spelling() {
        let words = "| |undefined|Undefined| undefined |null|NULL|None|nil|<nil>|NaN|(null)|\
             [object Object]|[object Undefined]|${userId}|#{user.id}|{{reference}}|<%= id %>|\
             {user_id}|<reference>|%!s(<nil>)|N/A|$userId|:user_id|%USERID%|%(user)s|%@|%1$s|#<User:0x01>|() => id";
        for text in words.split('|') {
            assert!(is_placeholder(text), "{text}");
            assert!(is_shared_placeholder(text), "{text}");
        }
    }

    #[test]
    fn a_name_with_a_missing_part_is_everyones() {
        let words = "login-undefined undefined-undefined user_null user:None nil/7 a.NaN true False 0 -1 \
             {} [] -- 00000000-0000-0000-0000-000000000000 000000000000000000000000 \
             ffffffff-ffff-ffff-ffff-ffffffffffff login- user: otp/ -login Optional(nil) string (none) Null. loginnull undefinedundefined \
             login-%s login-%d %d-login login-${id}";
        for name in words.split(' ') {
            assert!(is_shared_placeholder(name), "{name}");
        }
    }

    #[test]
    fn a_name_that_only_resembles_one_is_a_name() {
        let words = "login-4711 login-%d0%bf 1 10 00 nullable-7 Nilsson nan-4 none-of-your-business \
             anonymous-9 truely e0000000-0000-0000-0000-000000000000 a<b> x{1} 50%-off ord[7] \
             nonesuch user-Nancy $RCAnonymousID:4 000042 f0f0f0f0 Q- xY4kZ- login.page 0000";
        for name in words.split(' ') {
            assert!(!is_shared_placeholder(name), "{name}");
        }
    }
}
