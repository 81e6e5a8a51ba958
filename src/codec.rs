//! A codec whose replies are encoded already, so that a cached answer is not encoded again. tonic copies its bytes, and packs
//! them if the caller takes gzip.

use std::marker::PhantomData;

use bytes::{BufMut, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::{ProstCodec, ProstDecoder};

/// An encoded message of type `T`. Cloning it shares the bytes.
pub struct Encoded<T> {
    bytes: Bytes,
    message: PhantomData<fn() -> T>,
}

impl<T: Message> Encoded<T> {
    /// Encodes a message.
    pub fn new(message: &T) -> Self {
        Self { bytes: message.encode_to_vec().into(), message: PhantomData }
    }

    /// Takes bytes that were encoded from a `T` before.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self { bytes, message: PhantomData }
    }
}

impl<T> Encoded<T> {
    /// Returns the encoded bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Sends [`Encoded`] replies and decodes requests with prost.
pub struct EncodedCodec<T, U>(PhantomData<fn() -> (T, U)>);

impl<T, U> Default for EncodedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + 'static, U: Message + Default + 'static> Codec for EncodedCodec<Encoded<T>, U> {
    type Encode = Encoded<T>;
    type Decode = U;
    type Encoder = BytesEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        BytesEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        // Most requests are small, and each call has its buffer even before its message arrives.
        ProstCodec::<U, U>::raw_decoder(BufferSettings::new(1 << 10, 32 << 10))
    }
}

/// Copies encoded bytes into tonic's buffer.
pub struct BytesEncoder<T>(PhantomData<fn() -> T>);

impl<T> Encoder for BytesEncoder<T> {
    type Item = Encoded<T>;
    type Error = Status;

    fn encode(&mut self, item: Encoded<T>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item.bytes);
        Ok(())
    }

    /// Small buffers, so that a stream whose next message is always ready is sent message by message: with larger ones a
    /// stalled stream would hold several.
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(8 << 10, 16 << 10)
    }
}
