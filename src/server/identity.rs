//! Who calls, established before anything else is done for a call.
//!
//! A caller proves who it is with a verified client certificate, a signed token or a key; what it sends is either right or
//! refused, never a reason to try the next way. Then the rules say what it may do (`policy`): the class of the RPC is
//! checked here, before the message is read; a class that the message's values raise is checked where the message is known.
//!
//! What was verified once is remembered, so that a further call costs a hash and a look-up. Health checks are open to
//! everybody; reflection, and whatever else is asked for, needs a caller but no rule.

mod api_key;
mod certificate;
mod judge;
mod jwks;
mod jwt;
mod layer;
mod policy;
mod remote;
mod why;

pub use certificate::name as certificate_name;
pub use judge::Identity;
pub use jwks::KeySet;
pub use jwt::name as token_name;
pub use layer::Layer;
pub use why::Why;
