//! From a request's metadata to the call's [`Context`].

use tokio::time::Instant;
use tonic::Request;

use super::Rpc;
use crate::cache::Control;
use crate::contract;
use crate::error::Result;
use crate::gateway::context::{Deadline, Origin};
use crate::gateway::{Context, Drain};

impl Rpc {
    /// Takes a request apart.
    pub(super) fn open<R: contract::Request>(&self, request: Request<R>) -> Result<(Context, R)> {
        let (metadata, mut extensions, message) = request.into_parts();
        let origin: Origin = extensions.remove().unwrap_or_default();
        let longest = if R::rpc().streaming { self.settings.stream_deadline } else { self.settings.unary_deadline };
        let deadline = extensions.remove::<Deadline>().map(|Deadline(at)| at);
        let context = Context {
            deadline: deadline.unwrap_or_else(|| Instant::now() + longest),
            credential: self.credential(&metadata, false)?,
            control: Control::from_metadata(&metadata)?,
            ledger: origin.ledger,
            trace: origin.trace,
            drain: extensions.remove::<Drain>().unwrap_or_default(),
        };
        Ok((context, message))
    }
}
