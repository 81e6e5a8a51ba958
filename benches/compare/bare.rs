//! The ceiling: what the libraries themselves cost. One service answers a message from memory, in one of several ways, and
//! another asks Zendesk for it with reqwest; neither does anything else.
//!
//! They are written as tonic's code generator writes services.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::{Context as _, bail};
use futures_util::future::BoxFuture;
use http::Response;
use prost::Message;
use prost::bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tonic::body::Body;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Status};
use tonic_prost::{ProstCodec, ProstDecoder};
use tower::service_fn;
use zendesk_gateway::codec::BytesCodec;
use zendesk_gateway::proto::{
    BatchGetUsersRequest, GetGroupRequest, GetGroupResponse, GetUserRequest, GetUserResponse, Group, ListUsersRequest,
    ListUsersResponse, User,
};

use super::stand_in::client;

/// What a service does for a call.
#[derive(Clone)]
enum Way {
    /// Clones a struct and encodes the clone, as services do that keep structs.
    Clone(Arc<GetUserResponse>),
    /// Encodes the struct where it is.
    Shared(Arc<GetUserResponse>),
    /// Sends stored bytes, as the gateway does, for one user or for many.
    Bytes(Bytes),
    /// Asks Zendesk.
    Upstream(Upstream),
}

#[derive(Clone)]
struct Users(Way);

/// Only the upstream's way needs it.
#[derive(Clone)]
struct Groups(Upstream);

impl NamedService for Users {
    const NAME: &'static str = "zendesk.gateway.v1.UserService";
}

impl NamedService for Groups {
    const NAME: &'static str = "zendesk.gateway.v1.GroupService";
}

type Answer = Result<Response<Body>, Infallible>;

impl tower::Service<http::Request<Body>> for Users {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let way = self.0.clone();
        Box::pin(async move {
            let get = request.uri().path() == "/zendesk.gateway.v1.UserService/GetUser";
            Ok(match way {
                Way::Upstream(upstream) if get => upstream.unary::<GetUserRequest>(request).await,
                Way::Upstream(upstream) => upstream.unary::<ListUsersRequest>(request).await,
                Way::Clone(reply) => {
                    let answer = |_| ready(Ok::<_, Status>(tonic::Response::new((*reply).clone())));
                    Grpc::new(ProstCodec::<_, GetUserRequest>::default()).unary(service_fn(answer), request).await
                }
                Way::Shared(reply) => {
                    let answer = |_| ready(Ok::<_, Status>(tonic::Response::new(Arc::clone(&reply))));
                    Grpc::new(SharedCodec).unary(service_fn(answer), request).await
                }
                Way::Bytes(reply) => {
                    let answer = |call: Request<Bytes>| {
                        let asked = call.into_inner();
                        let asked = if get {
                            GetUserRequest::decode(asked).map(drop)
                        } else {
                            BatchGetUsersRequest::decode(asked).map(drop)
                        };
                        let asked = asked.map_err(|error| Status::internal(error.to_string()));
                        ready(asked.map(|()| tonic::Response::new(reply.clone())))
                    };
                    Grpc::new(BytesCodec).unary(service_fn(answer), request).await
                }
            })
        })
    }
}

impl tower::Service<http::Request<Body>> for Groups {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let upstream = self.0.clone();
        Box::pin(async move { Ok(upstream.unary::<GetGroupRequest>(request).await) })
    }
}

/// A codec whose replies are shared structs.
struct SharedCodec;

impl Codec for SharedCodec {
    type Encode = Arc<GetUserResponse>;
    type Decode = GetUserRequest;
    type Encoder = SharedEncoder;
    type Decoder = ProstDecoder<GetUserRequest>;

    fn encoder(&mut self) -> SharedEncoder {
        SharedEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::default()
    }
}

struct SharedEncoder;

impl Encoder for SharedEncoder {
    type Item = Arc<GetUserResponse>;
    type Error = Status;

    fn encode(&mut self, item: Arc<GetUserResponse>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Translates a call as plainly as can be.
#[derive(Clone)]
struct Upstream {
    client: reqwest::Client,
    base: Arc<str>,
    authorization: Arc<str>,
}

/// What is asked of Zendesk for a request.
trait Translated: Message + Default + 'static {
    type Reply: Message + Default + From<Self::Document> + 'static;
    type Document: DeserializeOwned + Send;

    fn target(&self) -> String;
}

#[derive(Deserialize)]
struct UserDocument {
    user: User,
}

impl From<UserDocument> for GetUserResponse {
    fn from(UserDocument { user }: UserDocument) -> Self {
        Self { user: Some(user), ..Self::default() }
    }
}

impl Translated for GetUserRequest {
    type Reply = GetUserResponse;
    type Document = UserDocument;

    fn target(&self) -> String {
        format!("users/{}", self.id)
    }
}

#[derive(Deserialize)]
struct GroupDocument {
    group: Group,
}

impl From<GroupDocument> for GetGroupResponse {
    fn from(GroupDocument { group }: GroupDocument) -> Self {
        Self { group: Some(group), ..Self::default() }
    }
}

impl Translated for GetGroupRequest {
    type Reply = GetGroupResponse;
    type Document = GroupDocument;

    fn target(&self) -> String {
        format!("groups/{}", self.id)
    }
}

#[derive(Deserialize)]
struct UsersDocument {
    users: Vec<User>,
}

impl From<UsersDocument> for ListUsersResponse {
    fn from(UsersDocument { users }: UsersDocument) -> Self {
        Self { users, ..Self::default() }
    }
}

impl Translated for ListUsersRequest {
    type Reply = ListUsersResponse;
    type Document = UsersDocument;

    fn target(&self) -> String {
        format!("users?page[size]={}", self.page_size)
    }
}

impl Upstream {
    async fn unary<R: Translated>(&self, request: http::Request<Body>) -> Response<Body> {
        let service = service_fn(|request: Request<R>| {
            let upstream = self.clone();
            async move {
                let document = upstream.ask::<R::Document>(&request.into_inner().target()).await;
                let document = document.map_err(|error| Status::unavailable(error.to_string()))?;
                Ok::<_, Status>(tonic::Response::new(R::Reply::from(document)))
            }
        });
        Grpc::new(ProstCodec::<R::Reply, R>::default()).unary(service, request).await
    }

    async fn ask<D: DeserializeOwned>(&self, target: &str) -> anyhow::Result<D> {
        let url = format!("{}/api/v2/{target}", self.base);
        let request = self.client.get(url).header(http::header::AUTHORIZATION, &*self.authorization);
        let body = request.send().await?.error_for_status()?.bytes().await?;
        Ok(serde_json::from_slice(&body)?)
    }
}

/// Serves on a runtime of the named flavour. `arguments` say what: the way, and the file with the encoded reply, or the
/// upstream's URL, credential and, if it speaks TLS, authority.
pub fn serve(flavour: &str, port: u16, arguments: &[String]) -> anyhow::Result<()> {
    let encoded = |file: &str| std::fs::read(PathBuf::from(file)).context("the reply");
    let reply = |file: &str| Ok::<_, anyhow::Error>(Arc::new(GetUserResponse::decode(encoded(file)?.as_slice())?));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let way = match arguments.as_slice() {
        ["clone", file] => Way::Clone(reply(file)?),
        ["shared", file] => Way::Shared(reply(file)?),
        ["bytes", file] => Way::Bytes(encoded(file)?.into()),
        ["upstream", base, authorization, ca @ ..] => {
            let ca = ca.first().map(std::fs::read).transpose().context("the authority")?;
            let (base, authorization) = (Arc::from(*base), Arc::from(*authorization));
            Way::Upstream(Upstream { client: client(ca.as_deref())?, base, authorization })
        }
        _ => bail!("unknown way {arguments:?}"),
    };
    let groups = if let Way::Upstream(upstream) = &way { Some(Groups(upstream.clone())) } else { None };
    let mut runtime = match flavour {
        "current_thread" => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    runtime.enable_all().build()?.block_on(async {
        let server = tonic::transport::Server::builder().add_service(Users(way)).add_optional_service(groups);
        server.serve(SocketAddr::from(([127, 0, 0, 1], port))).await
    })?;
    Ok(())
}
