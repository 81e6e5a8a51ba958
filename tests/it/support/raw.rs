//! HTTP/2 clients that do what no well-behaved one does: they show the server's own trailers, stop reading, never begin.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request};
use prost::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use zendesk_gateway::proto::GetUserRequest;

/// Longer than anything takes that is meant to happen.
pub const LONG: Duration = Duration::from_mins(1);

/// A client that enforces nothing by itself.
#[derive(Clone)]
pub struct Raw {
    send: SendRequest<Bytes>,
}

/// What a call was answered.
#[derive(Debug)]
pub struct Answer {
    pub messages: Vec<Bytes>,
    pub trailers: HeaderMap,
}

/// A call under way.
pub struct Call {
    pub response: ResponseFuture,
    pub request: SendStream<Bytes>,
}

impl Raw {
    /// Connects; the handle completes when the connection has ended.
    pub async fn connect(address: &str) -> (Self, JoinHandle<Result<(), h2::Error>>) {
        Self::with(address, h2::client::Builder::new()).await
    }

    pub async fn with(address: &str, builder: h2::client::Builder) -> (Self, JoinHandle<Result<(), h2::Error>>) {
        let socket = TcpStream::connect(address).await.expect("it listens");
        Self::over(socket, builder).await.expect("it speaks HTTP/2")
    }

    /// Speaks over a connection that is there already.
    pub async fn over(
        socket: TcpStream,
        builder: h2::client::Builder,
    ) -> Result<(Self, JoinHandle<Result<(), h2::Error>>), h2::Error> {
        socket.set_nodelay(true).expect("a socket");
        let (send, connection) = builder.handshake(socket).await?;
        Ok((Self { send }, tokio::spawn(connection)))
    }

    /// Connects over and over until a call is answered.
    pub async fn get_in(address: &str) -> Self {
        let path = "/zendesk.gateway.v1.UserService/GetUser";
        let served = tokio::time::timeout(LONG, async {
            loop {
                let socket = TcpStream::connect(address).await.expect("the system accepts it");
                if let Ok((client, _)) = Self::over(socket, h2::client::Builder::new()).await
                    && client.call(path, &[], &GetUserRequest { id: -1 }).await.is_ok()
                {
                    return client;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        served.await.expect("there is room in the end")
    }

    /// Begins a call and sends nothing but its headers.
    pub async fn begin(&self, path: &str, headers: &[(&'static str, &str)]) -> Result<Call, h2::Error> {
        let mut send = self.send.clone().ready().await?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://gateway{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (response, request) = send.send_request(request.body(()).expect("a request"), false)?;
        Ok(Call { response, request })
    }

    /// Sends a request that need not be a call; returns the head of its answer.
    pub async fn send(&self, request: Request<()>, body: Bytes) -> Result<http::response::Parts, h2::Error> {
        let mut send = self.send.clone().ready().await?;
        let (response, mut stream) = send.send_request(request, false)?;
        stream.send_data(body, true)?;
        let response = tokio::time::timeout(LONG, response).await.expect("it answers")?;
        Ok(response.into_parts().0)
    }

    /// Makes a call with one message.
    pub async fn call(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
        message: &impl Message,
    ) -> Result<Answer, h2::Error> {
        self.start(path, headers, message).await?.answer().await
    }

    /// Makes a call with one message, and does not look at the answer.
    pub async fn start(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
        message: &impl Message,
    ) -> Result<Call, h2::Error> {
        let mut call = self.begin(path, headers).await?;
        call.request.send_data(framed(0, &message.encode_to_vec()), true)?;
        Ok(call)
    }
}

impl Call {
    pub async fn answer(self) -> Result<Answer, h2::Error> {
        // Dropped here, it would reset the stream before the answer.
        let _request = self.request;
        let response = tokio::time::timeout(LONG, self.response).await.expect("it answers")?;
        let (head, mut body) = response.into_parts();
        let read = tokio::time::timeout(LONG, read(&mut body)).await;
        let (messages, trailers) = read.expect("the answer ends")?;
        let trailers = trailers.unwrap_or(head.headers);
        Ok(Answer { messages, trailers })
    }
}

impl Answer {
    /// The code of the status.
    pub fn code(&self) -> tonic::Code {
        self.status().code()
    }

    pub fn status(&self) -> tonic::Status {
        tonic::Status::from_header_map(&self.trailers).expect("a status")
    }
}

async fn read(body: &mut RecvStream) -> Result<(Vec<Bytes>, Option<HeaderMap>), h2::Error> {
    let mut bytes = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.put(data);
    }
    let mut messages = Vec::new();
    let mut bytes = bytes.freeze();
    while bytes.len() >= 5 {
        let length = u32::from_be_bytes(bytes[1..5].try_into().expect("four bytes"));
        messages.push(bytes.split_to(5 + length as usize).slice(5..));
    }
    assert!(bytes.is_empty(), "whole messages");
    Ok((messages, body.trailers().await?))
}

/// A message with its prefix.
pub fn framed(compressed: u8, message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(message.len() + 5);
    bytes.put_u8(compressed);
    bytes.put_u32(u32::try_from(message.len()).expect("a small message"));
    bytes.put_slice(message);
    bytes.freeze()
}

/// Frames written by hand.
pub struct Wire {
    pub socket: TcpStream,
}

impl Wire {
    /// Connects, and sends the preface and empty settings.
    pub async fn begin(address: &str) -> Self {
        let mut wire = Self { socket: TcpStream::connect(address).await.expect("it listens") };
        wire.socket.set_nodelay(true).expect("a socket");
        wire.socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("taken");
        wire.frame(4, 0, 0, &[]).await.expect("taken");
        wire
    }

    pub async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(&frame(kind, flags, stream, payload)).await
    }

    /// Reads until the server closes the connection; returns the reason of its GOAWAY, if it sent one.
    pub async fn closed(&mut self) -> Option<u32> {
        let ended = tokio::time::timeout(LONG, async {
            let mut reason = None;
            while let Some((kind, _, _, payload)) = self.read().await {
                if kind == 7 {
                    reason = Some(u32::from_be_bytes(payload[4..8].try_into().expect("four bytes")));
                }
            }
            reason
        });
        ended.await.expect("the server closes the connection")
    }

    /// Reads the next frame: its kind, flags, stream and payload. None once the server has closed the connection.
    pub async fn read(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).await.ok()?;
        let [high, middle, low, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        self.socket.read_exact(&mut payload).await.ok()?;
        Some((kind, flags, u32::from_be_bytes(stream), payload))
    }
}

/// A block of headers, each written out.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [&[0][..], &text(name), &text(value)].concat()).collect()
}

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}
