//! From a request's metadata to the call's [`Context`].

use tokio::time::Instant;
use tonic::Request;

use super::Rpc;
use crate::cache::Control;
use crate::contract;
use crate::error::Result;
use crate::gateway::audit::Trail;
use crate::gateway::context::Deadline;
use crate::gateway::origin::Origin;
use crate::gateway::{Context, Drain, Place};

impl Rpc {
    /// Takes a request apart.
    pub(super) fn open<R: contract::Request>(&self, request: Request<R>) -> Result<(Context, R)> {
        let (metadata, mut extensions, message) = request.into_parts();
        let origin: Origin = extensions.remove().unwrap_or_default();
        let caller = extensions.remove().unwrap_or_else(|| self.caller.clone());
        let trail = Trail::begin(R::rpc(), &caller, &origin, metadata.as_ref());
        // The layer that established the caller knows the RPC; only here it is known what the message asks for.
        let placed = extensions.get::<Place>().map_or(Ok(()), Place::take);
        let allowed = placed.and_then(|()| caller.check(R::rpc(), message.risk()));
        let asked =
            allowed.and_then(|()| Ok((self.credential(&metadata, &caller)?, Control::from_metadata(&metadata)?)));
        let (credential, control) = asked.inspect_err(|error| Trail::end(trail.as_ref(), Some(error)))?;
        let longest = if R::rpc().streaming { self.settings.stream_deadline } else { self.settings.unary_deadline };
        let deadline = extensions.remove::<Deadline>().map(|Deadline(at)| at);
        let context = Context {
            caller,
            deadline: deadline.unwrap_or_else(|| Instant::now() + longest),
            credential,
            control,
            ledger: origin.ledger,
            trace: origin.trace,
            trail,
            turn: None,
            drain: extensions.remove::<Drain>().unwrap_or_default(),
        };
        Ok((context, message))
    }
}
