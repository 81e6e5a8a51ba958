//! Limits what a call holds from its headers on, and charges it: its metadata, and, of a session of reflection, its replies.

use http::HeaderMap;

use crate::error::{Error, Result};
use crate::server::inbound::Inbound;
use crate::share::Share;

/// What a header takes besides its bytes: its place in a table that has room for more, and what the allocator adds to each part.
const HEADER: usize = 256;
/// What HTTP/2 counts for a field besides its name and its value.
const FIELD: usize = 32;
/// Metadata that is not charged: that of usual calls.
const FREE: usize = 4 << 10;
/// What a session of reflection takes whose replies nobody reads: the largest description of a file in three replies, of which one
/// is being sent, one waits, and one is made.
const REFLECTION: usize = 224 << 10;

/// Returns what metadata takes.
fn weigh(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| HEADER + name.as_str().len() + value.len()).sum()
}

/// Returns the bytes of a call's metadata as HTTP/2 counts them.
fn counted<B>(call: &Inbound<B>) -> usize {
    let field = |name: &str, value: usize| name.len() + value + FIELD;
    let uri = call.uri();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let pseudo = field(":method", "POST".len()) + field(":scheme", uri.scheme_str().map_or(0, str::len));
    let host = uri.authority().map_or(0, |host| field(":authority", host.as_str().len()));
    let headers = call.headers().iter().map(|(name, value)| field(name.as_str(), value.len()));
    pseudo + field(":path", path) + host + headers.sum::<usize>()
}

/// Charges a call to whoever makes it, until it has ended: most of it may come much later, or never. Its metadata may have `limit`
/// bytes: the library would answer larger one with HTTP status 431, which says nothing to gRPC clients.
pub fn charge<B>(call: &Inbound<B>, limit: usize, share: impl FnOnce() -> Share) -> Result<()> {
    let facts = call.facts();
    let metadata = weigh(call.headers());
    // What it takes is more than what is counted, so that of most calls is far below.
    if metadata + call.path().len() > limit / 2 {
        let bytes = counted(call);
        if bytes > limit {
            return Err(Error::MetadataTooLarge { bytes, limit });
        }
    }
    let is_reflection = !facts.method.is_ours() && facts.method.client_streaming && facts.method.streaming;
    let replies = if is_reflection { REFLECTION } else { 0 };
    match replies + if metadata > FREE { metadata } else { 0 } {
        0 => Ok(()),
        bytes => facts.place.charge(&share(), bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderName, HeaderValue, Request};
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::config;
    use crate::gateway::origin::Origin;
    use crate::proto::DESCRIPTORS;
    use crate::rpc::facts::{Connection, Peer, Terms};
    use crate::rpc::method;
    use crate::share::Shares;

    const MEMORY: usize = 2 << 20;

    fn call(path: &str, headers: usize, bytes: usize) -> Inbound<()> {
        let terms = Terms::of(&config::Server::default());
        let peer = Peer::new(([127, 0, 0, 1], 1).into(), None, Connection::default());
        let facts = terms.facts(method::of(path), peer.into(), Origin::default(), Some(Duration::from_secs(1)));
        let mut request = Request::new(());
        for number in 0..headers {
            let name = HeaderName::try_from(format!("x-{number}")).expect("a name");
            request.headers_mut().insert(name, HeaderValue::try_from("v".repeat(bytes)).expect("a value"));
        }
        Inbound::new(facts, request)
    }

    #[test]
    fn large_metadata_is_charged_until_its_call_has_ended_and_that_of_usual_calls_is_free() {
        let shares = Shares::new(&config::Callers::default(), MEMORY);
        for (path, headers, bytes) in [
            ("/zendesk.gateway.v1.UserService/GetUser", 1, 16_000),
            ("/zendesk.gateway.v1.UserService/GetUser", 480, 1), // what HTTP/2 counts as 16 KiB, and takes six times as much
            ("/grpc.health.v1.Health/Check", 1, 16_000),
        ] {
            let (mut held, share) = (Vec::new(), shares.of("one"));
            let refused = loop {
                let call = call(path, headers, bytes);
                match charge(&call, usize::MAX, || share.clone()) {
                    Ok(()) => held.push(call),
                    Err(error) => break error,
                }
            };
            assert!(matches!(refused, Error::CallerLimit { .. }), "{refused}");
            let each = headers * (HEADER + bytes);
            assert!(
                (held.len() + 2) * each > MEMORY / 2 && held.len() * each <= MEMORY / 2,
                "{} of {each}",
                held.len()
            );
            charge(&call(path, 12, 80), usize::MAX, || share.clone())
                .expect("a usual call is not in the way of its own caller");
            drop(held);
            assert_eq!(shares.bytes(), 0);
        }
    }

    #[test]
    fn a_session_of_reflection_is_charged_what_its_replies_can_take() {
        let shares = Shares::new(&config::Callers::default(), MEMORY);
        let session = call("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", 1, 1);
        charge(&session, usize::MAX, || shares.of("one")).expect("it fits");
        assert_eq!(shares.bytes(), REFLECTION);
        let files = FileDescriptorSet::decode(DESCRIPTORS).expect("ours").file;
        let largest = files.iter().map(prost::Message::encoded_len).max().expect("some");
        assert!((2 * largest..=4 * largest).contains(&REFLECTION), "three times {largest}");
    }
}
