//! The fields of a `multipart/form-data` body (RFC 7578), for the diagnosis of a form that was sent as one.

/// The fields in wire order, names and values as they came. `None` for another media type or a damaged body.
#[must_use]
pub fn fields(content_type: &str, body: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let (essence, parameters) = content_type.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary")?;
    let delimiter = format!("--{boundary}");
    let parts = split(body, delimiter.as_bytes());
    // Before the first delimiter and after the last one there is nothing to read.
    let fields = parts.get(1..parts.len().checked_sub(1)?)?;
    let fields: Vec<_> = fields.iter().filter_map(|part| field(part)).collect();
    (!fields.is_empty()).then_some(fields)
}

fn field(part: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let at = position(part, b"\r\n\r\n")?;
    let (head, rest) = part.split_at_checked(at)?;
    let value = rest.strip_prefix(b"\r\n\r\n")?.strip_suffix(b"\r\n")?;
    let head = String::from_utf8_lossy(head);
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut disposition =
        lines.filter(|(name, _)| name.trim().eq_ignore_ascii_case("Content-Disposition"));
    let name = parameter(disposition.next()?.1, "name")?;
    Some((name.into_bytes(), value.to_vec()))
}

/// The value of `name=value` or `name="value"` among parameters that `;` separates.
fn parameter(text: &str, wanted: &str) -> Option<String> {
    text.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.to_owned())
    })
}

fn split<'a>(mut text: &'a [u8], by: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some((part, rest)) =
        position(text, by).and_then(|at| Some((text.get(..at)?, text.get(at + by.len()..)?)))
    {
        parts.push(part);
        text = rest;
    }
    parts.push(text);
    parts
}

fn position(text: &[u8], of: &[u8]) -> Option<usize> {
    text.windows(of.len().max(1)).position(|window| window == of)
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
