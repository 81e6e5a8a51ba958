//! What lies between a client and the account: encryption, versions, distance, and how connections end.

mod ends;
mod faults;
mod goaway;
mod handshakes;
// It reads /proc/net/tcp and filters packets.
#[cfg(target_os = "linux")]
mod silence;

use std::io;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{Request, Version};
use h2::client::{ResponseFuture, SendRequest};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use crate::faults::{Delay, Hang, get};
use crate::{ConnectionCounts, GoAway, Mute, Outcome, Wire};

/// Long enough for any machine; a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(10);

/// Long enough for a loopback connection that something would have come by now.
const WAIT: Duration = Duration::from_millis(60);

async fn start(wire: Wire) -> Sandbox {
    Sandbox::start(Config { wire, ..Config::default() }).await.expect("a free port")
}

/// HTTP/2 that needs no TLS, because nothing else is spoken.
fn http2() -> Wire {
    Wire { http1: false, ..Wire::default() }
}

/// A client of HTTP/2 that does nothing by itself: one connection, no second try.
struct Raw {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Raw {
    async fn connect(sandbox: &Sandbox) -> Self {
        Self::over(connect(sandbox).await, &h2::client::Builder::new()).await
    }

    async fn over<T>(stream: T, builder: &h2::client::Builder) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (requests, connection) = builder.handshake(stream).await.expect("a preface sent");
        Self { requests, connection: tokio::spawn(connection) }
    }

    /// Sends a request as soon as the connection takes one.
    async fn send(&self, path: &str) -> Result<ResponseFuture, h2::Error> {
        let request = Request::get(format!("http://sandbox.example/api/v2{path}"))
            .header("authorization", "Bearer sandbox-oauth-token")
            .body(())
            .expect("a request");
        let mut requests = self.requests.clone().ready().await?;
        Ok(requests.send_request(request, true)?.0)
    }

    async fn status(&self, path: &str) -> Result<u16, h2::Error> {
        in_time(async { Ok(self.send(path).await?.await?.status().as_u16()) }).await
    }

    /// Waits until the connection ends.
    async fn ended(self) -> Result<(), h2::Error> {
        in_time(self.connection).await.expect("no panic")
    }
}

async fn connect(sandbox: &Sandbox) -> TcpStream {
    TcpStream::connect(sandbox.address).await.expect("a connection")
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.expect("in time")
}

async fn until(happened: impl Fn() -> bool) {
    in_time(async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[track_caller]
fn reason(error: &h2::Error) -> h2::Reason {
    assert!(error.is_reset() && error.is_remote(), "{error:?}");
    error.reason().expect("a reset has a code")
}

impl Sandbox {
    #[track_caller]
    fn outcomes(&self) -> Vec<Outcome> {
        self.requests().into_iter().map(|request| request.outcome).collect()
    }
}
