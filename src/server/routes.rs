//! The services of the port: the contract's, health and reflection.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, StdError};
use tonic::service;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::{Service, ServiceExt as _};

use super::flood::{intake, unpack};
use super::framing;
use super::inbound::Inbound;
use crate::config;
use crate::contract::RPCS;
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
    let services =
        Services { rpc: Arc::new(rpc), max_request_bytes: settings.max_request_bytes, others: others.prepare() };
    Ok((Routes(services.into()), health))
}

/// All services of the port.
#[derive(Clone)]
pub struct Routes(Arc<Services>);

struct Services {
    rpc: Arc<Rpc>,
    max_request_bytes: usize,
    /// Calls of these are rare, so they go through a router.
    others: service::Routes,
}

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
        match method.rpc {
            Some(place) => {
                let rpc = Arc::clone(&services.rpc);
                Box::pin(async move { Ok(rpc.serve(place, most, request).await) })
            }
            None => Box::pin(services.others.clone().oneshot(request)),
        }
    }
}
