//! Zendesk's answers: single records, refusals, access tokens.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use prost::Message;
use secrecy::ExposeSecret as _;
use serde::de::DeserializeOwned;
use zendesk_gateway::cache::WaitsFor;
use zendesk_gateway::contract::Idempotency;
use zendesk_gateway::limits::LONGEST_WAIT;
use zendesk_gateway::path;
use zendesk_gateway::proto::{
    CountUsersResponse, GetDeletedUserResponse, GetGroupResponse, GetJobResponse, GetMembershipResponse,
    GetUserRelatedResponse, GetUserRequest, GetUserResponse,
};
use zendesk_gateway::rest::{Read as _, envelope};
use zendesk_gateway::share::Share;
use zendesk_gateway::telemetry::Trace;
use zendesk_gateway::upstream::call::{Call, Priority};
use zendesk_gateway::upstream::credential::{Credential, issued};
use zendesk_gateway::upstream::judge::judge;
use zendesk_gateway::upstream::rest::Rest;

use super::headers::headers;

/// Single records.
pub fn record(data: &[u8]) {
    fn of<M: Message + Default + DeserializeOwned + PartialEq + std::fmt::Debug + 'static>(data: &[u8]) {
        let Ok(parsed) = envelope(data, |message: &M| message.encoded_len() > 0) else { return };
        let message = parsed.downcast::<M>().expect("the type that was asked for");
        assert!(message.encoded_len() > 0, "an answer says something");
        assert_eq!(M::decode(message.encode_to_vec().as_slice()).expect("it was just encoded"), *message);
    }
    of::<GetUserResponse>(data);
    of::<GetUserRelatedResponse>(data);
    of::<GetDeletedUserResponse>(data);
    of::<GetGroupResponse>(data);
    of::<GetMembershipResponse>(data);
    of::<GetJobResponse>(data);
    of::<CountUsersResponse>(data);
}

/// Responses that refuse, and what callers learn of them: the first byte is the status, less 400.
pub fn refusal(data: &[u8]) {
    let Some((status, body)) = data.split_first() else { return };
    let status = StatusCode::from_u16(400 + u16::from(*status)).expect("between 400 and 655");
    let (head, body) = match body.iter().position(|byte| *byte == 0) {
        Some(end) => (headers(&body[..end]), &body[end + 1..]),
        None => (HeaderMap::new(), body),
    };
    let call = Call {
        rest: Rest::get(path!["users"]).query("page[after]", "x").into(),
        idempotency: Idempotency::NoSideEffects,
        priority: Priority::Interactive,
        deadline: tokio::time::Instant::now(),
        wanted_by: tokio::time::Instant::now(),
        share: Share::default(),
        credential: Credential::new("Bearer x", true).expect("a header"),
        parse: Arc::new(|body| GetUserRequest { id: 7, ..Default::default() }.parse(body)),
        peek: None,
        waits_for: WaitsFor::default(),
        ledger: Arc::default(),
        trace: Trace::default(),
    };
    let error = judge(&call, status, &head, body).expect_err("no such status is a success");
    assert!(error.retry_after().is_none_or(|wait| wait <= LONGEST_WAIT));
    let told = tonic::Status::from(error);
    assert!(told.message().chars().count() <= 512 && !told.message().contains(char::is_control));
    assert!(told.code() != tonic::Code::Ok && told.details().len() < 32 << 10);
    drop(judge(&call, StatusCode::OK, &head, body));
    assert_eq!(call.rest.method, Method::GET);
}

/// Answers of the token endpoint.
pub fn access_token(data: &[u8]) {
    if let Some(issued) = issued(data) {
        let token = issued.token.expose_secret();
        assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}
