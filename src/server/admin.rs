//! The admin port: HTTP for operators and their tools, apart from the port that callers use.
//!
//! `/livez` answers as long as the process can. `/readyz` says whether new calls should come here. Trouble upstream does not
//! change that: every replica has the same upstream, and without any replica callers would not even get stale answers.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Json, Redirect, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::time::sleep;

mod failures;
mod figures;
mod findings;
mod host;
mod invalidate;
mod judge;
mod lately;
mod member;
mod page;
pub mod port;
pub mod readiness;
mod settings;
mod shown;
mod status;

pub use findings::{Finding, Level};
pub use readiness::Readiness;
pub use shown::Admin;
pub use status::Status;

use readiness::Phase;

/// Time between two looks for findings.
const LOOK: Duration = Duration::from_secs(1);

impl Admin {
    /// Returns the routes.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/", get(|| async { Redirect::temporary("/status") }))
            .route("/livez", get(|| async { "live\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .route("/status", get(status))
            .route("/cache/invalidate", post(invalidate::invalidate))
            .layer(from_fn_with_state(self.clone(), host::check))
            .with_state(self.clone())
    }

    /// Serves until the task is dropped or aborted. The port stays open during the drain, so that operators can watch it.
    pub async fn serve(self, listener: TcpListener) {
        tokio::select! {
            () = port::serve(self.routes(), listener) => {}
            () = self.look() => {}
        }
    }

    /// Looks for findings each second, so that they begin and end in the log and in the metrics whether or not anybody asks.
    async fn look(&self) {
        loop {
            sleep(LOOK).await;
            self.status();
        }
    }

    /// Takes a snapshot and says what about it deserves attention.
    fn status(&self) -> Status {
        let (mut status, state) = (Status::read(self), self.0.telemetry.state());
        let judged = |lately: &_| judge::judge(&status, state, lately);
        status.findings = self.0.findings.update(state, judged, judge::explains);
        status
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

/// Answers with HTML if the request accepts it, else with JSON; `format` in the query decides over both.
async fn status(State(admin): State<Admin>, uri: Uri, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let json = match uri.query() {
        Some("format=json") => true,
        Some("format=html") => false,
        _ => !accept.contains("text/html"),
    };
    let status = admin.status();
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
