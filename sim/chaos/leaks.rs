//! Canaries: every number, token, text and signature of a run is made so that it can be known again, as
//! bytes, wherever it should not be.

use std::path::Path;

use crate::history::{History, What};
use crate::identities::{NOBODY, PERSON, SECRET, TEXT};

/// 20 bytes in Base64: so many characters, and an equals sign.
const SIGNATURE: usize = 27;

/// The canaries in these bytes, by what they are.
pub(crate) fn canaries(bytes: &[u8]) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (canary, what) in [
        (PERSON, "a person's number"),
        (NOBODY, "an invented number"),
        (SECRET, "a secret"),
        (TEXT, "a text"),
        ("Basic ", "an Authorization header"),
    ] {
        if holds(bytes, canary.as_bytes()) {
            found.push(what);
        }
    }
    if has_signature(bytes) {
        found.push("a signature");
    }
    found
}

/// Notes each canary in these bytes as a leak.
pub(crate) fn listen(history: &History, place: &str, bytes: &[u8]) {
    for what in canaries(bytes) {
        let (place, what) = (place.to_owned(), what.to_owned());
        history.note(What::Leak { place, what });
    }
}

/// The same for every file of a folder. One that is taken away meanwhile was looked at before.
pub(crate) fn listen_in(history: &History, place: &str, folder: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            listen_in(history, place, &path)?;
        } else if path.is_file()
            && let Ok(bytes) = std::fs::read(&path)
        {
            listen(history, &format!("{place}: {}", path.display()), &bytes);
        }
    }
    Ok(())
}

fn holds(bytes: &[u8], canary: &[u8]) -> bool {
    let Some((first, rest)) = canary.split_first() else { return false };
    // Whole stores are read, so it is the quick way to most of their bytes.
    let mut left = bytes;
    while let Some(at) = left.iter().position(|byte| byte == first) {
        left = left.get(at + 1..).unwrap_or_default();
        if left.starts_with(rest) {
            return true;
        }
    }
    false
}

/// 20 bytes in Base64: 27 characters and an equals sign, and nothing of Base64 before them.
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
    fn every_canary_is_known_when_it_sings_among_any_bytes() {
        for (text, found) in [
            ("to +49157701000001", "a person's number"),
            ("to 49157702000001", "an invented number"),
            ("token f00dca9a0011", "a secret"),
            ("and a-canary-sang", "a text"),
            ("Basic eDp5", "an Authorization header"),
            ("sig 0123456789abcdefghijklmnopq= sent", "a signature"),
        ] {
            let bytes = [b"\xff\0".as_slice(), text.as_bytes(), b"\xfe\0"].concat();
            assert_eq!(canaries(&bytes), [found], "{text}");
        }
        assert!(canaries(b"SMa1000000000000000000000000000001 reported, a=b==").is_empty());
        assert!(canaries(&[0xff; 64]).is_empty() && canaries(b"f00dca9").is_empty());
    }

    #[test]
    fn what_sings_in_a_folder_is_in_the_history() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("history");
        let store = folder.path().join("store");
        std::fs::create_dir_all(store.join("blobs")).expect("made");
        std::fs::write(store.join("db"), b"\xff\0nothing").expect("written");
        std::fs::write(store.join("blobs/1"), b"\xff\0f00dca9a\xff").expect("written");
        let written = History::create(&path).expect("made");
        listen_in(&written, "the store", &store).expect("read");
        written.flush().expect("written");
        let events = history::read(&path).expect("a history");
        let leaks: Vec<_> = events.iter().map(|event| &event.what).collect();
        assert!(
            matches!(&leaks[..], [What::Leak { place, what }]
                if place.contains("blobs/1") && what == "a secret"),
            "{leaks:?}"
        );
    }
}
