//! The real service without a network: a call goes in as an HTTP request and comes out as an HTTP response.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use tonic::body::Body;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};
use zendesk_gateway::config;
use zendesk_gateway::contract::RPCS;
use zendesk_gateway::gateway::Gateway;
use zendesk_gateway::gateway::caller::Caller;
use zendesk_gateway::rpc::Rpc;
use zendesk_gateway::rpc::facts::{Connection, Peer, Terms};
use zendesk_gateway::server::inbound::{Arrival, Inbound};
use zendesk_gateway::server::trace;
use zendesk_gateway::telemetry::Telemetry;
use zendesk_gateway::upstream::credential::Credential;

/// The service, ready to be called.
pub struct Served {
    service: tower::util::BoxCloneService<Request<Body>, http::Response<Body>, Infallible>,
    method: &'static str,
    frame: Bytes,
}

impl Served {
    /// Puts the service over `gateway`, to be called with this method of users and its request.
    pub fn new(
        gateway: Gateway,
        telemetry: Option<&Telemetry>,
        method: &'static str,
        request: &impl prost::Message,
    ) -> Self {
        let credential = Credential::new("Bearer token", true).expect("a header");
        let (settings, caller) = (config::Server::default(), Caller::local());
        let rpc = Arc::new(Rpc::new(gateway, credential).called_by(caller.clone(), &settings));
        let place = RPCS.iter().position(|rpc| rpc.service == "UserService" && rpc.method == method).expect("an RPC");
        let most = settings.max_request_bytes;
        let service = service_fn(move |call: Request<Body>| Arc::clone(&rpc).serve(place, most, call).map(Ok));
        let service = match telemetry {
            None => service.boxed_clone(),
            Some(telemetry) => {
                let admitted = service_fn(move |mut call: Inbound<Body>| {
                    call.facts_mut().caller = Some(caller.clone());
                    service.clone().call(call.into_request())
                });
                let peer = Arc::new(Peer::new(([127, 0, 0, 1], 7).into(), None, Connection::default()));
                let traced = trace::Layer::new(telemetry, &Terms::of(&settings)).layer(admitted);
                let traced = traced.map_request(move |request| Arrival { peer: Arc::clone(&peer), request });
                traced.map_response(|answer| answer.response).boxed_clone()
            }
        };
        Self { service, method, frame: framed(request) }
    }

    /// Calls with this metadata, and makes sure that the status is OK.
    pub async fn call(&mut self, metadata: &HeaderMap) {
        let mut request = Request::post(format!("/zendesk.gateway.v1.UserService/{}", self.method))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Body::new(Full::new(self.frame.clone())))
            .expect("a request");
        request.headers_mut().extend(metadata.clone());
        let response = self.service.ready().await.expect("ready").call(request).await.expect("an answer");
        let body = response.into_body().collect().await.expect("a body");
        assert_eq!(body.trailers().and_then(|trailers| trailers.get("grpc-status")).expect("a status"), "0");
    }
}

fn framed(message: &impl prost::Message) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).expect("it is short"));
    message.encode(&mut frame).expect("it fits");
    frame.freeze()
}
