//! TLS, the HTTP version that ALPN negotiates, and simulated latency.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

fn tls_wire() -> Wire {
    Wire { tls: true, ..Wire::default() }
}

/// A client that trusts the sandbox and nobody else.
pub fn client_trusting(sandbox: &Sandbox) -> reqwest::ClientBuilder {
    let ca = sandbox.ca_pem().expect("TLS is on");
    let ca = reqwest::Certificate::from_pem(ca.as_bytes()).expect("a certificate");
    reqwest::Client::builder().no_gzip().tls_certs_only([ca])
}

async fn probe_over_tls(wire: Wire) -> Probe {
    let sandbox = start(wire).await;
    let client = client_trusting(&sandbox).build().expect("a client");
    Probe { sandbox, client }
}

#[tokio::test]
async fn a_sandbox_is_plain_http_1_unless_asked() {
    let t = probe(Config::default()).await;
    assert_eq!(t.get("/users/me").await.status, 200);
    assert_eq!((t.sandbox.base_url().scheme(), t.sandbox.ca_pem()), ("http", None));
    assert_eq!(t.sandbox.requests()[0].version, Version::HTTP_11);
    let counts = t.sandbox.connections().counts();
    assert_eq!((counts.accepted, counts.open, counts.handshakes), (1, 1, 0));
}

#[tokio::test]
async fn a_client_chooses_the_version_within_tls() {
    let mut t = probe_over_tls(tls_wire()).await;
    assert_eq!(t.sandbox.base_url().scheme(), "https");
    assert_eq!(t.get("/users/me").await.status, 200);
    t.client = client_trusting(&t.sandbox).http1_only().build().expect("a client");
    assert_eq!(t.get("/users/me").await.status, 200);
    let versions: Vec<Version> = t.sandbox.requests().into_iter().map(|request| request.version).collect();
    assert_eq!(versions, [Version::HTTP_2, Version::HTTP_11]);
    let counts = t.sandbox.connections().counts();
    assert_eq!((counts.accepted, counts.handshakes, counts.handshakes_retried), (2, 2, 0));
}

#[tokio::test]
async fn the_certificate_is_for_localhost_too() {
    let t = probe_over_tls(tls_wire()).await;
    let url = t.sandbox.base_url().as_str().replace("127.0.0.1", "localhost");
    t.client.get(url).send().await.expect("a trusted answer");
}

#[tokio::test]
async fn a_client_that_does_not_know_the_authority_does_not_trust_it() {
    let t = probe(Config { wire: tls_wire(), ..Config::default() }).await;
    t.client.get(t.sandbox.base_url()).send().await.expect_err("an unknown issuer");
    assert_eq!((t.sandbox.total_hits(), t.sandbox.connections().counts().handshakes), (0, 0));
}

#[tokio::test]
async fn either_version_can_be_off() {
    let t = probe_over_tls(Wire { http2: false, ..tls_wire() }).await;
    assert_eq!(t.get("/users/me").await.status, 200);
    assert_eq!(t.sandbox.requests()[0].version, Version::HTTP_11);
    let mut t = probe_over_tls(Wire { http1: false, ..tls_wire() }).await;
    assert_eq!(t.get("/users/me").await.status, 200);
    assert_eq!(t.sandbox.requests()[0].version, Version::HTTP_2);
    t.client = client_trusting(&t.sandbox).http1_only().build().expect("a client");
    t.authorized(Method::GET, "/users/me").send().await.expect_err("no version in common");
    let neither = Wire { http1: false, http2: false, ..Wire::default() };
    let refused = Sandbox::start(Config { wire: neither, ..Config::default() }).await.err();
    assert_eq!(refused.map(|error| error.kind()), Some(io::ErrorKind::InvalidInput));
}

/// Connects and completes the TLS handshake.
pub async fn shake_hands(sandbox: &Sandbox, config: ClientConfig) -> TlsStream<TcpStream> {
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, connect(sandbox).await).await;
    stream.expect("a handshake")
}

/// A TLS configuration that trusts the sandbox and sends a key share for the first of `groups`.
pub fn tls_config(sandbox: &Sandbox, groups: Vec<&'static dyn rustls::crypto::SupportedKxGroup>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let ca = sandbox.ca_pem().expect("TLS is on");
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("a certificate")).expect("an authority");
    let provider = rustls::crypto::CryptoProvider { kx_groups: groups, ..default_provider() };
    let config = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
    config.expect("versions").with_root_certificates(roots).with_no_client_auth()
}

#[tokio::test]
async fn handshakes_are_counted_by_what_they_took() {
    let sandbox = start(tls_wire()).await;
    // The sandbox does not know the first group, so it has to ask for a share of the second.
    shake_hands(&sandbox, tls_config(&sandbox, vec![kx_group::MLKEM768, kx_group::X25519])).await;
    let config = tls_config(&sandbox, vec![kx_group::X25519]);
    for _ in 0..2 {
        let mut stream = shake_hands(&sandbox, config.clone()).await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        // The client reads the TLS session ticket with the response; the second round resumes with it.
        assert!(stream.read(&mut [0; 16]).await.expect("an answer") > 0);
    }
    let counts = sandbox.connections().counts();
    assert_eq!((counts.handshakes, counts.handshakes_retried, counts.handshakes_resumed), (3, 1, 1));
    sandbox.reset_stats();
    until(|| sandbox.connections().counts() == ConnectionCounts::default()).await;
}

#[tokio::test]
async fn stats_tell_of_the_connections() {
    let t = probe_over_tls(tls_wire()).await;
    let stats = answer(t.request(Method::GET, "!/__sandbox/stats")).await.json();
    let expected = json!({
        "accepted": 1, "open": 1, "handshakes": 1, "handshakes_retried": 0, "handshakes_resumed": 0, "goaways": 0, "refused_streams": 0,
    });
    assert_eq!(stats["connections"], expected);
}

#[tokio::test]
async fn the_ca_certificate_is_written_to_ca_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    let sandbox = start(Wire { ca_file: Some(file.clone()), ..tls_wire() }).await;
    assert_eq!(std::fs::read_to_string(file).expect("written").as_str(), sandbox.ca_pem().expect("TLS is on"));
}

#[tokio::test]
async fn a_first_request_takes_three_round_trips_and_the_next_one() {
    let round_trip = Duration::from_millis(100);
    let t = probe_over_tls(Wire { round_trip, ..tls_wire() }).await;
    // TCP, TLS 1.3, and the request.
    for trips in [3, 1] {
        let asked = Instant::now();
        assert_eq!(t.get("/users/me").await.status, 200);
        let took = asked.elapsed();
        assert!(took >= round_trip * trips && took < round_trip * (trips + 1), "{trips} round trips took {took:?}");
    }
}

#[tokio::test]
async fn distance_delays_bytes_without_holding_up_others() {
    let round_trip = Duration::from_millis(200);
    let sandbox = start(Wire { round_trip, ..http2() }).await;
    let raw = Raw::connect(&sandbox).await;
    raw.status("/users/me").await.expect("an answer");
    let asked = Instant::now();
    let mut answers = Vec::new();
    for _ in 0..50 {
        answers.push(raw.send("/users/me").await.expect("a stream"));
    }
    for answer in answers {
        assert_eq!(in_time(answer).await.expect("an answer").status(), 200);
    }
    let took = asked.elapsed();
    assert!(took >= round_trip && took < round_trip * 3, "50 answers took {took:?}");
}

#[tokio::test]
async fn latency_does_not_limit_bandwidth() {
    let round_trip = Duration::from_millis(200);
    let t = probe(Config { wire: Wire { round_trip, ..Wire::default() }, ..Config::default() }).await;
    t.get("/users/me").await;
    let asked = Instant::now();
    let size = t.get("/users?page[size]=100").await.text.len();
    let took = asked.elapsed();
    // 64 KiB is 8 times the buffer of `tokio::io::copy`, which carries the bytes: its portions must not wait for one another.
    assert!(size > 64 * 1024 && took < round_trip * 2, "{size} bytes took {took:?}");
}
