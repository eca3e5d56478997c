//! Detects and repairs damage: the scan reads every record, the seal detects missing ones, recovery opens what sled cannot.

pub(crate) mod recovery;
pub(crate) mod scan;
pub(crate) mod seal;
