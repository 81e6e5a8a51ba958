//! One request on its way through the routes.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Multipart, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::World;
use super::auth::Caller;
use super::errors;
use super::query::Query;
use super::reply::{Asked, Reply};
use super::rules::attributes::Warnings;
use super::store::user::Role;
use super::view::Links;

/// A request as handlers read it.
pub struct Call {
    pub world: Arc<World>,
    pub method: Method,
    /// Path below `/api/v2`, without a `.json` suffix.
    pub path: String,
    pub query: Query,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The user the credential belongs to; `None` only for `users/me`.
    pub caller: Option<i64>,
    /// Links of the answer.
    pub links: Links,
    /// Links to where the request was sent, which records just created have
    /// even if the account has an alias.
    pub asked: Links,
    /// Parts of a `multipart/form-data` body.
    pub form: Vec<Part>,
    params: Vec<(String, String)>,
}

/// One part of a form.
pub struct Part {
    pub name: String,
    pub file_name: Option<String>,
    pub content_type: Option<String>,
    pub content: Bytes,
}

impl FromRequest<Arc<World>> for Call {
    type Rejection = Response;

    async fn from_request(request: Request, world: &Arc<World>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let params = RawPathParams::from_request_parts(&mut parts, world).await.map_err(IntoResponse::into_response)?;
        let params = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let body = axum::body::to_bytes(body, usize::MAX)
            .await
            .map_err(|_| errors::unreadable_body().send(&Asked::of(&parts.method, &parts.headers)))?;
        let form = form(&parts.headers, &body).await;
        let asked = asked(&parts, world);
        let has_alias = world.config.link_host.is_some();
        Ok(Self {
            links: if has_alias { world.store.links().clone() } else { asked.clone() },
            asked,
            form,
            world: Arc::clone(world),
            path: parts.uri.path().to_owned(),
            query: Query::parse(parts.uri.query().unwrap_or_default()),
            caller: parts.extensions.get::<Caller>().and_then(|caller| caller.0),
            method: parts.method,
            headers: parts.headers,
            body,
            params,
        })
    }
}

/// Links to the host that a request names, by the scheme of its connection.
/// HTTP/2 puts the host into the URI.
fn asked(parts: &Parts, world: &World) -> Links {
    let links = world.store.links();
    let header = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    match parts.uri.authority().map(Authority::as_str).or(header) {
        Some(host) => links.at(format!("{}://{host}", world.scheme())),
        None => links.clone(),
    }
}

/// The parts of a form; none if the body is something else or broken.
async fn form(headers: &HeaderMap, body: &Bytes) -> Vec<Part> {
    let mut request = Request::new(Body::from(body.clone()));
    *request.headers_mut() = headers.clone();
    // Zendesk states no limit for pictures; the library's own is 2 MB.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut parts = Vec::new();
    if let Ok(mut form) = Multipart::from_request(request, &()).await {
        while let Ok(Some(field)) = form.next_field().await {
            parts.push(Part {
                name: field.name().unwrap_or_default().to_owned(),
                file_name: field.file_name().map(str::to_owned),
                content_type: field.content_type().map(str::to_owned),
                content: field.bytes().await.unwrap_or_default(),
            });
        }
    }
    parts
}

impl Call {
    /// An id from the path. The wire calls every one of them `id`.
    pub fn id(&self, name: &str) -> Result<i64, Reply> {
        let text = self.param(name);
        if !is_integer(text) {
            return Err(errors::invalid_attribute("id", "must be an integer"));
        }
        // No record has an id beyond 64 bits.
        text.parse().map_err(|_| errors::not_found())
    }

    /// A part of the path that is not an integer.
    pub fn param(&self, name: &str) -> &str {
        let found = self.params.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// Up to 100 ids from a comma-separated query parameter. That a text is
    /// refused, as it is in a path, is an assumption.
    pub fn ids(&self, name: &str) -> Result<Option<Vec<i64>>, Reply> {
        let Some(items) = self.query.list(name) else {
            return Ok(None);
        };
        at_most_100(items.len())?;
        if !items.iter().all(|id| is_integer(id)) {
            return Err(errors::invalid_attribute(name, "must be an integer"));
        }
        // No record has an id beyond 64 bits.
        Ok(Some(items.iter().filter_map(|id| id.parse().ok()).collect()))
    }

    /// Up to 100 texts from a comma-separated query parameter.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<&str>>, Reply> {
        let items = self.query.list(name);
        at_most_100(items.as_ref().map_or(0, Vec::len))?;
        Ok(items)
    }

    /// The object under `key` of the JSON body.
    pub fn object(&self, key: &str) -> Result<Map<String, Value>, Reply> {
        match self.json()?.remove(key) {
            Some(Value::Object(object)) => Ok(object),
            _ => Err(errors::parameter_missing(key)),
        }
    }

    /// Up to 100 objects in the array `key` of the JSON body.
    pub fn objects(&self, key: &str) -> Result<Vec<Map<String, Value>>, Reply> {
        let Some(Value::Array(items)) = self.json()?.remove(key) else {
            return Err(errors::parameter_missing(key));
        };
        if items.len() > 100 {
            return Err(if key == "users" { errors::too_many_users() } else { errors::too_many_values() });
        }
        // Assumption: what Zendesk answers to a list of something else.
        let objects = items.into_iter().map(|item| match item {
            Value::Object(object) => Ok(object),
            _ => Err(errors::invalid_attribute(key, "must be a list of objects")),
        });
        objects.collect()
    }

    /// The whole JSON body.
    pub fn json(&self) -> Result<Map<String, Value>, Reply> {
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        serde_json::from_slice(&self.body).map_err(|_| errors::unreadable_body())
    }

    /// Refuses callers that are not admins.
    pub fn admins_only(&self) -> Result<(), Reply> {
        let tables = self.world.store.read();
        let caller = self.caller.and_then(|id| tables.user(id));
        match caller {
            Some(user) if user.role == Role::Admin => Ok(()),
            _ => Err(errors::forbidden()),
        }
    }

    /// Spends one change to a user, or refuses it. Returns a function that adds
    /// the header that says how many are left to a reply.
    pub fn limit_update(&self, user: Option<i64>) -> Result<impl Fn(Reply) -> Reply + use<>, Reply> {
        let limited = self.world.limits.take_update(user);
        if limited.is_err() {
            self.world.recorder.count_throttled();
        }
        limited
    }

    /// Adds the header that warns of a body where none is expected; the body has
    /// no effect. As recorded, the keys of an object are named before it, and a
    /// list alone.
    pub fn with_body_warning(&self, reply: Reply, controller: &str, action: &str) -> Reply {
        let named = self.json().unwrap_or_default().into_iter().flat_map(|(name, value)| {
            let inner = value.as_object().into_iter().flat_map(Map::keys);
            let mut keys: Vec<String> = inner.map(|key| format!("{name}.{key}")).collect();
            keys.push(name);
            keys
        });
        let warnings = Warnings { unpermitted: named.collect() };
        reply.warning(warnings.header(controller, action))
    }

    /// Puts an answer to this request on the wire.
    pub fn send(&self, reply: Reply) -> Response {
        reply.send(&Asked::of(&self.method, &self.headers))
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn at_most_100(count: usize) -> Result<(), Reply> {
    if count > 100 {
        return Err(errors::too_many_values());
    }
    Ok(())
}
