//! Asks Zendesk whose a credential is.

use http::header::{ACCEPT, AUTHORIZATION};
use serde_json::Value;

use crate::telemetry::trouble::{CREDENTIAL, KeptOut};
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
    /// It is not accepted, or there is something else than the account: every call would fail for that.
    Refused(KeptOut),
    /// Zendesk did not say: there was no answer, or one that says only that there will be another later.
    Unknown(String),
}

/// Show Self.
/// <https://developer.zendesk.com/api-reference/ticketing/users/users/#show-self>
pub(super) async fn whose(zendesk: &client::Origin, header: http::HeaderValue) -> anyhow::Result<Proof> {
    let url = zendesk.url().join("/api/v2/users/me")?;
    let request = zendesk.client().build()?.get(url).header(AUTHORIZATION, header).header(ACCEPT, "application/json");
    let mut response = request.send().await.map_err(reqwest::Error::without_url)?;
    let status = response.status().as_u16();
    let Ok(body) = client::read_body(&mut response, MOST_BYTES, || ()).await else {
        return Ok(Proof::Unknown(format!("HTTP {status} with a body that cannot be read")));
    };
    let body = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    // Null, too, where the body is no object.
    let user = &body["user"];
    Ok(match status {
        // To a request without a credential that it knows, Zendesk answers with an anonymous user.
        200 if user.is_object() && user["id"].is_null() => Proof::Refused(KeptOut { means: CREDENTIAL, status }),
        200 if user.is_object() => {
            Proof::Accepted(user["role"].as_str().unwrap_or("unknown").chars().take(40).collect())
        }
        _ => KeptOut::of(status)
            .map_or_else(|| Proof::Unknown(format!("HTTP {status}, which is no answer about a user")), Proof::Refused),
    })
}
