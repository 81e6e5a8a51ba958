//! Authenticates and authorizes callers, before anything else is done for a call.
//!
//! A caller proves who it is with a verified client certificate, a signed token or a key. A wrong credential is refused; the
//! gateway does not then try another kind. Then the rules say what the caller may do (`policy`): the risk class of the RPC is
//! checked here, before the message is read; a higher class, because of the message's values, is checked once it is read.
//!
//! Verified credentials are remembered, so a further call costs a hash and a look-up. Health checks need no caller;
//! reflection and unknown methods need an authenticated caller but no rule.

mod api_key;
mod certificate;
mod judge;
mod jwks;
mod jwt;
mod layer;
pub(in crate::server) mod metadata;
mod policy;
mod remote;
mod sound;
mod why;

pub use api_key::callers as api_key_callers;
pub use certificate::name as certificate_name;
pub use judge::Identity;
pub use jwks::KeySet;
pub use jwt::name as token_name;
pub use layer::Layer;
pub use why::Why;
