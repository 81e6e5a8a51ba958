//! A page that waits for a slow caller is compressed, to a sixth of its memory.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::leaf::Leaf;
use super::message::Message;
use crate::rest::page::Next;

const OURS: &str = "the gateway packed it";

/// A [`Leaf`] whose messages are compressed together.
pub struct Packed {
    bytes: Vec<u8>,
    /// The length of each message, and the ids of its rows.
    messages: Vec<(usize, Vec<i64>)>,
    next: Next,
    count: Option<i64>,
    unreadable: i32,
}

impl Packed {
    /// Compresses a page.
    pub fn new(Leaf { messages, next, count, unreadable }: Leaf) -> Self {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        let mut lengths = Vec::with_capacity(messages.len());
        for Message { bytes, ids } in messages {
            encoder.write_all(&bytes).expect("a vector grows");
            lengths.push((bytes.len(), ids));
        }
        let mut bytes = encoder.finish().expect("a vector grows");
        bytes.shrink_to_fit();
        Self { bytes, messages: lengths, next, count, unreadable }
    }

    /// Returns the page as it was.
    pub fn unpack(self) -> Leaf {
        let mut decoder = DeflateDecoder::new(self.bytes.as_slice());
        let unpack = |(length, ids)| {
            let mut bytes = vec![0; length];
            decoder.read_exact(&mut bytes).expect(OURS);
            Message { bytes: bytes.into(), ids }
        };
        let messages = self.messages.into_iter().map(unpack).collect();
        Leaf { messages, next: self.next, count: self.count, unreadable: self.unreadable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_page_is_small_and_comes_back_as_it_was() {
        let record = |id: i64| format!("User {id}, user{id}@example.com, agent, Europe/Berlin, en-US, true");
        let messages: Vec<Message> = (0..4)
            .map(|number| {
                let ids: Vec<i64> = (number * 25..number * 25 + 25).collect();
                let bytes = ids.iter().map(|id| record(*id).repeat(4)).collect::<String>();
                Message { bytes: bytes.into(), ids }
            })
            .collect();
        let seen = |messages: &[Message]| -> Vec<(bytes::Bytes, Vec<i64>)> {
            messages.iter().map(|message| (message.bytes.clone(), message.ids.clone())).collect()
        };
        let (before, all) = (seen(&messages), messages.iter().map(|message| message.bytes.len()).sum::<usize>());
        let next = Next::Cursor("next".to_owned());
        let packed = Packed::new(Leaf { messages, next, count: Some(100), unreadable: 3 });
        assert!(packed.bytes.capacity() < all / 4, "{all} bytes became {}", packed.bytes.capacity());
        let leaf = packed.unpack();
        assert_eq!(seen(&leaf.messages), before);
        assert_eq!((leaf.next, leaf.count), (Next::Cursor("next".to_owned()), Some(100)));
        assert_eq!(leaf.unreadable, 3);
    }
}
