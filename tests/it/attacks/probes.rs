//! Health watches of strangers: probes are answered whatever they do.

use std::net::Ipv4Addr;

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::*;

const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// A probe that takes longer counts as failed.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Connects from another address than the attackers, where the system has one: behind a crowd's own there may be no room.
async fn client(address: &str) -> HealthClient<Channel> {
    let elsewhere = Ipv4Addr::new(127, 0, 0, 3);
    let has_it = std::net::TcpListener::bind((elsewhere, 0)).is_ok();
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).expect("a URI");
    let endpoint = endpoint.local_address(has_it.then_some(elsewhere.into()));
    HealthClient::new(endpoint.connect().await.expect("it listens"))
}

/// Asks the gateway in every way in which a probe does, each over a connection of its own, and fails if an answer takes longer
/// than [`AT_ONCE`].
pub async fn probe(address: &str, admin: &str) {
    probe_within(AT_ONCE, address, admin).await;
}

/// The same with another limit.
pub async fn probe_within(time: Duration, address: &str, admin: &str) {
    for path in ["livez", "readyz"] {
        let asked = async {
            let mut socket = TcpStream::connect(admin.trim_start_matches("http://")).await.expect("it listens");
            let request = format!("GET /{path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
            socket.write_all(request.as_bytes()).await.expect("taken");
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.expect("answered");
            answer
        };
        let answer = tokio::time::timeout(time, asked).await.expect(path);
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{path}: {answer}");
    }
    let check = async {
        let mut health = client(address).await;
        health.check(HealthCheckRequest::default()).await.expect("it is healthy").into_inner().status
    };
    assert_eq!(tokio::time::timeout(time, check).await.expect("Check is answered"), 1, "SERVING");
    let watch = async {
        let mut health = client(address).await;
        let mut watch = health.watch(HealthCheckRequest::default()).await.expect("there is room").into_inner();
        watch.message().await.expect("a status").expect("there is one").status
    };
    assert_eq!(tokio::time::timeout(time, watch).await.expect("Watch begins"), 1, "SERVING");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn health_watches_of_strangers() {
    let gateway = Binary::start(&[("TELEMETRY__LOG_FILTER", "warn")]).await;
    let id = gateway.ids().await[0];
    let mut users = gateway.users().await;
    call(&mut users, id, |made| made >= 50).await;
    let before = gateway.peak();
    // As many as all connections share, and more.
    let connections = scaled(30, 200);
    let (mut held, mut watching, mut refused) = (Vec::new(), 0, 0);
    for _ in 0..connections {
        let (client, _) = Raw::connect(&gateway.address).await;
        let mut begun = Vec::new();
        for _ in 0..100 {
            match client.start(WATCH, &[], &HealthCheckRequest::default()).await {
                Ok(watch) => begun.push(watch),
                // It was refused before its message was sent.
                Err(_) => refused += 1,
            }
        }
        for mut watch in begun {
            let response = tokio::time::timeout(LONG, &mut watch.response).await.expect("answered").expect("headers");
            match response.headers().get("grpc-status") {
                None => watching += 1,
                Some(status) => {
                    assert_eq!(status, "14", "UNAVAILABLE");
                    refused += 1;
                }
            }
            held.push((watch.request, response, client.clone()));
        }
        if held.len() == 3_000 || held.len() == connections * 100 {
            probe(&gateway.address, &gateway.admin).await;
        }
    }
    // Each connection has two of its own, and all together a thousand more.
    assert_eq!(watching, 1_024 + connections * 2);
    assert_eq!(refused, connections * 100 - watching);
    call(&mut users, id, |made| made >= 50).await;
    let grown = gateway.peak().saturating_sub(before);
    println!("{watching} health watches, {refused} refused: {} bytes each", grown / watching as u64);
    assert!(grown / (watching as u64) < 16 << 10, "{grown} bytes for {watching}");
}
