//! Calls any RPC of the descriptor set with a request written as JSON, as a client with nothing but reflection would.

use prost::Message as _;
use prost::bytes::{Buf, BufMut};
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MethodDescriptor, SerializeOptions};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;

/// A client that knows the contract from its descriptors only.
#[derive(Clone)]
pub struct Dynamic {
    channel: Channel,
    pool: DescriptorPool,
}

impl Dynamic {
    pub fn new(channel: Channel) -> Self {
        let pool = DescriptorPool::decode(zendesk_gateway::proto::DESCRIPTORS).expect("the contract's descriptors");
        Self { channel, pool }
    }

    /// The same over another channel.
    pub fn over(&self, channel: Channel) -> Self {
        Self { channel, pool: self.pool.clone() }
    }

    pub fn method(&self, name: &str) -> MethodDescriptor {
        let mut methods = self.pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        methods.find(|method| method.name() == name).unwrap_or_else(|| panic!("no RPC {name}"))
    }

    /// Calls an RPC; the replies come back as JSON in the vendor's field names, 64-bit numbers as numbers.
    pub async fn call(&self, name: &str, request: &str) -> Result<Vec<serde_json::Value>, Status> {
        self.call_with(name, request, &[] as &[(&str, &str)]).await
    }

    /// The same with metadata.
    pub async fn call_with(
        &self,
        name: &str,
        request: &str,
        metadata: &[(&'static str, impl AsRef<str>)],
    ) -> Result<Vec<serde_json::Value>, Status> {
        self.send(name, &self.message(name, request), metadata).await
    }

    /// Reads the request of an RPC.
    pub fn message(&self, name: &str, request: &str) -> DynamicMessage {
        let mut json = serde_json::Deserializer::from_str(request);
        let options = DeserializeOptions::new().deny_unknown_fields(true);
        DynamicMessage::deserialize_with_options(self.method(name).input(), &mut json, &options)
            .unwrap_or_else(|error| panic!("{name} {request}: {error}"))
    }

    /// Calls an RPC with a request that was put together.
    pub async fn send(
        &self,
        name: &str,
        message: &DynamicMessage,
        metadata: &[(&'static str, impl AsRef<str>)],
    ) -> Result<Vec<serde_json::Value>, Status> {
        Ok(self.replies(name, message, metadata).await?.iter().map(json).collect())
    }

    /// The same with the metadata before the replies.
    pub async fn call_for_metadata(
        &self,
        name: &str,
        request: &str,
        metadata: &[(&'static str, impl AsRef<str>)],
    ) -> Result<(MetadataMap, Vec<serde_json::Value>), Status> {
        let (said, replies) = self.answer(name, &self.message(name, request), metadata).await?;
        Ok((said, replies.iter().map(json).collect()))
    }

    /// The same with the replies as they are.
    pub async fn replies(
        &self,
        name: &str,
        message: &DynamicMessage,
        metadata: &[(&'static str, impl AsRef<str>)],
    ) -> Result<Vec<DynamicMessage>, Status> {
        Ok(self.answer(name, message, metadata).await?.1)
    }

    async fn answer(
        &self,
        name: &str,
        message: &DynamicMessage,
        metadata: &[(&'static str, impl AsRef<str>)],
    ) -> Result<(MetadataMap, Vec<DynamicMessage>), Status> {
        let method = self.method(name);
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let path = path.parse().expect("a path");
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let response = client.server_streaming(super::with(message.encode_to_vec(), metadata), path, Bytes).await?;
        let said = response.metadata().clone();
        let mut stream = response.into_inner();
        let mut replies = Vec::new();
        while let Some(reply) = stream.message().await? {
            replies.push(DynamicMessage::decode(method.output(), reply.as_slice()).expect("the reply's own type"));
        }
        Ok((said, replies))
    }
}

fn json(reply: &DynamicMessage) -> serde_json::Value {
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    reply.serialize_with_options(serde_json::value::Serializer, &options).expect("messages are JSON")
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
