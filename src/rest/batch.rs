//! A request for many records by their ids.

use bytes::Bytes;

use super::page::Sideloads;
use super::read::Read;
use super::row::Row;
use crate::contract;
use crate::error::Result;
use crate::upstream::rest::Rest;

/// A request for many records by id or by external id. The reply has the records in field 1, then the ids without one: see
/// [`LeftOut`].
pub trait Batch: contract::Request {
    /// The record.
    type Row: Row + PartialEq;
    /// The request for one record, whose reply has it in field 1, too.
    type One: Read;

    /// Returns the request for one record.
    fn one(id: i64) -> Self::One;

    /// Returns the ids and the external ids that are asked for.
    fn lists(&self) -> (&[i64], &[String]);

    /// Returns the request for some of them, named in the query by `key`: `ids` or `external_ids`.
    fn rest(&self, key: &'static str, list: String) -> Result<Rest>;

    /// True if it asks for more beside the records. What is cached of these has none of it.
    fn is_for_more(&self) -> bool {
        false
    }

    /// Returns the part of the reply that has what came beside the records, and how many of it cannot be read.
    fn beside(_sideloads: Sideloads, _unreadable_rows: i32) -> Self::Reply {
        Self::Reply::default()
    }

    /// Returns a record's external id, and which of the record's fields cannot be read.
    fn external_id(row: &Self::Row) -> (Option<&str>, &[String]);

    /// True if a record that is cached belongs into the reply; `reply` is that to [`one`](Self::one).
    fn takes(&self, _reply: &Bytes) -> bool {
        true
    }

    /// True if a record that [`one`](Self::one) does not find can be there nevertheless.
    fn finds_more(&self) -> bool {
        false
    }
}

/// The ids without a record, in the fields that every reply of a [`Batch`] has for them.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LeftOut {
    /// Ids that no record has.
    #[prost(int64, repeated, tag = "2")]
    pub missing_ids: Vec<i64>,
    /// External ids that no record has.
    #[prost(string, repeated, tag = "3")]
    pub missing_external_ids: Vec<String>,
    /// Ids that a record may have that cannot be read.
    #[prost(int64, repeated, tag = "4")]
    pub unreadable_ids: Vec<i64>,
    /// External ids that a record may have that cannot be read.
    #[prost(string, repeated, tag = "5")]
    pub unreadable_external_ids: Vec<String>,
}
