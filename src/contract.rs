//! What the proto options say about each RPC: the upstream endpoints, what may be repeated, what is at risk.
//!
//! `proto/build/rpcs.rs` writes the table from the contract, so handlers, retry, authorization and tests read the same facts.

use serde::{Deserialize, Serialize};

mod class;
mod risk;
mod weight;

pub use class::Class;
use weight::{Part, Shape};

include!(concat!(env!("OUT_DIR"), "/contract.rs"));

/// One RPC of the contract.
#[derive(Debug)]
pub struct Rpc {
    /// Service name without its package, such as `UserService`.
    pub service: &'static str,
    /// Method name, such as `GetUser`.
    pub method: &'static str,
    /// gRPC path, such as `/zendesk.gateway.v1.UserService/GetUser`.
    pub path: &'static str,
    /// Whether a call may be repeated.
    pub idempotency: Idempotency,
    /// The class that authorization decides by.
    pub risk: Risk,
    /// Whether the server streams replies.
    pub streaming: bool,
    /// Whether the client streams requests.
    pub client_streaming: bool,
    /// The shape of its request.
    request: &'static Shape,
    /// The Zendesk endpoints behind the RPC.
    pub endpoints: &'static [Endpoint],
}

/// One Zendesk endpoint: an HTTP verb and a path template with parameters in braces.
#[derive(Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// HTTP verb in capitals.
    pub verb: &'static str,
    /// Path template, such as `/api/v2/users/{id}`.
    pub path: &'static str,
    /// The class that it is judged with.
    pub class: Class,
    /// Its place in [`ENDPOINTS`].
    pub number: usize,
    /// How many requests a minute Zendesk documents for it; 0 for no limit of its own.
    pub per_minute: u32,
}

/// The protobuf option `idempotency_level`: what may be repeated after it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// A read: repeated, cached, cancelled with its caller.
    NoSideEffects,
    /// A write that ends the same however often it is done.
    Idempotent,
    /// Never repeated once sent.
    Unsafe,
}

/// How much harm a call can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Changes nothing.
    Read,
    /// Changes records, undone by another write.
    Write,
    /// Changes who belongs where and who may do what.
    Admin,
    /// Cannot be undone through the API.
    Destructive,
}

/// A request message: it knows its RPC and the message that answers it.
pub trait Request: prost::Message + Clone + Default + 'static {
    /// The reply message, or one message of the reply stream.
    type Reply: prost::Message + Default + 'static;
    /// Returns the RPC this message asks for.
    fn rpc() -> &'static Rpc;
    /// Returns the risk of a call with these very values, which can be higher than the RPC's own.
    fn risk(&self) -> Risk {
        Self::rpc().risk
    }
}

impl Rpc {
    /// Returns about how many bytes of memory its request takes once it is decoded; at most a little more than `most`. An encoded
    /// message says so: an empty element of two bytes can become a record of a thousand.
    pub fn weigh(&self, encoded: &[u8], most: usize) -> usize {
        self.request.weigh(encoded, most)
    }

    /// True if it changes something.
    pub fn changes(&self) -> bool {
        self.idempotency != Idempotency::NoSideEffects
    }

    /// Returns its name without the package, such as `UserService/GetUser`.
    pub fn name(&self) -> &'static str {
        self.path.trim_start_matches("/zendesk.gateway.v1.")
    }
}

impl Risk {
    /// Every class, from harmless to final.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Admin, Self::Destructive];

    /// Returns its word in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
            Self::Destructive => "destructive",
        }
    }
}
