//! The middleware: finds the rule for a request and acts.

mod answers;
mod body;
mod gzip;
mod pages;

use std::future::Future;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, ETAG, IF_NONE_MATCH};
use http::{StatusCode, response};

use super::control::CONTROL_PATH;
use super::kinds::{Fault, Point};
use super::rule::Rule;
use super::{Faults, RuleId};
use crate::connection::{ConnectionControl, Ending};

/// Marks a response that a fault acted on, in its extensions, for the recorder of exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faulted(pub RuleId);

/// Puts the faults around `app`.
///
/// The control routes should be part of `app`, where they never meet a fault: merging them afterwards would replace the
/// fallback, and with it the faults on paths that do not exist.
pub fn wrap(app: Router, faults: Faults) -> Router {
    app.layer(from_fn_with_state(faults, act))
}

/// Acts on one request: the middleware itself, for `axum::middleware::from_fn_with_state`.
pub async fn act(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with(CONTROL_PATH) {
        return next.run(request).await;
    }
    let Some((id, rule)) = faults.pick_for(request.version(), request.method(), request.uri()) else {
        return next.run(request).await;
    };
    let mut response = play(&rule, request, next).await;
    response.extensions_mut().insert(Faulted(id));
    response
}

async fn play(rule: &Rule, request: Request, next: Next) -> Response {
    if let Some(answer) = answers::instead(&rule.fault) {
        if rule.applied {
            next.run(request).await;
        }
        return answer;
    }
    match &rule.fault {
        Fault::Delay(delay) if rule.applied => {
            let response = next.run(request).await;
            tokio::time::sleep(delay.by).await;
            response
        }
        Fault::Delay(delay) => {
            tokio::time::sleep(delay.by).await;
            next.run(request).await
        }
        Fault::Reset(reset) => interrupt(Ending::Reset, reset.at, rule, request, next).await,
        Fault::Eof(eof) => interrupt(Ending::Eof, eof.at, rule, request, next).await,
        Fault::Hang(hang) => interrupt(Ending::Hang, hang.at, rule, request, next).await,
        Fault::Drip(drip) => {
            on_the_wire(request, |control, request| async move {
                control.drip(drip.bytes.get(), drip.every);
                next.run(request).await
            })
            .await
        }
        Fault::RefuseStream(_) => {
            on_the_wire(request, |control, _| async move {
                control.refuse_stream();
                Response::default()
            })
            .await
        }
        Fault::WrongLength(length) => {
            on_the_wire(request, |control, request| async move {
                let (parts, body) = normal(request, next).await;
                body::miscounted(parts, body, length.by.get(), control)
            })
            .await
        }
        Fault::TruncatedJson(_) => {
            let (parts, body) = normal(request, next).await;
            let half = body.slice(..body.len() / 2);
            Response::from_parts(parts, Body::from(half))
        }
        Fault::BrokenGzip(_) => {
            let (parts, body) = normal(request, next).await;
            gzip::broken(parts, &body)
        }
        paging => {
            let page = pages::Asked::by(&request);
            let request = pages::prepare(paging, request);
            let (parts, body) = normal(request, next).await;
            let body = pages::alter(paging, &page, &parts, body);
            Response::from_parts(parts, Body::from(body))
        }
    }
}

/// Breaks off the answer.
async fn interrupt(ending: Ending, at: Point, rule: &Rule, request: Request, next: Next) -> Response {
    on_the_wire(request, |control, request| async move {
        match at {
            Point::BeforeHeaders => {
                if rule.applied {
                    next.run(request).await;
                }
                control.close_after(0, ending);
                Response::default()
            }
            Point::WithinHeaders => {
                let response = next.run(request).await;
                control.close_within_headers(ending);
                response
            }
            Point::WithinBody => {
                let (parts, body) = normal(request, next).await;
                if body.len() < 2 {
                    control.close_within_headers(ending);
                    return Response::from_parts(parts, Body::from(body));
                }
                body::halved(parts, &body, ending, control)
            }
        }
    })
    .await
}

/// Acts a fault on the request's connection, or answers that the request has no connection to act on.
async fn on_the_wire<F: Future<Output = Response>>(
    request: Request,
    fault: impl FnOnce(ConnectionControl, Request) -> F,
) -> Response {
    let control = request.extensions().get::<ConnectionControl>().cloned();
    match control {
        Some(control) => fault(control, request).await,
        None => (StatusCode::INTERNAL_SERVER_ERROR, "this fault needs the stand-in's own accept loop").into_response(),
    }
}

/// Makes the normal answer, uncompressed and whole even if the client holds a copy, without the headers that an alteration
/// would make untrue.
async fn normal(mut request: Request, next: Next) -> (response::Parts, Bytes) {
    let headers = request.headers_mut();
    headers.remove(ACCEPT_ENCODING);
    headers.remove(IF_NONE_MATCH);
    let (mut parts, body) = next.run(request).await.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.remove(ETAG);
    let body = to_bytes(body, usize::MAX).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the answer to alter broke off by itself");
        Bytes::new()
    });
    (parts, body)
}
