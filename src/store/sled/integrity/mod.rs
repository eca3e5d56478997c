//! Detects and repairs damage: the scan reads every record, the seal detects missing ones, and recovery opens a store that
//! sled cannot open.

pub(crate) mod recovery;
pub(crate) mod scan;
pub(crate) mod seal;
