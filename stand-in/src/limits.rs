//! The budgets that requests spend: the account's and single endpoints'.
//!
//! Windows have a fixed length and start with the sandbox. A refused request
//! spends nothing (an assumption).

mod updates;
mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::World;
use super::config::{Bucket, Config};
use super::errors;
use super::reply::{Asked, Reply};
use updates::Updates;
use window::{Account, Window};

/// All budgets of one sandbox.
#[derive(Debug)]
pub struct Limits {
    account: Mutex<Account>,
    buckets: Vec<(Bucket, Mutex<Window>)>,
    updates: Mutex<Updates>,
}

/// The header of the limits on changing single users.
const UPDATES: &str = "zendesk-ratelimit-create-update-user";

impl Limits {
    pub fn new(config: &Config) -> Self {
        let buckets = config.buckets.iter().map(|bucket| {
            let window = Window::new(bucket.total, bucket.interval);
            (bucket.clone(), Mutex::new(window))
        });
        Self {
            account: Mutex::new(Account::new(config)),
            buckets: buckets.collect(),
            updates: Mutex::new(Updates::new(&config.update_limits)),
        }
    }

    /// What other integrations spend per window from now on.
    pub fn set_foreign_rate(&self, per_window: u32) {
        self.account().set_foreign_rate(per_window);
    }

    /// Spends part of the current window at once.
    pub fn spend(&self, requests: u32) {
        self.account().spend(requests);
    }

    /// Spends a change to a user, and returns a function that adds the header
    /// that says what is left to a reply.
    pub fn take_update(&self, user: Option<i64>) -> Result<impl Fn(Reply) -> Reply + use<>, Reply> {
        let (state, admitted) = self.updates.lock().unwrap_or_else(PoisonError::into_inner).take(user);
        let with_limit = move |reply: Reply| match state {
            Some(state) => reply.header(UPDATES, state.to_string()),
            None => reply,
        };
        match state {
            Some(state) if !admitted => Err(with_limit(errors::too_many_updates(state.resets))),
            _ => Ok(with_limit),
        }
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bucket(&self, method: &str, template: &str) -> Option<&(Bucket, Mutex<Window>)> {
        let path = template.strip_prefix("/api/v2")?;
        self.buckets.iter().find(|(bucket, _)| bucket.method == method && bucket.path == path)
    }
}

/// Spends budget for the request or refuses it, and tells what is left.
pub async fn layer(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/api/v2") {
        return next.run(request).await;
    }
    let asked = Asked::of(request.method(), request.headers());
    let template = request.extensions().get::<MatchedPath>();
    let template = template.map_or("", MatchedPath::as_str);
    let bucket = world.limits.bucket(request.method().as_str(), template);

    let (account, admitted) = world.limits.account().take();
    let endpoint = bucket.filter(|_| admitted).map(|(bucket, window)| {
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = window.take();
        (bucket.name.as_str(), window.state(), admitted)
    });
    let wait = match &endpoint {
        _ if !admitted => Some(account.resets),
        Some((_, state, false)) => Some(state.resets),
        _ => None,
    };
    let mut response = match wait {
        Some(seconds) => {
            world.recorder.count_throttled();
            errors::rate_limited(seconds).send(&asked)
        }
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-rate-limit", u64::from(account.total)),
        ("x-rate-limit-remaining", u64::from(account.remaining)),
        ("ratelimit-limit", u64::from(account.total)),
        ("ratelimit-remaining", u64::from(account.remaining)),
        ("ratelimit-reset", account.resets),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
    if let Some((name, state, _)) = endpoint {
        with_limit(headers, name, &state.to_string());
    }
    response
}

/// Adds `zendesk-ratelimit-{name}`.
fn with_limit(headers: &mut HeaderMap, name: &str, state: &str) {
    let name = HeaderName::try_from(format!("zendesk-ratelimit-{name}"));
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(state)) {
        headers.insert(name, value);
    }
}
