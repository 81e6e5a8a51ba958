//! Whose tokens are of this fleet: those of this replica's own service account, for the same audience.
//!
//! They are verified with the keys of the API server, which most clusters let every service account read. Where they may not be
//! read the API server is asked about each token. With keys that were read once, replicas find each other while the API server is
//! away, too.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use tracing::warn;

use super::api::Api;
use crate::files;
use crate::tls;

/// Longest that the API server is asked about a token.
const PATIENCE: Duration = Duration::from_secs(1);
/// The keys are read at most so often for tokens whose key is unknown.
const AGAIN: Duration = Duration::from_secs(2);
/// How far clocks may be apart, in seconds.
const LEEWAY: u64 = 60;
const MOST_BYTES: u64 = 16 << 10;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Claims {
    sub: String,
    iss: String,
    aud: Vec<String>,
}

/// Verifies tokens.
pub struct Proof {
    token_file: PathBuf,
    api: Arc<Api>,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    known: Option<Arc<JwkSet>>,
    read: Option<Instant>,
}

impl Proof {
    /// Reads this replica's own token.
    pub fn start(token_file: &Path, api: &Arc<Api>) -> anyhow::Result<Self> {
        let claims = own(token_file)?;
        let is_default = claims.sub.ends_with(":default");
        ensure!(!is_default, "it is of the service account default, which every pod of the namespace has");
        Ok(Self { token_file: token_file.to_owned(), api: Arc::clone(api), keys: Mutex::default() })
    }

    /// True for a token of this fleet.
    pub async fn is_good(&self, token: &str) -> bool {
        match timeout(PATIENCE, self.check(token)).await {
            Ok(Ok(good)) => good,
            Ok(Err(error)) => {
                let error = tls::in_words(&error);
                warn!(error, "another replica's token cannot be verified");
                false
            }
            Err(_) => {
                warn!("another replica's token cannot be verified: the API server does not answer");
                false
            }
        }
    }

    async fn check(&self, token: &str) -> anyhow::Result<bool> {
        // It may have been given another audience or account since.
        let own = own(&self.token_file)?;
        let known = self.locked().known.clone();
        if let Some(good) = known.and_then(|keys| verify(token, &keys, &own)) {
            return Ok(good);
        }
        let read = self.locked().read;
        if read.is_none_or(|read| read.elapsed() > AGAIN) {
            let keys = self.api.keys().await.context("the keys of service accounts")?;
            let keys = keys.map(serde_json::from_value::<JwkSet>).transpose()?.map(Arc::new);
            *self.locked() = Keys { known: keys.clone(), read: Some(Instant::now()) };
            if let Some(good) = keys.and_then(|keys| verify(token, &keys, &own)) {
                return Ok(good);
            }
        }
        if self.locked().known.is_some() {
            return Ok(false); // no such key
        }
        for audience in &own.aud {
            let whose = self
                .api
                .review(token, audience)
                .await
                .context("neither the keys of service accounts nor a TokenReview can be had")?;
            if whose.as_deref() == Some(&own.sub) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the claims of this replica's own token, which nobody needs to prove.
fn own(token_file: &Path) -> anyhow::Result<Claims> {
    let token = files::read(token_file, MOST_BYTES).with_context(|| token_file.display().to_string())?;
    let payload = token.trim_ascii().split(|byte| *byte == b'.').nth(1).context("it is no service account's token")?;
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).ok().context("it is no service account's token")?;
    serde_json::from_slice(&payload).ok().context("it is no service account's token")
}

/// Whether a token is like the own one and signed with one of these keys; none if its key is not among them.
fn verify(token: &str, keys: &JwkSet, own: &Claims) -> Option<bool> {
    let Ok(header) = decode_header(token) else { return Some(false) };
    let named = |id: &Option<String>| header.kid.is_none() || *id == header.kid;
    let key = keys.keys.iter().find(|key| named(&key.common.key_id))?;
    let algorithms = match &key.algorithm {
        AlgorithmParameters::RSA(_) => vec![Algorithm::RS256, Algorithm::RS384, Algorithm::RS512],
        AlgorithmParameters::EllipticCurve(_) => vec![Algorithm::ES256, Algorithm::ES384],
        _ => return Some(false),
    };
    if !algorithms.contains(&header.alg) {
        return Some(false);
    }
    let Ok(key) = DecodingKey::from_jwk(key) else { return Some(false) };
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&own.aud);
    validation.set_issuer(&[&own.iss]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    validation.validate_nbf = true;
    validation.leeway = LEEWAY;
    let claims = decode::<Value>(token, &key, &validation).ok()?.claims;
    Some(claims["sub"] == own.sub.as_str())
}
