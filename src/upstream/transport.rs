//! The bottom of the outbound stack: one attempt, one HTTP exchange, judged by its phase.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tower::Service;
use url::Url;

use super::call::{Answer, Call};
use super::judge::{header, judge};
use super::rest::Body;
use crate::error::{Chain, Error};

mod handover;
mod pool;

use handover::Handover;
use pool::Pool;

/// Sends calls to Zendesk.
#[derive(Clone)]
pub struct Transport {
    pool: Arc<Pool>,
    base: Arc<Url>,
    max_body: usize,
}

impl Transport {
    /// Sends calls to `base`, and reads bodies of up to `max_body` bytes, counted after decompression.
    pub fn new(base: &Url, max_body: usize) -> anyhow::Result<Self> {
        Ok(Self { pool: Arc::new(Pool::new(base)?), base: Arc::new(base.clone()), max_body })
    }

    async fn exchange(self, call: Call) -> Result<Answer, Error> {
        let rest = &call.rest;
        let authorization = call.credential.header();
        // The credential layer above has waited for one.
        let authorization = authorization.ok_or(Error::Internal { what: "a call has no credential" })?;
        // Only what follows the host is parsed anew.
        let mut url = (*self.base).clone();
        url.set_path(&rest.path);
        url.set_query(Some(rest.query.as_str()).filter(|query| !query.is_empty()));
        let client = self.pool.client();
        let mut request = client
            .request(rest.method.clone(), url)
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::AUTHORIZATION, authorization);
        if rest.is_of_one_record() {
            request = request.header(http::header::ACCEPT_ENCODING, "identity");
        }
        if let Some(user) = call.credential.on_behalf_of() {
            request = request.header("x-on-behalf-of", user.clone());
        }
        request = match &rest.body {
            Body::Empty => request,
            Body::Json(document) => {
                request.header(http::header::CONTENT_TYPE, "application/json").body(document.clone())
            }
            Body::File { field, content, content_type, file_name } => {
                let length = content.len() as u64;
                let part = reqwest::multipart::Part::stream_with_length(content.clone(), length)
                    .file_name(file_name.clone())
                    .mime_str(content_type)
                    .map_err(|_| Error::invalid("content_type", "is not a media type"))?;
                request.multipart(reqwest::multipart::Form::new().part(*field, part))
            }
        };
        let handover = Handover::new(&call.ledger);
        let request = super::trace::propagate(request).build();
        let mut request = request.map_err(|error| Error::Connect(Chain::of(&error.without_url())))?;
        let body = request.body_mut().take().unwrap_or_default();
        *request.body_mut() = Some(handover.of(body));
        let mut response = match client.execute(request).await {
            Ok(response) => response,
            Err(_) if call.ledger.is_closed() && !handover.is_taken() => return Err(Error::Deadline { sent: false }),
            Err(error) => return Err(before_headers(&error.without_url(), handover.is_taken())),
        };
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        if rest.method != http::Method::GET {
            call.ledger.answered(status.as_u16(), header(&headers, "x-request-id"));
        }
        let body = self.body(response).await?;
        if let Some(peek) = call.peek.as_ref().filter(|_| status.is_success()) {
            peek(&body);
            // What the look has set off goes first: parsing a page takes longer than sending a request.
            tokio::task::yield_now().await;
        }
        let judged = judge(&call, status, &headers, &body);
        if matches!(judged, Err(Error::Foreign(_))) {
            // Perhaps the answer to an earlier request: then all that follow on that connection are off by one, too.
            self.pool.renew();
        }
        judged
    }

    /// Reads a body, counted after decompression: a small compressed one must not become gigabytes of memory.
    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, Error> {
        let too_large = Error::TooLarge { limit: self.max_body };
        let announced = usize::try_from(response.content_length().unwrap_or_default()).unwrap_or(usize::MAX);
        if announced > self.max_body {
            return Err(too_large);
        }
        let mut body = Vec::with_capacity(announced);
        while let Some(chunk) =
            response.chunk().await.map_err(|error| Error::BrokenBody(Chain::of(&error.without_url())))?
        {
            if body.len() + chunk.len() > self.max_body {
                return Err(too_large);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// Builds an HTTP client: no redirects, no cookies, no retries of its own, HTTPS only unless `base` is loopback.
pub(super) fn client(base: &Url) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .user_agent(concat!("zendesk-gateway/", env!("CARGO_PKG_VERSION")))
        .https_only(base.scheme() == "https")
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(Duration::from_secs(5))
        .pool_idle_timeout(Duration::from_mins(1))
        .tcp_nodelay(true)
        .build()
}

/// Tells a request that never left from one that may have been delivered.
fn before_headers(error: &reqwest::Error, taken: bool) -> Error {
    let refused = |error: &(dyn std::error::Error + 'static)| {
        error.downcast_ref::<h2::Error>().is_some_and(|error| error.reason() == Some(h2::Reason::REFUSED_STREAM))
    };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut undelivered = !taken;
    while let Some(error) = cause {
        undelivered |= refused(error);
        cause = error.source();
    }
    let chain = Chain::of(error);
    if undelivered { Error::Connect(chain) } else { Error::BrokenBeforeHeaders(chain) }
}

impl Service<Call> for Transport {
    type Response = Answer;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Answer, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let exchange = self.clone().exchange(call);
        Box::pin(exchange) as Pin<Box<_>>
    }
}
