//! What makes two reads the same read: the credential, the RPC, and the request.

use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::LazyLock;

use bytes::Bytes;

/// Requests come from callers, so the hash is keyed at random: nobody can prepare keys that collide.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The key under which an answer is cached. It is hashed once, when it is made; cloning shares the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    // The hash stands first, so that keys that differ are told apart by their first comparison.
    hash: u64,
    credential_fingerprint: u128,
    rpc: &'static str,
    request: Bytes,
}

impl Key {
    /// Names the answer to a request: the fingerprint of the credential that asks, the RPC's path, and the canonical
    /// request, which is the encoded message with everything left out that does not change the answer.
    pub fn new(credential_fingerprint: u128, rpc: &'static str, request: impl Into<Bytes>) -> Self {
        let request = request.into();
        let hash = HASHER.hash_one((credential_fingerprint, rpc, &*request));
        Self { hash, credential_fingerprint, rpc, request }
    }

    /// Returns the RPC's path.
    pub fn rpc(&self) -> &'static str {
        self.rpc
    }

    /// Returns the same key with a request that shares no buffer, for keeping: a slice keeps all of its buffer alive.
    pub(super) fn detached(&self) -> Self {
        Self { request: Bytes::copy_from_slice(&self.request), ..self.clone() }
    }

    /// Returns the shard, below `shards`, that the hash selects.
    pub(super) fn shard_of(&self, shards: usize) -> usize {
        usize::try_from(self.hash % shards as u64).expect("below `shards`, a usize")
    }

    pub(super) fn request_len(&self) -> usize {
        self.request.len()
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A build hasher that takes the hash from the key as it is.
pub(super) type BuildKeyHasher = BuildHasherDefault<PrecomputedHash>;

#[derive(Default)]
pub(super) struct PrecomputedHash(u64);

impl Hasher for PrecomputedHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a key hashes as one number");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_credential_by_rpc_and_by_request() {
        let key = |credential, rpc, request: &'static str| Key::new(credential, rpc, request);
        let one = key(1, "/Get", "7");
        assert_eq!(one, key(1, "/Get", "7"));
        for other in [key(2, "/Get", "7"), key(1, "/List", "7"), key(1, "/Get", "8"), key(1, "/Get7", "")] {
            assert_ne!(one, other);
            assert_ne!(one.hash, other.hash);
        }
    }

    #[test]
    fn a_kept_key_does_not_keep_the_buffer_it_was_cut_from() {
        let page = Bytes::from(vec![7; 1000]);
        let key = Key::new(1, "/Get", page.slice(..10));
        let kept = key.detached();
        drop(key);
        assert!(page.is_unique());
        assert_eq!(kept, Key::new(1, "/Get", vec![7; 10]));
    }
}
