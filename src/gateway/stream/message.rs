//! The messages of a stream and the replies of lists, encoded while the rows are parsed.
//!
//! A row is encoded as soon as it was parsed, so no page of structs is ever held: what waits for a slow caller is as large
//! as what is sent. Rows are in field 1 of every list's reply and stream's messages, and protobuf fields can follow in any order, so
//! what is known only at the page's end (the token, the sideloads) is written after the rows.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use serde::Deserializer;
use serde::de::{SeqAccess, Visitor};

use crate::rest::Part;
use crate::rest::page::{Page, Rows, next_row};
use crate::rest::row::{self, OwnRead, Row};
use crate::upstream::rest::{Names, Owner};

/// Most encoded bytes of rows in one message, so that flow control works in small steps; a message can exceed it by one row
/// that is larger than those before it. As much is allocated for a message at once: a growing buffer ends up twice as large.
const BYTES: usize = 16 << 10;

/// Some rows of a page, encoded.
#[derive(Debug)]
pub struct Message {
    /// The encoded message.
    pub bytes: Bytes,
    /// The ids of its rows; empty for records without a numeric id.
    pub ids: Vec<i64>,
}

/// The rows of a page, encoded in chunks that become its messages.
#[derive(Debug)]
pub struct Chunks<R> {
    list: Vec<Chunk>,
    /// How many rows there are.
    rows: usize,
    /// Bytes of the largest row so far.
    largest: usize,
    row: PhantomData<fn() -> R>,
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    ids: Vec<i64>,
    /// The records that each row names.
    names: Vec<Names>,
}

impl Chunk {
    fn new() -> Self {
        Self { bytes: Vec::with_capacity(BYTES), ids: Vec::new(), names: Vec::new() }
    }
}

impl<R> Default for Chunks<R> {
    fn default() -> Self {
        Self { list: Vec::new(), rows: 0, largest: 0, row: PhantomData }
    }
}

impl<R: Row> Rows for Chunks<R> {
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Writer<R>(PhantomData<R>);
        impl<'de, R: Row> Visitor<'de> for Writer<R> {
            type Value = Chunks<R>;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(to, "a list of {}", R::KEY)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Chunks<R>, A::Error> {
                let mut chunks = Chunks::default();
                while let Some(row) = next_row::<R, (i64, Names), A>(&mut rows)? {
                    if let Some(row) = row {
                        chunks.push(&row);
                    }
                }
                Ok(chunks)
            }
        }
        from.deserialize_seq(Writer(PhantomData))
    }

    fn count(&self) -> usize {
        self.rows
    }

    fn belong_to(&self, owner: Owner) -> bool {
        self.list.iter().flat_map(|chunk| &chunk.names).all(|names| owner.has(*names))
    }
}

impl<R: Row> Chunks<R> {
    fn push(&mut self, row: &R) {
        let chunk = match self.list.last_mut() {
            // There is room for a row as large as the largest so far. This row's own size is not known before it is encoded.
            Some(chunk) if chunk.bytes.len() + self.largest <= BYTES => chunk,
            _ => self.list.push_mut(Chunk::new()),
        };
        let before = chunk.bytes.len();
        prost::encoding::message::encode(row::FIELD, row, &mut chunk.bytes);
        self.largest = self.largest.max(chunk.bytes.len() - before);
        chunk.ids.extend(row.id());
        if R::NAMES {
            chunk.names.push(row.names());
        }
        self.rows += 1;
    }
}

impl<R: Row> Page<R, Chunks<R>> {
    /// Returns the messages of the page; the last one carries the token of the page that follows.
    pub fn messages<M: From<Part<R>> + prost::Message>(mut self, token: &str) -> Vec<Message> {
        let mut chunks = std::mem::take(&mut self.rows.list);
        if chunks.is_empty() && self.unreadable_rows > 0 {
            // A page of which no row can be read has a message, too, or nobody would know.
            chunks.push(Chunk::new());
        }
        let last = chunks.len().saturating_sub(1);
        let finish = |(at, chunk): (usize, Chunk)| {
            let Chunk { mut bytes, ids, names } = chunk;
            let next_page_token = if at == last { token.to_owned() } else { String::new() };
            let page = self.part(&names, at == last);
            let others = M::from(Part { page, next_page_token });
            others.encode(&mut bytes).expect("a vector grows");
            bytes.shrink_to_fit();
            Message { bytes: bytes.into(), ids }
        };
        chunks.into_iter().enumerate().map(finish).collect()
    }

    /// Returns the whole page as one message.
    pub fn reply<M: From<Part<R>> + prost::Message>(mut self, token: String) -> Message {
        let chunks = std::mem::take(&mut self.rows.list);
        let others = M::from(Part { page: self.without_rows(), next_page_token: token });
        let rows: usize = chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        let mut bytes = Vec::with_capacity(rows + others.encoded_len());
        for chunk in &chunks {
            bytes.extend_from_slice(&chunk.bytes);
        }
        others.encode(&mut bytes).expect("a vector grows");
        Message { bytes: bytes.into(), ids: chunks.into_iter().flat_map(|chunk| chunk.ids).collect() }
    }
}

impl Message {
    /// Returns what tells its rows from others: their ids, or their bytes where they have none. Empty if there are none.
    pub fn identity(&self) -> (&[i64], Vec<&[u8]>) {
        let rows = || fields(&self.bytes).filter(|(tag, _)| *tag == row::FIELD).map(|(_, row)| row);
        (&self.ids, if self.ids.is_empty() { rows().collect() } else { Vec::new() })
    }

    /// Removes the rows whose ids are in `seen`, and adds the ids of the others to it.
    pub fn retain_new(&mut self, seen: &mut HashSet<i64>) {
        let new: Vec<bool> = self.ids.iter().map(|id| seen.insert(*id)).collect();
        if new.iter().all(|new| *new) {
            return;
        }
        let mut kept = Vec::with_capacity(self.bytes.len());
        let mut row = 0;
        for (tag, field) in fields(&self.bytes) {
            if tag == row::FIELD {
                row += 1;
            }
            if tag != row::FIELD || new[row - 1] {
                kept.extend_from_slice(field);
            }
        }
        self.bytes = kept.into();
        let mut new = new.iter();
        self.ids.retain(|_| new.next() == Some(&true));
    }

    /// Returns the rows as answers to the reads of single records, whose replies have the record in the same field.
    pub fn own_reads<R: Row>(&self) -> impl Iterator<Item = OwnRead> {
        let rows = fields(&self.bytes).filter(|(tag, _)| *tag == row::FIELD);
        // Copied, so that a cached row does not keep the whole message in memory.
        let known = rows.zip(&self.ids).filter(|(_, id)| **id > 0);
        known.filter_map(|((_, row), id)| R::read_of(*id, || Bytes::copy_from_slice(row)))
    }
}

/// Returns the fields of an encoded message: each tag number, and the field's bytes including the tag.
fn fields(message: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    const OURS: &str = "the gateway encoded it";
    let mut left = message;
    std::iter::from_fn(move || {
        let from = left;
        if from.is_empty() {
            return None;
        }
        let (tag, wire) = decode_key(&mut left).expect(OURS);
        skip_field(wire, tag, &mut left, DecodeContext::default()).expect(OURS);
        Some((tag, &from[..from.len() - left.len()]))
    })
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::{
        Group, GroupMembership, StreamGroupsResponse, StreamMembershipsResponse, StreamUsersResponse, User,
    };

    fn messages<R: Row, M: From<Part<R>> + prost::Message + Default>(json: &str) -> (Vec<Message>, Vec<M>) {
        let page: Page<R, Chunks<R>> = serde_json::from_str(json).expect("a page");
        let messages = page.messages::<M>("next");
        let decoded = messages.iter().map(|message| M::decode(message.bytes.clone()).expect("a message")).collect();
        (messages, decoded)
    }

    fn groups(ids: &[i64]) -> String {
        let rows = ids.iter().map(|id| format!(r#"{{"id":{id},"name":"{}"}}"#, "n".repeat(5_000)));
        format!(r#"{{"groups":[{}],"next_page":null}}"#, rows.collect::<Vec<_>>().join(","))
    }

    #[test]
    fn a_page_becomes_messages_of_some_kilobytes_and_the_last_has_the_token() {
        let (_, messages) = messages::<Group, StreamGroupsResponse>(&groups(&[1, 2, 3, 4, 5]));
        let ids: Vec<Vec<i64>> =
            messages.iter().map(|message| message.groups.iter().map(|group| group.id).collect()).collect();
        assert_eq!(ids, [vec![1, 2, 3], vec![4, 5]]);
        let tokens: Vec<&str> = messages.iter().map(|message| message.next_page_token.as_str()).collect();
        assert_eq!(tokens, ["", "next"]);
    }

    #[test]
    fn rows_take_no_more_memory_than_they_are_sent_with() {
        let rows: Vec<String> = (1..=100).map(|id| format!(r#"{{"id":{id},"name":"{}"}}"#, "n".repeat(600))).collect();
        let page = format!(r#"{{"groups":[{}],"next_page":null}}"#, rows.join(","));
        let page: Page<Group, Chunks<Group>> = serde_json::from_str(&page).expect("a page");
        let sizes: Vec<usize> = page.rows.list.iter().map(|chunk| chunk.bytes.capacity()).collect();
        assert_eq!(sizes, [BYTES; 4], "no buffer had to grow");
        let (_, messages) = messages::<Group, StreamGroupsResponse>(&groups(&[1, 2, 3, 4, 5]));
        assert!(messages.iter().all(|message| message.encoded_len() <= BYTES));
    }

    #[test]
    fn what_a_row_took_that_is_encoded_is_there_for_the_next() {
        let tags = vec![r#""a""#; 100].join(",");
        let rows: Vec<String> = (1..=5_000).map(|id| format!(r#"{{"id":{id},"tags":[{tags}]}}"#)).collect();
        let body = format!(r#"{{"users":[{}],"meta":{{"has_more":false}}}}"#, rows.join(","));
        let page = Page::<User, Chunks<User>>::read(body.as_bytes(), Owner::Anybody).expect("it is read");
        let messages = page.messages::<StreamUsersResponse>("");
        let decode = |message: &Message| StreamUsersResponse::decode(message.bytes.clone()).expect("a message").users;
        let users: Vec<User> = messages.iter().flat_map(decode).collect();
        assert!(users.len() == 5_000 && users.iter().all(|user| user.tags.len() == 100));
    }

    #[test]
    fn each_message_has_the_sideloads_that_its_rows_name() {
        let json = r#"{"group_memberships":[{"id":1,"user_id":7,"group_id":8},{"id":2,"user_id":7,"group_id":9}],
            "users":[{"id":6},{"id":7}],"groups":[{"id":8},{"id":9},{"id":10}],"meta":{"has_more":false}}"#;
        let (_, messages) = messages::<GroupMembership, StreamMembershipsResponse>(json);
        let [message] = messages.as_slice() else { panic!("one small message: {messages:?}") };
        assert_eq!(message.users, [User { id: 7, ..User::default() }]);
        assert_eq!(message.groups.iter().map(|group| group.id).collect::<Vec<_>>(), [8, 9]);
    }

    #[test]
    fn rows_that_were_seen_before_are_taken_out_and_nothing_else_is() {
        let (mut encoded, _) = messages::<Group, StreamGroupsResponse>(&groups(&[1, 2, 3]));
        let mut seen = HashSet::from([2]);
        encoded[0].retain_new(&mut seen);
        let message = StreamGroupsResponse::decode(encoded[0].bytes.clone()).expect("a message");
        assert_eq!(message.groups.iter().map(|group| group.id).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((message.next_page_token.as_str(), encoded[0].ids.as_slice()), ("next", [1, 3].as_slice()));
        assert_eq!(seen, HashSet::from([1, 2, 3]));
        encoded[0].retain_new(&mut seen);
        let message = StreamGroupsResponse::decode(encoded[0].bytes.clone()).expect("a message");
        assert_eq!((message.groups.len(), message.next_page_token.as_str()), (0, "next"));
    }

    #[test]
    fn a_row_in_a_message_is_the_answer_to_its_own_read() {
        let (encoded, decoded) = messages::<Group, StreamGroupsResponse>(&groups(&[1, 2]));
        let reads: Vec<OwnRead> = encoded[0].own_reads::<Group>().collect();
        let replies: Vec<Bytes> = reads.into_iter().map(|read| read.reply).collect();
        assert_eq!(replies, decoded[0].groups.iter().map(Row::in_envelope).collect::<Vec<_>>());
    }
}
