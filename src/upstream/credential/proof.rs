//! Asks Zendesk whether it accepts the gateway's own credential: once, before anything depends on it.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION};
use serde_json::Value;
use tokio::time::timeout;

use super::source::{Place, Source};
use super::{Credential, Origin};
use crate::error::{ConnectionError, Error};
use crate::upstream::client;

/// Most bytes of an answer that are read: a user has a few thousand.
const MOST_BYTES: usize = 1 << 20;

/// What Zendesk says of the credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Callers pass their own, so there is none to ask about.
    NotAsked,
    /// It is accepted, as the credential of a user with this role.
    Accepted(String),
    /// It is not accepted.
    Refused(String),
    /// Zendesk did not say: there was no answer, or one about something else.
    Unknown(String),
}

impl Source {
    /// Asks Zendesk whose the gateway's own credential is, at most for so long.
    pub async fn prove(&self, zendesk: &client::Origin, within: Duration) -> Proof {
        let Some(base) = self.own() else { return Proof::NotAsked };
        let asked = timeout(within, ask(base, zendesk)).await;
        asked.unwrap_or_else(|_| Proof::Unknown(format!("no answer within {}", humantime::format_duration(within))))
    }

    fn own(&self) -> Option<&Credential> {
        match self.place() {
            Place::Own { base, .. } => Some(base),
            Place::PassThrough => None,
        }
    }
}

async fn ask(base: &Credential, zendesk: &client::Origin) -> Proof {
    let credential = match &base.origin {
        Origin::Client(client) => match client.next(None, false).await {
            Ok(token) => token.map(|token| base.with(token)),
            Err(error @ Error::Credential { .. }) => return Proof::Refused(format!("no access token: {error}")),
            Err(error) => return Proof::Unknown(format!("no access token: {error}")),
        },
        Origin::File(_) | Origin::Fixed => Some(base.current()),
    };
    let Some(header) = credential.and_then(|credential| credential.header()) else {
        return Proof::Unknown("there is no access token yet".to_owned());
    };
    match whose(zendesk, header).await {
        Ok(proof) => proof,
        Err(error) => Proof::Unknown(ConnectionError::of(error.as_ref()).text),
    }
}

/// Show Self.
/// <https://developer.zendesk.com/api-reference/ticketing/users/users/#show-self>
async fn whose(zendesk: &client::Origin, header: http::HeaderValue) -> anyhow::Result<Proof> {
    let url = zendesk.url().join("/api/v2/users/me")?;
    let request = zendesk.client().build()?.get(url).header(AUTHORIZATION, header).header(ACCEPT, "application/json");
    let mut response = request.send().await.map_err(reqwest::Error::without_url)?;
    let status = response.status().as_u16();
    let Ok(body) = client::read_body(&mut response, MOST_BYTES, || ()).await else {
        return Ok(Proof::Unknown(format!("HTTP {status} with a body that cannot be read")));
    };
    let user = serde_json::from_slice::<Value>(&body).ok().map(|mut body| body["user"].take());
    Ok(match (status, user) {
        (401 | 403, _) => Proof::Refused(format!("HTTP {status}")),
        // To a request without a credential that it knows, Zendesk answers with an anonymous user.
        (200, Some(user)) if user.is_object() && user["id"].is_null() => Proof::Refused("it is nobody's".to_owned()),
        (200, Some(user)) if user.is_object() => {
            Proof::Accepted(user["role"].as_str().unwrap_or("unknown").chars().take(40).collect())
        }
        _ => Proof::Unknown(format!("HTTP {status}, which is no answer about a user")),
    })
}
