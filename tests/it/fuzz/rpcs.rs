//! Every RPC, found by descriptor, with any request, before a Zendesk that answers anything.
//!
//! An input is the number of the RPC, two bytes that say how long its request is, what the request is made of, and Zendesk's
//! answers: the first byte is the status, less 200, then headers to a NUL, then a body to the next two NULs, and so on. When
//! they are used up, the last one comes again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tower::service_fn;
use zendesk_gateway::config::Config;
use zendesk_gateway::contract::{RPCS, Rpc};
use zendesk_gateway::error::{Error, Refusal};
use zendesk_gateway::gateway::caller::Caller;
use zendesk_gateway::upstream::credential::Credential;
use zendesk_gateway::upstream::judge::judge;
use zendesk_gateway::upstream::{self as outbound, Call, Jitter};
use zendesk_gateway::{assembly, rpc};

use super::headers::headers;
use super::requests::within;

/// Most requests that a call makes before Zendesk falls silent.
const MOST_REQUESTS: usize = 40;
/// Most messages that are taken of a stream.
const MOST_MESSAGES: usize = 20;

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(zendesk_gateway::proto::DESCRIPTORS).expect("the contract's descriptors"));

/// Bytes that decide, one after the other; zeros after the last.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number(&mut self) -> i64 {
        match self.byte() {
            small @ 0..200 => i64::from(small),
            200..210 => -1,
            210..220 => i64::MAX,
            220..230 => i64::MIN,
            _ => {
                let mut bytes = [0; 8];
                let taken = self.take(8);
                bytes[..taken.len()].copy_from_slice(taken);
                i64::from_le_bytes(bytes)
            }
        }
    }

    fn text(&mut self) -> String {
        const WORDS: [&str; 24] = [
            "a@b.example",
            "A",
            "7",
            "name",
            "id",
            "agent",
            "..",
            "%2e%2e",
            "a\r\nb",
            "\0",
            "",
            " ",
            "user_fields.a",
            "notes",
            "email",
            "type:user",
            "-created_at",
            "1e400",
            "\u{202e}",
            "a,b",
            "/",
            "image/png",
            "tags",
            "role",
        ];
        match usize::from(self.byte()) {
            word @ 0..120 => WORDS[word % WORDS.len()].to_owned(),
            length => String::from_utf8_lossy(self.take(length - 120)).into_owned(),
        }
    }

    fn message(&mut self, of: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut message = DynamicMessage::new(of.clone());
        for field in of.fields() {
            // A field that nothing decides stays as it is, so that requests are small where the input is.
            if self.0.is_empty() || self.byte().is_multiple_of(3) {
                continue;
            }
            let value = if field.is_map() {
                let Kind::Message(entry) = field.kind() else { continue };
                let entries = (0..self.byte() % 4)
                    .map(|_| (MapKey::String(self.text()), self.value(&entry.map_entry_value_field(), depth)));
                Value::Map(entries.collect())
            } else if field.is_list() {
                Value::List((0..self.byte() % 6).map(|_| self.value(&field, depth)).collect())
            } else {
                self.value(&field, depth)
            };
            message.set_field(&field, value);
        }
        message
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "any number will do")]
    fn value(&mut self, field: &FieldDescriptor, depth: usize) -> Value {
        match field.kind() {
            Kind::Message(of) if depth == 0 => Value::Message(DynamicMessage::new(of)),
            Kind::Message(of) => Value::Message(self.message(&of, depth - 1)),
            Kind::String => Value::String(self.text()),
            Kind::Bytes => Value::Bytes(Bytes::copy_from_slice(self.text().as_bytes())),
            Kind::Bool => Value::Bool(self.byte() % 2 == 1),
            Kind::Enum(_) => Value::EnumNumber(i32::from(self.byte()) - 100),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(self.number() as i32),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(self.number() as u32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(self.number()),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(self.number() as u64),
            Kind::Float => Value::F32(f32::from_bits(self.number() as u32)),
            Kind::Double => Value::F64(f64::from_bits(self.number() as u64)),
        }
    }
}

/// What Zendesk answers, in this order.
#[derive(Debug)]
struct Script(Vec<(StatusCode, HeaderMap, Vec<u8>)>);

impl Script {
    fn read(mut data: &[u8]) -> Self {
        let mut answers = Vec::new();
        while let Some((status, rest)) = data.split_first() {
            let status = StatusCode::from_u16(200 + u16::from(*status)).expect("between 200 and 455");
            let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
            let body = rest.get(end + 1..).unwrap_or_default();
            let length = body.windows(2).position(|two| two == [0, 0]).unwrap_or(body.len());
            answers.push((status, headers(&rest[..end]), body[..length].to_vec()));
            data = body.get(length + 2..).unwrap_or_default();
        }
        Self(answers)
    }
}

/// Calls an RPC, and holds its answer to the contract.
pub fn call(data: &[u8]) {
    let [number, long, length, rest @ ..] = data else { return };
    let rpc = &RPCS[usize::from(*number) % RPCS.len()];
    let (made_of, answers) = rest.split_at(usize::from(u16::from_be_bytes([*long, *length])).min(rest.len()));
    let service = POOL.get_service_by_name(&format!("zendesk.gateway.v1.{}", rpc.service)).expect("a service");
    let method = service.methods().find(|method| method.name() == rpc.method).expect("an RPC");
    let request = Choices(made_of).message(&method.input(), 4);
    // A clock of its own, which goes on when nothing else does: back-off and deadlines take no time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let (messages, status) = runtime.block_on(answered(rpc, &request.encode_to_vec(), Script::read(answers)));
    for message in messages {
        DynamicMessage::decode(method.output(), message).expect("a message of the RPC's own type");
    }
    if let Some(status) = status {
        let shown = format!("{}: {status:?}", rpc.method);
        assert!(!matches!(status.code(), Code::Ok | Code::Unknown | Code::Unimplemented), "{shown}");
        assert!(!status.message().contains(char::is_control) && status.message().chars().count() <= 512, "{shown}");
        let info = status.get_error_details().error_info().expect("every error has its reason").clone();
        assert!(!info.reason.is_empty() && info.reason != "INTERNAL", "no input is a defect: {shown}");
        assert!(status.details().len() < 8 << 10, "{shown}");
    }
}

/// Returns the messages of a reply and, if it ended with one, the error.
async fn answered(rpc: &Rpc, request: &[u8], script: Script) -> (Vec<Bytes>, Option<Status>) {
    let (script, asked) = (Arc::new(script), Arc::new(AtomicUsize::new(0)));
    let zendesk = service_fn(move |call: Call| {
        let (script, number) = (Arc::clone(&script), asked.fetch_add(1, Ordering::Relaxed));
        async move {
            within(&call.rest);
            call.ledger.send()?;
            if number >= MOST_REQUESTS {
                std::future::pending::<()>().await;
            }
            match script.0.get(number).or(script.0.last()) {
                Some((status, headers, body)) => judge(&call, *status, headers, body),
                None => Err(Error::Unavailable(Box::new(Refusal { status: 503, ..Refusal::default() }))),
            }
        }
    });
    let config = Config::default();
    let (upstream, _) = outbound::stack_with(&config.upstream, Jitter::OFF, zendesk);
    let credential = Credential::new("Bearer x", true).expect("a header");
    let served = rpc::Rpc::new(assembly::gateway(&config, upstream), credential);
    let served = served.called_by(Caller::local(), &config.server);
    let place = RPCS.iter().position(|other| other.path == rpc.path).expect("an RPC");
    let length = u32::try_from(request.len()).expect("a small message").to_be_bytes();
    let body = Full::new(Bytes::from([&[0], &length[..], request].concat()));
    let request = Request::post(rpc.path).header("content-type", "application/grpc").body(body).expect("a request");
    let response = Arc::new(served).serve(place, config.server.max_request_bytes, request).await;
    assert_eq!(response.status(), StatusCode::OK);
    let (head, mut body) = response.into_parts();
    let (mut bytes, mut trailers) = (Vec::new(), Some(head.headers).filter(|head| head.contains_key("grpc-status")));
    let mut frames = 0;
    while let Some(frame) = body.frame().await {
        match frame.expect("a reply does not break off").into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
        frames += 1;
        if frames > MOST_MESSAGES {
            break;
        }
    }
    assert!(trailers.is_some() || frames > MOST_MESSAGES, "a reply ends with its status");
    let (mut messages, mut left) = (Vec::new(), Bytes::from(bytes));
    while left.len() >= 5 {
        let length = u32::from_be_bytes(left[1..5].try_into().expect("four bytes")) as usize;
        if left.len() < 5 + length {
            break;
        }
        messages.push(left.split_to(5 + length).slice(5..));
    }
    let status = trailers.and_then(|trailers| Status::from_header_map(&trailers));
    (messages, status.filter(|status| status.code() != Code::Ok))
}

/// Inputs to begin with: each RPC with a bit of everything, and answers that fit some of them.
pub const CALLS: &[&[u8]] = &[
    b"\x00\x00\x04\x01\x07\x01\x07\x00\x00{\"user\":{\"id\":7,\"name\":\"A\"}}",
    b"\x01\x00\x08\x01\x01\x01\x02\x01\x03\x01\x04\x00\x00{\"users\":[{\"id\":1},{\"id\":2}],\"meta\":{\"has_more\":true,\"after_cursor\":\"x\"}}\0\0\x00\x00{\"users\":[],\"meta\":{\"has_more\":false}}",
    b"\x02\x00\x04\x01\x01\x01\x01\xe5retry-after: 1\0{\"error\":\"TooManyRequests\"}\0\0\x00\x00{\"count\":{\"value\":7}}",
    b"\x10\x00\x06\x01\x01\x01\x01\x01\x01\x00\x00{\"job_status\":{\"id\":\"a\",\"status\":\"queued\"}}\0\0\x00\x00{\"job_status\":{\"id\":\"a\",\"status\":\"completed\",\"results\":[]}}",
    b"\x20\x00\x06\x01\x01\x01\x01\x01\x01\x00\x00{\"group\":{\"id\":7,\"name\":\"G\"}}\0\0\x00\x00{\"group_memberships\":[{\"id\":1,\"user_id\":1,\"group_id\":7}]}",
    b"\x30\x00\x06\x01\x01\x01\x01\x01\x01\xc8\x00{\"error\":\"RecordInvalid\"}",
];
