//! The fault control over HTTP, for clients in other processes.
//!
//! ```text
//! POST   /__sandbox/faults       a rule, or an array of rules     201 {"ids": [1]}
//! GET    /__sandbox/faults                                        200 {"faults": [{"id": 1, "hits": 0, …}]}
//! DELETE /__sandbox/faults                                        204
//! DELETE /__sandbox/faults/{id}                                   204, or 404
//! ```
//!
//! A rule has the fields `when` (`method`, `path`, `query`; absent means any), `fault` (one kind as its only key), `times` (a number or
//! `"forever"`, 1 by default), `after` (how many matching requests pass first), `probability` with `seed`, and `applied` (whether the request is
//! handled before its answer is lost):
//!
//! ```json
//! {"when": {"method": "POST", "path": "/api/v2/users"}, "fault": {"reset": {"at": "before_headers"}}, "times": "forever", "applied": true}
//! ```
//!
//! A rule that cannot be understood adds nothing and is answered 400 with the path of the field that is wrong.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::kinds::Fault;
use super::rule::Rule;
use super::{Faults, RuleId};

/// The path below which requests steer the stand-in and never meet a fault.
pub const CONTROL_PATH: &str = "/__sandbox/";

/// Returns the routes of the fault control.
pub fn control_routes(faults: Faults) -> Router {
    Router::new()
        .route("/__sandbox/faults", post(add).get(list).delete(clear))
        .route("/__sandbox/faults/{id}", delete(remove))
        .with_state(faults)
}

async fn add(State(faults): State<Faults>, body: Bytes) -> Response {
    match read(&body) {
        Ok(rules) => {
            let ids: Vec<RuleId> = rules.into_iter().map(|rule| faults.add(rule)).collect();
            (StatusCode::CREATED, Json(json!({ "ids": ids }))).into_response()
        }
        Err(problem) => {
            let body = json!({ "error": "InvalidRule", "field": problem.field, "message": problem.message });
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    }
}

async fn list(State(faults): State<Faults>) -> Response {
    Json(json!({ "faults": faults.list() })).into_response()
}

async fn clear(State(faults): State<Faults>) -> StatusCode {
    faults.clear();
    StatusCode::NO_CONTENT
}

async fn remove(State(faults): State<Faults>, Path(id): Path<u64>) -> StatusCode {
    if faults.remove(RuleId(id)) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

/// What is wrong with a rule, and where.
struct Problem {
    field: String,
    message: String,
}

fn read(body: &[u8]) -> Result<Vec<Rule>, Problem> {
    let given =
        serde_json::from_slice(body).map_err(|error| Problem { field: String::new(), message: error.to_string() })?;
    match given {
        Value::Array(rules) => {
            rules.into_iter().enumerate().map(|(index, rule)| read_rule(rule, &format!("[{index}]."))).collect()
        }
        rule => Ok(vec![read_rule(rule, "")?]),
    }
}

fn read_rule(given: Value, prefix: &str) -> Result<Rule, Problem> {
    let rule: Rule = serde_path_to_error::deserialize(given).map_err(|error| Problem {
        field: format!("{prefix}{}", error.path()),
        message: error.into_inner().to_string(),
    })?;
    if matches!(rule.fault, Fault::Refuse(_)) && rule.left(0).is_none() {
        return Err(Problem {
            field: format!("{prefix}times"),
            message: "refuse needs a number: the connection that takes the rule back would be refused too".to_owned(),
        });
    }
    Ok(rule)
}
