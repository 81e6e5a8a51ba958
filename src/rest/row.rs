//! The records that Zendesk lists. `proto/build/rows.rs` writes what each of them is, and how the replies of lists are filled.

use bytes::Bytes;
use prost::encoding::WireType;
use serde::de::DeserializeOwned;

use crate::cache::Policy;
use crate::proto::{SideloadedRole, UserAbilities};
use crate::rest::read::Read;
use crate::upstream::rest::{Names, is_text_id};

/// Number of the field that holds the record in every single read's reply, and the rows in every stream's messages.
pub const FIELD: u32 = 1;

/// A record that Zendesk lists.
pub trait Row: prost::Message + DeserializeOwned + Default + 'static {
    /// The key of the list in Zendesk's JSON.
    const KEY: &'static str;
    /// True if an export lists such records, under the key that exports have for records of any kind.
    const EXPORTED: bool = false;
    /// True if pages can have sideloads.
    const SIDELOADS: bool = false;

    /// Returns the record's id; none if it has no numeric one.
    fn id(&self) -> Option<i64>;

    /// True unless the record has an id that cannot be read, so that nobody could tell which record it is.
    fn is_usable(&self) -> bool {
        self.id().is_none_or(|id| id > 0)
    }

    /// True if rows name other records.
    const NAMES: bool = false;

    /// Returns the records that this row names.
    fn names(&self) -> Names {
        Names::default()
    }

    /// Returns the read whose answer is the row with this id in an envelope; none if no RPC reads this record alone.
    fn read_of(_id: i64, _reply: impl FnOnce() -> Bytes) -> Option<OwnRead> {
        None
    }

    /// Returns the read whose answer is this row.
    fn own_read(&self) -> Option<OwnRead> {
        Self::read_of(self.id().filter(|id| *id > 0)?, || self.in_envelope())
    }

    /// Returns the encoded envelope of this row.
    fn in_envelope(&self) -> Bytes {
        // As `message::encode`, which would count the length once more.
        let length = self.encoded_len();
        let mut bytes = Vec::with_capacity(length + 6);
        prost::encoding::encode_key(FIELD, WireType::LengthDelimited, &mut bytes);
        prost::encoding::encode_varint(length as u64, &mut bytes);
        self.encode_raw(&mut bytes);
        bytes.into()
    }
}

/// A read, and its answer.
pub struct OwnRead {
    /// The RPC's path.
    pub rpc: &'static str,
    /// The encoded request.
    pub request: Vec<u8>,
    /// How the answer is cached.
    pub policy: Policy,
    /// The encoded reply.
    pub reply: Bytes,
}

impl OwnRead {
    fn of<R: Read>(request: &R, reply: Bytes) -> Self {
        Self { rpc: R::rpc().path, request: request.encode_to_vec(), policy: request.cache(), reply }
    }
}

// What comes beside users, and no RPC lists.
impl Row for SideloadedRole {
    const KEY: &'static str = "roles";

    /// Zendesk's own roles have no id.
    fn id(&self) -> Option<i64> {
        None
    }
}

impl Row for UserAbilities {
    const KEY: &'static str = "abilities";

    fn id(&self) -> Option<i64> {
        Some(self.user_id)
    }
}

include!(concat!(env!("OUT_DIR"), "/rows.rs"));
