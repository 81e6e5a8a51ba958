//! What the port serves: the four services, health and reflection.

use tonic::codec::CompressionEncoding::Gzip;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::config;
use crate::contract::RPCS;
use crate::proto::DESCRIPTORS;
use crate::proto::group_service_server::GroupServiceServer;
use crate::proto::job_service_server::JobServiceServer;
use crate::proto::membership_service_server::MembershipServiceServer;
use crate::proto::user_service_server::UserServiceServer;
use crate::rpc::Rpc;

/// What clients' health checks are told.
pub struct Health(HealthReporter);

impl Health {
    /// Says of every service, and of the server as a whole, whether calls should come here.
    pub async fn say(&self, status: ServingStatus) {
        let mut services: Vec<&str> = RPCS.iter().map(|rpc| rpc.service).collect();
        services.dedup();
        for service in services {
            self.0.set_service_status(format!("zendesk.gateway.v1.{service}"), status).await;
        }
        self.0.set_service_status("", status).await;
    }
}

/// Returns all services of the port.
pub async fn routes(rpc: Rpc, settings: &config::Server) -> anyhow::Result<(Routes, Health)> {
    let (request, response) = (settings.max_request_bytes, settings.max_response_bytes);
    macro_rules! limited {
        ($server:ident) => {
            $server::new(rpc.clone())
                .max_decoding_message_size(request)
                .max_encoding_message_size(response)
                .accept_compressed(Gzip)
                .send_compressed(Gzip)
        };
    }
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let health = Health(reporter);
    health.say(ServingStatus::Serving).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that grpcurl can print the details of errors.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = Routes::new(limited!(UserServiceServer))
        .add_service(limited!(GroupServiceServer))
        .add_service(limited!(MembershipServiceServer))
        .add_service(limited!(JobServiceServer))
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok((routes.prepare(), health))
}
