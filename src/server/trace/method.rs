//! Which methods are told apart: those of the contract, health and reflection. Whatever else a caller asks for is one.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::contract::RPCS;

/// A method.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// Its number among all methods.
    pub index: usize,
    /// `rpc.method`: the service's full name, a slash, and the method's name.
    pub name: &'static str,
    /// Whether the server streams.
    pub streaming: bool,
    /// Whether it is one of the contract's, whose calls are what the gateway is for.
    pub ours: bool,
    /// Whether it is asked all the time by machines, so that its access lines are for debugging only.
    pub quiet: bool,
}

const OTHER: Method = Method { index: 0, name: "_OTHER", streaming: false, ours: false, quiet: false };

/// What this server serves besides the contract.
const COMMON: [Method; 4] = [
    Method { index: 0, name: "grpc.health.v1.Health/Check", streaming: false, ours: false, quiet: true },
    Method { index: 0, name: "grpc.health.v1.Health/Watch", streaming: true, ours: false, quiet: true },
    Method {
        index: 0,
        name: "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        streaming: true,
        ours: false,
        quiet: false,
    },
    Method {
        index: 0,
        name: "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        streaming: true,
        ours: false,
        quiet: false,
    },
];

static METHODS: LazyLock<HashMap<&'static str, Method>> = LazyLock::new(|| {
    let contract = RPCS.iter().map(|rpc| Method {
        index: 0,
        name: rpc.path.trim_start_matches('/'),
        streaming: rpc.streaming,
        ours: true,
        quiet: false,
    });
    let numbered = contract.chain(COMMON).zip(1..).map(|(method, index)| Method { index, ..method });
    numbered.map(|method| (method.name, method)).collect()
});

/// Returns the method of a request path.
pub fn of(path: &str) -> Method {
    METHODS.get(path.strip_prefix('/').unwrap_or_default()).copied().unwrap_or(OTHER)
}

/// Returns how many methods there are.
pub fn count() -> usize {
    METHODS.len() + 1
}
