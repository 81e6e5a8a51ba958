//! Zendesk's refusals, in every shape that was seen.
//!
//! The shapes are not consistent between endpoints; a client has to cope with
//! all of them, so the sandbox uses each where it was recorded: where an answer
//! of Zendesk was seen to have it. What nobody has seen is called an assumption.

use axum::http::StatusCode;
use serde_json::json;

use super::reply::Reply;

fn json_reply(status: StatusCode, body: &serde_json::Value) -> Reply {
    Reply::json(status, body.to_string().into_bytes())
}

/// 404: no such record.
pub fn not_found() -> Reply {
    let body = r#"{"error":"RecordNotFound","description":"Not found"}"#;
    Reply::json(StatusCode::NOT_FOUND, body.into())
}

/// 404: no such endpoint. That a wrong method is answered so, too, is an
/// assumption.
pub fn invalid_endpoint() -> Reply {
    let body = r#"{"error":"InvalidEndpoint","description":"Not found"}"#;
    Reply::json(StatusCode::NOT_FOUND, body.into())
}

/// One reason why a record cannot be saved.
#[derive(Debug)]
pub struct ValidationError {
    /// The field at fault, by which Zendesk groups the reasons.
    pub field: &'static str,
    /// Zendesk's code, such as `InvalidValue`.
    pub error: &'static str,
    /// The sentence for people.
    pub description: String,
}

impl ValidationError {
    pub fn new(field: &'static str, error: &'static str, description: impl Into<String>) -> Self {
        Self { field, error, description: description.into() }
    }
}

/// 422: a record that cannot be saved, with the reasons.
pub fn record_invalid(problems: &[ValidationError]) -> Reply {
    let mut details = serde_json::Map::new();
    for problem in problems {
        let entry = json!({"description": problem.description, "error": problem.error});
        let list = details.entry(problem.field).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.push(entry);
        }
    }
    let body = format!(
        r#"{{"error":"RecordInvalid","description":"Record validation errors","details":{}}}"#,
        serde_json::Value::Object(details)
    );
    Reply::json(StatusCode::UNPROCESSABLE_ENTITY, body.into_bytes())
}

/// 400, pretty-printed: a parameter of the wrong type.
pub fn invalid_attribute(attribute: &str, why: &str) -> Reply {
    let message = format!("You passed an invalid value for the {attribute} attribute. {why}");
    pretty(StatusCode::BAD_REQUEST, "Invalid attribute", &message)
}

/// 403, pretty-printed: the caller's role does not allow this.
pub fn forbidden() -> Reply {
    pretty(
        StatusCode::FORBIDDEN,
        "Forbidden",
        "You do not have access to this page. Please contact the account owner of this \
         help desk for further help.",
    )
}

fn pretty(status: StatusCode, title: &str, message: &str) -> Reply {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let body = format!(
        "{{\n  \"error\": {{\n    \"title\": {},\n    \"message\": {}\n  }}\n}}\n",
        quoted(title),
        quoted(message)
    );
    Reply::json(status, body.into_bytes())
}

/// 400: a pagination parameter that makes no sense.
pub fn invalid_pagination(parameter: &str) -> Reply {
    let body = format!(r#"{{"errors":[{{"code":"InvalidPaginationParameter","title":"{parameter} is not valid"}}]}}"#);
    Reply::json(StatusCode::BAD_REQUEST, body.into_bytes())
}

/// 400: offset pagination beyond page 100 or 10,000 records.
pub fn pagination_too_deep() -> Reply {
    let body = r#"{"errors":[{"code":"InvalidPaginationDepth","title":"Pagination requests using Offset Pagination are limited to page 100 or up to 10000 records (page * per_page)","detail":"There are limits to the number of pages you can access using Offset Pagination. Use Cursor Pagination instead."}]}"#;
    Reply::json(StatusCode::BAD_REQUEST, body.into())
}

/// 422: a search past its 10,000th row.
pub fn too_many_results() -> Reply {
    invalid_search("Requested response size was greater than Search Response Limits")
}

/// 422: a search that cannot be made. One text is recorded, the others are
/// assumptions.
pub fn invalid_search(why: &str) -> Reply {
    let description = serde_json::Value::from(format!("Invalid search: {why}"));
    let body = format!(r#"{{"error":"invalid","description":{description}}}"#);
    Reply::json(StatusCode::UNPROCESSABLE_ENTITY, body.into_bytes())
}

/// 422: a body that is not JSON. Status and words are an assumption.
pub fn unreadable_body() -> Reply {
    let body = r#"{"error":"Unprocessable Entity","message":"Server could not parse JSON"}"#;
    Reply::json(StatusCode::UNPROCESSABLE_ENTITY, body.into())
}

/// 400: a parameter that must be there is not. Plain text that calls itself
/// HTML, as recorded.
pub fn parameter_missing(name: &str) -> Reply {
    let mut reply = Reply::json(StatusCode::BAD_REQUEST, format!("Required parameter missing: {name}").into_bytes());
    reply.content_type = "text/html; charset=utf-8";
    reply
}

/// 422: changes since a time of the last minute. The words are an assumption.
pub fn too_recent() -> Reply {
    let description = "Too recent start_time. Use a start_time older than 60 seconds";
    json_reply(StatusCode::UNPROCESSABLE_ENTITY, &json!({"error": "StartTimeTooRecent", "description": description}))
}

/// 400: more than 100 values in a list.
pub fn too_many_values() -> Reply {
    // The two spaces are Zendesk's: the parameter's name is missing between them.
    let body =
        r#"{"error":"TooManyValues","description":"Parameter  cannot specify more than 100 values","max_count":100}"#;
    Reply::json(StatusCode::BAD_REQUEST, body.into())
}

/// 400: more than 100 users in a bulk request, in words of its own.
pub fn too_many_users() -> Reply {
    let body = r#"{"error":"TooManyValues","description":"Maximum 100 users may be created per call"}"#;
    Reply::json(StatusCode::BAD_REQUEST, body.into())
}

/// 401: wrong or no credential.
pub fn unauthenticated() -> Reply {
    let body = r#"{"error":"Couldn't authenticate you"}"#;
    Reply::json(StatusCode::UNAUTHORIZED, body.into())
}

/// 401: a bearer token that is unknown, revoked or expired.
pub fn invalid_token() -> Reply {
    let body = json!({
        "error": "invalid_token",
        "error_description": "The access token provided is expired, revoked, malformed or \
                              invalid for other reasons.",
    });
    json_reply(StatusCode::UNAUTHORIZED, &body)
}

/// 429: a single user, or the account's users, changed too often. The shape is
/// one of those recorded; that this refusal has it is an assumption.
pub fn too_many_updates(retry_after_seconds: u64) -> Reply {
    let body = r#"{"errors":[{"code":"TooManyRequests","title":"Too Many Requests","detail":"You have exceeded the rate limit of this endpoint","status":"429"}]}"#;
    Reply::json(StatusCode::TOO_MANY_REQUESTS, body.into()).header("retry-after", retry_after_seconds.to_string())
}

/// The refusal of one more background job. Its HTTP status is an assumption, so
/// [`Assumptions`](crate::Assumptions) can set it; one that HTTP does not have
/// becomes 429.
pub fn too_many_jobs(status: u16, class: &str, current: &[String]) -> Reply {
    let body = json!({
        "error": "TooManyJobs",
        "description": format!("Too many {class} jobs are currently queued or running. Try again later."),
        "current_job_ids": current,
    });
    json_reply(StatusCode::from_u16(status).unwrap_or(StatusCode::TOO_MANY_REQUESTS), &body)
}

/// 429: the account's or an endpoint's budget is spent.
pub fn rate_limited(retry_after_seconds: u64) -> Reply {
    let body = r#"{"error":"APIRateLimitExceeded","description":"Number of allowed API requests per minute exceeded"}"#;
    Reply::json(StatusCode::TOO_MANY_REQUESTS, body.into()).header("retry-after", retry_after_seconds.to_string())
}
