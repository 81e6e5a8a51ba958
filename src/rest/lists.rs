//! The lists that the contract says all about, paging included. `proto/build/lists.rs` writes their blocks.

use super::{Style, id, list};
use crate::cache::{Policy, tag};
use crate::path;
use crate::proto;
use crate::upstream::rest::Rest;

include!(concat!(env!("OUT_DIR"), "/lists.rs"));
