//! The stack of a request, and the task that serves it.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower::util::MapRequestLayer;

use super::World;
use super::connection::serve_registered;
use super::record::{self, SentPath};
use super::{auth, control, faults, latency, limits, routes};

/// Serves until `stop` is cancelled.
pub fn spawn(listener: TcpListener, world: &Arc<World>, stop: CancellationToken) {
    let app = app(world);
    let (connections, faults) = (world.connections.clone(), world.faults.clone());
    let admits = move || faults.admits_connection();
    tokio::spawn(async move { serve_registered(listener, app, connections, admits, stop.cancelled()).await });
}

/// Returns everything that is served.
pub fn app(world: &Arc<World>) -> Router {
    let stack = ServiceBuilder::new()
        // Outermost, so that it sees every request, whatever becomes of it.
        .layer(from_fn_with_state(Arc::clone(world), record::layer))
        // A fault stands for the network and the proxies in front of the account, so it comes before the account's own rules.
        .layer(from_fn_with_state(world.faults.clone(), faults::act))
        // Above the limits, so that unauthenticated callers spend no budget.
        .layer(from_fn_with_state(Arc::clone(world), auth::layer))
        // Above the latency, so that refusals come at once: an account over its limit is not slow.
        .layer(from_fn_with_state(Arc::clone(world), limits::layer))
        .layer(from_fn_with_state(Arc::clone(world), latency::layer));
    let api = routes::table().layer(stack).with_state(Arc::clone(world));
    // The `.json` suffix is cut before routing, so every path exists with and without it.
    let api = ServiceBuilder::new().layer(MapRequestLayer::new(strip_json)).service(api);
    control::routes(world).merge(faults::control_routes(world.faults.clone())).fallback_service(api)
}

fn strip_json(mut request: Request) -> Request {
    let path = request.uri().path();
    let Some(bare) = path.strip_suffix(".json") else {
        return request;
    };
    let sent = SentPath(path.to_owned());
    let target = match request.uri().query() {
        Some(query) => format!("{bare}?{query}"),
        None => bare.to_owned(),
    };
    let Ok(target) = target.parse() else {
        return request;
    };
    // The rest stays: over HTTP/2 it names the host.
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(target);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
        request.extensions_mut().insert(sent);
    }
    request
}
