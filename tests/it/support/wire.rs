//! A gRPC client without a clock of its own: what it sees is what the server did. A tonic client would answer
//! DEADLINE_EXCEEDED by itself.

use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::net::TcpStream;
use tonic::Code;

/// A connection.
#[derive(Clone)]
pub struct Wire {
    requests: SendRequest<Bytes>,
    address: String,
}

/// How a call ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Code,
    /// Messages before the end.
    pub messages: usize,
    pub took: Duration,
}

impl Wire {
    pub async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        let (requests, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
        tokio::spawn(async move { connection.await.ok() });
        Self { requests, address: address.to_owned() }
    }

    /// Makes a call and waits for its status, however long that takes.
    pub async fn call(&self, method: &str, message: &impl prost::Message, deadline: Duration) -> Ended {
        let request = Request::post(format!("http://{}/zendesk.gateway.v1.{method}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", format!("{}u", deadline.as_micros()))
            .body(())
            .expect("a request");
        let mut frame = BytesMut::new();
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.encoded_len()).expect("it is short"));
        message.encode(&mut frame).expect("it fits");

        let mut requests = self.requests.clone().ready().await.expect("the connection is open");
        let began = Instant::now();
        let (response, mut body) = requests.send_request(request, false).expect("sent");
        body.send_data(frame.freeze(), true).expect("sent");
        let (parts, mut body) = response.await.expect("an answer").into_parts();
        let mut bytes = BytesMut::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.expect("the stream is not reset");
            body.flow_control().release_capacity(chunk.len()).expect("it was received");
            bytes.extend_from_slice(&chunk);
        }
        let trailers = body.trailers().await.expect("the stream is not reset");
        let took = began.elapsed();
        let code = trailers.as_ref().and_then(status).or_else(|| status(&parts.headers)).expect("a status");
        Ended { code, messages: messages(&bytes), took }
    }
}

fn status(headers: &HeaderMap) -> Option<Code> {
    Some(Code::from_bytes(headers.get("grpc-status")?.as_bytes()))
}

/// Counts the length-prefixed messages in a body.
fn messages(mut body: &[u8]) -> usize {
    let mut count = 0;
    while let [_, a, b, c, d, rest @ ..] = body {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        body = rest.get(length..).expect("whole messages");
        count += 1;
    }
    count
}
