//! The corpora of `fuzz/`, replayed without a fuzzer: the assertions of each target hold for each
//! input.
//!
//! The bodies are the targets' own files. `record` is not among them: its subject is private to the
//! store, which replays that corpus itself (`src/store/sled/fuzzed.rs`).

use std::path::Path;

#[path = "../../fuzz/src/form.rs"]
#[expect(unreachable_pub, reason = "public in the package that fuzzes")]
mod form;
#[path = "../../fuzz/src/recording.rs"]
#[expect(unreachable_pub, reason = "public in the package that fuzzes")]
mod recording;
#[path = "../../fuzz/src/signals.rs"]
#[expect(unreachable_pub, reason = "public in the package that fuzzes")]
mod signals;
#[path = "../../fuzz/src/signature.rs"]
#[expect(unreachable_pub, reason = "public in the package that fuzzes")]
mod signature;

/// Passes each input to the target's body. An empty corpus proves nothing.
fn replayed(target: &str, holds: impl Fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(corpus).expect("a corpus") {
        let path = entry.expect("readable").path();
        let input = std::fs::read(&path).expect("readable");
        assert!(input.len() <= 1024, "{} is not small", path.display());
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| holds(&input)));
        assert!(held.is_ok(), "{}", path.display());
        inputs += 1;
    }
    assert!((10..=100).contains(&inputs), "{inputs} inputs of {target}");
}

#[test]
fn every_form_of_the_corpus_is_parsed_as_serde_urlencoded_parses_it() {
    replayed("form", form::holds);
}

#[test]
fn every_recording_of_the_corpus_survives_a_round_trip() {
    replayed("recording", recording::holds);
}

#[test]
fn every_signal_of_the_corpus_is_parsed_as_the_fuzz_target_asserts() {
    replayed("signals", signals::holds);
}

#[test]
fn every_signature_of_the_corpus_has_the_same_result_in_a_second_verification() {
    replayed("signature", signature::holds);
}
