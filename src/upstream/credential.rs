//! Whose authority a call uses at Zendesk.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::config;

/// A credential, ready to be sent. Its text never leaves this type but as the `authorization` header.
#[derive(Clone)]
pub struct Credential(Arc<Inner>);

struct Inner {
    header: HeaderValue,
    own: bool,
    fingerprint: u64,
}

impl Credential {
    /// Reads the gateway's own credential from the file that the configuration names.
    pub fn load(settings: &config::Credential) -> anyhow::Result<Self> {
        let basic = |user: &str, secret: &SecretString| {
            let pair = format!("{user}:{}", secret.expose_secret());
            format!("Basic {}", BASE64_STANDARD.encode(pair))
        };
        let header = match settings {
            config::Credential::None => anyhow::bail!("upstream.credential: no credential is configured"),
            config::Credential::ApiToken { email, token_file } => {
                basic(&format!("{email}/token"), &read(token_file, "upstream.credential.token_file")?)
            }
            config::Credential::Password { email, password_file } => {
                basic(email, &read(password_file, "upstream.credential.password_file")?)
            }
            config::Credential::OauthToken { token_file } => {
                format!("Bearer {}", read(token_file, "upstream.credential.token_file")?.expose_secret())
            }
        };
        Self::new(&header, true)
    }

    /// Takes the value of an `authorization` header.
    pub fn new(header: &str, own: bool) -> anyhow::Result<Self> {
        let mut hasher = DefaultHasher::new();
        header.hash(&mut hasher);
        let mut header = HeaderValue::from_str(header)
            .map_err(|_| anyhow::anyhow!("the credential has characters that no HTTP header can carry"))?;
        header.set_sensitive(true);
        Ok(Self(Arc::new(Inner { header, own, fingerprint: hasher.finish() })))
    }

    /// Returns the header to send.
    pub fn header(&self) -> HeaderValue {
        self.0.header.clone()
    }

    /// Whether it is the gateway's own rather than one passed through for the caller.
    pub fn is_own(&self) -> bool {
        self.0.own
    }

    /// Returns a number that tells credentials apart within this process, for cache keys.
    pub fn fingerprint(&self) -> u64 {
        self.0.fingerprint
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(if self.0.own { "Credential(own)" } else { "Credential(passed through)" })
    }
}

/// Reads a secret: the file's text without the line break that editors add.
fn read(path: &Path, key: &str) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| anyhow::anyhow!("{key}: cannot read {}: {error}", path.display()))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(!secret.is_empty(), "{key}: {} is empty", path.display());
    Ok(SecretString::from(secret.to_owned()))
}
