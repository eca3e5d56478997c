//! Leak detection: every number, token, text and signature of a run contains a marker, which must not appear in a log,
//! a response, a metric or on disk.

use std::path::Path;

use crate::history::{EventKind, History};
use crate::identities::{BODY_MARKER, RECIPIENT_PREFIX, SECRET_PREFIX, UNKNOWN_PREFIX};

/// 20 bytes in Base64, without the equals sign.
const SIGNATURE: usize = 27;

/// The markers in these bytes, by their kind.
pub(crate) fn markers(bytes: &[u8]) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (marker, kind) in [
        (RECIPIENT_PREFIX, "a person's number"),
        (UNKNOWN_PREFIX, "an invented number"),
        (SECRET_PREFIX, "a secret"),
        (BODY_MARKER, "a text"),
        ("Basic ", "an Authorization header"),
    ] {
        if holds(bytes, marker.as_bytes()) {
            found.push(kind);
        }
    }
    if has_signature(bytes) {
        found.push("a signature");
    }
    found
}

/// Records each marker in these bytes as a leak.
pub(crate) fn scan(history: &History, location: &str, bytes: &[u8]) {
    for kind in markers(bytes) {
        let (location, kind) = (location.to_owned(), kind.to_owned());
        history.note(EventKind::Leak { location, kind });
    }
}

/// Scans every file of a folder. A file that is removed meanwhile is skipped.
pub(crate) fn scan_folder(history: &History, location: &str, folder: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            scan_folder(history, location, &path)?;
        } else if path.is_file()
            && let Ok(bytes) = std::fs::read(&path)
        {
            scan(history, &format!("{location}: {}", path.display()), &bytes);
        }
    }
    Ok(())
}

fn holds(bytes: &[u8], marker: &[u8]) -> bool {
    let Some((first, rest)) = marker.split_first() else { return false };
    // Whole stores are scanned, so the loop skips to the first byte of the marker.
    let mut left = bytes;
    while let Some(at) = left.iter().position(|byte| byte == first) {
        left = left.get(at + 1..).unwrap_or_default();
        if left.starts_with(rest) {
            return true;
        }
    }
    false
}

/// 20 bytes in Base64: 27 characters and an equals sign, not preceded by another character of Base64.
fn has_signature(bytes: &[u8]) -> bool {
    let in_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    bytes.split_inclusive(|byte| *byte == b'=').any(|piece| {
        let word = piece.iter().rev().skip(1).take_while(|byte| in_base64(byte)).count();
        piece.ends_with(b"=") && word == SIGNATURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history;

    #[test]
    fn every_marker_is_found_among_any_bytes() {
        for (text, found) in [
            ("to +49157701000001", "a person's number"),
            ("to 49157702000001", "an invented number"),
            ("token f00dca9a0011", "a secret"),
            ("and a-marked-text", "a text"),
            ("Basic eDp5", "an Authorization header"),
            ("sig 0123456789abcdefghijklmnopq= sent", "a signature"),
        ] {
            let bytes = [b"\xff\0".as_slice(), text.as_bytes(), b"\xfe\0"].concat();
            assert_eq!(markers(&bytes), [found], "{text}");
        }
        assert!(markers(b"SMa1000000000000000000000000000001 reported, a=b==").is_empty());
        assert!(markers(&[0xff; 64]).is_empty() && markers(b"f00dca9").is_empty());
    }

    #[test]
    fn a_marker_in_a_folder_is_recorded_in_the_history() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("history");
        let store = folder.path().join("store");
        std::fs::create_dir_all(store.join("blobs")).expect("made");
        std::fs::write(store.join("db"), b"\xff\0nothing").expect("written");
        std::fs::write(store.join("blobs/1"), b"\xff\0f00dca9a\xff").expect("written");
        let written = History::create(&path).expect("made");
        scan_folder(&written, "the store", &store).expect("read");
        written.flush().expect("written");
        let events = history::read(&path).expect("a history");
        let leaks: Vec<_> = events.iter().map(|event| &event.kind).collect();
        assert!(
            matches!(&leaks[..], [EventKind::Leak { location, kind }]
                if location.contains("blobs/1") && kind == "a secret"),
            "{leaks:?}"
        );
    }
}
