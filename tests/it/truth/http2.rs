//! The same server over TLS and HTTP/2, stream by stream, so that it can reset, break off and end connections as an edge does.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::PrivateKeyDer;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

use super::clock::now;
use super::http::{Reply, Request, Response};

/// After so many requests a connection ends, as edges have it.
const MOST_REQUESTS: u32 = 500;
/// Requests at a time on one connection: fewer than there are callers.
const MOST_STREAMS: u32 = 40;

/// Returns what speaks TLS, and the certificate to trust, as PEM.
pub fn acceptor() -> (TlsAcceptor, String) {
    let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).expect("a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .expect("they belong together");
    config.alpn_protocols = vec![b"h2".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), signed.cert.pem())
}

/// Serves one connection. What is to close it closes it with all that is under way on it, one time in ten, and otherwise resets
/// its own stream.
pub async fn serve<F, A>(
    socket: TcpStream,
    acceptor: TlsAcceptor,
    lay: bool,
    mut hung_up: watch::Receiver<u32>,
    answer: F,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    F: Fn(Request) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Reply> + Send + 'static,
{
    let socket = acceptor.accept(socket).await?;
    let builder = h2::server::Builder::new().max_concurrent_streams(MOST_STREAMS).clone();
    let mut connection = builder.handshake::<_, Bytes>(socket).await?;
    let broken = Arc::new(Notify::new());
    let mut requests = 0;
    let mut ends = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = broken.notified() => return Ok(()),
            _ = hung_up.changed(), if !ends => {
                ends = true;
                connection.graceful_shutdown();
                continue;
            }
            accepted = connection.accept() => accepted,
        };
        let Some(accepted) = accepted else { return Ok(()) };
        let (request, respond) = accepted?;
        requests += 1;
        if requests == MOST_REQUESTS && !ends {
            ends = true;
            connection.graceful_shutdown();
        }
        let (answer, broken, at) = (answer.clone(), Arc::clone(&broken), now());
        tokio::spawn(async move {
            let Some(request) = read(request, at, lay).await else { return };
            let reply = answer(request).await;
            let closes = matches!(reply, Reply::Closed) && fastrand::u8(..10) == 0;
            // A peer that has left is what other callers do to it.
            drop(send(reply, respond).await);
            if closes {
                broken.notify_one();
            }
        });
    }
}

/// Reads a request; none when the peer has reset it.
async fn read(request: http::Request<RecvStream>, at: u64, lay: bool) -> Option<Request> {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data.ok()?;
        stream.flow_control().release_capacity(data.len()).ok()?;
        body.extend_from_slice(&data);
    }
    let query = head.uri.query().unwrap_or_default();
    let query = percent_encoding::percent_decode_str(query).decode_utf8_lossy().into_owned();
    let (method, path) = (head.method.as_str().to_owned(), head.uri.path().to_owned());
    Some(Request { method, path, query, body, at, lay })
}

async fn send(reply: Reply, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let (response, cut) = match reply {
        Reply::Whole(response) | Reply::WithOneMore(response, _) | Reply::WithOneMoreLate(response, _) => {
            (response, false)
        }
        Reply::Cut(response) => (response, true),
        Reply::Closed => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        }
    };
    let mut stream = respond.send_response(head(&response), response.body.is_empty() && !cut)?;
    if cut {
        let half = response.body.len() / 2;
        stream.send_data(Bytes::copy_from_slice(&response.body.as_bytes()[..half]), false)?;
        // So that it leaves before the reset.
        tokio::time::sleep(Duration::from_millis(5)).await;
        stream.send_reset(Reason::INTERNAL_ERROR);
    } else if !response.body.is_empty() {
        stream.send_data(response.body.into(), true)?;
    }
    Ok(())
}

fn head(response: &Response) -> http::Response<()> {
    let mut head = http::Response::builder().status(response.status);
    for (name, value) in response.headers() {
        head = head.header(name, value);
    }
    head.body(()).expect("a response")
}
