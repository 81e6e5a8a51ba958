//! A host with two addresses, one of which is dead.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::support::{read, unsafe_write};
use crate::config;
use crate::upstream::client::{Addresses, Origin};
use crate::upstream::transport::Transport;
use crate::upstream::{Answer, Call};

/// What is wrong with the first address.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Dead {
    /// Nobody answers the first packet.
    Dropped,
    /// It accepts connections and says nothing.
    Silent,
    /// It shakes hands, and says nothing on HTTP/2.
    Mute,
}

const FIRST: [u8; 4] = [127, 0, 0, 1];
const SECOND: [u8; 4] = [127, 0, 0, 2];

fn acceptor() -> (TlsAcceptor, tempfile::NamedTempFile) {
    let signed = rcgen::generate_simple_self_signed(["zendesk.test".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).expect("a key");
    let mut server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .expect("they belong together");
    server.alpn_protocols = vec![b"h2".to_vec()];
    let mut ca_file = tempfile::NamedTempFile::new().expect("a file");
    std::io::Write::write_all(&mut ca_file, signed.cert.pem().as_bytes()).expect("it is written");
    (TlsAcceptor::from(Arc::new(server)), ca_file)
}

/// Answers everything with an empty object.
async fn serve(socket: TcpStream, acceptor: TlsAcceptor) {
    // An attempt that another one overtook ends in the middle of the handshake.
    let Ok(socket) = acceptor.accept(socket).await else { return };
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(Ok(part)) = body.data().await {
                body.flow_control().release_capacity(part.len()).expect("it was received");
            }
            let head = http::Response::builder().header("content-type", "application/json").body(()).expect("a head");
            if let Ok(mut stream) = respond.send_response(head, false) {
                stream.send_data(Bytes::from_static(b"{}"), true).ok();
            }
        });
    }
}

async fn dead(how: Dead, port: u16, acceptor: TlsAcceptor) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((FIRST, port).into()).expect("the port is free there, too");
    let listener = socket.listen(if how == Dead::Dropped { 1 } else { 64 }).expect("it listens");
    if how == Dead::Dropped {
        // A full backlog drops what comes.
        for _ in 0..8 {
            tokio::spawn(async move {
                let connected = TcpStream::connect((IpAddr::from(FIRST), port)).await;
                std::future::pending::<()>().await;
                drop(connected);
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::spawn(async move {
        let mut kept = Vec::new();
        if how == Dead::Dropped {
            std::future::pending::<()>().await;
        }
        while let Ok((socket, _)) = listener.accept().await {
            if how == Dead::Silent {
                kept.push(socket);
                continue;
            }
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let socket = acceptor.accept(socket).await;
                std::future::pending::<()>().await;
                drop(socket);
            });
        }
    });
}

/// Returns the bottom of the stack before such a host, and how many connections the second address accepted.
async fn transport(how: Dead) -> (Transport, Arc<AtomicUsize>) {
    let (acceptor, ca_file) = acceptor();
    let listener = TcpListener::bind((IpAddr::from(SECOND), 0)).await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    dead(how, port, acceptor.clone()).await;
    let accepted = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(socket, acceptor.clone()));
        }
    });
    let found = || vec![FIRST.into(), SECOND.into()];
    let addresses = Addresses::new(Box::new(move |_| Box::pin(std::future::ready(Ok(found())))));
    let url = format!("https://zendesk.test:{port}").parse().expect("a URL");
    let origin = Origin::new(&url, Some(ca_file.path())).expect("it is trusted").found_at(addresses);
    let settings = config::Upstream::default();
    (Transport::new(&origin, &settings).expect("a client"), accepted)
}

async fn ask(transport: &Transport, call: Call, within: Duration) -> Option<Answer> {
    let outcome = timeout(within, transport.clone().oneshot(call)).await.ok()?;
    Some(outcome.expect("an answer"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn of_two_addresses_a_dead_one_costs_a_moment_once() {
    for how in [Dead::Dropped, Dead::Silent] {
        for call in [read(), unsafe_write()] {
            let (transport, accepted) = transport(how).await;
            let began = Instant::now();
            ask(&transport, call, Duration::from_secs(4)).await.expect("at the other address");
            let took = began.elapsed();
            assert!(took < Duration::from_secs(2), "{how:?}: {took:?}");
            assert_eq!(accepted.load(Ordering::SeqCst), 1, "{how:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_whose_connection_says_nothing_is_not_the_next_one_to_be_tried() {
    let (transport, accepted) = transport(Dead::Mute).await;
    let none = ask(&transport, read(), Duration::from_secs(1)).await;
    assert!(none.is_none(), "it was sent, and nobody answers");
    ask(&transport, unsafe_write(), Duration::from_secs(2)).await.expect("at the other address");
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}
