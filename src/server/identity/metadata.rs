//! Charges what a call holds from its headers on: its metadata, and, of a session of reflection, its replies.

use http::HeaderMap;

use crate::error::Result;
use crate::server::inbound::Inbound;
use crate::share::Share;

/// What a header takes besides its bytes: its place in a table that has room for more, and what the allocator adds to each part.
const HEADER: usize = 256;
/// Metadata that is not charged: that of usual calls.
const FREE: usize = 4 << 10;
/// What a session of reflection takes whose replies nobody reads: the largest description of a file in three replies, of which one
/// is being sent, one waits, and one is made.
const REFLECTION: usize = 224 << 10;

/// Returns what metadata takes.
fn weigh(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| HEADER + name.as_str().len() + value.len()).sum()
}

/// Charges a call to whoever makes it, until it has ended: most of it may come much later, or never.
pub fn charge<B>(call: &Inbound<B>, share: impl FnOnce() -> Share) -> Result<()> {
    let facts = call.facts();
    let metadata = weigh(call.headers());
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
    use crate::error::Error;
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
                match charge(&call, || share.clone()) {
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
            charge(&call(path, 12, 80), || share.clone()).expect("a usual call is not in the way of its own caller");
            drop(held);
            assert_eq!(shares.bytes(), 0);
        }
    }

    #[test]
    fn a_session_of_reflection_is_charged_what_its_replies_can_take() {
        let shares = Shares::new(&config::Callers::default(), MEMORY);
        let session = call("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", 1, 1);
        charge(&session, || shares.of("one")).expect("it fits");
        assert_eq!(shares.bytes(), REFLECTION);
        let files = FileDescriptorSet::decode(DESCRIPTORS).expect("ours").file;
        let largest = files.iter().map(prost::Message::encoded_len).max().expect("some");
        assert!((2 * largest..=4 * largest).contains(&REFLECTION), "three times {largest}");
    }
}
