//! Calls of the contract as they come over HTTP.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use http_body::Body;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::codegen::{BoxFuture, StdError};
use tonic::server::{Grpc, ServerStreamingService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};

use super::Rpc;
use crate::codec::BytesCodec;
use crate::contract::RPCS;

/// The replies of a stream, encoded.
pub(super) type BoxStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;
/// The future of a handler's reply.
pub(super) type Handling<T> = BoxFuture<Response<T>, Status>;

impl Rpc {
    /// Carries out a call of the RPC that has this place in [`RPCS`]. A request message of more than `most` bytes
    /// is refused.
    pub async fn serve<B>(
        self: Arc<Self>,
        place: usize,
        most: usize,
        call: http::Request<B>,
    ) -> http::Response<tonic::body::Body>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        let mut grpc = Grpc::new(BytesCodec)
            .max_decoding_message_size(most)
            .max_encoding_message_size(self.max_response_bytes)
            .accept_compressed(Gzip)
            .send_compressed(Gzip);
        let handler = Handler { rpc: self, place };
        match (RPCS[place].client_streaming, RPCS[place].streaming) {
            (false, false) => grpc.unary(handler, call).await,
            (false, true) => grpc.server_streaming(handler, call).await,
            (true, _) => grpc.streaming(handler, call).await,
        }
    }
}

/// The handler of one RPC.
struct Handler {
    rpc: Arc<Rpc>,
    place: usize,
}

impl UnaryService<Bytes> for Handler {
    type Response = Bytes;
    type Future = Handling<Bytes>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        Arc::clone(&self.rpc).unary(self.place, request)
    }
}

impl ServerStreamingService<Bytes> for Handler {
    type Response = Bytes;
    type ResponseStream = BoxStream;
    type Future = Handling<BoxStream>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        Arc::clone(&self.rpc).streaming(self.place, request)
    }
}

impl StreamingService<Bytes> for Handler {
    type Response = Bytes;
    type ResponseStream = BoxStream;
    type Future = Handling<BoxStream>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        Arc::clone(&self.rpc).both_streaming(self.place, request)
    }
}

/// Decodes the message of a call.
pub(super) fn decoded<M: prost::Message + Default>(request: Request<Bytes>) -> Result<Request<M>, Status> {
    let (metadata, extensions, bytes) = request.into_parts();
    Ok(Request::from_parts(metadata, extensions, message(bytes)?))
}

/// Decodes a message. One that cannot be read is INTERNAL by gRPC's table of codes.
pub(super) fn message<M: prost::Message + Default>(bytes: Bytes) -> Result<M, Status> {
    M::decode(bytes).map_err(|error| Status::internal(error.to_string()))
}
