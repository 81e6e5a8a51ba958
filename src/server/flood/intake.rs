//! Charges the memory that a call's message takes to its caller, while the message comes in and once it is decoded.
//!
//! Small messages, which nearly all are, pass as they are. A larger one is gathered here and charged as its bytes come. Once it
//! is complete it is weighed: decoded, a record of two bytes on the wire can take a thousand. What does not fit is refused
//! before it is decoded.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::Request;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::codegen::StdError;

use crate::contract::Rpc;
use crate::error::{Error, Result};
use crate::gateway::Place;
use crate::rpc::facts::Facts;
use crate::share::{FREE_MESSAGE, Share};

/// Bytes of a message's prefix: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// Largest message to health and reflection, whose callers have no share.
pub const LARGEST_COMMON: usize = 16 << 10;

/// Returns a request whose message is charged to its caller. Compressed messages must be unpacked before.
pub fn request<B>(request: Request<B>) -> Request<Intake<B>> {
    let payer = Payer::of(&request);
    let (reading, rest, input) = (Reading::Prefix(BytesMut::new()), Bytes::new(), Bytes::new());
    request.map(|body| Intake { body, payer, reading, rest, input })
}

/// Who pays for a call's message.
pub(super) struct Payer {
    place: Place,
    share: Share,
    rpc: &'static Rpc,
}

impl Payer {
    /// Returns who pays for a request's message. None for health checks and reflection: their callers have no share.
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        let facts: &Facts = request.extensions().get()?;
        let (rpc, caller) = (facts.method.rpc()?, facts.caller.as_ref()?);
        Some(Self { place: facts.place.clone(), share: caller.share().clone(), rpc })
    }

    /// Charges bytes of the message.
    pub fn charge(&self, bytes: usize) -> Result<()> {
        self.place.charge_message(&self.share, bytes)
    }

    /// Gives back what was charged.
    pub fn release(&self) {
        self.place.release_message();
    }

    /// Gives back so many of the bytes that were charged.
    pub fn release_some(&self, bytes: usize) {
        self.place.release_of_message(bytes);
    }
}

/// How far the body has been read.
enum Reading {
    /// The next message's prefix, as far as it has come.
    Prefix(BytesMut),
    /// A small message, of which so many bytes are to come.
    Small(usize),
    /// A message with its prefix, as far as it has come, and how long it will be.
    Large(Vec<u8>, usize),
}

pin_project! {
    /// The body of a request.
    pub struct Intake<B> {
        #[pin]
        body: B,
        payer: Option<Payer>,
        reading: Reading,
        // A large message whose prefix was handed on, and what came after it.
        rest: Bytes,
        input: Bytes,
    }
}

/// Returns the length of the message whose prefix begins `bytes`, with the prefix; none if the prefix is not complete.
fn length(bytes: &[u8]) -> Option<usize> {
    let prefix = bytes.first_chunk::<PREFIX>()?;
    let [_, length @ ..] = *prefix;
    Some(PREFIX + u32::from_be_bytes(length) as usize)
}

impl Reading {
    /// Takes in bytes up to the end of a large message, and returns what can be handed on, before the `rest`.
    ///
    /// A large message goes on after its prefix, because tonic makes room for as much as a prefix says beside what has come: with
    /// the message at once, it would hold twice as much.
    fn take(&mut self, payer: Option<&Payer>, bytes: &mut Bytes, rest: &mut Bytes) -> Result<Bytes> {
        // Nearly always a small message comes in one piece, alone.
        if let Self::Prefix(before) = self
            && before.is_empty()
            && length(bytes).is_some_and(|length| length == bytes.len() && length <= PREFIX + FREE_MESSAGE)
        {
            return Ok(std::mem::take(bytes));
        }
        let mut ready = BytesMut::new();
        while !bytes.is_empty() {
            match self {
                Self::Prefix(before) => {
                    let missing = PREFIX - before.len();
                    before.extend_from_slice(&bytes.split_to(missing.min(bytes.len())));
                    let Some(length) = length(before) else { break };
                    let prefix = std::mem::take(before);
                    *self = if length > PREFIX + FREE_MESSAGE {
                        Self::Large(prefix.into(), length)
                    } else {
                        ready.extend_from_slice(&prefix);
                        Self::of_left(length - PREFIX)
                    };
                }
                Self::Small(left) => {
                    let piece = bytes.split_to(bytes.len().min(*left));
                    *self = Self::of_left(*left - piece.len());
                    ready.extend_from_slice(&piece);
                }
                Self::Large(message, length) => {
                    let piece = bytes.split_to(bytes.len().min(*length - message.len()));
                    // Twice: here, and where tonic collects it.
                    charge(payer, *length, 2 * piece.len())?;
                    if message.capacity() < message.len() + piece.len() {
                        // Doubled, but to no more than it will need.
                        let room = message.len().max(piece.len()).min(*length - message.len());
                        message.reserve_exact(room);
                    }
                    message.extend_from_slice(&piece);
                    if message.len() == *length {
                        weigh(payer, &message[PREFIX..])?;
                        *rest = std::mem::take(message).into();
                        ready.extend_from_slice(&rest.split_to(PREFIX));
                        *self = Self::Prefix(BytesMut::new());
                        break;
                    }
                }
            }
        }
        Ok(ready.freeze())
    }

    fn of_left(left: usize) -> Self {
        if left == 0 { Self::Prefix(BytesMut::new()) } else { Self::Small(left) }
    }
}

/// Charges bytes of a message that comes in.
fn charge(payer: Option<&Payer>, length: usize, bytes: usize) -> Result<()> {
    match payer {
        Some(payer) => payer.charge(bytes),
        None if length > LARGEST_COMMON => Err(Error::RequestTooLarge { bytes: length, limit: LARGEST_COMMON }),
        None => Ok(()),
    }
}

/// Replaces what the call was charged so far by what its complete message takes once it is decoded, beside its bytes, which tonic
/// holds until the request has ended. The message before it is gone, since a stream is read on only once its last message was used.
fn weigh(payer: Option<&Payer>, message: &[u8]) -> Result<()> {
    let Some(payer) = payer else { return Ok(()) };
    let most = payer.share.most_bytes();
    let weight = payer.rpc.weigh(message, most).saturating_add(message.len());
    if weight > most {
        return Err(Error::RequestTooLarge { bytes: weight, limit: most });
    }
    payer.release();
    payer.charge(weight)
}

impl<B> Body for Intake<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut this = self.project();
        loop {
            if !this.rest.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(this.rest)))));
            }
            if !this.input.is_empty() {
                let ready = this.reading.take(this.payer.as_ref(), this.input, this.rest).map_err(Status::from)?;
                if ready.has_remaining() {
                    return Poll::Ready(Some(Ok(Frame::data(ready))));
                }
                continue;
            }
            let frame = match ready!(this.body.as_mut().poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(Status::from_error(error.into())))),
                None => {
                    // What is incomplete goes on as it is: tonic says so.
                    let left = match std::mem::replace(this.reading, Reading::Small(0)) {
                        Reading::Prefix(bytes) => bytes.freeze(),
                        Reading::Large(bytes, _) => bytes.into(),
                        Reading::Small(_) => Bytes::new(),
                    };
                    return Poll::Ready((!left.is_empty()).then(|| Ok(Frame::data(left))));
                }
            };
            match frame.into_data() {
                Ok(data) => *this.input = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.reading {
            Reading::Prefix(bytes) => {
                bytes.is_empty() && self.rest.is_empty() && self.input.is_empty() && self.body.is_end_stream()
            }
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::{BodyExt as _, StreamBody};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::config;
    use crate::contract::Request as _;
    use crate::gateway::caller::{Caller, Grant};
    use crate::proto::{BulkCreateUsersRequest, UserInput};
    use crate::rpc::facts::Terms;
    use crate::share::Shares;

    const MEMORY: usize = 1 << 20;

    fn prefixed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).expect("short").to_be_bytes();
        [&[0][..], &length, message].concat()
    }

    /// A call whose body comes in pieces of `piece` bytes.
    fn call(share: &Share, body: &[u8], piece: usize) -> Request<impl Body<Data = Bytes, Error = Status> + use<>> {
        let caller = Caller::new("one".into(), Grant::default(), share.clone());
        let facts = Terms::of(&config::Server::default()).local(BulkCreateUsersRequest::rpc(), caller);
        let pieces: Vec<_> = body.chunks(piece).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let mut call = Request::new(StreamBody::new(stream::iter(pieces)));
        call.extensions_mut().insert(facts);
        call
    }

    async fn read(share: &Share, body: &[u8], piece: usize) -> Result<Bytes, Status> {
        let body = request(call(share, body, piece)).into_body();
        Ok(body.collect().await?.to_bytes())
    }

    fn shares() -> Shares {
        Shares::new(&config::Callers { message_memory_percent: 100, ..config::Callers::default() }, MEMORY)
    }

    proptest! {
        #[test]
        fn messages_are_the_same_however_they_come(
            sizes in vec(prop_oneof![0..600_usize, Just(FREE_MESSAGE), Just(FREE_MESSAGE + 1)], 0..5),
            cut in 0..20_usize,
            piece in 1..700_usize,
        ) {
            let share = shares().of("one");
            let mut body: Vec<u8> = sizes.iter().flat_map(|size| prefixed(&vec![7; *size])).collect();
            body.truncate(body.len().saturating_sub(cut));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a thread");
            let whole = runtime.block_on(read(&share, &body, piece)).expect("it fits");
            prop_assert_eq!(&whole[..], &body[..]);
        }
    }

    #[tokio::test]
    async fn bytes_are_charged_as_they_come_and_the_message_once_it_is_complete() {
        let shares = shares();
        let share = shares.of("one");
        let message = BulkCreateUsersRequest { users: vec![UserInput::default(); 200], ..Default::default() };
        let body = prefixed(&message.encode_to_vec());
        let incoming = call(&share, &body[..300], 100);
        let mut body_of = Box::pin(request(incoming).into_body());
        body_of.frame().await.expect("what is left, at the end").expect("it fits");
        assert_eq!(shares.bytes(), 2 * (300 - PREFIX), "what has come, twice");
        drop(body_of);
        assert_eq!(shares.bytes(), 0);
        let mut complete = Box::pin(request(call(&share, &body, 100)).into_body());
        complete.frame().await.expect("the message").expect("it fits");
        assert!(shares.bytes() > 200 * size_of::<UserInput>(), "{}", shares.bytes());
        drop(complete);
        assert_eq!(shares.bytes(), 0);
    }

    #[tokio::test]
    async fn a_large_message_is_handed_on_after_its_prefix_and_takes_no_more_than_its_length() {
        let share = shares().of("one");
        let large = prefixed(&vec![7; 3 * FREE_MESSAGE]);
        let sent = [&large[..], &prefixed(&[7; 9]), &large, &prefixed(&[])].concat();
        for piece in [100, large.len(), sent.len()] {
            let mut body = Box::pin(request(call(&share, &sent, piece)).into_body());
            let mut frames = Vec::new();
            while let Some(frame) = body.frame().await {
                frames.push(frame.expect("it fits").into_data().expect("bytes"));
            }
            assert_eq!(frames.concat(), sent);
            let of_large: Vec<_> = frames.iter().filter(|frame| frame.len() == large.len() - PREFIX).collect();
            assert_eq!(of_large.len(), 2, "each alone, by {piece}");
        }
        let mut reading = Reading::Large(Vec::new(), large.len());
        let (mut all, mut rest) = (Bytes::from(large[..large.len() - 1].to_vec()), Bytes::new());
        while !all.is_empty() {
            let mut piece = all.split_to(all.len().min(100));
            reading.take(None, &mut piece, &mut rest).expect("it fits");
        }
        let Reading::Large(held, length) = &reading else { panic!("it is not complete") };
        assert!(held.capacity() <= *length, "{} of {length}", held.capacity());
    }

    #[tokio::test]
    async fn what_would_take_too_much_once_decoded_is_refused_before() {
        let share = shares().of("one");
        let message = BulkCreateUsersRequest { users: vec![UserInput::default(); 10_000], ..Default::default() };
        let refused = read(&share, &prefixed(&message.encode_to_vec()), 1000).await.expect_err("20 KB, and megabytes");
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(refused.message().contains("1048"), "{refused}");
        let other = read(&share, &prefixed(&vec![0; MEMORY]), 1000).await.expect_err("more than there is");
        assert_eq!(other.code(), tonic::Code::ResourceExhausted);
    }

    #[tokio::test]
    async fn a_large_message_to_nobody_in_particular_is_refused() {
        let body =
            |size| StreamBody::new(stream::iter([Ok::<_, Status>(Frame::data(prefixed(&vec![0; size]).into()))]));
        let read =
            async |size| request(Request::new(body(size))).into_body().collect().await.map(|all| all.to_bytes().len());
        assert_eq!(read(LARGEST_COMMON - PREFIX).await.expect("it fits"), LARGEST_COMMON);
        assert_eq!(read(LARGEST_COMMON).await.expect_err("too large").code(), tonic::Code::ResourceExhausted);
    }
}
