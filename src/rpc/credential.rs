//! From a request's metadata to the credential that its calls are made with.

use tonic::metadata::MetadataMap;

use super::Rpc;
use crate::error::{Error, Result};
use crate::gateway::caller::Caller;
use crate::upstream::credential::{AUTHORIZATION, Asked, Credential, ON_BEHALF_OF};

impl Rpc {
    /// Returns the credential of a caller's call.
    pub(super) fn credential(&self, metadata: &MetadataMap, caller: &Caller) -> Result<Credential> {
        let asked = Asked {
            authorization: only(metadata, AUTHORIZATION)?,
            on_behalf_of: only(metadata, ON_BEHALF_OF)?,
            may_impersonate: caller.may_impersonate(),
        };
        self.credentials.of(asked)
    }
}

/// Returns the one value of a name. Of two, whoever sent the second may not have sent the first.
fn only<'a>(metadata: &'a MetadataMap, name: &'static str) -> Result<Option<&'a [u8]>> {
    let mut values = metadata.get_all(name).iter();
    let first = values.next();
    match values.next() {
        Some(_) => Err(Error::invalid(name, "must be sent once")),
        None => Ok(first.map(tonic::metadata::MetadataValue::as_encoded_bytes)),
    }
}
