//! Refuses requests that are no gRPC calls, before anything is done for them.
//!
//! A web page can make a browser send `text/plain` to any address, with the browser's client certificate and without asking
//! first; and a gRPC-Web client cannot read the answer of a call that was carried out for it. So a request that is not said to be
//! gRPC is answered with an HTTP status alone: it is no attempt to call, and nobody is authenticated for it.

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tonic::body::Body;

use crate::error::Error;

/// What every gRPC content-type begins with.
const GRPC: &str = "application/grpc";

/// What HTTP/2 counts for a field besides its name and its value.
const FIELD: usize = 32;

/// Why a request is no gRPC call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotGrpc {
    /// Its HTTP method is not POST.
    Method,
    /// Its content-type is not that of gRPC with protobuf messages.
    ContentType,
}

/// Checks that a request is a gRPC call with protobuf messages.
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>
///
/// # Errors
/// It is not, so it must not be carried out.
pub fn check<B>(request: &Request<B>) -> Result<(), NotGrpc> {
    if request.method() != Method::POST {
        return Err(NotGrpc::Method);
    }
    let mut types = request.headers().get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(one), None) if is_grpc(one.as_bytes()) => Ok(()),
        _ => Err(NotGrpc::ContentType),
    }
}

/// Checks that the metadata of a call has at most so many bytes, as HTTP/2 counts them: the library would answer with HTTP status
/// 431, which says nothing to gRPC clients.
///
/// # Errors
/// [`Error::MetadataTooLarge`] if it has more.
pub fn check_size<B>(request: &Request<B>, limit: usize) -> Result<(), Error> {
    let field = |name: &str, value: usize| name.len() + value + FIELD;
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let host = request.uri().authority().map_or(0, |host| field(":authority", host.as_str().len()));
    let method = field(":method", request.method().as_str().len());
    let pseudo =
        method + field(":scheme", request.uri().scheme_str().map_or(0, str::len)) + field(":path", path) + host;
    let headers = request.headers().iter().map(|(name, value)| field(name.as_str(), value.len())).sum::<usize>();
    let bytes = pseudo + headers;
    if bytes > limit { Err(Error::MetadataTooLarge { bytes, limit }) } else { Ok(()) }
}

/// True for `application/grpc`, also with `+proto` and with parameters, in any case.
fn is_grpc(value: &[u8]) -> bool {
    if value == GRPC.as_bytes() {
        return true; // what nearly every client sends
    }
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let (Some(name), Some(format)) = (essence.get(..GRPC.len()), essence.get(GRPC.len()..)) else { return false };
    name.eq_ignore_ascii_case(GRPC.as_bytes()) && (format.is_empty() || format.eq_ignore_ascii_case(b"+proto"))
}

impl NotGrpc {
    /// Returns the reason as the access line and the metrics name it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Method => "HTTP_METHOD",
            Self::ContentType => "CONTENT_TYPE",
        }
    }

    /// Returns the answer: an HTTP status, and a line for people.
    pub fn response(self) -> Response<Body> {
        let (status, text) = match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "gRPC calls are made with POST\n"),
            Self::ContentType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "gRPC calls have the content-type application/grpc\n")
            }
        };
        let mut response = Response::new(Body::new(http_body_util::Full::from(text)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if self == Self::Method {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(method: &str, types: &[&str]) -> Result<(), NotGrpc> {
        let request = Request::builder().method(method);
        let request = types.iter().fold(request, |request, one| request.header(CONTENT_TYPE, *one));
        check(&request.body(()).expect("a request"))
    }

    #[test]
    fn what_grpc_clients_send_is_let_through() {
        for one in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc; charset=utf-8",
            "application/grpc+proto ;a=b",
            "Application/GRPC",
            "APPLICATION/GRPC+PROTO",
        ] {
            assert_eq!(checked("POST", &[one]), Ok(()), "{one}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for one in [
            "text/plain",
            "application/json",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc-web-text",
            "application/grpc+json",
            "application/grpc+",
            "application/grpc+protobuf",
            "application/grpcproto",
            "application/grpc, text/plain",
            "application/grp",
            "x-application/grpc",
            "",
        ] {
            assert_eq!(checked("POST", &[one]), Err(NotGrpc::ContentType), "{one}");
        }
        assert_eq!(checked("POST", &[]), Err(NotGrpc::ContentType));
        assert_eq!(checked("POST", &["application/grpc", "text/plain"]), Err(NotGrpc::ContentType), "which is it?");
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "CONNECT", "TRACE", "post"] {
            assert_eq!(checked(method, &["application/grpc"]), Err(NotGrpc::Method), "{method}");
        }
    }
}
