//! The fields of a `multipart/form-data` body (RFC 7578), for the diagnosis of a form that was sent as one.

/// The fields in wire order. `None` for another media type, and for a damaged body.
pub(super) fn fields(content_type: &str, body: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let (essence, parameters) = content_type.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let delimiter = latin1(format!("--{}", parameter(parameters, "boundary")?).as_bytes());
    let body = latin1(body);
    let parts: Vec<&str> = body.split(&delimiter).collect();
    // The texts before the first delimiter and after the last one are no fields.
    let fields = parts.get(1..parts.len().checked_sub(1)?)?;
    let fields: Vec<_> = fields.iter().filter_map(|part| field(part)).collect();
    (!fields.is_empty()).then_some(fields)
}

fn field(part: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (head, value) = part.split_once("\r\n\r\n")?;
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let (_, disposition) =
        lines.find(|(name, _)| name.trim().eq_ignore_ascii_case("Content-Disposition"))?;
    let name = parameter(disposition, "name")?;
    Some((bytes(name), bytes(value.strip_suffix("\r\n")?)))
}

/// Each byte as the character of its number, because a value may contain any bytes.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The bytes of a text of [`latin1`].
fn bytes(text: &str) -> Vec<u8> {
    text.chars().filter_map(|c| u8::try_from(c).ok()).collect()
}

/// The value of `name=value` or `name="value"` among parameters that `;` separates.
fn parameter<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    let mut parameters = text.split(';').filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim_ascii().eq_ignore_ascii_case(wanted))?;
    Some(value.trim_ascii().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"preamble\r\n--x y\r\nContent-Disposition: form-data; name=\"To\"\r\n\r\n+1555\r\n\
        --x y\r\ncontent-disposition: form-data; name=Body\r\nContent-Type: text/plain\r\n\r\na\r\nb\r\n--x y--\r\n";

    #[test]
    fn the_fields_are_read_in_order_and_line_breaks_in_a_value_stay() {
        let read = fields("Multipart/Form-Data; charset=utf-8; boundary=\"x y\"", BODY);
        let field = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        assert_eq!(read, Some(vec![field("To", "+1555"), field("Body", "a\r\nb")]));
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_read_unchanged() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\xc3\xa0\r\n\r\n\x85\xff\xa0\r\n--b--\r\n";
        let field = ("\u{e0}".into(), b"\x85\xff\xa0".to_vec());
        assert_eq!(fields("multipart/form-data; boundary=b", body), Some(vec![field]));
    }

    #[test]
    fn another_media_type_or_a_damaged_body_has_no_fields() {
        for (media, body) in [
            ("multipart/form-data", BODY),
            ("multipart/form-data; boundary=", b"--"),
            ("multipart/mixed; boundary=\"x y\"", BODY),
            ("application/json; boundary=\"x y\"", BODY),
            ("multipart/form-data; boundary=\"x y\"", b"--x y\r\nno head\r\n"),
            ("multipart/form-data; boundary=\"x y\"", b""),
        ] {
            assert_eq!(fields(media, body), None, "{media}");
        }
    }
}
