//! The store's folder: where it lies, who owns it, the lock, opening it, and the copy that is made before each opening.

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
