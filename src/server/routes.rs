//! The services of the port: the contract's, health and reflection.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tonic::body::Body;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::codegen::{BoxFuture, StdError};
use tonic::server::NamedService as _;
use tonic::service;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::{Service, ServiceExt as _};

use super::flood::{intake, unpack};
use super::framing;
use super::inbound::Inbound;
use crate::config;
use crate::contract::RPCS;
use crate::proto;
use crate::proto::DESCRIPTORS;
use crate::rpc::Rpc;

/// The status that health checks are answered with.
pub struct Health(HealthReporter);

impl Health {
    /// Sets the status of every service of the contract, and of the server as a whole.
    pub async fn say(&self, status: ServingStatus) {
        let mut services: Vec<&str> = RPCS.iter().map(|rpc| rpc.service).collect();
        services.dedup();
        for service in services {
            self.0.set_service_status(format!("zendesk.gateway.v1.{service}"), status).await;
        }
        self.0.set_service_status("", status).await;
    }
}

/// Returns all services of the port. Health checks are answered with `NOT_SERVING` at first.
pub async fn routes(rpc: Rpc, settings: &config::Server) -> anyhow::Result<(Routes, Health)> {
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let health = Health(reporter);
    health.say(ServingStatus::NotServing).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // Lets grpcurl print the details of errors.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let others = service::Routes::new(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok((Routes(Services::new(&rpc, settings, others.prepare()).into()), health))
}

/// All services of the port. Those of the contract are chosen by name, which saves each call a router's matching, copying and
/// boxing; calls of the others are rare.
#[derive(Clone)]
pub struct Routes(Arc<Services>);

macro_rules! services {
    ($($service:ident: $module:ident::$server:ident;)+) => {
        struct Services {
            max_request_bytes: usize,
            $($service: proto::$module::$server<Rpc>,)+
            others: service::Routes,
        }

        impl Services {
            fn new(rpc: &Rpc, settings: &config::Server, others: service::Routes) -> Self {
                Self {
                    max_request_bytes: settings.max_request_bytes,
                    $($service: proto::$module::$server::new(rpc.clone())
                        .max_decoding_message_size(settings.max_request_bytes)
                        .max_encoding_message_size(settings.max_response_bytes)
                        .accept_compressed(Gzip)
                        .send_compressed(Gzip),)+
                    others,
                }
            }

            fn serve<B>(&self, service: &str, request: Request<B>) -> BoxFuture<Response<Body>, Infallible>
            where
                B: http_body::Body<Data = Bytes> + Send + 'static,
                B::Error: Into<StdError> + Send + 'static,
            {
                match service {
                    $(proto::$module::$server::<Rpc>::NAME => self.$service.clone().call(request),)+
                    _ => Box::pin(self.others.clone().oneshot(request)),
                }
            }
        }
    };
}
contract_types!(services, services);

impl<B> Service<Inbound<B>> for Routes
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Inbound<B>) -> Self::Future {
        let services = &*self.0;
        let method = call.facts().method;
        // Health and reflection need no caller who would pay for a large message.
        let most = services.max_request_bytes;
        let limit = if method.is_ours() { most } else { most.min(intake::LARGEST_COMMON) };
        let request = framing::request(call.into_request(), limit, !method.client_streaming);
        let request = intake::request(unpack::request(request, limit));
        services.serve(method.service, request)
    }
}
