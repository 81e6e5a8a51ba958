//! The gRPC port: the four services, health and reflection.

use std::future::Future;

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::config;
use crate::contract::RPCS;
use crate::proto::DESCRIPTORS;
use crate::proto::group_service_server::GroupServiceServer;
use crate::proto::job_service_server::JobServiceServer;
use crate::proto::membership_service_server::MembershipServiceServer;
use crate::proto::user_service_server::UserServiceServer;
use crate::rpc::Rpc;
use crate::telemetry::Telemetry;
use identity::Identity;

pub mod admin;
pub mod connection;
pub mod identity;
pub mod sources;
pub mod trace;

/// Serves until `shutdown` completes.
pub async fn run(
    listener: TcpListener,
    rpc: Rpc,
    identity: &Identity,
    settings: &config::Server,
    telemetry: &Telemetry,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let routes = routes(rpc, settings).await?;
    listener.local_addr()?;
    Server::builder()
        .tcp_nodelay(true)
        .layer(trace::Layer::new(telemetry))
        .layer(identity::Layer::new(identity, telemetry))
        .add_routes(routes)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown)
        .await?;
    Ok(())
}

/// Returns all services of the port.
async fn routes(rpc: Rpc, settings: &config::Server) -> anyhow::Result<Routes> {
    let (request, response) = (settings.max_request_bytes, settings.max_response_bytes);
    macro_rules! limited {
        ($server:ident) => {
            $server::new(rpc.clone()).max_decoding_message_size(request).max_encoding_message_size(response)
        };
    }
    let (health, health_service) = tonic_health::server::health_reporter();
    let mut services: Vec<&str> = RPCS.iter().map(|rpc| rpc.service).collect();
    services.dedup();
    for service in services {
        let name = format!("zendesk.gateway.v1.{service}");
        health.set_service_status(name, tonic_health::ServingStatus::Serving).await;
    }
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that grpcurl can print the details of errors.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(Routes::new(limited!(UserServiceServer))
        .add_service(limited!(GroupServiceServer))
        .add_service(limited!(MembershipServiceServer))
        .add_service(limited!(JobServiceServer))
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}
