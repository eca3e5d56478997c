//! Reads all rows of a store kind by kind, without the writer, for an export.

use crate::store::Records;
use crate::store::engine::StoredRow;
use crate::store::sled::error::Fatal;
use crate::store::sled::keys;
use crate::store::sled::reader::StoreReader;
use crate::store::sled::rows::read_row;

/// The order of an export. Holds come first, so that an import reports nothing that was on hold. Deduplication keys come
/// before evidence, so that no act counts twice. Evidence comes before messages, which may be confirmed by it meanwhile, and
/// links after messages, which may be found in them meanwhile.
const KINDS: [u8; 8] = [
    keys::HOLD,
    keys::DEDUP,
    keys::NAMES,
    keys::AUTOMATIC,
    keys::PARKED,
    keys::MESSAGE,
    keys::LINK,
    keys::SENDER,
];

pub(crate) fn records(
    reader: &StoreReader,
    cursor: Option<Vec<u8>>,
    limit: usize,
) -> Result<Records, Fatal> {
    let limit = limit.max(1);
    let mut page = Records::default();
    let kind_of = |cursor: &Vec<u8>| KINDS.iter().position(|kind| cursor.first() == Some(kind));
    // The cursor comes from a client. An unknown cursor starts at the beginning.
    let at = cursor.as_ref().and_then(kind_of);
    let (first, mut cursor) = (at.unwrap_or_default(), cursor.filter(|_| at.is_some()));
    for kind in KINDS.into_iter().skip(first) {
        let from = cursor.take().unwrap_or_else(|| vec![kind]);
        for entry in reader.tree.range(from..vec![kind + 1]) {
            let (key, value) = entry?;
            if page.records.len() == limit {
                page.next = Some(key.to_vec());
                return Ok(page);
            }
            page.records.extend(read_row(&key, &value)?.and_then(StoredRow::exported));
        }
    }
    Ok(page)
}
