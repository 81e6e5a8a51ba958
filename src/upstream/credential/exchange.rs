//! The OAuth client credentials grant: client id and secret for an access token.
//! <https://developer.zendesk.com/api-reference/ticketing/oauth/grant_type_tokens/>
//!
//! It bypasses the outbound stack, for three reasons. The stack's calls wait for a token, so the exchange must not queue among
//! them. The endpoint is not part of the API whose budget, circuits and retries the stack manages. And callers' retries must
//! not set its pace; [`Client`](super::client::Client) does: one exchange at a time, spaced out while they fail.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use tokio::sync::watch;
use tracing::{info, warn};
use url::Url;

use crate::config;
use crate::error::{ConnectionError, Error, Refusal};
use crate::json;
use crate::limits::{Limit, retry_after};
use crate::upstream::client::{Origin, Unread, read_body};
use crate::upstream::redirect::redirection;
use crate::watch::{Watched, Watcher};

/// Longest that one exchange may take.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest body that is read; no answer of the endpoint is near this size.
const MOST_BYTES: usize = 64 << 10;

/// A token that lasts longer is renewed after so long all the same.
const LONGEST_LIFETIME: Duration = Duration::from_hours(24 * 366);

/// Tells of each new secret of a client.
pub(super) type Secret = watch::Receiver<Arc<SecretString>>;

/// An access token as it was issued.
pub struct Issued {
    /// What calls are authorized with.
    pub token: SecretString,
    /// How long it lasts, where that was said.
    pub lifetime: Option<Duration>,
}

/// Asks for access tokens.
pub(super) struct Exchange {
    client: reqwest::Client,
    url: Url,
    client_id: String,
    secret: Watched<SecretString>,
    /// The last secret with which a token was issued.
    good: Mutex<Option<Arc<SecretString>>>,
    scope: String,
    lifetime: Duration,
}

#[derive(Serialize)]
struct Ask<'a> {
    grant_type: &'static str,
    client_id: &'a str,
    client_secret: &'a str,
    scope: &'a str,
    expires_in: u64,
}

impl Exchange {
    pub(super) async fn new(
        settings: &config::OauthClient,
        zendesk: &Origin,
        watcher: &Watcher,
    ) -> anyhow::Result<Self> {
        let of = config::Credential::OauthClient(settings.clone());
        let read = move |content: &[u8]| of.secret(content).map_err(anyhow::Error::msg);
        let secret = watcher.file_on_trial("client_secret", &settings.client_secret_file, read).await;
        Ok(Self {
            client: zendesk.client().connect_timeout(EXCHANGE_TIMEOUT).build()?,
            url: zendesk.url().join("/oauth/tokens")?,
            client_id: settings.client_id.clone(),
            secret: secret.map_err(|error| anyhow::anyhow!("upstream.credential.client_secret_file: {error:#}"))?,
            good: Mutex::default(),
            scope: settings.scope.clone(),
            lifetime: settings.token_lifetime,
        })
    }

    /// Tells of each new secret.
    pub(super) fn changes(&self) -> Secret {
        self.secret.changes()
    }

    /// Gets a token. If Zendesk refuses a new secret, it is asked with the last good one, which may still do.
    pub(super) async fn carry_out(&self) -> Result<Issued, Error> {
        let secret = self.secret.get();
        let before = self.good().clone().filter(|good| !Arc::ptr_eq(good, &secret));
        let (outcome, counts) = (self.ask_in_time(&secret).await, self.secret.counts());
        match (outcome, before) {
            (Ok(issued), before) => {
                if before.is_some() {
                    counts.taken();
                    info!(file.what = "client_secret", "a changed file is in use: zendesk accepts it");
                } else {
                    counts.unchanged();
                }
                *self.good() = Some(secret);
                Ok(issued)
            }
            (Err(Error::Credential { .. }), Some(good)) => {
                counts.failed();
                warn!("zendesk refuses the new client secret; the one before stays in use");
                self.ask_in_time(&good).await
            }
            (outcome, _) => outcome,
        }
    }

    fn good(&self) -> MutexGuard<'_, Option<Arc<SecretString>>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask_in_time(&self, secret: &SecretString) -> Result<Issued, Error> {
        tokio::time::timeout(EXCHANGE_TIMEOUT, self.ask(secret)).await.unwrap_or(Err(Error::AttemptTimeout))
    }

    async fn ask(&self, secret: &SecretString) -> Result<Issued, Error> {
        let ask = Ask {
            grant_type: "client_credentials",
            client_id: &self.client_id,
            client_secret: secret.expose_secret(),
            scope: &self.scope,
            expires_in: self.lifetime.as_secs(),
        };
        let body = serde_json::to_vec(&ask).expect("it has text keys");
        let request = self
            .client
            .post(self.url.clone())
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body);
        let mut response =
            request.send().await.map_err(|error| Error::Connect(ConnectionError::of(&error.without_url())))?;
        let body = read_body(&mut response, MOST_BYTES, || ()).await;
        let refusal = || {
            // Its text is left out: nobody but the operator can act on it, and it could repeat what was sent.
            let retry_after = retry_after(response.headers(), std::time::SystemTime::now());
            Box::new(Refusal { status: response.status().as_u16(), retry_after, ..Refusal::default() })
        };
        let body = body.map_err(|why| match why {
            Unread::TooLarge => Error::Malformed(refusal()),
            Unread::Broken(error) => Error::BrokenBody(ConnectionError::of(&error)),
        })?;
        match response.status() {
            status if status.is_success() => read(&body).ok_or_else(|| Error::Malformed(refusal())),
            status if status.is_redirection() => {
                let text = redirection(response.headers());
                Err(Error::Redirected(Box::new(Refusal { text, ..*refusal() })))
            }
            status => Err(refused(status, refusal())),
        }
    }
}

/// Reads an answer of the token endpoint; none if it holds no token. It is read as leniently as any answer, and what is beside the
/// token and cannot be read counts as unstated.
pub fn read(body: &[u8]) -> Option<Issued> {
    let reply = json::value(body)?;
    let kind = reply["token_type"].as_str();
    let is_bearer = kind.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    let token = reply["access_token"].as_str()?;
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    (is_bearer && is_token).then(|| Issued {
        token: token.to_owned().into(),
        lifetime: seconds(&reply["expires_in"]).filter(|lifetime| !lifetime.is_zero()),
    })
}

fn seconds(value: &serde_json::Value) -> Option<Duration> {
    let seconds: f64 = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    // No token is used for as long, and what ends in a year that no clock shows could not be told.
    Duration::try_from_secs_f64(seconds.floor()).ok().map(|lifetime| lifetime.min(LONGEST_LIFETIME))
}

fn refused(status: StatusCode, refusal: Box<Refusal>) -> Error {
    match status.as_u16() {
        429 => Error::Throttled(Box::new(Refusal { limit: Some(Limit::Tokens), ..*refusal })),
        500 => Error::Server(refusal),
        504 => Error::GatewayTimeout(refusal),
        501.. => Error::Unavailable(refusal),
        // `invalid_client`, `invalid_scope` and the like: the credential is wrong, whatever the status.
        _ => Error::Credential { own: true, refusal },
    }
}
