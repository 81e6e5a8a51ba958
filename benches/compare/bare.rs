//! The ceiling: what tonic itself costs. It answers one message from memory by cloning the struct, and does nothing else.
//!
//! It is written as tonic's code generator writes services, because the library's own generated ones send encoded bytes.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use prost::Message as _;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use zendesk_gateway::proto::{GetUserRequest, GetUserResponse};

#[derive(Clone)]
struct Bare(Arc<GetUserResponse>);

impl NamedService for Bare {
    const NAME: &'static str = "zendesk.gateway.v1.UserService";
}

impl tower::Service<http::Request<Body>> for Bare {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = Answer(Arc::clone(&self.0));
        Box::pin(async move {
            match request.uri().path() {
                "/zendesk.gateway.v1.UserService/GetUser" => {
                    Ok(Grpc::new(ProstCodec::default()).unary(answer, request).await)
                }
                _ => Ok(Status::unimplemented("").into_http()),
            }
        })
    }
}

struct Answer(Arc<GetUserResponse>);

impl UnaryService<GetUserRequest> for Answer {
    type Response = GetUserResponse;
    type Future = Ready<Result<Response<GetUserResponse>, Status>>;

    fn call(&mut self, _: Request<GetUserRequest>) -> Self::Future {
        ready(Ok(Response::new((*self.0).clone())))
    }
}

/// Serves the encoded reply in the file at `reply`, on a runtime of the named flavour.
pub fn serve(flavour: &str, port: u16, reply: &Path) -> anyhow::Result<()> {
    let reply = GetUserResponse::decode(std::fs::read(reply)?.as_slice())?;
    let mut runtime = match flavour {
        "current_thread" => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let server = tonic::transport::Server::builder().add_service(Bare(Arc::new(reply)));
    runtime.enable_all().build()?.block_on(server.serve(SocketAddr::from(([127, 0, 0, 1], port))))?;
    Ok(())
}
