//! Who is calling: API tokens, the owner's password, bearer tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::time::Instant;
use url::form_urlencoded;

use super::World;
use super::call::Call;
use super::config::Credentials;
use super::errors;
use super::reply::{Asked, Outcome, Reply};
use super::store::tables::Tables;
use super::store::user::User;

/// The user behind a request; none only on `users/me`.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub Option<i64>);

/// What is accepted right now.
#[derive(Debug)]
pub struct Keys {
    /// The newest last; there is always one.
    accepted: RwLock<Vec<Credentials>>,
    issued: Mutex<HashMap<String, Instant>>,
}

impl Keys {
    pub fn new(accepted: Credentials) -> Self {
        Self { accepted: RwLock::new(vec![accepted]), issued: Mutex::default() }
    }

    /// Accepts other credentials from now on.
    pub fn rotate(&self, accepted: Credentials) {
        *self.accepted.write().unwrap_or_else(PoisonError::into_inner) = vec![accepted];
    }

    /// Accepts other credentials, too: an account can have several tokens, so
    /// a rotation creates the new one before it revokes the old.
    pub fn admit(&self, accepted: Credentials) {
        self.accepted.write().unwrap_or_else(PoisonError::into_inner).push(accepted);
    }

    /// Makes every token from `POST /oauth/tokens` invalid.
    pub fn revoke_issued(&self) {
        self.issued().clear();
    }

    /// Returns the credentials that `fits`, the newest of several.
    fn accepted(&self, fits: impl Fn(&Credentials) -> bool) -> Option<Credentials> {
        let accepted = self.accepted.read().unwrap_or_else(PoisonError::into_inner);
        accepted.iter().rfind(|one| fits(one)).cloned()
    }

    fn issued(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn issue(&self, lifetime: Duration) -> String {
        let token = format!("issued-{:032x}", fastrand::u128(..));
        self.issued().insert(token.clone(), Instant::now() + lifetime);
        token
    }

    fn is_issued(&self, token: &str) -> bool {
        let until = self.issued().get(token).copied();
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Finds the user that `headers` authenticate. A wrong password counts as
    /// no credential, a wrong token is refused: in the recordings `users/me`
    /// answers them so.
    fn identify(&self, headers: &HeaderMap, tables: &Tables) -> Result<Option<i64>, Reply> {
        let owner = |accepted: &Credentials| tables.email_owner(&accepted.email);
        let Some(header) = headers.get(header::AUTHORIZATION) else {
            return Ok(None);
        };
        let header = header.to_str().unwrap_or_default();
        let (scheme, value) = header.split_once(' ').unwrap_or((header, ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            let issued = self.is_issued(value);
            let Some(accepted) = self.accepted(|one| issued || value == one.oauth_token) else {
                return Err(errors::invalid_token());
            };
            return on_behalf_of(headers, tables).unwrap_or_else(|| Ok(owner(&accepted)));
        }
        let decoded = STANDARD.decode(value).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((login, secret)) = decoded.as_deref().and_then(|text| text.split_once(':')) else {
            return Err(errors::unauthenticated());
        };
        if let Some(email) = login.strip_suffix("/token") {
            // An API token speaks for any member of staff; that it does not
            // speak for end users is the account's setting (an assumption).
            let user = tables.email_owner(email).and_then(|id| tables.user(id));
            let known = self.accepted(|one| secret == one.api_token).is_some();
            let user = user.filter(|user| user.is_staff() && known);
            return match user {
                Some(user) => Ok(Some(user.id)),
                None => Err(errors::unauthenticated()),
            };
        }
        let right = |one: &Credentials| login.eq_ignore_ascii_case(&one.email) && secret == one.password;
        Ok(self.accepted(right).as_ref().and_then(owner))
    }
}

/// The user that a bearer token is used for, by e-mail or id.
fn on_behalf_of(headers: &HeaderMap, tables: &Tables) -> Option<Result<Option<i64>, Reply>> {
    let named = headers.get("x-on-behalf-of")?.to_str().ok()?;
    let id = match named.parse() {
        Ok(id) => tables.active_user(id).map(|user| user.id),
        Err(_) => tables.email_owner(named),
    };
    Some(id.map(Some).ok_or_else(errors::invalid_token))
}

/// Lets known callers pass. End users may only ask who they are.
pub async fn layer(State(world): State<Arc<World>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !path.starts_with("/api/v2") {
        return next.run(request).await;
    }
    let asks_for_self = path == "/api/v2/users/me";
    let outcome = {
        let tables = world.store.read();
        let caller = world.keys.identify(request.headers(), &tables);
        caller.and_then(|caller| {
            let user = caller.and_then(|id| tables.user(id));
            match user {
                None if asks_for_self => Ok(None),
                None => Err(errors::unauthenticated()),
                Some(user) if user.is_staff() || asks_for_self => Ok(Some(user.id)),
                Some(User { .. }) => Err(errors::forbidden()),
            }
        })
    };
    match outcome {
        Ok(caller) => {
            request.extensions_mut().insert(Caller(caller));
            next.run(request).await
        }
        Err(refusal) => refusal.send(&Asked::of(request.method(), request.headers())),
    }
}

/// `POST /oauth/tokens` with `client_credentials`: a JSON body or a form.
pub fn issue_token(call: &Call) -> Outcome {
    let wanted = match call.json() {
        Ok(json) => json,
        Err(_) => form_urlencoded::parse(&call.body)
            .map(|(key, value)| (key.into_owned(), value.into_owned().into()))
            .collect(),
    };
    let text = |key: &str| wanted.get(key).and_then(|value| value.as_str());
    let refuse = |status, error: &str, description: &str| {
        let body = json!({"error": error, "error_description": description});
        Err(Reply::json(status, body.to_string().into_bytes()))
    };
    if text("grant_type") != Some("client_credentials") {
        return refuse(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            "The authorization grant type is not supported by the authorization server.",
        );
    }
    let known = call.world.keys.accepted(|one| {
        text("client_id") == Some(one.client_id.as_str()) && text("client_secret") == Some(one.client_secret.as_str())
    });
    if known.is_none() {
        return refuse(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "Client authentication failed due to unknown client, no client authentication \
             included, or unsupported authentication method.",
        );
    }
    let asked = wanted.get("expires_in");
    let asked = asked.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    let lifetime = asked.map_or(call.world.config.oauth_token_lifetime, Duration::from_secs);
    let body = json!({
        "access_token": call.world.keys.issue(lifetime),
        "token_type": "bearer",
        "scope": text("scope").unwrap_or("read write"),
        "expires_in": lifetime.as_secs(),
    });
    Ok(Reply::ok(body.to_string().into_bytes()).cached("no-store"))
}
