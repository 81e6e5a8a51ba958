//! Bearer tokens: signed by the configured issuer, for this gateway as their audience, and valid for a limited time.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderValue;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{decode, decode_header};
use moka::sync::Cache;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::jwks::{KeySet, Reader};
use super::policy::Policy;
use super::remote::{Asked, Remote};
use super::why::Why;
use crate::config;
use crate::gateway::caller::Known;
use crate::watch::{Watched, Watcher};

pub const UNKNOWN_KEY: Why = Why::new("unknown_key", "the token is signed with a key that its issuer does not publish");
const NO_BEARER: Why = Why::new("scheme", "authorization must be a bearer token");
const MALFORMED: Why = Why::new("malformed", "the token is not a signed token of the compact form");
const CRITICAL: Why = Why::new("malformed", "the token demands an extension that is not known");
const TYPE: Why = Why::new("type", "the token is not an access token");
const ALGORITHM: Why = Why::new("algorithm", "the token's algorithm is not accepted");
const SIGNATURE: Why = Why::new("signature", "the token's signature is wrong");
const EXPIRED: Why = Why::new("expired", "the token has expired");
const EARLY: Why = Why::new("not_yet_valid", "the token is not valid yet");
const ISSUER: Why = Why::new("issuer", "the token is of another issuer");
const AUDIENCE: Why = Why::new("audience", "the token is for another audience");
const CLAIMS: Why = Why::new("claims", "the token must have exp, iss, aud and sub");
const SUBJECT: Why = Why::new("subject", "the token's subject is not a name");

/// Most bytes of a token. All metadata of a call may have more (`server.max_header_bytes`).
const MAX_TOKEN_BYTES: usize = 8192;
/// Most bytes of a subject.
const MAX_SUBJECT_BYTES: usize = 256;
/// Most tokens that are remembered.
const MAX_REMEMBERED: u64 = 10_000;
/// Longest wait for the first keys.
const SETTLE: Duration = Duration::from_secs(30);

/// Why a token does not authenticate its caller.
pub enum Failure {
    /// The token is wrong.
    Refused(Why),
    /// The token's key is unknown, or no keys are known.
    NoKey,
}

impl From<Why> for Failure {
    fn from(why: Why) -> Self {
        Self::Refused(why)
    }
}

/// Verifies tokens.
pub struct Tokens {
    keys: Source,
    policy: Arc<Policy>,
    leeway: Duration,
    /// Verified tokens, by their hash.
    seen: Cache<[u8; 32], Seen>,
}

/// Where the issuer's keys come from.
enum Source {
    File(Watched<KeySet>),
    Url(Remote),
}

#[derive(Clone)]
struct Seen {
    caller: Known,
    /// When the token ends, including the leeway, in seconds since 1970.
    ends: u64,
    /// Number of the key set that verified the token: with another set, it must be verified again.
    keys: u64,
}

/// What a token's `typ` may be, in lower case and without `application/` (RFC 7515, section 4.1.9; RFC 9068). Many issuers
/// write `JWT`, or nothing, into their access tokens. Other types are of tokens that say something else than who calls, such
/// as `logout+jwt`, `secevent+jwt` and `dpop+jwt`.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// The members of a token's header that are checked, besides its algorithm. `null` is of a wrong type for each.
#[derive(Deserialize)]
struct Header {
    #[serde(default, deserialize_with = "text")]
    typ: Option<String>,
    #[serde(default, deserialize_with = "text")]
    kid: Option<String>,
    /// The token demands an extension.
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
}

/// The claims that the library does not check, or less strictly than RFC 7519.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since 1970, which may have a fraction (RFC 7519, section 2).
    exp: f64,
    /// The library also takes a list.
    #[serde(rename = "iss")]
    _iss: String,
    /// A logout token, or another security event: it reports what happened to its subject, and may have no `typ`.
    #[serde(default, deserialize_with = "is_there")]
    events: bool,
}

/// Reads whether there is a member, whatever its value: serde takes `null` for none.
fn is_there<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

/// Reads a text, which must be one if it is there.
fn text<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    String::deserialize(value).map(Some)
}

impl Header {
    fn of(token: &[u8]) -> Option<Self> {
        // The library finds what is no signed token at all.
        decode_header(token).ok()?;
        let encoded = token.split(|byte| *byte == b'.').next()?;
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
    }
}

impl Tokens {
    /// Starts reading the issuer's keys.
    pub async fn start(
        settings: &config::identity::Jwt,
        policy: &Arc<Policy>,
        watcher: &Watcher,
    ) -> anyhow::Result<Self> {
        let reader = Reader::new(settings);
        let read = move |content: &[u8]| reader.read(content);
        let keys = match (&settings.jwks_file, &settings.jwks_url) {
            (Some(path), _) => Source::File(watcher.file("jwks", path, read).await?),
            (None, Some(url)) => Source::Url(Remote::start(url, settings.refresh, watcher.counts("jwks"), read)?),
            (None, None) => anyhow::bail!("neither jwks_file nor jwks_url is set"),
        };
        let seen = Cache::builder().max_capacity(MAX_REMEMBERED).time_to_idle(Duration::from_mins(10)).build();
        Ok(Self { keys, policy: Arc::clone(policy), leeway: settings.leeway, seen })
    }

    /// Returns the caller that a header's token names.
    pub fn verify(&self, header: &HeaderValue) -> Result<Known, Failure> {
        let token = bearer(header)?;
        let keys = self.keys().ok_or(Failure::NoKey)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token).as_ref());
        if let Some(seen) = self.seen.get(&hash).filter(|seen| seen.keys == keys.number && now < seen.ends) {
            return Ok(seen.caller);
        }
        let (name, expires) = check(token, &keys)?;
        let (caller, ends) = (self.policy.known(&name), expires.saturating_add(self.leeway.as_secs()));
        self.seen.insert(hash, Seen { caller: caller.clone(), ends, keys: keys.number });
        Ok(caller)
    }

    fn keys(&self) -> Option<Arc<KeySet>> {
        match &self.keys {
            Source::File(keys) => Some(keys.get()),
            Source::Url(remote) => remote.get(),
        }
    }

    /// Asks the issuer's URL for its keys before the next regular read. A file is watched anyway.
    pub async fn ask(&self) -> Asked {
        match &self.keys {
            Source::Url(remote) => remote.ask().await,
            Source::File(_) => Asked::Answered,
        }
    }

    /// Waits for the first keys: for [`SETTLE`] at most or, if they are the `only` way for callers to prove who they are, without
    /// end.
    pub async fn settle(&self, only: bool) {
        if let Source::Url(remote) = &self.keys {
            let mut there = remote.first(SETTLE).await;
            while only && !there {
                there = remote.first(SETTLE).await;
            }
        }
    }
}

/// Returns the caller that a header's token names, and when the token ends in seconds since 1970.
pub fn name(header: &HeaderValue, keys: &KeySet) -> Result<(String, u64), Failure> {
    check(bearer(header)?, keys)
}

fn check(token: &[u8], keys: &KeySet) -> Result<(String, u64), Failure> {
    let header = Header::of(token).ok_or(MALFORMED)?;
    if header.crit {
        return Err(CRITICAL.into());
    }
    if !header.typ.as_deref().is_none_or(is_access_type) {
        return Err(TYPE.into());
    }
    let key = keys.find(header.kid.as_deref()).ok_or(Failure::NoKey)?;
    let claims = decode::<Claims>(token, &key.key, &key.validation).map_err(|error| match error.kind() {
        ErrorKind::InvalidAlgorithm | ErrorKind::MissingAlgorithm => ALGORITHM,
        ErrorKind::InvalidSignature => SIGNATURE,
        ErrorKind::ExpiredSignature => EXPIRED,
        ErrorKind::ImmatureSignature => EARLY,
        ErrorKind::InvalidIssuer => ISSUER,
        ErrorKind::InvalidAudience => AUDIENCE,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) | ErrorKind::Json(_) => CLAIMS,
        _ => MALFORMED,
    })?;
    let Claims { sub, exp, events, .. } = claims.claims;
    if events {
        return Err(TYPE.into());
    }
    // The name is matched against the rules' patterns, in which `*` has a meaning, and written into log lines.
    if !(1..=MAX_SUBJECT_BYTES).contains(&sub.len()) || sub.contains('*') || sub.chars().any(char::is_control) {
        return Err(SUBJECT.into());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the library has refused negative times"
    )]
    Ok((format!("jwt:{sub}"), exp as u64))
}

/// Whether a token of this `typ` may be an access token.
fn is_access_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    TYPES.contains(&typ.strip_prefix("application/").unwrap_or(&typ))
}

fn bearer(header: &HeaderValue) -> Result<&[u8], Why> {
    let bytes = header.as_bytes();
    let (scheme, token) = bytes.split_at_checked(7).ok_or(NO_BEARER)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") || token.is_empty() {
        return Err(NO_BEARER);
    }
    if token.len() > MAX_TOKEN_BYTES { Err(MALFORMED) } else { Ok(token) }
}
