//! The methods that metrics, logs and layers tell apart: those of the contract, health and reflection. All other paths count as
//! one method, `_OTHER`.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

use crate::contract::{RPCS, Rpc};

/// A method.
#[derive(Debug)]
pub struct Method {
    /// The method's number, from 1; 0 is `_OTHER`.
    pub index: usize,
    /// `rpc.method`: the service's full name, a slash, and the method's name.
    pub name: &'static str,
    /// The full name of its service; for `_OTHER`, a name that no service has.
    pub service: &'static str,
    /// True if the server streams.
    pub streaming: bool,
    /// True if a call may have any number of request messages.
    pub client_streaming: bool,
    /// Its place in [`RPCS`], if it is one of the contract's.
    pub rpc: Option<usize>,
    /// True for health checks, which machines call all the time: their access lines have the level DEBUG.
    pub quiet: bool,
}

impl Method {
    /// True for a method of the contract.
    pub fn is_ours(&self) -> bool {
        self.rpc.is_some()
    }

    /// Returns the contract's entry for the method; none if the contract does not have it.
    pub fn rpc(&self) -> Option<&'static Rpc> {
        self.rpc.map(|place| &RPCS[place])
    }
}

impl Method {
    /// Returns a method that is none of the contract's.
    const fn beside(name: &'static str, streaming: bool, client_streaming: bool, quiet: bool) -> Self {
        Self { index: 0, name, service: name, streaming, client_streaming, rpc: None, quiet }
    }
}

/// How a method is called that is not served, such as what replicas of a fleet ask each other.
pub const OTHER_NAME: &str = "_OTHER";
/// Nobody reads a message of what is not served, so their number does not matter.
static OTHER: Method = Method::beside(OTHER_NAME, false, true, false);

/// What this server serves besides the contract.
const COMMON: [Method; 4] = [
    Method::beside("grpc.health.v1.Health/Check", false, false, true),
    Method::beside("grpc.health.v1.Health/Watch", true, false, true),
    Method::beside("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", true, true, false),
    Method::beside("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", true, true, false),
];

static METHODS: LazyLock<HashMap<&'static str, Method, BuildHasherDefault<NameHasher>>> = LazyLock::new(|| {
    let contract = RPCS.iter().enumerate().map(|(place, rpc)| Method {
        rpc: Some(place),
        ..Method::beside(rpc.path.trim_start_matches('/'), rpc.streaming, rpc.client_streaming, false)
    });
    let numbered = contract.chain(COMMON).zip(1..).map(|(method, index)| {
        let service = method.name.split_once('/').map_or(method.name, |(service, _)| service);
        Method { index, service, ..method }
    });
    numbered.map(|method| (method.name, method)).collect()
});

/// Hashes the names of methods, eight bytes at a time: every call's name is looked up, and the usual hash takes three times as long
/// because it is safe against names that are made to collide. Here nobody gains by that: the table holds our own names only.
#[derive(Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, _) = bytes.as_chunks();
        // The last eight bytes again, for those that are left over. All names are longer.
        for word in words.iter().chain(bytes.last_chunk()) {
            self.write_u64(u64::from_le_bytes(*word));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_u64(&mut self, word: u64) {
        // An odd number without a pattern, so that each bit of the word reaches the upper half.
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

/// Returns the method of a request path.
pub fn of(path: &str) -> &'static Method {
    METHODS.get(path.strip_prefix('/').unwrap_or_default()).unwrap_or(&OTHER)
}

/// Returns how many methods there are.
pub fn count() -> usize {
    METHODS.len() + 1
}
