//! Where the credentials of calls come from.

use std::sync::Arc;
use std::time::SystemTime;

use super::caller::{impersonated, passed_through};
use super::client::Client;
use super::exchange::Exchange;
use super::file::{File, basic, bearer};
use super::{AUTHORIZATION, Credential, Origin, fingerprint};
use crate::config;
use crate::error::{Error, Result};
use crate::telemetry::view;
use crate::upstream::client;
use crate::upstream::jitter::Jitter;
use crate::watch::Watcher;

/// Says which credential a call begins with. Cloning shares it.
#[derive(Clone)]
pub struct Source(Arc<Place>);

pub(super) enum Place {
    /// The gateway's own.
    Own {
        kind: &'static str,
        /// Whom it signs in, where the settings say so.
        user: Option<String>,
        /// The credential, without a token if its origin has one.
        base: Credential,
    },
    /// Each caller's own.
    PassThrough,
}

/// What a caller says about authority.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// `x-zendesk-authorization`.
    pub authorization: Option<&'a [u8]>,
    /// `x-on-behalf-of`.
    pub on_behalf_of: Option<&'a [u8]>,
    /// Whether the caller may act for others.
    pub may_impersonate: bool,
}

impl From<Credential> for Source {
    /// A source of one fixed credential.
    fn from(base: Credential) -> Self {
        Self::fixed("fixed", base)
    }
}

impl Source {
    /// Returns a source of one fixed credential; `kind` is its name on the status page.
    pub fn fixed(kind: &'static str, base: Credential) -> Self {
        Self(Arc::new(Place::Own { kind, user: None, base }))
    }

    /// Begins to follow the credential that the settings name. With an OAuth client the first access token is under way when
    /// this returns; calls wait for it.
    ///
    /// # Errors
    /// A file cannot be read or holds no secret.
    pub async fn start(
        settings: &config::Credential,
        zendesk: &client::Origin,
        watcher: &Watcher,
    ) -> anyhow::Result<Self> {
        let (user, origin) = match settings {
            config::Credential::PassThrough => return Ok(Self(Arc::new(Place::PassThrough))),
            config::Credential::ApiToken { email, .. } => {
                let user = format!("{email}/token");
                let file = File::watch(settings, zendesk, watcher, move |secret| basic(&user, secret)).await?;
                (Some(email.clone()), Origin::File(file))
            }
            config::Credential::Password { email, .. } => {
                let user = email.clone();
                let file = File::watch(settings, zendesk, watcher, move |secret| basic(&user, secret)).await?;
                (Some(email.clone()), Origin::File(file))
            }
            // A new token may be another user's.
            config::Credential::OauthToken { .. } => {
                (None, Origin::File(File::watch(settings, zendesk, watcher, bearer).await?))
            }
            config::Credential::OauthClient(client) => {
                let exchange = Arc::new(Exchange::new(client, zendesk, watcher).await?);
                let secret = exchange.changes();
                let get = move || {
                    let exchange = exchange.clone();
                    Box::pin(async move { exchange.carry_out().await }) as _
                };
                let user = format!("{} {}", client.client_id, client.scope);
                (Some(user), Origin::Client(Arc::new(Client::start(Box::new(get), secret, Jitter::RANDOM))))
            }
        };
        let kind = settings.kind().as_str();
        // Without a user every token has a fingerprint of its own; see `current`.
        let fingerprint = user.as_ref().map_or(0, |user| fingerprint::of(&[kind.as_bytes(), user.as_bytes()]));
        let base = Credential { token: None, own: true, fingerprint, on_behalf_of: None, origin };
        Ok(Self(Arc::new(Place::Own { kind, user, base })))
    }

    /// Returns the credential for a call. Takes a read lock for a moment and never waits.
    ///
    /// # Errors
    /// [`Error::Invalid`] for metadata that is malformed or does not go with the kind of credential,
    /// [`Error::CredentialMissing`], [`Error::ImpersonationForbidden`].
    pub fn of(&self, asked: Asked<'_>) -> Result<Credential> {
        let credential = match (&*self.0, asked.authorization) {
            (Place::Own { base, .. }, None) => base.current(),
            // The caller asked with its own authority; with the gateway's, the answer could be another.
            (Place::Own { .. }, Some(_)) => {
                return Err(Error::invalid(AUTHORIZATION, "is not used: calls are made with the gateway's credential"));
            }
            (Place::PassThrough, Some(value)) => passed_through(value)?,
            (Place::PassThrough, None) => return Err(Error::CredentialMissing),
        };
        match asked.on_behalf_of {
            None => Ok(credential),
            Some(_) if !asked.may_impersonate => Err(Error::ImpersonationForbidden),
            Some(user) => credential.for_user(impersonated(user)?),
        }
    }

    /// Returns its kind, and whom it signs in, where the settings say so: what all replicas before one account have in common.
    pub fn account(&self) -> (&'static str, Option<&str>) {
        match &*self.0 {
            Place::Own { kind, user, .. } => (kind, user.as_deref()),
            Place::PassThrough => ("pass_through", None),
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.0
    }

    /// Returns what the status page shows of it.
    pub fn view(&self) -> view::Credential {
        let Place::Own { kind, base, .. } = &*self.0 else {
            return view::Credential { kind: "pass_through".to_owned(), ..view::Credential::default() };
        };
        let kind = (*kind).to_owned();
        match &base.origin {
            Origin::Client(client) => client.view(kind),
            _ => view::Credential {
                expires: (kind == "api_token").then(end_of_api_tokens),
                kind,
                ..view::Credential::default()
            },
        }
    }

    /// Returns how often access tokens were issued, if the gateway gets them itself.
    pub fn reload(&self) -> Option<view::Reload> {
        match &*self.0 {
            Place::Own { base: Credential { origin: Origin::Client(client), .. }, .. } => Some(client.reload()),
            _ => None,
        }
    }
}

impl Credential {
    /// Returns it with the token that its origin has now.
    pub(super) fn current(&self) -> Self {
        let token = match &self.origin {
            Origin::Fixed => return self.clone(),
            Origin::File(file) => Some(file.current()),
            Origin::Client(client) => client.current(),
        };
        match token {
            Some(token) if self.fingerprint == 0 => {
                let fingerprint = token.fingerprint;
                Self { fingerprint, ..self.with(token) }
            }
            token => Self { token, ..self.clone() },
        }
    }
}

/// Returns when Zendesk stops accepting API tokens, whatever their age.
fn end_of_api_tokens() -> SystemTime {
    humantime::parse_rfc3339("2027-04-30T00:00:00Z").expect("a date")
}
