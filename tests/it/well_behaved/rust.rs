//! The clients in Rust, with tonic.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prost_reflect::DynamicMessage;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::plan::{Client, Plan};
use super::results::{Failure, Results};
use crate::support::Dynamic;

/// Clients, each with a connection of its own.
pub struct Clients {
    plan: Arc<Plan>,
    requests: Arc<Vec<DynamicMessage>>,
    connected: Vec<(Client, Channel, JoinHandle<Status>)>,
}

impl Clients {
    /// Connects them; each watches the gateway's health from then on.
    pub async fn connect(plan: &Plan, clients: Vec<Client>) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", plan.address)).expect("a URI");
        let mut connected = Vec::new();
        for client in clients {
            let channel = endpoint.connect().await.expect("it listens");
            let mut health = HealthClient::new(channel.clone());
            let watch = health.watch(HealthCheckRequest::default()).await.expect("it is watched").into_inner();
            connected.push((client, channel, tokio::spawn(ended(watch))));
        }
        let builder = Dynamic::new(endpoint.connect_lazy());
        let request = |call: &super::plan::Call| builder.message(call.method, &call.request.to_string());
        let requests = Arc::new(plan.calls.iter().map(request).collect());
        Self { plan: Arc::new(plan.clone()), requests, connected }
    }

    pub async fn work(self) -> Results {
        let until = Instant::now() + Duration::from_secs(self.plan.seconds());
        let (mut workers, mut watches) = (JoinSet::new(), Vec::new());
        for (client, channel, watch) in self.connected {
            watches.push(watch);
            let (dynamic, turns) = (Arc::new(Dynamic::new(channel)), Arc::new(AtomicUsize::new(client.first)));
            let metadata = (!client.key.is_empty()).then_some(("x-api-key", client.key));
            for _ in 0..self.plan.at_a_time {
                let (plan, requests) = (Arc::clone(&self.plan), Arc::clone(&self.requests));
                let (dynamic, turns, metadata) = (Arc::clone(&dynamic), Arc::clone(&turns), metadata.clone());
                workers.spawn(async move { work(&plan, &requests, &dynamic, &turns, metadata, until).await });
            }
        }
        let mut all = Results::default();
        for results in workers.join_all().await {
            for (method, took) in results.took {
                all.took.entry(method).or_default().extend(took);
            }
            all.failures.extend(results.failures);
        }
        for watch in watches {
            if watch.is_finished() {
                all.failures.push(Failure::of("Watch", &watch.await.expect("no panic")));
            } else {
                watch.abort();
            }
        }
        all
    }
}

/// Returns how a watch has ended, which it should not.
async fn ended(mut watch: Streaming<HealthCheckResponse>) -> Status {
    loop {
        match watch.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Status::ok("it has ended"),
            Err(status) => return status,
        }
    }
}

/// Makes one call after the other.
async fn work(
    plan: &Plan,
    requests: &[DynamicMessage],
    client: &Dynamic,
    turns: &AtomicUsize,
    key: Option<(&'static str, String)>,
    until: Instant,
) -> Results {
    let mut results = Results::default();
    loop {
        sleep(Duration::from_millis(plan.pause_ms).mul_f64(2.0 * fastrand::f64())).await;
        if Instant::now() > until {
            return results;
        }
        let turn = turns.fetch_add(1, Ordering::Relaxed) % plan.calls.len();
        let (call, begun) = (&plan.calls[turn], Instant::now());
        let mut metadata = vec![("grpc-timeout", format!("{}S", call.seconds))];
        metadata.extend(key.clone());
        let answer = timeout(call.deadline(), client.replies(call.method, &requests[turn], &metadata)).await;
        match answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("of the client's own"))) {
            Ok(_) => {
                results.took.entry(call.method.to_owned()).or_default().push(begun.elapsed().as_secs_f64() * 1000.0);
            }
            Err(status) => results.failures.push(Failure::of(call.method, &status)),
        }
    }
}
