//! Whose authority a call uses at Zendesk.
//!
//! The gateway signs in with a credential of its own or passes on the caller's. A [`Source`] says which one a call begins with,
//! and never waits: slow work, such as getting an access token, runs in tasks of its own. The [`Layer`] in the outbound stack
//! steps in when Zendesk does not accept the credential any more: a 401 says that nothing was carried out, so the call is sent
//! once more with the credential that replaces it, if there is one.
//!
//! Answers are cached by [`Credential::fingerprint`]. It stands for the user at Zendesk where that is known, so that a new
//! token for the same user does not empty the cache, and for the credential itself where it is not.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;

mod caller;
mod client;
mod exchange;
mod file;
mod fingerprint;
mod layer;
mod proof;
mod source;
#[cfg(test)]
mod tests;
mod token;
mod whose;

use client::Client;
use file::File;
use token::Token;

pub use caller::{AUTHORIZATION, ON_BEHALF_OF, impersonated, passed_through};
pub use exchange::{Issued, read as issued};
pub use layer::Layer;
pub use source::{Asked, Source};
pub use whose::Proof;

/// A credential, ready to be sent. Its text leaves this type only as the `authorization` header. Cloning shares it.
#[derive(Clone)]
pub struct Credential {
    /// None while an OAuth client has no access token yet, and in the credential that a [`Source`] makes others from.
    token: Option<Arc<Token>>,
    /// True if it is the gateway's, false if a caller has passed it on.
    own: bool,
    fingerprint: u128,
    on_behalf_of: Option<HeaderValue>,
    /// Where the next one comes from when Zendesk does not accept this one any more.
    origin: Origin,
}

/// Where a credential comes from.
#[derive(Clone)]
enum Origin {
    /// A fixed value without a successor.
    Fixed,
    /// A file that may have changed.
    File(Arc<File>),
    /// An OAuth client, which can get another.
    Client(Arc<Client>),
}

impl Credential {
    /// Takes the value of an `authorization` header.
    pub fn new(header: &str, own: bool) -> anyhow::Result<Self> {
        let token = Token::new(header)?;
        let fingerprint = token.fingerprint;
        Ok(Self { token: Some(Arc::new(token)), own, fingerprint, on_behalf_of: None, origin: Origin::Fixed })
    }

    /// Returns the header to send; none while an OAuth client has no access token.
    pub fn header(&self) -> Option<HeaderValue> {
        self.token.as_ref().map(|token| token.header.clone())
    }

    /// Returns the value of `X-On-Behalf-Of`: the user the call is made for, if not the credential's own.
    pub fn on_behalf_of(&self) -> Option<&HeaderValue> {
        self.on_behalf_of.as_ref()
    }

    /// True if the gateway, not the caller, is to blame when Zendesk refuses it: its own credential, used on nobody's behalf.
    pub fn is_own(&self) -> bool {
        self.own && self.on_behalf_of.is_none()
    }

    /// True if it is a caller's.
    pub fn is_passed_through(&self) -> bool {
        !self.own
    }

    /// Returns a number that tells users of Zendesk apart within this process, for cache keys: 128 bits of a keyed hash, so
    /// nobody can search for two credentials with the same number.
    pub fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    /// True if it is an OAuth token; no other credential can act on behalf of another user.
    fn is_bearer(&self) -> bool {
        let begins = |token: &Arc<Token>| token.header.as_bytes().get(..7).map(<[u8]>::to_ascii_lowercase);
        match &self.origin {
            Origin::Client(_) => true,
            _ => self.token.as_ref().and_then(begins).is_some_and(|scheme| scheme == b"bearer "),
        }
    }

    /// Returns it with another token of the same origin.
    fn with(&self, token: Arc<Token>) -> Self {
        Self { token: Some(token), ..self.clone() }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(if self.own { "Credential(own)" } else { "Credential(passed through)" })
    }
}
