//! How a call is said in HTTP.

use super::handover::Handover;
use crate::error::{ConnectionError, Error};
use crate::upstream::call::Call;
use crate::upstream::client::Origin;
use crate::upstream::rest::Body;

/// Returns the request for a call, whose body tells when a connection takes it.
pub fn request(
    origin: &Origin,
    call: &Call,
    client: &reqwest::Client,
    handover: &Handover,
) -> Result<reqwest::Request, Error> {
    let rest = &call.rest;
    let authorization = call.credential.header();
    // The credential layer above has waited for one.
    let authorization = authorization.ok_or(Error::Internal { what: "a call has no credential" })?;
    // The origin is parsed already; only path and query are set.
    let mut url = origin.url().clone();
    url.set_path(&rest.path);
    url.set_query(Some(rest.query.as_str()).filter(|query| !query.is_empty()));
    let mut request = client
        .request(rest.method.clone(), url)
        .header(http::header::ACCEPT, "application/json")
        .header(http::header::ACCEPT_ENCODING, if rest.is_of_one_record() { "identity" } else { "gzip" })
        .header(http::header::AUTHORIZATION, authorization);
    if let Some(user) = call.credential.on_behalf_of() {
        request = request.header("x-on-behalf-of", user.clone());
    }
    request = match &rest.body {
        Body::Empty => request,
        Body::Json(document) => request.header(http::header::CONTENT_TYPE, "application/json").body(document.clone()),
        Body::File { field, content, content_type, file_name } => {
            let length = content.len() as u64;
            let part = reqwest::multipart::Part::stream_with_length(content.clone(), length)
                .file_name(file_name.clone())
                .mime_str(content_type)
                .map_err(|_| Error::invalid("content_type", "is not a media type"))?;
            request.multipart(reqwest::multipart::Form::new().part(*field, part))
        }
    };
    let request = crate::upstream::trace::propagate(request).build();
    let mut request = request.map_err(|error| Error::Connect(ConnectionError::of(&error.without_url())))?;
    let body = request.body_mut().take().unwrap_or_default();
    *request.body_mut() = Some(handover.of(body));
    Ok(request)
}
