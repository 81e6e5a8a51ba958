//! A real client that looks at status and content, for the load generator only counts.

use std::marker::PhantomData;

use anyhow::{Context as _, ensure};
use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};
use zendesk_gateway::contract;

/// What the peers' replies have in common. Envoy has Zendesk's words where the contract has enums, so its messages cannot be
/// read as the contract's.
#[derive(Clone, PartialEq, Message)]
pub struct Known {
    #[prost(message, optional, tag = "1")]
    record: Option<Record>,
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(int64, tag = "1")]
    id: i64,
    /// The URL of a user and of a group.
    #[prost(string, optional, tag = "2")]
    url: Option<String>,
}

/// Calls the server on `port` and returns the message as it came, after looking whether it is the record with this id.
pub async fn probe<R: contract::Request>(
    port: u16,
    headers: &[(String, String)],
    request: R,
    id: i64,
) -> anyhow::Result<Bytes> {
    let channel = Channel::from_shared(format!("http://127.0.0.1:{port}"))?.connect().await?;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await?;
    let mut outgoing = Request::new(request);
    for (name, value) in headers {
        let name: tonic::metadata::MetadataKey<_> = name.parse()?;
        outgoing.metadata_mut().insert(name, value.parse()?);
    }
    let path = http::uri::PathAndQuery::from_static(R::rpc().path);
    let reply = client.unary(outgoing, path, Raw(PhantomData)).await.context("the probe was refused")?;
    let bytes = reply.into_inner();
    let known = Known::decode(bytes.clone())?;
    let record = known.record.context("the reply has no record")?;
    ensure!(record.id == id, "asked for {id}, got {}", record.id);
    let ends = format!("/{id}.json");
    ensure!(
        record.url.as_ref().is_some_and(|url| url.ends_with(&ends)),
        "the reply has the wrong url: {:?}",
        record.url
    );
    Ok(bytes)
}

/// Sends messages and leaves replies encoded.
struct Raw<R>(PhantomData<fn() -> R>);

impl<R: Message + 'static> Codec for Raw<R> {
    type Encode = R;
    type Decode = Bytes;
    type Encoder = RawEncoder<R>;
    type Decoder = RawDecoder;

    fn encoder(&mut self) -> RawEncoder<R> {
        RawEncoder(PhantomData)
    }

    fn decoder(&mut self) -> RawDecoder {
        RawDecoder
    }
}

struct RawEncoder<R>(PhantomData<fn() -> R>);

impl<R: Message> Encoder for RawEncoder<R> {
    type Item = R;
    type Error = Status;

    fn encode(&mut self, item: R, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item.encode_to_vec().as_slice());
        Ok(())
    }
}

struct RawDecoder;

impl Decoder for RawDecoder {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
