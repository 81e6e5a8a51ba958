//! Users: reading, searching, changing, and what is left of deleted ones.

pub mod changes;
pub mod deleted;
pub mod identities;
pub mod list;
pub mod many;
pub mod search;
pub mod show;
pub mod sideload;
pub mod write;
