//! Makes a call's [`Context`] from its facts and its metadata.

use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request};

use super::facts::{Facts, absent};
use super::{Rpc, STREAM_MEMORY};
use crate::cache::Control;
use crate::contract::{self, Risk};
use crate::error::Result;
use crate::gateway::Context;
use crate::gateway::audit::Trail;

impl Rpc {
    /// Returns the call's context and message, once the call has its place and its caller may make it.
    pub(super) fn open<R: contract::Request>(&self, request: Request<R>) -> Result<(Context, R)> {
        let (metadata, extensions, message) = request.into_parts();
        Ok((self.opened(R::rpc(), &metadata, extensions, message.risk())?, message))
    }

    /// The same for any RPC, so that there is one copy of it.
    #[inline(never)]
    fn opened(
        &self,
        rpc: &'static contract::Rpc,
        metadata: &MetadataMap,
        mut extensions: Extensions,
        risk: Risk,
    ) -> Result<Context> {
        let local = || self.local.as_ref().map(|(terms, caller)| terms.local(rpc, caller.clone()));
        let facts: Facts = extensions.remove().or_else(local).ok_or_else(|| absent("everything"))?;
        let deadline = facts.wanted_by().ok_or_else(|| absent("the deadline"))?;
        let caller = facts.caller.ok_or_else(|| absent("the caller"))?;
        let trail = Trail::begin(rpc, &caller, &facts.origin, metadata.as_ref());
        // The identity layer has checked the RPC's risk class. The message's values, known only here, can raise the risk.
        let placed = facts.place.take_for(caller.share(), rpc.streaming, Some(&facts.peer.connection.usage));
        let placed = placed
            .and_then(|()| if rpc.streaming { facts.place.charge(caller.share(), STREAM_MEMORY) } else { Ok(()) });
        let allowed = placed.and_then(|()| caller.check(rpc, risk));
        let asked = allowed.and_then(|()| Ok((self.credential(metadata, &caller)?, Control::from_metadata(metadata)?)));
        let (credential, control) = asked.inspect_err(|error| Trail::end(trail.as_ref(), Some(error)))?;
        Ok(Context {
            caller,
            deadline,
            credential,
            place: facts.place.downgrade(),
            control,
            ledger: facts.origin.ledger,
            trace: facts.origin.trace,
            trail,
            turn: None,
            drain: facts.peer.connection.drain.as_ref().unwrap_or(&self.drain).clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Code;
    use tower::service_fn;

    use super::*;
    use crate::cache::Cache;
    use crate::config;
    use crate::contract::Request as _;
    use crate::error::Error;
    use crate::gateway::Gateway;
    use crate::gateway::caller::Caller;
    use crate::proto::GetUserRequest;
    use crate::rpc::facts::Terms;
    use crate::upstream::credential::Credential;
    use crate::upstream::{Answer, Call, Upstream};

    /// The handlers over a Zendesk that refuses all that is sent.
    fn rpc() -> Rpc {
        let zendesk = service_fn(|_: Call| async { Err::<Answer, _>(Error::AttemptTimeout) });
        let gateway = Gateway::new(Upstream::new(zendesk), Cache::new(&config::Cache::default()));
        Rpc::new(gateway, Credential::new("Bearer token", true).expect("a header"))
    }

    async fn code(rpc: &Rpc, facts: Option<Facts>) -> Code {
        let mut request = Request::new(GetUserRequest { id: 7 });
        facts.map(|facts| request.extensions_mut().insert(facts));
        rpc.get_user(request).await.err().map_or(Code::Ok, |status| status.code())
    }

    #[tokio::test]
    async fn a_call_that_comes_without_what_the_server_knows_of_it_is_a_defect_and_goes_no_further() {
        let (rpc, settings) = (rpc(), config::Server::default());
        let facts = || Terms::of(&settings).local(GetUserRequest::rpc(), Caller::local());
        assert_eq!(code(&rpc, None).await, Code::Internal);
        assert_eq!(code(&rpc, Some(Facts { caller: None, ..facts() })).await, Code::Internal);
        assert_eq!(code(&rpc, Some(Facts { deadline: None, ..facts() })).await, Code::Internal);
        let sent = Code::DeadlineExceeded;
        assert_eq!(code(&rpc, Some(facts())).await, sent);
        assert_eq!(code(&rpc.called_by(Caller::local(), &settings), None).await, sent);
    }

    #[tokio::test]
    async fn a_call_takes_its_place_when_its_message_is_there_and_not_before() {
        let settings = config::Server { max_calls: 1, ..config::Server::default() };
        let terms = Terms::of(&settings);
        let facts = || terms.local(GetUserRequest::rpc(), Caller::local());
        let (one, other) = (facts(), facts());
        one.place.take().expect("there is room: the other has no message yet");
        assert_eq!(code(&rpc(), Some(other)).await, Code::Unavailable);
        assert_eq!(one.cut_at().expect("a deadline") - one.began, settings.unary_deadline + Duration::from_millis(25));
    }
}
