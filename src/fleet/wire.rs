//! What one replica tells another, besides the call itself: header fields of requests and responses on the internal port.
//!
//! Only the internal port's own layer reads them (`server::fleet::internal`). On the public port they are metadata like any
//! other, which nobody looks at and which is not forwarded.

use std::borrow::Cow;
use std::net::IpAddr;

use aws_lc_rs::digest::{Context, SHA256};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};
use url::Url;

pub use crate::error::NOT_LEADER;
use crate::upstream::credential::{AUTHORIZATION, ON_BEHALF_OF, Source};

/// Grows whenever a replica of the version before could not carry out what one of this version forwards as it is meant: when the
/// contract's messages or this file change.
pub const CONTRACT: u32 = 1;

/// The term of a leader that the settings name.
pub const STATIC_TERM: u64 = 0;

/// The first request of each connection: both sides say who they are.
pub const HELLO: &str = "/fleet/Hello";
/// Makes answers of the leader void.
pub const INVALIDATE: &str = "/fleet/Invalidate";
/// Ends the streams of the connection at a point from which their callers can continue.
pub const DRAIN: &str = "/fleet/Drain";
/// Asks whether the replica is there, and leads.
pub const PING: &str = "/fleet/Ping";
/// Asks what deserves attention there.
pub const FINDINGS: &str = "/fleet/Findings";
/// Asks whether the replica would lead.
pub const SUCCEED: &str = "/fleet/Succeed";
/// Tells the replica what it must know to lead: see [`HandOver`](crate::gateway::HandOver).
pub const TAKE_OVER: &str = "/fleet/TakeOver";
/// Tells the replica that it holds the Lease, in the term of [`TERM`].
pub const TAKE: &str = "/fleet/Take";

/// The contract of whoever says it.
pub const CONTRACT_OF: HeaderName = HeaderName::from_static("x-fleet-contract");
/// The account of whoever says it: see [`account`].
pub const ACCOUNT: HeaderName = HeaderName::from_static("x-fleet-account");
/// The term in which the leader leads, or the follower believes that it does.
pub const TERM: HeaderName = HeaderName::from_static("x-fleet-term");
/// Who says it, as the Lease names it.
pub const HOLDER: HeaderName = HeaderName::from_static("x-fleet-holder");
/// The highest term that whoever says it has heard of.
pub const HEARD: HeaderName = HeaderName::from_static("x-fleet-heard");
/// For how many seconds whoever says it has been ready to lead. Whoever is not, or shuts down, does not say it.
pub const AGE: HeaderName = HeaderName::from_static("x-fleet-age");
/// The service account's token by which a follower proves that it belongs to the fleet.
pub const TOKEN: HeaderName = HeaderName::from_static("x-fleet-token");
/// In the answer to [`HELLO`] of a leader that the settings name: it is not ready, and nobody should follow it yet.
pub const NOT_READY: HeaderName = HeaderName::from_static("x-fleet-not-ready");
/// In the answer to [`FINDINGS`]: the kinds, with commas between them, and `!` before each that is a problem.
pub const FOUND: HeaderName = HeaderName::from_static("x-fleet-found");
/// What is void: tags, or [`ALL`].
pub const VOID: HeaderName = HeaderName::from_static("x-fleet-void");
/// Every answer.
pub const ALL: HeaderValue = HeaderValue::from_static("all");

/// In a response to a caller: the replica that made it.
pub const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

const CALLER: HeaderName = HeaderName::from_static("x-fleet-caller");
const GRANT: HeaderName = HeaderName::from_static("x-fleet-grant");
const FROM: HeaderName = HeaderName::from_static("x-fleet-from");
const VIA: HeaderName = HeaderName::from_static("x-fleet-via");

/// What is forwarded of a caller's metadata: what the gateway reads, and nothing else. The credential for Zendesk is the lane of a
/// call that does not use the gateway's own.
pub const FORWARDED: [HeaderName; 6] = [
    http::header::CONTENT_TYPE,
    CACHE_CONTROL,
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-accept-encoding"),
    HeaderName::from_static(AUTHORIZATION),
    HeaderName::from_static(ON_BEHALF_OF),
];

/// Kept as they are in a caller's name; other characters are encoded, as a header cannot hold all of them.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'"');

/// Who makes a forwarded call, and what it may do, as the follower says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passport<'a> {
    /// The caller's name.
    pub caller: Cow<'a, str>,
    /// The number of its grant for the RPC.
    pub grant: u8,
    /// Its address.
    pub from: IpAddr,
    /// The follower.
    pub via: HeaderValue,
    /// The term that the follower believes in.
    pub term: u64,
}

impl Passport<'_> {
    /// Writes it into the headers of a request.
    pub fn write(&self, headers: &mut HeaderMap) {
        let caller: Cow<'_, str> = utf8_percent_encode(&self.caller, ENCODED).into();
        let text = |text: &str| HeaderValue::from_str(text).expect("what is not ASCII was encoded");
        headers.insert(CALLER, text(&caller));
        headers.insert(GRANT, u16::from(self.grant).into());
        headers.insert(FROM, text(&self.from.to_string()));
        headers.insert(VIA, self.via.clone());
        headers.insert(TERM, self.term.into());
    }

    /// Takes it out of the headers of a request; none if a part of it is missing or is there twice.
    pub fn take(headers: &mut HeaderMap) -> Option<Passport<'static>> {
        let mut only = |name: HeaderName| {
            let single = headers.get_all(&name).iter().count() == 1;
            headers.remove(&name).filter(|_| single)
        };
        let (caller, grant, from, via, term) = (only(CALLER), only(GRANT), only(FROM), only(VIA), only(TERM));
        let caller = percent_decode(caller?.as_bytes()).decode_utf8().ok()?.into_owned();
        Some(Passport {
            caller: caller.into(),
            grant: number(&grant?)?.try_into().ok()?,
            from: from?.to_str().ok()?.parse().ok()?,
            via: via?,
            term: number(&term?)?,
        })
    }
}

/// Reads a number.
pub fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

/// Returns what replicas before one account have in common, as a digest: where Zendesk is, and what kind of credential signs in
/// whom.
pub fn account(zendesk: &Url, credentials: &Source) -> HeaderValue {
    let (kind, user) = credentials.account();
    let mut digest = Context::new(&SHA256);
    for part in [zendesk.as_str(), kind, user.unwrap_or_default()] {
        digest.update(&part.len().to_be_bytes());
        digest.update(part.as_bytes());
    }
    let hex = digest.finish().as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    HeaderValue::from_str(&hex).expect("digits")
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::proto::DESCRIPTORS;
    use crate::upstream::credential::Credential;

    fn passport() -> Passport<'static> {
        let via = HeaderValue::from_static("b");
        Passport {
            caller: "certificate:Jörg \"J\" 100%".into(), grant: 0x7f, from: [10, 0, 0, 7].into(), via, term: 9
        }
    }

    #[test]
    fn a_passport_is_read_as_it_was_written_and_only_whole() {
        let mut headers = HeaderMap::new();
        passport().write(&mut headers);
        let whole = headers.clone();
        assert_eq!(Passport::take(&mut headers), Some(passport()));
        assert!(headers.is_empty(), "nothing of it is left for the handlers");
        for name in whole.keys() {
            let mut headers = whole.clone();
            headers.remove(name);
            assert_eq!(Passport::take(&mut headers), None, "without {name}");
            let mut headers = whole.clone();
            headers.append(name, whole[name].clone());
            assert_eq!(Passport::take(&mut headers), None, "{name} twice");
        }
        for (name, value) in [(GRANT, "256"), (GRANT, "x"), (FROM, "somewhere"), (TERM, "-1"), (CALLER, "%ff")] {
            let mut headers = whole.clone();
            headers.insert(&name, HeaderValue::from_static(value));
            assert_eq!(Passport::take(&mut headers), None, "{name}: {value}");
        }
    }

    #[test]
    fn accounts_differ_by_address_kind_and_user() {
        let source = |kind| Source::fixed(kind, Credential::new("Basic a", true).expect("a header"));
        let url = |text: &str| Url::parse(text).expect("a URL");
        let one = account(&url("https://a.zendesk.com"), &source("api_token"));
        assert_eq!(one, account(&url("https://a.zendesk.com"), &source("api_token")));
        assert_ne!(one, account(&url("https://b.zendesk.com"), &source("api_token")));
        assert_ne!(one, account(&url("https://a.zendesk.com"), &source("password")));
    }

    /// Fails when the contract has changed: then [`CONTRACT`] grows, and the digest here is the new one.
    #[test]
    fn the_contract_has_the_number_that_it_had_with_these_messages() {
        let mut set = FileDescriptorSet::decode(DESCRIPTORS).expect("ours");
        set.file.iter_mut().for_each(|file| file.source_code_info = None);
        let mut digest = Context::new(&SHA256);
        digest.update(&set.encode_to_vec());
        let digest = digest.finish().as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        assert_eq!((CONTRACT, &digest[..16]), (1, "3b03129ed54bd036"), "{digest}");
    }
}
