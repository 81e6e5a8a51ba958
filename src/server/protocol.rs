//! Refuses requests that are no gRPC calls, before anything is done for them.
//!
//! A web page can make a browser send `text/plain` to any address, with the browser's client certificate and without asking
//! first; and a gRPC-Web client cannot read the answer of a call that was carried out for it. So a request that is not said to be
//! gRPC is answered with an HTTP status alone: it is no attempt to call, and nobody is authenticated for it.

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tonic::body::Body;

/// What every gRPC content-type begins with.
const GRPC: &str = "application/grpc";

/// Why a request is no gRPC call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotGrpc {
    /// Its HTTP method is not POST.
    Method,
    /// Its HTTP method is HEAD, whose answer has no content (RFC 9110, section 9.3.2).
    Head,
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
        return Err(if request.method() == Method::HEAD { NotGrpc::Head } else { NotGrpc::Method });
    }
    let mut types = request.headers().get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(one), None) if is_grpc(one.as_bytes()) => Ok(()),
        _ => Err(NotGrpc::ContentType),
    }
}

/// True for `application/grpc`, also with `+proto` and with parameters, in any case.
fn is_grpc(value: &[u8]) -> bool {
    if value == GRPC.as_bytes() {
        return true; // what nearly every client sends
    }
    // No field begins with white space: RFC 9113, section 8.2.1.
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let (Some(name), Some(format)) = (essence.get(..GRPC.len()), essence.get(GRPC.len()..)) else { return false };
    name.eq_ignore_ascii_case(GRPC.as_bytes()) && (format.is_empty() || format.eq_ignore_ascii_case(b"+proto"))
}

impl NotGrpc {
    /// Returns the reason as the access line and the metrics name it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Method | Self::Head => "HTTP_METHOD",
            Self::ContentType => "CONTENT_TYPE",
        }
    }

    /// Returns the answer: an HTTP status, and a line for people.
    pub fn response(self) -> Response<Body> {
        let (status, text) = match self {
            Self::Method | Self::Head => (StatusCode::METHOD_NOT_ALLOWED, "gRPC calls are made with POST\n"),
            Self::ContentType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "gRPC calls have the content-type application/grpc\n")
            }
        };
        let body = if self == Self::Head { Body::empty() } else { Body::new(http_body_util::Full::from(text)) };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if status == StatusCode::METHOD_NOT_ALLOWED {
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
    fn the_answer_to_head_has_no_content() {
        use http_body::Body as _;
        assert_eq!(checked("HEAD", &["application/grpc"]), Err(NotGrpc::Head));
        let has_content = |why: NotGrpc| !why.response().into_body().is_end_stream();
        assert!(!has_content(NotGrpc::Head) && has_content(NotGrpc::Method) && has_content(NotGrpc::ContentType));
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
            " application/grpc",
            "\tapplication/grpc",
            "",
        ] {
            assert_eq!(checked("POST", &[one]), Err(NotGrpc::ContentType), "{one}");
        }
        assert_eq!(checked("POST", &[]), Err(NotGrpc::ContentType));
        assert_eq!(checked("POST", &["application/grpc", "text/plain"]), Err(NotGrpc::ContentType), "which is it?");
        for method in ["GET", "OPTIONS", "PUT", "DELETE", "PATCH", "CONNECT", "TRACE", "post"] {
            assert_eq!(checked(method, &["application/grpc"]), Err(NotGrpc::Method), "{method}");
        }
    }
}
