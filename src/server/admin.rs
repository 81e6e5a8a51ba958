//! The admin port: HTTP for operators and their tools, apart from the port that callers use.
//!
//! `/livez` answers as long as the process can. `/readyz` says whether new calls should come here: trouble upstream does
//! not change that, for every replica has the same upstream, and taking all of them away would turn stale answers into none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Json, Redirect, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tracing::warn;
use url::Url;

use crate::cache::Cache;
use crate::config::Config;
use crate::telemetry::Telemetry;

mod invalidate;
mod page;
mod settings;
mod status;

pub use status::Status;

/// What the admin port shows.
#[derive(Clone)]
pub struct Admin(Arc<Inner>);

struct Inner {
    telemetry: Telemetry,
    readiness: Readiness,
    cache: Cache,
    upstream: Url,
    settings: Vec<(String, String)>,
}

impl Admin {
    /// Shows a gateway before `upstream`, and lets operators invalidate its cache. Of `config` nothing secret is kept.
    pub fn new(telemetry: &Telemetry, readiness: &Readiness, cache: &Cache, upstream: &Url, config: &Config) -> Self {
        Self(Arc::new(Inner {
            telemetry: telemetry.clone(),
            readiness: readiness.clone(),
            cache: cache.clone(),
            upstream: upstream.clone(),
            settings: settings::shown(config),
        }))
    }

    /// Returns the routes.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/", get(|| async { Redirect::temporary("/status") }))
            .route("/livez", get(|| async { "live\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .route("/status", get(status))
            .route("/cache/invalidate", post(invalidate::invalidate))
            .with_state(self.clone())
    }

    /// Serves until the task is dropped or aborted: the port outlives the drain, so that its end can be watched.
    pub async fn serve(self, listener: TcpListener) {
        if let Err(error) = axum::serve(listener, self.routes()).await {
            warn!(%error, "the admin port failed");
        }
    }
}

/// Whether new calls should come here.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

/// The phases of a gateway's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not serving yet.
    Starting,
    /// Serving.
    Serving,
    /// Finishing what is under way.
    Draining,
}

impl Readiness {
    /// Says that calls are answered from now on.
    pub fn serving(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    /// Says that no new calls should come.
    pub fn draining(&self) {
        self.0.store(2, Ordering::Relaxed);
    }

    /// Returns the phase.
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            _ => Phase::Draining,
        }
    }
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    match admin.0.readiness.phase() {
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Phase::Serving => (StatusCode::OK, "ready\n"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match admin.0.telemetry.scrape() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// People get a page, whoever does not ask for HTML gets JSON.
async fn status(State(admin): State<Admin>, uri: Uri, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let json = match uri.query() {
        Some("format=json") => true,
        Some("format=html") => false,
        _ => !accept.contains("text/html"),
    };
    let status = Status::read(&admin);
    let mut response = if json { Json(status).into_response() } else { Html(page::render(&status)).into_response() };
    let fixed = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    response
}
