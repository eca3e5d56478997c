//! Stores of older formats are refused and left unchanged.

use std::fs;

use heardback::store::sled::OpenError;

use crate::given::{Hands, registered, sled, try_sled};

#[tokio::test]
async fn a_store_of_an_older_format_is_refused_unchanged_with_the_steps_to_transfer_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = sled(folder.path(), Hands::default().clock());
    store.remember(registered(1, 0)).await.expect("remembered");
    store.close().await;
    drop(store);
    let db = fs::read(folder.path().join("db")).expect("there");
    for found in 1..6 {
        fs::write(folder.path().join("FORMAT"), format!("{found}\n")).expect("written");
        let refused = try_sled(folder.path(), Hands::default().clock()).err().expect("refused");
        assert!(matches!(refused, OpenError::OlderFormat { .. }), "{refused}");
        let words = refused.to_string();
        for part in ["heardback export", "heardback import", "move the folder away"] {
            assert!(words.contains(part), "{words}");
        }
        assert_eq!(fs::read(folder.path().join("db")).expect("there"), db);
    }
    fs::write(folder.path().join("FORMAT"), "6\n").expect("written");
    assert_eq!(sled(folder.path(), Hands::default().clock()).counts().total(), 1);
}
