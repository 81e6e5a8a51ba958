//! Reads a response once and says what it means: an [`Answer`], or the [`Error`] that all other layers act on.

use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::call::{Answer, Call, Parsed};
use super::redirect::redirection;
use crate::contract::Idempotency;
use crate::error::{Error, Refusal, Violation, shortened, snippet};
use crate::json::{self, Loss, Malformed, losses_of};
use crate::limits::{Limits, retry_after};

/// Most field violations that are looked at. Of these, a status has as many as fit.
const MOST_VIOLATIONS: usize = 1000;

/// Most characters of a warning. Whoever tells it has room for fewer bytes, and says so where it cuts.
const LONGEST_WARNING: usize = 8 << 10;

/// Zendesk's words for a search that was asked past its end.
const SEARCH_LIMITS: &str = "Search Response Limits";

/// What was made of the body of a success, and what could not be read.
pub type Reading = (Result<Parsed, Malformed>, Vec<Loss>);

/// Reads the body of a success.
pub fn read(call: &Call, body: &[u8]) -> Reading {
    losses_of(|| (call.parse)(body))
}

/// Judges a complete response.
pub fn judge(call: &Call, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Answer, Error> {
    if status.is_success() {
        return success(call, status, headers, read(call, body));
    }
    note_warning(call, headers);
    let mut refusal = Box::new(refusal(status, headers, body));
    refusal.resource = call.rest.record();
    refusal.doing.clone_from(&call.rest.doing);
    let code = refusal.code.as_deref().unwrap_or_default();
    let has_no_more = code.contains(SEARCH_LIMITS) || refusal.text.contains(SEARCH_LIMITS);
    let has = |wanted: &str| code == wanted || refusal.violations.iter().any(|violation| violation.code == wanted);
    Err(match status.as_u16() {
        _ if has("TooManyJobs") => Error::JobLimit(refusal),
        400 | 422 if has("InvalidPaginationParameter") && goes_on(&call.rest.query) => Error::CursorExpired(refusal),
        400 | 422 if has("InvalidPaginationDepth") || has_no_more => Error::PaginationDepth(refusal),
        400 | 422 if has("DuplicateValue") => Error::Duplicate(refusal),
        400 | 422 => Error::RecordInvalid(refusal),
        401 => Error::Credential { own: call.credential.is_own(), refusal },
        403 => Error::Forbidden(refusal),
        404 | 410 if is_about_the_record(call, &refusal, body) => Error::NotFound(refusal),
        404 | 410 => Error::AccountNotFound(refusal),
        409 => Error::Conflict(refusal),
        429 => Error::Throttled(refusal),
        502 | 503 | 520..=523 | 525..=527 | 530 => Error::Unavailable(refusal),
        504 | 524 => Error::GatewayTimeout(refusal),
        // By HTTP, a 303 says that the write was carried out and its outcome is elsewhere; the gateway does not look there.
        303 if call.rest.method != http::Method::GET => {
            refusal.text = format!("redirected {}", redirection(headers));
            Error::Server(refusal)
        }
        // Nobody asked whether something has changed.
        304 => Error::Refused(refusal),
        300..=399 => {
            refusal.text = redirection(headers);
            Error::Redirected(refusal)
        }
        // A proxy gave up on the request, or its client on the proxy; how far the request got is not known.
        408 | 499 => Error::Server(refusal),
        400..=498 => Error::Refused(refusal),
        _ => Error::Server(refusal),
    })
}

/// True if a list is asked for from a cursor on.
fn goes_on(query: &str) -> bool {
    query.split('&').any(|part| part.starts_with("page%5Bafter%5D=") || part.starts_with("cursor="))
}

/// Whether a 404 says that there is no such record, rather than no such account or no such API.
///
/// Callers that keep copies delete them on this answer, so it takes Zendesk's code `RecordNotFound` or, since some answers
/// are empty, an empty body for a path that names a record. A closed or wrong address answers with a page, a sentence, or the
/// code `InvalidEndpoint`, and does so for collections, too.
fn is_about_the_record(call: &Call, refusal: &Refusal, body: &[u8]) -> bool {
    let named = call.rest.names_record;
    let says = refusal.code.as_deref() == Some("RecordNotFound");
    let may_be = named || call.rest.method != http::Method::GET;
    (says && may_be) || (named && body.trim_ascii().is_empty())
}

/// Returns what of the request Zendesk ignored, and notes it for the caller of a write.
fn note_warning(call: &Call, headers: &HeaderMap) -> Option<String> {
    let warning = lines(headers, "x-zendesk-api-warn").map(|warning| shortened(&warning, LONGEST_WARNING));
    if let Some(warning) = warning.as_deref().filter(|_| call.idempotency != Idempotency::NoSideEffects) {
        call.ledger.warned(warning);
    }
    warning
}

/// Judges a success whose body was read.
pub fn success(
    call: &Call,
    status: StatusCode,
    headers: &HeaderMap,
    (parsed, losses): Reading,
) -> Result<Answer, Error> {
    let warning = note_warning(call, headers);
    let refusal = |why: &str| {
        let (request_id, limits) = (header(headers, "x-request-id"), Limits::of(headers, SystemTime::now()));
        let text = format!("{}: {why}", call.rest.endpoint_name());
        Box::new(Refusal { status: status.as_u16(), request_id, text, limits, ..Refusal::default() })
    };
    if warning.is_some() {
        // What it says can quote values, so only the caller is told.
        tracing::warn!(upstream.class = call.class().0, "zendesk ignored a part of a request");
    }
    if status == StatusCode::PARTIAL_CONTENT && call.idempotency == Idempotency::NoSideEffects {
        return Err(Error::Unreadable(refusal("a part of the answer is left out, and nobody asked for a part")));
    }
    let parsed = parsed.map_err(|error| match error {
        // JSON that can be read says that Zendesk works.
        Malformed::Foreign => Error::Foreign(refusal(&error.to_string())),
        Malformed::Incomplete { .. } | Malformed::TooMuch { .. } => Error::Unreadable(refusal(&error.to_string())),
        // The body is looked at, whatever its content type says; the latter only explains why it is no JSON.
        Malformed::Anonymous => {
            Error::Credential { own: call.credential.is_own(), refusal: refusal(&error.to_string()) }
        }
        Malformed::Unreadable { .. } if is_other_than_json(headers) => {
            Error::Malformed(refusal("the content type is not JSON"))
        }
        Malformed::Unreadable { .. } => Error::Malformed(refusal(&error.to_string())),
    })?;
    Ok(Answer {
        status: status.as_u16(),
        parsed,
        request_id: header(headers, "x-request-id"),
        warning,
        limits: Limits::of(headers, SystemTime::now()),
        attempts: 1,
        losses,
    })
}

fn is_other_than_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    !kind.is_empty() && !kind.to_ascii_lowercase().contains("json")
}

/// Returns a header's text, cut and without control characters.
pub fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    lines(headers, name).map(|text| snippet(&text))
}

/// Returns a header's text, which may come in several lines.
fn lines(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines: Vec<_> = headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// Reads an error body in any of the shapes Zendesk and the proxies before it use.
fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let mut refusal = Refusal {
        status: status.as_u16(),
        request_id: header(headers, "x-request-id"),
        retry_after: retry_after(headers, SystemTime::now()),
        limits: Limits::of(headers, SystemTime::now()),
        ..Refusal::default()
    };
    match json::value(body) {
        Some(object @ Value::Object(_)) => read_object(&object, &mut refusal),
        _ => refusal.text = plain_text(headers, body),
    }
    refusal
}

fn read_object(body: &Value, refusal: &mut Refusal) {
    let text = |value: &Value| value.as_str().map(snippet);
    // {"error": "RecordInvalid", "description": "…", "details": {…}}, and OAuth's {"error": "…", "error_description": "…"}
    refusal.code = text(&body["error"]);
    let sentences = [&body["description"], &body["error_description"], &body["error"]["message"], &body["message"]];
    refusal.text = sentences.into_iter().find_map(text).unwrap_or_default();
    // {"error": {"title": "Forbidden", "message": "…"}}
    if let Some(title) = text(&body["error"]["title"]) {
        refusal.code = Some(title);
    }
    // {"errors": [{"code": "…", "title": "…", "detail": "…"}]}
    if let Some(first) = body["errors"].get(0) {
        refusal.code = text(&first["code"]).or(refusal.code.take());
        let sentence = text(&first["detail"]).or_else(|| text(&first["title"])).or_else(|| text(first));
        refusal.text = sentence.unwrap_or_default();
    }
    // {"errors": "…"}
    if let Some(sentence) = text(&body["errors"]).filter(|_| refusal.text.is_empty()) {
        refusal.text = sentence;
    }
    if refusal.text.is_empty() {
        refusal.text = refusal.code.clone().unwrap_or_default();
    }
    // {"errors": {"base": ["…"]}}
    let details = if body["errors"].is_object() { &body["errors"] } else { &body["details"] };
    let rows: Vec<(&str, &Value)> = match details {
        Value::Object(fields) => fields.iter().flat_map(|(field, problems)| each(field, problems)).collect(),
        // Problems of no field are the record's.
        problems => each("base", problems),
    };
    refusal.violations =
        rows.into_iter().take(MOST_VIOLATIONS).map(|(field, problem)| violation(field, problem)).collect();
}

/// Returns the problems of a field: a list of them, or one.
fn each<'a>(field: &'a str, problems: &'a Value) -> Vec<(&'a str, &'a Value)> {
    match problems {
        Value::Null => Vec::new(),
        Value::Array(problems) => problems.iter().map(|problem| (field, problem)).collect(),
        problem => vec![(field, problem)],
    }
}

fn violation(field: &str, problem: &Value) -> Violation {
    let key = problem["field_key"].as_str().unwrap_or(field);
    let short = |text: &str| snippet(text).chars().take(128).collect::<String>();
    Violation {
        field: short(key),
        description: short(problem["description"].as_str().or(problem.as_str()).unwrap_or_default()),
        code: short(problem["error"].as_str().unwrap_or_default()),
    }
}

/// Returns a text body. For an HTML page it says only that it was one, because markup tells a caller nothing.
fn plain_text(headers: &HeaderMap, body: &[u8]) -> String {
    let kind = headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let text = snippet(&String::from_utf8_lossy(&body[..body.len().min(4096)]));
    if text.starts_with('<') || text.contains("<html") {
        return "an HTML page".to_owned();
    }
    if kind.contains("json") && !text.is_empty() { "an unreadable JSON body".to_owned() } else { text }
}
