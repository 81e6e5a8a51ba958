//! Calls any RPC of the descriptor set with a request written as JSON, as a client with nothing but reflection would.

use prost::Message as _;
use prost::bytes::{Buf, BufMut};
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MethodDescriptor, SerializeOptions};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;

/// A client that knows the contract from its descriptors only.
pub struct Dynamic {
    channel: Channel,
    pool: DescriptorPool,
}

impl Dynamic {
    pub fn new(channel: Channel) -> Self {
        let pool = DescriptorPool::decode(zendesk_gateway::proto::DESCRIPTORS).expect("the contract's descriptors");
        Self { channel, pool }
    }

    pub fn method(&self, name: &str) -> MethodDescriptor {
        let mut methods = self.pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        methods.find(|method| method.name() == name).unwrap_or_else(|| panic!("no RPC {name}"))
    }

    /// Calls an RPC; the replies come back as JSON in the vendor's field names, 64-bit numbers as numbers.
    pub async fn call(&self, name: &str, request: &str) -> Result<Vec<serde_json::Value>, Status> {
        self.call_with(name, request, &[]).await
    }

    /// The same with metadata.
    pub async fn call_with(
        &self,
        name: &str,
        request: &str,
        metadata: &[(&'static str, String)],
    ) -> Result<Vec<serde_json::Value>, Status> {
        let method = self.method(name);
        let mut json = serde_json::Deserializer::from_str(request);
        let options = DeserializeOptions::new().deny_unknown_fields(true);
        let message = DynamicMessage::deserialize_with_options(method.input(), &mut json, &options)
            .unwrap_or_else(|error| panic!("{name} {request}: {error}"));
        self.call_message(&method, &message, metadata).await
    }

    /// Calls an RPC with a message that is there already.
    pub async fn call_message(
        &self,
        method: &MethodDescriptor,
        message: &DynamicMessage,
        metadata: &[(&'static str, String)],
    ) -> Result<Vec<serde_json::Value>, Status> {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let path = path.parse().expect("a path");
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = tonic::Request::new(message.encode_to_vec());
        for (name, value) in metadata {
            request.metadata_mut().insert(*name, value.parse().expect("ASCII"));
        }
        let response = client.server_streaming(request, path, Bytes).await?;
        let mut stream = response.into_inner();
        let mut replies = Vec::new();
        while let Some(reply) = stream.message().await? {
            let message = DynamicMessage::decode(method.output(), reply.as_slice()).expect("the reply's own type");
            let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
            let json = message.serialize_with_options(serde_json::value::Serializer, &options);
            replies.push(json.expect("messages are JSON"));
        }
        Ok(replies)
    }
}

#[derive(Clone, Copy)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;
    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item.as_slice());
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;
    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}
