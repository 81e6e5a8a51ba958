//! Messages that are encoded already, and a codec that takes and gives bytes.
//!
//! A cached answer is sent as it is stored. And because the handlers decode requests themselves, there is one copy of tonic's
//! machinery for all RPCs: with a codec for each request and reply it was a tenth of the binary, and of the time to compile it.

use std::cell::RefCell;
use std::marker::PhantomData;

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Most bytes of a thread's buffer that are kept between two messages.
const LARGEST_KEPT: usize = 16 << 10;

/// An encoded message of type `T`. Cloning it shares the bytes.
pub struct Encoded<T> {
    bytes: Bytes,
    message: PhantomData<fn() -> T>,
}

impl<T: Message> Encoded<T> {
    /// Encodes a message.
    pub fn new(message: &T) -> Self {
        Self::from_bytes(encoded(message))
    }
}

/// Encodes a message. Its length, which takes a third as long to count as the message takes to encode, is not counted first: a
/// buffer of this thread has room for most messages.
pub fn encoded(message: &impl Message) -> Bytes {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(LARGEST_KEPT));
    }
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        message.encode_raw(buffer);
        let bytes = Bytes::copy_from_slice(buffer);
        buffer.shrink_to(LARGEST_KEPT);
        bytes
    })
}

impl<T> Encoded<T> {
    /// Takes bytes that were encoded from a `T` before.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self { bytes, message: PhantomData }
    }

    /// Returns the encoded bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the encoded bytes, without their type.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// Passes on the bytes of messages.
#[derive(Default)]
pub struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    /// Copies the message into tonic's buffer. If the caller takes gzip, tonic compresses it from there.
    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }

    /// Of a stream whose next message is always ready, tonic collects messages until they have 16 KiB, and then sends them. With
    /// its default of 32 KiB a stalled stream would hold more.
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(8 << 10, 16 << 10)
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }

    /// Most requests are small, and each call has its buffer even before its message arrives.
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(1 << 10, 32 << 10)
    }
}
