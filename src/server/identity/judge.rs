//! Authenticates the caller of a call, and decides whether the caller may make it.

use std::sync::Arc;

use anyhow::Context as _;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use tracing::warn;

use super::api_key::{self, Keys};
use super::certificate::Certificates;
use super::jwt::{self, Tokens};
use super::metadata;
use super::policy::Policy;
use super::remote::Asked;
use super::why::{NOTHING, SEVERAL, Why};
use crate::config::Config;
use crate::config::identity::{ANONYMOUS, Method};
use crate::contract::RPCS;
use crate::error::Error;
use crate::gateway::audit;
use crate::gateway::caller::{Caller, Known};
use crate::rpc::facts::Peer;
use crate::server::inbound::Inbound;
use crate::share::Shares;
use crate::telemetry::Instruments;
use crate::telemetry::instruments::IDENTITY_METHOD;
use crate::watch::{Watched, Watcher};

/// The metadata key that carries a caller's key.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Path prefix of the service that needs no caller.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// Authenticates and authorizes callers. Clones share it.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    /// The caller of every call, if authentication is switched off.
    anonymous: Option<Known>,
    shares: Shares,
    certificates: Option<Certificates>,
    tokens: Option<Tokens>,
    keys: Option<Watched<Keys>>,
    /// Most metadata of a call, as HTTP/2 counts it.
    max_header_bytes: usize,
}

/// Why a call is not admitted.
pub(super) enum Problem {
    /// The call is refused.
    Refused(Error),
    /// The issuer must be asked for its keys first: those at hand cannot verify the token.
    AskIssuer,
}

/// Why a caller is not authenticated.
enum Unknown {
    /// The credential is wrong or missing.
    Refused(&'static str, Why),
    /// The token names an unknown key, or no keys are known.
    NoKey,
}

impl Identity {
    /// Reads the files and the URL that the settings name, and reads them again when they change.
    ///
    /// # Errors
    /// A file that cannot be read or is not valid. A URL that does not answer is no error: see [`Identity::settle`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(config: &Config, watcher: &Watcher) -> anyhow::Result<Self> {
        let (identity, listen) = (&config.identity, config.server.listen);
        if identity.is_off() && !listen.ip().is_loopback() {
            warn!(server.address = %listen, "whoever reaches the port may call: identity.methods is none");
        }
        let shares = Shares::new(&config.callers, config.server.message_memory);
        let policy = Arc::new(Policy::new(&config.authorization, identity.is_off(), &shares));
        let tokens = if identity.uses(Method::Jwt) {
            Some(Tokens::start(&identity.jwt, &policy, watcher).await.context("identity.jwt")?)
        } else {
            None
        };
        let keys = match identity.api_keys.file.as_ref().filter(|_| identity.uses(Method::ApiKey)) {
            None => None,
            Some(path) => {
                let policy = Arc::clone(&policy);
                let read = move |content: &[u8]| Keys::read(content, &policy);
                Some(watcher.file("api_keys", path, read).await.context("identity.api_keys.file")?)
            }
        };
        Ok(Self(Arc::new(Inner {
            anonymous: identity.is_off().then(|| policy.known(ANONYMOUS)),
            certificates: identity.uses(Method::Certificate).then(|| Certificates::new(&policy)),
            shares,
            tokens,
            keys,
            max_header_bytes: config.server.max_header_bytes.try_into().unwrap_or(usize::MAX),
        })))
    }

    /// Waits until the issuer's keys were read for the first time. During a rollout, a replica that cannot verify tokens must not
    /// replace one that can. Where callers can prove themselves in another way, too, it does not wait for ever: if the issuer
    /// stays down, keys and certificates still work. They work meanwhile as well: only that the replica is ready waits for this.
    pub async fn settle(&self) {
        if let Some(tokens) = &self.0.tokens {
            let others = self.0.certificates.is_some() || self.0.keys.is_some();
            tokens.settle(!others).await;
        }
    }

    /// True if the caller can be authenticated with what is known now. Nothing is counted, and no issuer is asked.
    pub fn knows(&self, headers: &HeaderMap, peer: &Peer) -> bool {
        self.0.establish(headers, peer).is_ok()
    }

    /// Returns what callers have under way.
    pub fn shares(&self) -> &Shares {
        &self.0.shares
    }

    /// Authenticates the caller, checks that it may call this RPC, and adds the [`Caller`] to the call's facts.
    pub(super) fn admit<B>(&self, call: &mut Inbound<B>, instruments: &Instruments) -> Result<(), Problem> {
        let place = call.facts().method.rpc;
        if place.is_none() && call.path().starts_with(HEALTH) {
            return metadata::charge(call, self.0.max_header_bytes, || self.0.shares.strangers())
                .map_err(Problem::Refused);
        }
        let known = match self.0.establish(call.headers(), &call.facts().peer) {
            Ok(known) => known,
            Err(Unknown::NoKey) => return Err(Problem::AskIssuer),
            Err(Unknown::Refused(method, why)) => {
                count(instruments, 1, method, why.word);
                let error = Error::Unauthenticated { why: why.text };
                return Err(Problem::Refused(refused(call, &Caller::default(), error)));
            }
        };
        // Nothing tells anonymous callers apart, so they are strangers until a rule lets them in.
        if self.0.anonymous.is_none() {
            call.facts().origin.ledger.identify(&known.name);
        }
        if let Some(place) = place {
            let name = Arc::clone(&known.name);
            let (rpc, caller) = (&RPCS[place], Caller::new(name, known.grants[place], known.share));
            let charge = || metadata::charge(call, self.0.max_header_bytes, || caller.share().clone());
            let checked = caller.check(rpc, rpc.risk).and_then(|()| charge());
            if let Err(error) = checked {
                return Err(Problem::Refused(refused(call, &caller, error)));
            }
            call.facts().place.belongs_to(caller.share());
            call.facts_mut().caller = Some(caller);
        } else {
            metadata::charge(call, self.0.max_header_bytes, || known.share).map_err(Problem::Refused)?;
        }
        call.facts().origin.ledger.identify(&known.name);
        if self.0.anonymous.is_none() {
            // The layers below must not see the caller's credential.
            call.headers_mut().remove(http::header::AUTHORIZATION);
            call.headers_mut().remove(&API_KEY);
        }
        Ok(())
    }

    /// Asks the issuer for its keys, because a token needs an unknown one.
    pub(super) async fn ask_issuer(&self) -> Asked {
        match &self.0.tokens {
            Some(tokens) => tokens.ask().await,
            None => Asked::Unanswered,
        }
    }

    /// Returns the error for a call whose token needs a key that is not known after its issuer was `asked`, either.
    pub(super) fn without_key<B>(call: &Inbound<B>, instruments: &Instruments, asked: Asked) -> Error {
        let (word, error) = match asked {
            Asked::Answered => (jwt::UNKNOWN_KEY.word, Error::Unauthenticated { why: jwt::UNKNOWN_KEY.text }),
            Asked::TooSoon(retry_after) => (jwt::UNKNOWN_KEY.word, Error::KeyUnknown(retry_after)),
            Asked::Unanswered => ("no_keys", Error::IdentityUnavailable),
        };
        count(instruments, 1, "jwt", word);
        refused(call, &Caller::default(), error)
    }
}

/// Adds to the count of refused calls.
pub(super) fn count(instruments: &Instruments, calls: u64, method: &'static str, word: &'static str) {
    let told = [KeyValue::new(IDENTITY_METHOD, method), KeyValue::new(semconv::ERROR_TYPE, word)];
    instruments.identity_refused.add(calls, &told);
}

/// Returns the error for a refused call, and writes it to the audit log if the call could have changed something.
fn refused<B>(call: &Inbound<B>, caller: &Caller, error: Error) -> Error {
    let facts = call.facts();
    if let Some(rpc) = facts.method.rpc() {
        audit::refused(rpc, caller, &facts.origin, call.headers(), &error);
    }
    error
}

impl Inner {
    fn establish(&self, headers: &HeaderMap, peer: &Peer) -> Result<Known, Unknown> {
        if let Some(everybody) = &self.anonymous {
            // Nobody has a name, so callers are told apart by their addresses.
            let share = peer.share.get_or_init(|| self.shares.of_address(ANONYMOUS, peer.address.ip()));
            return Ok(Known { share: share.clone(), ..everybody.clone() });
        }
        let token = self.tokens.as_ref().zip(only(headers, &http::header::AUTHORIZATION, "jwt")?);
        let key = self.keys.as_ref().zip(only(headers, &API_KEY, "api_key")?);
        match (token, key) {
            (Some(_), Some(_)) => Err(Unknown::Refused("unknown", SEVERAL)),
            (Some((tokens, header)), None) => tokens.verify(header).map_err(|failure| match failure {
                jwt::Failure::Refused(why) => Unknown::Refused("jwt", why),
                jwt::Failure::NoKey => Unknown::NoKey,
            }),
            (None, Some((keys, key))) => {
                let known = keys.get().of_connection(&peer.last_key, key);
                known.ok_or(Unknown::Refused("api_key", api_key::UNKNOWN))
            }
            (None, None) => match self.certificates.as_ref().zip(peer.certificates.as_ref()) {
                Some((certificates, chain)) => {
                    certificates.caller(chain).map_err(|why| Unknown::Refused("certificate", why))
                }
                None => Err(Unknown::Refused("unknown", NOTHING)),
            },
        }
    }
}

/// Returns the only value of a header. Two values are refused.
fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    method: &'static str,
) -> Result<Option<&'a HeaderValue>, Unknown> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Err(Unknown::Refused(method, SEVERAL)),
        (value, _) => Ok(value),
    }
}
