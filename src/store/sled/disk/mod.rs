//! The store's folder: its path, owner, lock and format, how it is opened, and the copy before each opening.
//! Deliberately absent: the checks of the records, which `integrity` has.

pub(crate) mod access;
pub(crate) mod data_dir;
pub(crate) mod file_names;
pub(crate) mod offline_access;
pub(crate) mod open;
pub(crate) mod ownership;
pub(crate) mod path_guard;
pub(crate) mod path_marker;
pub mod placement;
pub(crate) mod pre_open_copy;
pub(crate) mod probe;
pub(crate) mod usage;
