//! Finds the credential for a call's upstream requests in its metadata.

use http::{HeaderMap, HeaderName};
use tonic::metadata::MetadataMap;

use super::Rpc;
use crate::error::{Error, Result};
use crate::gateway::caller::Caller;
use crate::upstream::credential::{self, Asked, Credential};

const AUTHORIZATION: HeaderName = HeaderName::from_static(credential::AUTHORIZATION);
const ON_BEHALF_OF: HeaderName = HeaderName::from_static(credential::ON_BEHALF_OF);

impl Rpc {
    /// Returns the credential for the upstream requests of a caller's call.
    pub(super) fn credential(&self, metadata: &MetadataMap, caller: &Caller) -> Result<Credential> {
        let headers = metadata.as_ref();
        let asked = Asked {
            authorization: only(headers, &AUTHORIZATION)?,
            on_behalf_of: only(headers, &ON_BEHALF_OF)?,
            may_impersonate: caller.may_impersonate(),
        };
        self.credentials.of(asked)
    }
}

/// Returns the only value of a metadata key. Two are refused: whoever added the second need not be who sent the first.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>> {
    // Most calls have none, and to look for one takes half as long as to look for all.
    let Some(first) = headers.get(name) else { return Ok(None) };
    match headers.get_all(name).iter().nth(1) {
        Some(_) => Err(Error::invalid(name.as_str(), "must be sent once")),
        None => Ok(Some(first.as_bytes())),
    }
}
