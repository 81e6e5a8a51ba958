//! One function for everything that parses input from outside: it takes any bytes, and panics if a promise is broken.

use super::{answers, files, headers, identity, pages, requests, rpcs, wire};

/// A function, its name, and inputs to begin with: some that are right, some that were trouble elsewhere.
pub type Target = (&'static str, fn(&[u8]), &'static [&'static [u8]]);

/// All of them.
#[rustfmt::skip]
pub const TARGETS: &[Target] = &[
    ("grpc_timeout", headers::grpc_timeout, &[b"1H", b"99999999S", b"500m", b"0n", b"-1S", b"1", b"S", b"100000000S", b"\xff1S"]),
    ("rate_headers", headers::rate_headers, &[
        b"retry-after: 93\nratelimit-limit: 700\nratelimit-remaining: 1\nratelimit-reset: 41", b"retry-after: 1e400", b"retry-after: -0",
        b"retry-after: Sun, 06 Nov 1994 08:49:37 GMT", b"retry-after: 18446744073709551616", b"retry-after: NaN", b"retry-after: inf",
        b"zendesk-ratelimit-users: total=5; remaining=4; resets=4294967295", b"zendesk-ratelimit-: total=;remaining==;;resets=-1",
        b"x-rate-limit: 4294967296\nx-rate-limit-remaining: -1",
    ]),
    ("page_token", pages::page_token, &[b"", b"AQ", b"AQAAAAAAAAAAYw", b"AQAAAAAAAAAAcP____8", b"eyJvIjoiaWQifQ", b"====", b"\xff"]),
    ("page", pages::page, PAGES),
    ("stream_page", pages::stream_page, PAGES),
    ("record", answers::record, &[
        br#"{"user":{"id":7,"photo":{"thumbnails":[{}]},"user_fields":{"x":{"y":[1,2,{"z":null}]}}}}"#, br#"{"group":{"id":-1}}"#, br#"{"user":null}"#,
        br#"{"job_status":{"results":[{"id":1,"index":0,"error":"x","details":"y"}]}}"#, br#"{"count":{"value":100000,"refreshed_at":null}}"#, b"null", b"{}", b"\xef\xbb\xbf{}",
    ]),
    ("path", requests::path, &[b"7", b"..", b"%2e%2e", b"a/b", b"a\\b", b"a?b=c", b"a#b", b"\r\nx: y", b"\0", b"V3-0123456789abcdef0123456789abcdef", b"//evil.example/", "ü".as_bytes()]),
    ("request", requests::request, &[
        b"\x0a\x02..", b"\x0a\x06%2e%2e", b"\x08\x07", b"\x12\x03a\r\nb", b"\x08\x07\x12\x03abc\x1a\x09image/gif\x22\x08../a.gif", b"\x0a\x07\x0a\x05a@b.c", b"\x1a\x04AQAA",
    ]),
    ("cache_control", headers::cache_control, &[b"no-cache", b"max-age=30, only-if-cached", b"max-age=99999999999999999999", b"max-age=\"5\"", b",,=,=", b"\xff"]),
    ("credential", headers::credential, &[b"Bearer abc.def", b"Basic YTpi", b"bearer  x", b"Bearer a\r\nx: y", b"Digest a", b"7", b"a@b", b"a@b\r\n", b"9223372036854775808"]),
    ("refusal", answers::refusal, &[
        b"\x2a{\"error\":\"RecordInvalid\",\"description\":\"x\",\"details\":{\"email\":[{\"description\":\"Email: a@b is taken\",\"error\":\"DuplicateValue\"}]}}",
        b"\x1d{\"errors\":[{\"code\":\"TooManyRequests\",\"title\":\"t\",\"detail\":\"d\"}]}", b"\x04{\"error\":{\"title\":\"t\",\"message\":\"m\"}}", b"\x96<html><body>Bad gateway",
        b"\x00{\"details\":[[]],\"errors\":7}", b"\xff\xfe\xfd", b"\x00{\"details\":{\"base\":\"x\",\"\":[null,7]}}",
    ]),
    ("access_token", answers::access_token, &[br#"{"access_token":"a","token_type":"bearer","expires_in":7200}"#, br#"{"access_token":"a b"}"#, br#"{"access_token":7,"expires_in":-1}"#, b"{\"access_token\":\"\\r\\n\"}"]),
    ("token", identity::token, identity::TOKENS),
    ("key_set", identity::key_set, identity::KEY_SETS),
    ("certificate", identity::certificate, identity::CERTIFICATES),
    ("trace_context", headers::trace_context, &[
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\ntracestate: a=b", b"traceparent: 00-00000000000000000000000000000000-0000000000000000-00", b"traceparent: ff-", b"tracestate: ====",
    ]),
    ("settings", files::settings, SETTINGS),
    ("environment", files::environment, &[b"SERVER__LISTEN=127.0.0.1:1\nUPSTREAM__SUBDOMAIN=a", b"IDENTITY__METHODS=none,jwt\nCACHE__MAX_BYTES=-1", b"X__=\n__=1\nSERVER=7"]),
    ("key_file", files::key_file, &[
        b"crm 0ba904eae8773b70c75333db4de2f3ac45a8ad4ddba1b242f0b3cfc199391dd8\n# shop x\n", b"a 00\n", b"a b c", b"a* 0ba904eae8773b70c75333db4de2f3ac45a8ad4ddba1b242f0b3cfc199391dd8",
    ]),
    ("pattern", files::pattern, &[b"*\n", b"a*b*b\nabb", b"spiffe://a/*/sa/*\nspiffe://a/ns/b/sa/c", b"**\n*", b"\n"]),
    ("tag", files::tag, &[b"user:7", b"groups", b"memberships_of_user:9223372036854775808", b"user:-1", b":", b"groups:7"]),
    ("method_path", wire::method_path, &[b"/zendesk.gateway.v1.UserService/GetUser", b"/grpc.health.v1.Health/Check", b"", b"//", b"/a/b/c"]),
    ("packed", wire::packed, PACKED),
    ("json", wire::json, &[
        br#"{"a":[1,-0,1.5e300,18446744073709551615,"\u00e9\ud83d\ude00",true,null,{"":{}}]}"#, b"{\"a\":\"\n\"}", b"{\"a\":1,\"a\":2}", b"{\"a\":1e999}", b"{} ", b"{\"\\ud800\":1}",
    ]),
    ("warnings", wire::warnings, &[b"ignored: x\nignored: x\ny", "é%\u{7f}".as_bytes(), &[b'w'; 5_000]]),
    ("rpcs", rpcs::call, rpcs::CALLS),
];

/// One message packed, one not, one that is cut off, and one of 64 KiB in 100 bytes.
#[rustfmt::skip]
const PACKED: &[&[u8]] = &[
    b"\x07\x01\x00\x00\x00\x17\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xe3\x60\x07\x00\xd9\x0d\x12\xd5\x02\x00\x00\x00", b"\x01\x00\x00\x00\x00\x02\x08\x07", b"\xff\x01\x00\x00\x00\x17\x1f\x8b", b"\x03\x01\xff\xff\xff\xff",
    b"\x05\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00",
];

const SETTINGS: &[&[u8]] = &[
    b"[server]\nlisten = \"127.0.0.1:1\"\n[upstream]\nsubdomain = \"example\"\n[upstream.credential]\nkind = \"api_token\"\nemail = \"a@b.example\"\ntoken = \"hunter2\"\n",
    b"[identity]\nmethods = [\"jwt\", \"none\"]\n[identity.jwt]\nissuer = \"https://a\"\njwks_url = \"https://a/b\"\n[[authorization.rules]]\ncallers = [\"*\"]\nrisks = [\"read\"]\n",
    b"[cache]\nmax_bytes = -1\n[upstream.attempt]\nread_timeout = \"1e9h\"\n[x]\ny = nan\n", b"[[server]]\n", b"a.b.c = 1979-05-27T07:32:00Z", b"[telemetry]\nlog_filter = \"[{\"\nsample_ratio = inf\n",
];

#[rustfmt::skip]
const PAGES: &[&[u8]] = &[
    br#"{"users":[{"id":7,"name":"A","email":null,"tags":["a"],"user_fields":{"a":1.5,"b":[null]},"role":"agent","created_at":"2009-07-20T22:55:29Z"}],"meta":{"has_more":true,"after_cursor":"eyJvIjoiaWQifQ=="},"links":{"next":"https://evil.example/?page%5Bafter%5D=x"}}"#,
    br#"{"users":[{"id":1},{"id":2,"name":"B"},{"id":3},{"id":2},{"id":4,"tags":[]}],"meta":{"has_more":false}}"#,
    br#"{"groups":[],"next_page":"http://x","previous_page":null,"count":1e300}"#, br#"{"users":null,"meta":{"has_more":"x","after_cursor":7}}"#,
    br#"{"group_memberships":[{"id":9223372036854775808}],"users":{},"groups":7}"#, br#"{"job_statuses":[{"id":"V3-0","results":{"success":true},"total":null}]}"#,
    br#"{"deleted_users":[{"created_at":"99999-99-99T99:99:99Z"}]}"#, b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", b"{\"users\":[{\"name\":\"\\ud800\"}]}",
];
