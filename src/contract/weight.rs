//! How much memory an encoded message takes once it is decoded, found without decoding it.

use prost::encoding::{WireType, decode_key, decode_varint};

/// The shape of a message, as far as its parts take memory of their own.
#[derive(Debug)]
pub struct Shape {
    /// Bytes of the message's own struct.
    pub size: usize,
    /// True if it becomes a JSON object of its own.
    pub is_object: bool,
    /// Number of a field, whether it is repeated, and what it holds.
    pub fields: &'static [(u32, bool, Part)],
}

/// What a field holds.
#[derive(Debug)]
pub enum Part {
    /// A message.
    Message(&'static Shape),
    /// A text in a list.
    Texts,
    /// A text that is a field of its own.
    Text,
    /// Bytes, such as a photo.
    Bytes,
    /// A list of numbers.
    Numbers,
}

/// A list that grows has room for twice as many elements.
const SLACK: usize = 2;
/// What the JSON object of a record within a record takes while the request to Zendesk is made of all of them: its map has room for
/// more than it holds, and there are two.
const OBJECT: usize = 1_600;
/// Most messages within each other; prost refuses more.
const DEEPEST: usize = 100;

impl Shape {
    /// Returns about how many bytes the message takes, or, as soon as it is known to be more than `most`, some number beyond.
    pub fn weigh(&self, encoded: &[u8], most: usize) -> usize {
        let mut weight = self.size;
        self.add(encoded, most, DEEPEST, &mut weight);
        weight
    }

    /// Adds the weight of the message's parts. What is no encoded message ends the count: prost refuses it.
    fn add(&self, mut encoded: &[u8], most: usize, deepest: usize, weight: &mut usize) -> Option<()> {
        while !encoded.is_empty() && *weight <= most {
            let (number, wire) = decode_key(&mut encoded).ok()?;
            let part =
                self.fields.iter().find(|(field, ..)| *field == number).map(|(_, repeated, part)| (*repeated, part));
            let content = content(&mut encoded, wire)?;
            match part {
                Some((repeated, Part::Message(shape))) => {
                    *weight += if repeated { shape.size * SLACK } else { 0 };
                    // Those of the request itself, as the rows of a bulk call, are made one after the other.
                    *weight += if repeated && shape.is_object && deepest < DEEPEST { OBJECT } else { 0 };
                    shape.add(content, most, deepest.checked_sub(1)?, weight)?;
                }
                Some((_, Part::Texts)) => *weight += size_of::<String>() * SLACK + of_text(content),
                Some((_, Part::Text)) => *weight += of_text(content),
                // As they are, and in the body that is sent to Zendesk, where they are the same.
                Some((_, Part::Bytes)) => *weight += 2 * content.len(),
                // Packed numbers take from one byte each.
                Some((_, Part::Numbers)) => *weight += size_of::<i64>() * SLACK * content.len(),
                None => {}
            }
        }
        Some(())
    }
}

/// Returns what a text takes: as it is, and as it is sent to Zendesk in JSON, where a control character is written with six.
fn of_text(text: &[u8]) -> usize {
    2 * text.len() + 5 * text.iter().filter(|byte| **byte < 0x20).count()
}

/// Takes the content of a field off the front.
fn content<'a>(encoded: &mut &'a [u8], wire: WireType) -> Option<&'a [u8]> {
    let before = *encoded;
    let length = match wire {
        WireType::Varint => {
            decode_varint(encoded).ok()?;
            *encoded = before;
            before.iter().position(|byte| *byte < 0x80)? + 1
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(encoded).ok()?).ok()?,
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let (content, rest) = encoded.split_at_checked(length)?;
    *encoded = rest;
    Some(content)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use crate::contract::{Request as _, Rpc};
    use crate::proto::{
        BatchGetUsersRequest, BulkCreateUsersRequest, CreateUserRequest, UploadUserPhotoRequest, UserIdentityInput,
        UserInput,
    };

    const MOST: usize = 1 << 30;

    fn rpc() -> &'static Rpc {
        BulkCreateUsersRequest::rpc()
    }

    #[test]
    fn a_list_of_empty_records_weighs_what_its_records_take() {
        let many = 10_000;
        let request = BulkCreateUsersRequest { users: vec![UserInput::default(); many], ..Default::default() };
        let encoded = request.encode_to_vec();
        assert_eq!(encoded.len(), 2 * many, "two bytes each");
        let weight = rpc().weigh(&encoded, MOST);
        assert!(weight >= many * size_of::<UserInput>(), "{weight}");
        assert!(weight <= 3 * many * size_of::<UserInput>(), "{weight}");
        let stopped = rpc().weigh(&encoded, 100_000);
        assert!((100_000..110_000).contains(&stopped), "it goes no further than it must: {stopped}");
    }

    #[test]
    fn lists_within_records_count_too() {
        let tags = vec![String::new(); 1000];
        let user = UserInput { tags, ..UserInput::default() };
        let encoded = CreateUserRequest { user: Some(user), ..Default::default() }.encode_to_vec();
        assert!(CreateUserRequest::rpc().weigh(&encoded, MOST) >= 24_000);
        let ids = BatchGetUsersRequest { ids: (1..1001).collect(), ..Default::default() }.encode_to_vec();
        assert!((8_000..40_000).contains(&BatchGetUsersRequest::rpc().weigh(&ids, MOST)));
    }

    #[test]
    fn records_within_records_weigh_what_their_json_takes() {
        let identities = vec![UserIdentityInput::default(); 1000];
        let user = UserInput { identities, ..UserInput::default() };
        let encoded = CreateUserRequest { user: Some(user.clone()), ..Default::default() }.encode_to_vec();
        assert!(CreateUserRequest::rpc().weigh(&encoded, MOST) >= 1000 * super::OBJECT);
        let encoded = BulkCreateUsersRequest { users: vec![user; 10], ..Default::default() }.encode_to_vec();
        assert!(rpc().weigh(&encoded, MOST) >= 10 * 1000 * super::OBJECT);
    }

    #[test]
    fn a_photo_weighs_what_it_takes_whatever_its_bytes_are() {
        for byte in [0, 7, b'x'] {
            let content = vec![byte; 100_000];
            let upload = UploadUserPhotoRequest { content: content.into(), ..Default::default() }.encode_to_vec();
            let weight = UploadUserPhotoRequest::rpc().weigh(&upload, MOST);
            assert!((200_000..201_000).contains(&weight), "{weight} of {byte}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_weighed(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let weight = rpc().weigh(&bytes, MOST);
            prop_assert!(weight >= size_of::<BulkCreateUsersRequest>());
            // What prost takes fits into what was said.
            if let Ok(request) = BulkCreateUsersRequest::decode(&*bytes) {
                prop_assert!(weight >= request.users.len() * size_of::<UserInput>());
            }
        }
    }
}
