//! What the metrics and the status page say of connections that ended.

use std::io::Write as _;
use std::time::Duration;

use serde_json::Value;
use tonic::Request;
use zendesk_gateway::proto::GetUserRelatedRequest;
use zendesk_gateway::sandbox::faults::{Hang, RefuseStream, get};
use zendesk_gateway::sandbox::{GoAway, Mute, Sandbox};

use super::{edge, uncached, within};
use crate::support::observed::{Observed, scrape};

async fn observed() -> Observed {
    let sandbox = Sandbox::start(edge(|_| ())).await.expect("the stand-in starts on a free port");
    let mut trusted = tempfile::NamedTempFile::new().expect("a file");
    trusted.write_all(sandbox.ca_pem().expect("TLS").as_bytes()).expect("it is written");
    let mut config = uncached();
    config.upstream.ca_file = Some(trusted.path().to_owned());
    let upstream = sandbox.base_url();
    Observed::with(sandbox, &upstream, config).await
}

fn read(t: &Observed, number: usize, seconds: u64) -> impl Future<Output = Result<(), tonic::Status>> + use<> {
    let ids = t.sandbox.store().user_ids();
    let request: Request<_> =
        within(GetUserRelatedRequest { id: ids[number % ids.len()] }, Duration::from_secs(seconds));
    let mut users = t.users();
    async move { users.get_user_related(request).await.map(drop) }
}

async fn ended(t: &Observed) -> Value {
    t.status().await["upstream_connections"]["http2_ended"].clone()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn connections_that_ended_are_counted_by_why() {
    let t = observed().await;
    let connections = t.sandbox.connections();
    // With a request under way that is never answered, and with none.
    read(&t, 0, 10).await.expect("all is well");
    t.sandbox.fault(get("/users/{id}/related"), RefuseStream::times(2));
    read(&t, 0, 10).await.expect("it is sent again where it was");
    t.sandbox.fault(get("/users/{id}/related"), Hang::before_headers().once());
    let hung = tokio::spawn(read(&t, 1, 10));
    tokio::time::sleep(Duration::from_millis(500)).await;
    connections.reset();
    hung.await.expect("no panic").expect("it is repeated");
    assert_eq!(ended(&t).await["error"], 1);
    connections.reset();
    tokio::time::sleep(Duration::from_millis(200)).await;
    read(&t, 2, 10).await.expect("on another connection");
    assert_eq!(ended(&t).await["closed"], 1);
    let moved = t.status().await["upstream_connections"]["moved"].clone();
    assert_eq!(moved, 0, "nothing that was sent went on another connection");
    // Requests that cross with a GOAWAY are not processed.
    let crossing: Vec<_> = (0..8).map(|number| tokio::spawn(read(&t, number, 10))).collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    connections.go_away(GoAway::Abrupt);
    for one in crossing {
        one.await.expect("no panic").expect("on another connection");
    }
    read(&t, 3, 10).await.expect("on another connection");
    let told = ended(&t).await;
    assert_eq!(told["goaway"].as_u64().zip(told["closed"].as_u64()).map(|(one, other)| one + other), Some(2), "{told}");
    connections.mute(Mute::Acknowledged).expect("a Linux socket takes a filter");
    read(&t, 4, 20).await.expect("it is repeated");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let told = ended(&t).await;
    assert_eq!(told["ping_timeout"], 1, "{told}");

    let live = scrape::read(&t.scrape().await);
    let ages = &live["http_client_connection_duration_seconds"].samples;
    let counted = ages.iter().filter(|(name, ..)| name.ends_with("_count")).map(|(.., count)| count).sum::<f64>();
    assert!((counted - 4.0).abs() < 0.1, "{ages:?}");
    let (_, page) = t.get("/status", "text/html").await;
    assert!(page.contains("1 ping timeout"), "{page}");
}
