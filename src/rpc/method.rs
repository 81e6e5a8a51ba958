//! The methods that metrics, logs and layers tell apart: those of the contract, health and reflection. All other paths count as
//! one method, `_OTHER`.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::contract::{RPCS, Rpc};

/// A method.
#[derive(Debug)]
pub struct Method {
    /// The method's number, from 1; 0 is `_OTHER`.
    pub index: usize,
    /// `rpc.method`: the service's full name, a slash, and the method's name.
    pub name: &'static str,
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

    /// Returns the full name of its service; for `_OTHER`, a name that no service has.
    pub fn service(&self) -> &'static str {
        self.name.split_once('/').map_or(self.name, |(service, _)| service)
    }

    /// Returns the contract's entry for the method; none if the contract does not have it.
    pub fn rpc(&self) -> Option<&'static Rpc> {
        self.rpc.map(|place| &RPCS[place])
    }
}

/// Nobody reads a message of what is not served, so their number does not matter.
static OTHER: Method =
    Method { index: 0, name: "_OTHER", streaming: false, client_streaming: true, rpc: None, quiet: false };

/// What this server serves besides the contract.
const COMMON: [Method; 4] = [
    health("grpc.health.v1.Health/Check", false),
    health("grpc.health.v1.Health/Watch", true),
    reflection("grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
    reflection("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
];

const fn health(name: &'static str, streaming: bool) -> Method {
    Method { index: 0, name, streaming, client_streaming: false, rpc: None, quiet: true }
}

const fn reflection(name: &'static str) -> Method {
    Method { index: 0, name, streaming: true, client_streaming: true, rpc: None, quiet: false }
}

static METHODS: LazyLock<HashMap<&'static str, Method>> = LazyLock::new(|| {
    let contract = RPCS.iter().enumerate().map(|(place, rpc)| Method {
        index: 0,
        name: rpc.path.trim_start_matches('/'),
        streaming: rpc.streaming,
        client_streaming: rpc.client_streaming,
        rpc: Some(place),
        quiet: false,
    });
    let numbered = contract.chain(COMMON).zip(1..).map(|(method, index)| Method { index, ..method });
    numbered.map(|method| (method.name, method)).collect()
});

/// Returns the method of a request path.
pub fn of(path: &str) -> &'static Method {
    METHODS.get(path.strip_prefix('/').unwrap_or_default()).unwrap_or(&OTHER)
}

/// Returns how many methods there are.
pub fn count() -> usize {
    METHODS.len() + 1
}
