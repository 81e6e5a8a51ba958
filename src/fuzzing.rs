//! One function for everything that parses input from outside: it takes any bytes, and panics if a promise is broken.
//!
//! The tests run each of them on a fixed number of made-up inputs, and longer by command; a fuzzer can call them as they are.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use prost::Message;
use serde::de::DeserializeOwned;
use url::Url;

use crate::cache::Control;
use crate::contract::Idempotency;
use crate::error::Error;
use crate::gateway::stream::{self, Chunks};
use crate::gateway::token::{self, Position};
use crate::limits::{LONGEST_WAIT, Limits, retry_after};
use crate::proto::{
    AutocompleteUsersRequest, ComplianceDeletionStatus, CountUsersRequest, CountUsersResponse, CreateGroupRequest,
    CreateMembershipRequest, CreateOrUpdateUserRequest, CreateUserRequest, DeleteMembershipRequest, DeletedUser,
    GetDeletedUserResponse, GetGroupResponse, GetJobRequest, GetJobResponse, GetMembershipRequest,
    GetMembershipResponse, GetUserRelatedRequest, GetUserRelatedResponse, GetUserRequest, GetUserResponse, Group,
    GroupMembership, Job, ListComplianceDeletionStatusesRequest, ListDeletedUsersRequest, ListGroupsRequest,
    ListJobsRequest, ListMembershipsRequest, ListUsersRequest, MergeUserRequest, RequestUserCreateRequest,
    SearchUsersRequest, UpdateGroupRequest, UpdateUserRequest, UploadUserPhotoRequest, User,
};
use crate::rest::page::{Next, Page};
use crate::rest::row::Row;
use crate::rest::{List, Read, Style, Write, envelope};
use crate::rpc::timeout;
use crate::upstream::call::{Call, Priority};
use crate::upstream::credential::{Credential, impersonated, issued, passed_through};
use crate::upstream::judge::judge;
use crate::upstream::rest::{Body, Rest, text_id};
use crate::{json, path};

mod identity;

/// A function, its name, and inputs to begin with: some that are right, some that were trouble elsewhere.
pub type Target = (&'static str, fn(&[u8]), &'static [&'static [u8]]);

/// All of them.
#[rustfmt::skip]
pub const TARGETS: &[Target] = &[
    ("grpc_timeout", grpc_timeout, &[b"1H", b"99999999S", b"500m", b"0n", b"-1S", b"1", b"S", b"100000000S", b"\xff1S"]),
    ("rate_headers", rate_headers, &[
        b"retry-after: 93\nratelimit-limit: 700\nratelimit-remaining: 1\nratelimit-reset: 41", b"retry-after: 1e400", b"retry-after: -0",
        b"retry-after: Sun, 06 Nov 1994 08:49:37 GMT", b"retry-after: 18446744073709551616", b"retry-after: NaN", b"retry-after: inf",
        b"zendesk-ratelimit-users: total=5; remaining=4; resets=4294967295", b"zendesk-ratelimit-: total=;remaining==;;resets=-1",
        b"x-rate-limit: 4294967296\nx-rate-limit-remaining: -1",
    ]),
    ("page_token", page_token, &[b"", b"AQ", b"AQAAAAAAAAAAYw", b"AQAAAAAAAAAAcP____8", b"eyJvIjoiaWQifQ", b"====", b"\xff"]),
    ("page", page, PAGES),
    ("stream_page", stream_page, PAGES),
    ("record", record, &[
        br#"{"user":{"id":7,"photo":{"thumbnails":[{}]},"user_fields":{"x":{"y":[1,2,{"z":null}]}}}}"#, br#"{"group":{"id":-1}}"#, br#"{"user":null}"#,
        br#"{"job_status":{"results":[{"id":1,"index":0,"error":"x","details":"y"}]}}"#, br#"{"count":{"value":100000,"refreshed_at":null}}"#, b"null", b"{}", b"\xef\xbb\xbf{}",
    ]),
    ("path", path, &[b"7", b"..", b"%2e%2e", b"a/b", b"a\\b", b"a?b=c", b"a#b", b"\r\nx: y", b"\0", b"V3-0123456789abcdef0123456789abcdef", b"//evil.example/", "ü".as_bytes()]),
    ("request", request, &[
        b"\x0a\x02..", b"\x0a\x06%2e%2e", b"\x08\x07", b"\x12\x03a\r\nb", b"\x08\x07\x12\x03abc\x1a\x09image/gif\x22\x08../a.gif", b"\x0a\x07\x0a\x05a@b.c", b"\x1a\x04AQAA",
    ]),
    ("cache_control", cache_control, &[b"no-cache", b"max-age=30, only-if-cached", b"max-age=99999999999999999999", b"max-age=\"5\"", b",,=,=", b"\xff"]),
    ("credential", credential, &[b"Bearer abc.def", b"Basic YTpi", b"bearer  x", b"Bearer a\r\nx: y", b"Digest a", b"7", b"a@b", b"a@b\r\n", b"9223372036854775808"]),
    ("refusal", refusal, &[
        b"\x2a{\"error\":\"RecordInvalid\",\"description\":\"x\",\"details\":{\"email\":[{\"description\":\"Email: a@b is taken\",\"error\":\"DuplicateValue\"}]}}",
        b"\x1d{\"errors\":[{\"code\":\"TooManyRequests\",\"title\":\"t\",\"detail\":\"d\"}]}", b"\x04{\"error\":{\"title\":\"t\",\"message\":\"m\"}}", b"\x96<html><body>Bad gateway",
        b"\x00{\"details\":[[]],\"errors\":7}", b"\xff\xfe\xfd", b"\x00{\"details\":{\"base\":\"x\",\"\":[null,7]}}",
    ]),
    ("access_token", access_token, &[br#"{"access_token":"a","token_type":"bearer","expires_in":7200}"#, br#"{"access_token":"a b"}"#, br#"{"access_token":7,"expires_in":-1}"#, b"{\"access_token\":\"\\r\\n\"}"]),
    ("token", identity::token, identity::TOKENS),
    ("key_set", identity::key_set, identity::KEY_SETS),
    ("certificate", identity::certificate, identity::CERTIFICATES),
    ("trace_context", trace_context, &[
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\ntracestate: a=b", b"traceparent: 00-00000000000000000000000000000000-0000000000000000-00", b"traceparent: ff-", b"tracestate: ====",
    ]),
];

#[rustfmt::skip]
const PAGES: &[&[u8]] = &[
    br#"{"users":[{"id":7,"name":"A","email":null,"tags":["a"],"user_fields":{"a":1.5,"b":[null]},"role":"agent","created_at":"2009-07-20T22:55:29Z"}],"meta":{"has_more":true,"after_cursor":"eyJvIjoiaWQifQ=="},"links":{"next":"https://evil.example/?page%5Bafter%5D=x"}}"#,
    br#"{"users":[{"id":1},{"id":2,"name":"B"},{"id":3},{"id":2},{"id":4,"tags":[]}],"meta":{"has_more":false}}"#,
    br#"{"groups":[],"next_page":"http://x","previous_page":null,"count":1e300}"#, br#"{"users":null,"meta":{"has_more":"x","after_cursor":7}}"#,
    br#"{"group_memberships":[{"id":9223372036854775808}],"users":{},"groups":7}"#, br#"{"job_statuses":[{"id":"V3-0","results":{"success":true},"total":null}]}"#,
    br#"{"deleted_users":[{"created_at":"99999-99-99T99:99:99Z"}]}"#, b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", b"{\"users\":[{\"name\":\"\\ud800\"}]}",
];

const LIST: &str = "/api/v2/users?role=agent";

fn header(name: &'static str, data: &[u8]) -> Option<HeaderMap> {
    Some(HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_bytes(data).ok()?)]))
}

/// Headers, one `name: value` per line.
fn headers(data: &[u8]) -> HeaderMap {
    let lines = data.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
    });
    lines.collect()
}

/// `grpc-timeout`.
pub fn grpc_timeout(data: &[u8]) {
    let Some(headers) = header("grpc-timeout", data) else { return };
    match timeout::read(&headers) {
        Ok(read) => {
            let (unit, digits) = data.split_last().expect("an empty value is refused");
            assert!(
                (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) && b"HMSmun".contains(unit)
            );
            assert!(read.expect("it is there").as_secs() <= 99_999_999 * 3600);
        }
        Err(error) => assert!(matches!(error, Error::Invalid { field, .. } if field == "grpc-timeout")),
    }
}

/// `retry-after` and what responses say about budgets.
pub fn rate_headers(data: &[u8]) {
    let headers = headers(data);
    assert!(retry_after(&headers, std::time::SystemTime::now()).is_none_or(|wait| wait <= LONGEST_WAIT));
    let limits = Limits::of(&headers);
    let mut windows = limits.account.iter().chain(limits.buckets.iter().map(|(_, window)| window));
    assert!(windows.all(|window| window.reset.is_none_or(|reset| reset <= LONGEST_WAIT)));
}

/// Page tokens, as they come and with a right check before them.
pub fn page_token(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for style in [Style::Cursor, Style::CursorOrOffset, Style::Offset, Style::Single] {
        same_position(&text, style);
    }
    let cursor = Next::Cursor(text.into_owned());
    same_position(&token::write(&cursor, LIST), Style::Cursor);
    same_position(&token::forged(data, LIST), Style::Cursor);
    same_position(&token::forged(data, LIST), Style::Offset);
}

/// A token that is read is one that could have been written, and means the same then.
fn same_position(text: &str, style: Style) {
    let next = match token::read(text, LIST, style) {
        Ok(Position::Start) => return assert!(text.is_empty()),
        Ok(Position::After(cursor)) => Next::Cursor(cursor),
        Ok(Position::Page(number)) => Next::Page(number),
        Ok(Position::Numbered { number, size }) => Next::Numbered { number, size },
        Err(error) => return assert!(matches!(error, Error::Invalid { field, .. } if field == "page_token")),
    };
    let again = token::read(&token::write(&next, LIST), LIST, style).expect("what was read can be written");
    match (again, next) {
        (Position::After(again), Next::Cursor(cursor)) => assert_eq!(again, cursor),
        (Position::Page(again), Next::Page(number)) => assert_eq!(again, number),
        (Position::Numbered { number: again, size: rows }, Next::Numbered { number, size }) => {
            assert_eq!((again, rows), (number, size));
        }
        other => panic!("{other:?}"),
    }
}

/// Pages of every kind of row, and where they lead.
pub fn page(data: &[u8]) {
    fn of<R: Row + PartialEq + std::fmt::Debug>(data: &[u8]) {
        let Ok(page) = json::decode::<Page<R>>(data) else { return };
        for next in [page.after(100), page.after(1), page.after_page(1, 100), page.after_page(u32::MAX, 1)] {
            let token = token::write(&next, LIST);
            match next {
                Next::Cursor(_) | Next::Numbered { .. } => same_position(&token, Style::Cursor),
                Next::Page(_) => same_position(&token, Style::Offset),
                Next::End | Next::Nowhere => assert!(token.is_empty()),
            }
        }
        for row in &page.rows {
            assert_eq!(&R::decode(row.encode_to_vec().as_slice()).expect("it was just encoded"), row);
            drop(row.own_read());
        }
        let rows = page.rows.len();
        let all = page.beside(&[]);
        assert!(all.rows.is_empty() && all.users.is_empty() && all.groups.is_empty() && rows <= data.len());
    }
    of::<User>(data);
    of::<Group>(data);
    of::<GroupMembership>(data);
    of::<DeletedUser>(data);
    of::<Job>(data);
    of::<ComplianceDeletionStatus>(data);
}

/// Pages as streams write them, row by row while they are read: the same rows lead to the same place.
pub fn stream_page(data: &[u8]) {
    /// Any stream's message, without what stands beside the rows.
    #[derive(prost::Message)]
    struct Rows<R: Message + Default + std::fmt::Debug> {
        #[prost(message, repeated, tag = "1")]
        rows: Vec<R>,
    }
    fn of<L: List<Row: PartialEq + std::fmt::Debug>>(data: &[u8]) {
        let (whole, chunks) = (json::decode::<Page<L::Row>>(data), json::decode::<Page<L::Row, Chunks<L::Row>>>(data));
        let (whole, chunks) = match (whole, chunks) {
            (Ok(whole), Ok(chunks)) => (whole, chunks),
            (whole, chunks) => return assert_eq!(whole.is_ok(), chunks.is_ok(), "only one of them reads it"),
        };
        assert_eq!((chunks.after(2), chunks.after_page(7, 2)), (whole.after(2), whole.after_page(7, 2)));
        assert_eq!((chunks.count, &chunks.users, &chunks.groups), (whole.count, &whole.users, &whole.groups));
        let messages = chunks.messages::<L::Reply>("");
        let reads =
            messages.iter().flat_map(stream::Message::own_reads::<L::Row>).map(|read| (read.request, read.reply));
        let wanted = whole.rows.iter().filter_map(Row::own_read).map(|read| (read.request, read.reply));
        assert!(reads.eq(wanted), "each row is the answer to its own read");
        let rows = messages.iter().flat_map(|message| {
            let message = Rows::<L::Row>::decode(message.bytes.clone());
            message.expect("it was just encoded").rows
        });
        assert_eq!(rows.collect::<Vec<_>>(), whole.rows);
    }
    of::<ListUsersRequest>(data);
    of::<ListGroupsRequest>(data);
    of::<ListMembershipsRequest>(data);
    of::<ListDeletedUsersRequest>(data);
    of::<ListJobsRequest>(data);
    of::<ListComplianceDeletionStatusesRequest>(data);
}

/// Single records.
pub fn record(data: &[u8]) {
    fn of<M: Message + Default + DeserializeOwned + PartialEq + std::fmt::Debug + 'static>(data: &[u8]) {
        let Ok(parsed) = envelope(data, |message: &M| message.encoded_len() > 0) else { return };
        let message = parsed.downcast::<M>().expect("the type that was asked for");
        assert!(message.encoded_len() > 0, "an answer says something");
        assert_eq!(M::decode(message.encode_to_vec().as_slice()).expect("it was just encoded"), *message);
    }
    of::<GetUserResponse>(data);
    of::<GetUserRelatedResponse>(data);
    of::<GetDeletedUserResponse>(data);
    of::<GetGroupResponse>(data);
    of::<GetMembershipResponse>(data);
    of::<GetJobResponse>(data);
    of::<CountUsersResponse>(data);
}

/// A path that was built stays where it belongs, and its query is what was put in.
fn within(rest: &Rest) {
    let base = Url::parse("https://account.zendesk.com").expect("a URL");
    let joined = base.join(&rest.target()).expect("a target is a valid reference");
    // As the transport does it.
    let mut url = base.clone();
    url.set_path(&rest.path);
    url.set_query(Some(rest.query.as_str()).filter(|query| !query.is_empty()));
    assert_eq!(url, joined, "both ways lead to the same place");
    assert_eq!((url.host_str(), url.path()), (base.host_str(), rest.path.as_str()), "nothing was resolved or encoded");
    assert_eq!(url.query().unwrap_or_default(), rest.query);
    assert!(rest.path.starts_with("/api/v2/") && !rest.path.contains("//") && url.fragment().is_none());
    assert!(rest.path.split('/').all(|segment| segment != "." && segment != ".."));
    assert!(rest.target().bytes().all(|byte| byte.is_ascii_graphic()));
    if let Body::File { file_name, .. } = &rest.body {
        assert!(!file_name.contains(|char: char| char.is_control() || "/\\\"".contains(char)), "{file_name:?}");
    }
}

/// Text in segments and queries.
pub fn path(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(segment) = text_id("id", &text) {
        let rest = Rest::get(path!["job_statuses", segment]);
        within(&rest);
        assert_eq!(rest.path.strip_prefix("/api/v2/job_statuses/"), Some(&*text));
    }
    let rest = Rest::get(path!["users"]).query("query", &text).query(&text, "value");
    within(&rest);
    let pairs: Vec<_> = url::form_urlencoded::parse(rest.query.as_bytes()).collect();
    assert_eq!(pairs, [("query".into(), text.clone()), (text.clone(), "value".into())]);
}

/// Requests as they come over the wire, said in REST.
pub fn request(data: &[u8]) {
    fn read<R: Read>(data: &[u8]) {
        said(R::decode(data).ok().map(|request| request.rest()));
    }
    fn list<R: List>(data: &[u8]) {
        said(R::decode(data).ok().map(|request| request.rest()));
    }
    fn write<W: Write>(data: &[u8]) {
        said(W::decode(data).ok().map(|request| request.rest()));
    }
    fn said(rest: Option<Result<Rest, Error>>) {
        match rest {
            Some(Ok(rest)) => within(&rest),
            Some(Err(error)) => assert!(matches!(error, Error::Invalid { .. }), "{error:?}"),
            None => {}
        }
    }
    read::<GetUserRequest>(data);
    read::<GetUserRelatedRequest>(data);
    read::<CountUsersRequest>(data);
    read::<GetJobRequest>(data);
    read::<GetMembershipRequest>(data);
    list::<ListUsersRequest>(data);
    list::<SearchUsersRequest>(data);
    list::<AutocompleteUsersRequest>(data);
    list::<ListDeletedUsersRequest>(data);
    list::<ListComplianceDeletionStatusesRequest>(data);
    list::<ListGroupsRequest>(data);
    list::<ListMembershipsRequest>(data);
    list::<ListJobsRequest>(data);
    write::<CreateUserRequest>(data);
    write::<CreateOrUpdateUserRequest>(data);
    write::<RequestUserCreateRequest>(data);
    write::<UpdateUserRequest>(data);
    write::<UploadUserPhotoRequest>(data);
    write::<MergeUserRequest>(data);
    write::<CreateGroupRequest>(data);
    write::<UpdateGroupRequest>(data);
    write::<CreateMembershipRequest>(data);
    write::<DeleteMembershipRequest>(data);
}

/// `cache-control`.
pub fn cache_control(data: &[u8]) {
    let Some(headers) = header("cache-control", data) else { return };
    if let Err(error) = Control::from_metadata(&tonic::metadata::MetadataMap::from_headers(headers)) {
        assert!(matches!(error, Error::Invalid { field, .. } if field == "cache-control"));
    }
}

/// Credentials and users in metadata.
pub fn credential(data: &[u8]) {
    if let Ok(credential) = passed_through(data) {
        let header = credential.header().expect("it was passed through");
        let text = header.to_str().expect("ASCII");
        assert!(text.starts_with("Basic ") || text.starts_with("Bearer "));
        assert!(text.bytes().filter(|byte| !byte.is_ascii_graphic()).count() == 1 && !credential.is_own());
        let again = passed_through(text.as_bytes()).expect("what is sent is accepted");
        assert_eq!(again.fingerprint(), credential.fingerprint());
    }
    if let Ok(user) = impersonated(data) {
        assert!(user.as_bytes() == data && data.iter().all(u8::is_ascii_graphic) && data.len() <= 254);
    }
}

/// Responses that refuse, and what callers learn of them: the first byte is the status, less 400.
pub fn refusal(data: &[u8]) {
    let Some((status, body)) = data.split_first() else { return };
    let status = StatusCode::from_u16(400 + u16::from(*status)).expect("between 400 and 655");
    let (head, body) = match body.iter().position(|byte| *byte == 0) {
        Some(end) => (headers(&body[..end]), &body[end + 1..]),
        None => (HeaderMap::new(), body),
    };
    let call = Call {
        rest: Rest::get(path!["users"]).query("page[after]", "x").into(),
        idempotency: Idempotency::NoSideEffects,
        priority: Priority::Interactive,
        deadline: tokio::time::Instant::now(),
        wanted_by: tokio::time::Instant::now(),
        credential: Credential::new("Bearer x", true).expect("a header"),
        parse: Arc::new(|body| GetUserRequest { id: 7 }.parse(body)),
        peek: None,
        ledger: Arc::default(),
        trace: crate::telemetry::Trace::default(),
    };
    let error = judge(&call, status, &head, body).expect_err("no such status is a success");
    assert!(error.retry_after().is_none_or(|wait| wait <= LONGEST_WAIT));
    let told = tonic::Status::from(error);
    assert!(told.message().chars().count() <= 512 && !told.message().contains(char::is_control));
    assert!(told.code() != tonic::Code::Ok && told.details().len() < 32 << 10);
    drop(judge(&call, StatusCode::OK, &head, body));
    assert_eq!(call.rest.method, Method::GET);
}

/// Answers of the token endpoint.
pub fn access_token(data: &[u8]) {
    if let Some(token) = issued(data) {
        assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}

/// Trace context of callers.
pub fn trace_context(data: &[u8]) {
    drop(crate::telemetry::trace::incoming(&headers(data)));
}
