//! Answers that take the place of the normal one.

use std::time::{Duration, SystemTime};

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, SERVER};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use super::gzip;
use crate::faults::kinds::{Fault, Page, Respond, RetryAfter, Shape, Throttle};

/// What Zendesk says when a limit is reached, in two of its three shapes.
const TOO_MANY: &str = "Number of allowed API requests per minute exceeded";

/// Returns the answer of a fault that needs none from the handler.
pub(super) fn instead(fault: &Fault) -> Option<Response> {
    let answer = match fault {
        Fault::Respond(respond) => made_up(respond),
        Fault::Throttle(throttle) => throttled(throttle),
        Fault::Html(html) => page(html.page),
        Fault::Conflict(_) => (StatusCode::CONFLICT, "Requester creation collision - please try again").into_response(),
        Fault::Empty(_) => ([(CONTENT_TYPE, "application/json; charset=utf-8")], "").into_response(),
        Fault::GzipBomb(bomb) => gzip::bomb(bomb.megabytes.get()),
        _ => return None,
    };
    Some(answer)
}

fn made_up(respond: &Respond) -> Response {
    let mut response = respond.body.clone().into_response();
    *response.status_mut() = respond.status.0;
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    if let Some(content_type) = &respond.content_type {
        headers.insert(CONTENT_TYPE, content_type.0.clone());
    }
    set(headers, &respond.headers.0);
    response
}

fn throttled(throttle: &Throttle) -> Response {
    let mut response = match throttle.shape {
        Shape::Error => Json(json!({ "error": "APIRateLimitExceeded", "description": TOO_MANY })).into_response(),
        // The code is on record; the title's wording is an assumption.
        Shape::Errors => Json(json!({
            "errors": [{ "code": "TooManyRequests", "title": "Too many requests", "detail": TOO_MANY, "status": "429" }]
        }))
        .into_response(),
        Shape::Text => TOO_MANY.into_response(),
    };
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    let headers = response.headers_mut();
    if let Some(wait) = retry_after(&throttle.retry_after) {
        headers.insert(RETRY_AFTER, wait);
    }
    set(headers, &throttle.headers.0);
    response
}

fn retry_after(wait: &RetryAfter) -> Option<HeaderValue> {
    match wait {
        RetryAfter::Seconds(seconds) => Some(HeaderValue::from(*seconds)),
        RetryAfter::DateIn(ahead) => Some(date(SystemTime::now() + *ahead)),
        RetryAfter::Text(text) => Some(text.0.clone()),
        RetryAfter::Absent => None,
    }
}

/// Writes a time as an HTTP date, rounded up to the next whole second.
fn date(time: SystemTime) -> HeaderValue {
    let rounded = time + Duration::from_nanos(999_999_999);
    HeaderValue::from_str(&httpdate::fmt_http_date(rounded))
        .expect("an HTTP date is made of ASCII letters, digits and blanks")
}

fn set(headers: &mut HeaderMap, given: &HeaderMap) {
    for (name, value) in given {
        headers.insert(name, value.clone());
    }
}

/// Makes a page for browsers. The originals are longer; a client only sees that they are HTML, and which proxy they name.
fn page(page: Page) -> Response {
    let (status, server, html) = match page {
        Page::Ok => (
            200,
            "cloudflare",
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>Zendesk - Sign in</title></head>\n\
             <body><form action=\"/access/login\" method=\"post\"></form></body>\n</html>\n",
        ),
        Page::Nginx502 => (
            502,
            "nginx",
            "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
             <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
        ),
        Page::Cloudflare520 => (
            520,
            "cloudflare",
            "<!DOCTYPE html>\n<html lang=\"en-US\">\n\
             <head><title>zendesk.com | 520: Web server is returning an unknown error</title></head>\n\
             <body><h1>Web server is returning an unknown error</h1><span>Error code 520</span></body>\n</html>\n",
        ),
        Page::Cloudflare524 => (
            524,
            "cloudflare",
            "<!DOCTYPE html>\n<html lang=\"en-US\">\n\
             <head><title>zendesk.com | 524: A timeout occurred</title></head>\n\
             <body><h1>A timeout occurred</h1><span>Error code 524</span></body>\n</html>\n",
        ),
    };
    let status = StatusCode::from_u16(status).expect("every page has a valid status");
    let headers = [(CONTENT_TYPE, "text/html; charset=UTF-8"), (SERVER, server)];
    (status, headers, html).into_response()
}
