//! The sandbox's own endpoints, outside the API: what it counted.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;

use super::World;
use super::connection::ConnectionCounts;
use super::record;

/// `GET /__sandbox/stats` and `POST /__sandbox/stats/reset`.
pub fn routes(world: &Arc<World>) -> Router {
    Router::new()
        .route("/__sandbox/stats", get(show))
        .route("/__sandbox/stats/reset", post(reset))
        .with_state(Arc::clone(world))
}

#[derive(Serialize)]
struct Stats {
    #[serde(flatten)]
    requests: record::Stats,
    live_jobs: usize,
    connections: ConnectionCounts,
}

async fn show(State(world): State<Arc<World>>) -> Json<Stats> {
    Json(Stats {
        requests: world.recorder.stats(),
        live_jobs: world.live_jobs(),
        connections: world.connections.counts(),
    })
}

async fn reset(State(world): State<Arc<World>>) -> StatusCode {
    world.reset_counts();
    StatusCode::NO_CONTENT
}
