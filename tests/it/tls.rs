//! TLS on the gRPC port: who gets in, and certificates that change under load.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use zendesk_gateway::config::{self, ClientAuth, Config};
use zendesk_gateway::proto::GetUserRequest;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::server::tls::Tls;
use zendesk_gateway::share::Shares;
use zendesk_gateway::watch::Watcher;

use crate::support::authority::{Authority, Signed};
use crate::support::load::{Load, reloads, spoil, watcher};
use crate::support::observed::Observed;
use crate::support::raw::LONG;
use crate::support::{TestGateway, account, settings, until};

fn with(tls: config::Tls) -> Config {
    let mut config = settings();
    config.server.tls = tls;
    config
}

async fn connect(address: &str, tls: ClientTlsConfig) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("a URI");
    endpoint.tls_config(tls).expect("settings").connect().await.map_err(|error| format!("{error:?}"))
}

async fn read(channel: Channel, id: i64) -> Result<(), Status> {
    UserServiceClient::new(channel).get_user(GetUserRequest { id, ..Default::default() }).await.map(drop)
}

/// Asks for no user at all over a new connection: the answer shows that the call got through, and costs nothing.
async fn ask(address: &str, tls: ClientTlsConfig) -> Result<(), String> {
    let channel = connect(address, tls).await?;
    match UserServiceClient::new(channel).get_user(GetUserRequest { id: -1, ..Default::default() }).await {
        Err(status) if status.code() == tonic::Code::InvalidArgument => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Shakes hands and returns the server's certificate.
async fn certificate(address: &str, authority: &Authority) -> std::io::Result<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).expect("a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
    let shown = stream.get_ref().1.peer_certificates().expect("servers show one");
    Ok(shown[0].clone())
}

#[tokio::test]
#[ignore = "slow"]
async fn a_port_with_a_certificate_speaks_tls_only() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let t = TestGateway::configured(account(), with(authority.sign().write(folder.path()))).await;
    ask(&t.address, authority.trusted()).await.expect("answered");
    ask(&t.address, Authority::new().trusted()).await.expect_err("who trusts another authority does not believe it");
    let plain = Endpoint::from_shared(format!("http://{}", t.address)).expect("a URI").connect_lazy();
    UserServiceClient::new(plain)
        .get_user(GetUserRequest { id: -1, ..Default::default() })
        .await
        .expect_err("no plaintext");
    t.stop().await;
}

/// Returns what the port's metrics count of those who speak something else.
fn strays(t: &Observed) -> Vec<(&'static str, u64)> {
    let connections = t.telemetry.state().sources.connections.read().expect("it serves");
    connections.strays.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
#[ignore = "slow"]
async fn who_speaks_something_else_than_the_port_is_counted_by_what_it_speaks() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let plain = Observed::configured(settings()).await;
    let secure = Observed::configured(with(authority.sign().write(folder.path()))).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for (t, bytes) in [
        (&secure, &preface[..]),
        (&secure, b"POST / HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        (&secure, b"PROXY TCP4 10.0.0.1 10.0.0.2 1234 50051\r\n"),
        (&plain, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        (&plain, b"PROXY TCP4 10.0.0.1 10.0.0.2 1234 50051\r\nPRI * HTTP/2.0\r\n\r\n"),
    ] {
        let mut peer = TcpStream::connect(&t.address).await.expect("the port is open");
        peer.write_all(bytes).await.expect("sent");
        let _ = tokio::time::timeout(LONG, peer.read_to_end(&mut Vec::new())).await.expect("it is closed");
    }
    ask(&plain.address, authority.trusted()).await.expect_err("no TLS there");
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).expect("a certificate");
    let mut old = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    old.alpn_protocols = vec![b"http/1.1".to_vec()];
    let socket = TcpStream::connect(&secure.address).await.expect("the port is open");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(old)).connect(name, socket).await.expect_err("HTTP/2 alone");
    ask(&secure.address, authority.trusted()).await.expect("whoever speaks it is not counted");
    assert_eq!(strays(&secure), [("alpn", 1), ("http1", 1), ("plaintext", 1), ("proxy_header", 1)]);
    let seen = strays(&plain);
    assert!(matches!(seen[..], [("http1", 1), ("proxy_header", 1), ("tls", 1..)]), "{seen:?}");
}

#[tokio::test]
#[ignore = "slow"]
async fn client_certificates_are_verified_and_can_be_required() {
    let (authority, callers) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ca.crt");
    std::fs::write(&path, callers.pem()).expect("written");
    let known = || authority.trusted().identity(callers.sign().identity());
    let foreign = || authority.trusted().identity(Authority::new().sign().identity());
    for (auth, without) in [(None, false), (Some(ClientAuth::Required), false), (Some(ClientAuth::Optional), true)] {
        let mut tls = authority.sign().write(folder.path());
        (tls.client_ca_file, tls.client_auth) = (Some(path.clone()), auth);
        let t = TestGateway::configured(account(), with(tls)).await;
        ask(&t.address, known()).await.expect("a known caller is answered");
        ask(&t.address, foreign()).await.expect_err("a certificate of another authority is refused");
        assert_eq!(ask(&t.address, authority.trusted()).await.is_ok(), without, "{auth:?} without a certificate");
        t.stop().await;
    }
}

#[tokio::test]
async fn the_peers_certificate_is_known_after_the_handshake() {
    let (authority, callers) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = authority.sign().write(folder.path());
    let path = folder.path().join("ca.crt");
    std::fs::write(&path, callers.pem()).expect("written");
    settings.client_ca_file = Some(path);
    let tls = Tls::load(&settings, &Watcher::default()).await.expect("certificates").expect("TLS is on");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let caller = callers.sign();
    let client = authority.trusted().identity(caller.identity());
    let asking = tokio::spawn(async move { ask(&address, client).await });
    let (socket, _) = listener.accept().await.expect("a connection");
    let shares = Shares::new(&config::Callers::default(), 1 << 20);
    let (stream, certificates) = tls.accept(socket, &shares).await.expect("a handshake");
    assert_eq!(certificates.expect("shown")[0], caller.der);
    drop(stream);
    asking.await.expect("no panic").expect_err("nobody answers here");
}

#[tokio::test]
#[ignore = "slow"]
async fn a_peer_that_stalls_its_handshake_is_closed_and_holds_up_nobody() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let mut tls = authority.sign().write(folder.path());
    tls.handshake_timeout = Duration::from_millis(500);
    let t = TestGateway::configured(account(), with(tls)).await;
    let mut stalled = Vec::new();
    for _ in 0..50 {
        stalled.push(TcpStream::connect(&t.address).await.expect("it listens"));
    }
    ask(&t.address, authority.trusted()).await.expect("others are answered");
    for mut socket in stalled {
        let read = tokio::time::timeout(LONG, socket.read(&mut [0; 1])).await.expect("it is closed");
        assert!(matches!(read, Ok(0) | Err(_)));
    }
    t.stop().await;
}

#[tokio::test]
async fn a_stalled_handshake_does_not_hold_up_the_end() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let mut tls = authority.sign().write(folder.path());
    tls.handshake_timeout = Duration::from_mins(10);
    let t = TestGateway::configured(account(), with(tls)).await;
    let stalled = TcpStream::connect(&t.address).await.expect("it listens");
    ask(&t.address, authority.trusted()).await.expect("answered after the other was accepted");
    t.stop().await;
    drop(stalled);
}

/// Replaces a certificate as badly as one can: half of it, then the rest without its key, then half of that, each until it was
/// looked at; every other time all at once. Returns when it is in use.
async fn replace(folder: &Path, next: &Signed, watcher: &Watcher, round: usize) {
    let (file, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    let (before, _) = reloads(watcher, "certificate");
    if round.is_multiple_of(2) {
        let (half, whole) = (&next.certificate.as_bytes()[..next.certificate.len() / 2], next.certificate.as_bytes());
        spoil(&file, half, watcher, "certificate").await;
        spoil(&file, whole, watcher, "certificate").await;
        spoil(&key, &next.key.as_bytes()[..next.key.len() / 2], watcher, "certificate").await;
        spoil(&key, b"nonsense", watcher, "certificate").await;
    }
    std::fs::write(&file, &next.certificate).expect("written");
    std::fs::write(&key, &next.key).expect("written");
    until(|| reloads(watcher, "certificate").0 > before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow"]
async fn fifty_exchanges_of_certificates_under_load_fail_no_call() {
    let (authority, folder, watcher) = (Arc::new(Authority::new()), tempfile::tempdir().expect("a folder"), watcher());
    let t = TestGateway::watched(with(authority.sign().write(folder.path())), &watcher).await;
    let id = t.sandbox.store().user_ids()[0];
    let mut load = Load::default();
    for _ in 0..2 {
        // Each call over a connection of its own, and each over the one that was there before all exchanges.
        let (address, trusted) = (t.address.clone(), authority.trusted());
        load.add(move || {
            let (address, trusted) = (address.clone(), trusted.clone());
            async move { read(connect(&address, trusted).await.map_err(Status::unavailable)?, id).await }
        });
        let channel = connect(&t.address, authority.trusted()).await.expect("a connection");
        load.add(move || read(channel.clone(), id));
    }
    for round in 0..50 {
        let next = authority.sign();
        replace(folder.path(), &next, &watcher, round).await;
        let shown = certificate(&t.address, &authority).await.expect("a handshake");
        assert_eq!(shown, next.der, "new connections get the new certificate");
        load.round().await;
        assert!(!load.has_failed(), "a call failed in round {round}");
    }
    assert!(load.end().await >= 4 * 2 * 50);
    let (taken, failed) = reloads(&watcher, "certificate");
    assert!(taken == 50 && failed >= 4 * 25, "{taken} {failed}");
    t.stop().await;
}
