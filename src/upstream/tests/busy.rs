//! What becomes of a connection while the thread that reads it is busy.

use std::future::pending;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::support::{ask, millis, read, unsafe_write};
use crate::config;
use crate::error::Error;
use crate::upstream::call::Call;
use crate::upstream::client::Origin;
use crate::upstream::transport::Transport;

type Outcome = Result<(), Error>;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Runs a runtime on a thread of its own until the test ends.
fn running(runtime: &Arc<Runtime>) {
    let runtime = Arc::clone(runtime);
    thread::spawn(move || runtime.block_on(pending::<()>()));
}

/// A TLS acceptor for HTTP/2, and the certificate to trust.
fn acceptor() -> (TlsAcceptor, String) {
    let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).expect("a key");
    let mut tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .expect("they belong together");
    tls.alpn_protocols = vec![b"h2".to_vec()];
    (TlsAcceptor::from(Arc::new(tls)), signed.cert.pem())
}

/// Serves each connection with `serve`, on a thread of its own. Returns what sends there.
fn edge<S, F>(serve: S) -> Transport
where
    S: Fn(TcpStream, TlsAcceptor) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let of_edge = Arc::new(runtime());
    let (acceptor, certificate) = acceptor();
    let listener = of_edge.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("it is bound")).parse().expect("a URL");
    of_edge.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, acceptor.clone()));
        }
    });
    running(&of_edge);
    let mut ca_file = tempfile::NamedTempFile::new().expect("a file");
    ca_file.write_all(certificate.as_bytes()).expect("it is written");
    let origin = Origin::new(&url, Some(ca_file.path())).expect("it is read");
    Transport::new(&origin, &config::Upstream::default()).expect("a client")
}

/// Begins requests on a runtime.
fn ask_on(runtime: &Runtime, transport: &Transport, calls: impl IntoIterator<Item = Call>) -> Vec<JoinHandle<Outcome>> {
    let begin = |call| {
        let transport = transport.clone();
        runtime.spawn(async move { ask(&transport, call).await.map(drop) })
    };
    calls.into_iter().map(begin).collect()
}

/// Keeps the thread of a runtime busy for so long; returns once it is.
fn keep_busy(runtime: &Runtime, time: Duration) {
    let (begun, has_begun) = mpsc::channel();
    runtime.spawn(async move {
        begun.send(()).ok();
        thread::sleep(time);
    });
    has_begun.recv().expect("it is busy");
}

fn outcomes(begun: Vec<JoinHandle<Outcome>>) -> Vec<Outcome> {
    runtime()
        .block_on(async { futures_util::future::join_all(begun).await })
        .into_iter()
        .map(|one| one.expect("no panic"))
        .collect()
}

/// Has two requests wait for their answers on a connection that allows so many at a time, and whose thread is then busy for `busy`.
/// Four others are made from another thread meanwhile. Returns how many requests a connection is believed to take after that, and
/// how many connections were opened.
fn learnt(allowed: u32, busy: Duration) -> (usize, u64) {
    let (go, let_go) = watch::channel(false);
    let transport = edge(move |socket, acceptor| {
        let let_go = let_go.clone();
        async move {
            let socket = acceptor.accept(socket).await.expect("it is trusted");
            let mut http2 = h2::server::Builder::new();
            let handshake = http2.max_concurrent_streams(allowed).handshake(socket);
            let mut connection = handshake.await.expect("HTTP/2");
            let mut is_first = true;
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let (mut let_go, is_first) = (let_go.clone(), std::mem::take(&mut is_first));
                tokio::spawn(async move {
                    if !is_first {
                        let_go.wait_for(|go| *go).await.expect("the test goes on");
                    }
                    let head = http::Response::builder().header("content-type", "application/json");
                    if let Ok(mut stream) = respond.send_response(head.body(()).expect("a head"), false) {
                        stream.send_data(Bytes::from_static(b"{}"), true).ok();
                    }
                });
            }
        }
    });
    let (of_connection, other) = (Arc::new(runtime()), Arc::new(runtime()));
    running(&of_connection);
    running(&other);
    outcomes(ask_on(&of_connection, &transport, [read()]));
    let waiting = ask_on(&of_connection, &transport, [read(), read()]);
    thread::sleep(millis(100));
    keep_busy(&of_connection, busy);
    let more = ask_on(&other, &transport, [read(), read(), read(), read()]);
    thread::sleep(busy + millis(200));
    go.send(true).expect("the edge listens");
    let ended = outcomes(waiting.into_iter().chain(more).collect());
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    let seen = transport.connections().snapshot();
    (seen.http2_streams, seen.opened)
}

#[test]
fn a_connection_whose_thread_is_busy_is_not_taken_for_one_without_room() {
    assert_eq!(learnt(100, millis(150)), (100, 1));
}

#[test]
fn a_connection_without_room_is_found_to_have_none_once_its_thread_had_the_time() {
    let (streams, opened) = learnt(3, Duration::ZERO);
    assert!(streams <= 3, "{streams}");
    assert!(opened > 1, "others go on another one");
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Answers the first request of the first connection, and all of later ones. Once it is told to, it says on the first connection
/// that it has processed no other request, and resets it.
async fn go_away(
    socket: TcpStream,
    acceptor: TlsAcceptor,
    is_first: bool,
    mut go: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut socket = acceptor.accept(socket).await?;
    socket.read_exact(&mut [0; 24]).await?;
    socket.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    loop {
        let mut header = [0; 9];
        tokio::select! {
            read = socket.read_exact(&mut header) => read?,
            () = async { drop(go.wait_for(|go| *go).await) }, if is_first => {
                socket.write_all(&frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])).await?;
                socket.flush().await?;
                // So that it arrives before the reset.
                tokio::time::sleep(millis(20)).await;
                return socket.get_ref().0.set_zero_linger();
            }
        };
        let [high, middle, low, kind, flags, ..] = header;
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        socket.read_exact(&mut payload).await?;
        match kind {
            SETTINGS if flags == 0 => socket.write_all(&frame(SETTINGS, 1, 0, &[])).await?,
            // `:status: 200`
            HEADERS if !is_first || stream == 1 => socket.write_all(&frame(HEADERS, 5, stream, &[0x88])).await?,
            _ => {}
        }
    }
}

#[test]
fn a_goaway_that_has_come_is_read_before_more_is_written() {
    let (go, told) = watch::channel(false);
    let is_first = AtomicBool::new(true);
    let transport = edge(move |socket, acceptor| {
        let served = go_away(socket, acceptor, is_first.swap(false, Ordering::SeqCst), told.clone());
        async move { drop(served.await) }
    });
    let of_connection = Arc::new(runtime());
    running(&of_connection);
    drop(outcomes(ask_on(&of_connection, &transport, [read()])));
    let waiting = ask_on(&of_connection, &transport, (0..5).map(|_| unsafe_write()));
    thread::sleep(millis(100));
    keep_busy(&of_connection, millis(300));
    go.send(true).expect("the edge listens");
    thread::sleep(millis(150));
    let more = ask_on(&of_connection, &transport, (0..3).map(|_| read()));
    let ended = outcomes(waiting.into_iter().chain(more).collect());
    // That an answer is empty is all that may be wrong.
    let lost = ended.iter().filter(|outcome| matches!(outcome, Err(Error::BrokenBeforeHeaders(_) | Error::Connect(_))));
    assert_eq!(lost.count(), 0, "{ended:?}");
    let seen = transport.connections().snapshot();
    assert_eq!((seen.opened, seen.moved), (2, 5));
}
