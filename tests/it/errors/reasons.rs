//! Every reason of the contract made to happen: its code, what its message tells a person, and what its details tell a program.

use prost::Message as _;
use prost_reflect::DescriptorPool;
use tonic::Status;
use zendesk_gateway::config::identity::Method;
use zendesk_gateway::proto::job_service_client::JobServiceClient;
use zendesk_gateway::proto::{
    BulkCreateUsersRequest, CreateGroupRequest, DeleteUserRequest, GroupInput, UserInput, WatchJobsRequest,
};
use zendesk_gateway::sandbox::faults::{Delay, Matcher, Respond, get, post};
use zendesk_gateway::upstream::credential::Source;

use super::*;
use crate::support::issuer::{AUDIENCE, Endpoint, ISSUER, Key, claims, jwks};
use crate::support::raw::{Raw, framed};
use crate::support::seam::Seam;
use crate::support::{account, answer, plain, settings, with};

const GET_USER: &str = "/zendesk.gateway.v1.UserService/GetUser";
const LATER: &str = "try again later";

/// What a reason's error must be. `details` are the kinds of details besides `ErrorInfo`, and `metadata` the keys in that.
struct Case {
    code: Code,
    domain: &'static str,
    message: String,
    metadata: &'static [&'static str],
    details: &'static [&'static str],
}

/// A case of Zendesk's, whose response said something.
fn zendesk(code: Code, message: impl Into<String>) -> Case {
    Case { code, domain: "zendesk.com", message: message.into(), metadata: &["http_status"], details: &[] }
}

/// A case of the gateway's own.
fn own(code: Code, message: impl Into<String>) -> Case {
    Case { code, domain: "zendesk-gateway", message: message.into(), metadata: &[], details: &[] }
}

/// The status of a read that Zendesk answers so.
async fn read(head: &str, body: &str) -> Status {
    asked(Config::default(), head, body).await
}

async fn asked(mut config: Config, head: &str, body: &str) -> Status {
    config.server.unary_deadline = Duration::from_secs(2);
    let upstream = Scripted::start(head, body).await;
    let (_, channel, _running, _) = serve(&upstream.url, basic("a@b.example/token:t"), config).await;
    UserServiceClient::new(channel).get_user(GetUserRequest { id: 7, ..Default::default() }).await.expect_err(body)
}

/// The status of a second call while the first one is under way, which never ends.
async fn beside_another(config: Config) -> Status {
    let t = TestGateway::configured(account(), config).await;
    t.sandbox.fault(Matcher::default(), Delay::by(Duration::from_mins(10)).forever());
    let mut users = t.users();
    let first = tokio::spawn(async move { users.get_user(GetUserRequest { id: 7, ..Default::default() }).await });
    crate::support::until(|| t.sandbox.total_hits() > 0).await;
    let refused =
        t.users().get_user(GetUserRequest { id: 8, ..Default::default() }).await.expect_err("there is another");
    first.abort();
    refused
}

/// The status of a call whose message is these bytes; none if it never comes.
async fn raw(config: Config, path: &str, bytes: Option<&[u8]>) -> Status {
    let t = TestGateway::configured(account(), config).await;
    let (client, _connection) = Raw::connect(&t.address).await;
    let mut call = client.begin(path, &[]).await.expect("sent");
    if let Some(bytes) = bytes {
        call.request.send_data(bytes.to_vec().into(), true).expect("sent");
    }
    call.answer().await.expect("answered").status()
}

/// Makes the error of a reason.
#[expect(clippy::too_many_lines, reason = "a table")]
async fn make(reason: &str) -> (Status, Case) {
    let json = |status: &str| format!("{status}\r\n{JSON}");
    let mut config = settings();
    match reason {
        "INVALID_FIELD" => {
            let t = TestGateway::start().await;
            let list = ListUsersRequest { page_size: 101, ..Default::default() };
            let case = own(Code::InvalidArgument, "page_size is 101, and must be 1 to 100, or 0 for 100");
            (t.users().list_users(list).await.expect_err("too many"), Case { details: &["BadRequest"], ..case })
        }
        "RECORD_INVALID" => {
            let body = r#"{"error":"RecordInvalid","description":"Record validation errors","details":{
                "email":[{"description":"is not an address","error":"InvalidValue"}],"phone":[{"description":"is too long"}]}}"#;
            let told =
                "zendesk refused the request: HTTP 422, email: is not an address, and 1 more; correct what it names";
            let case = Case {
                metadata: &["http_status", "zendesk_error"],
                details: &["BadRequest"],
                ..zendesk(Code::InvalidArgument, told)
            };
            (read(&json("422 Unprocessable Entity"), body).await, case)
        }
        "DUPLICATE_VALUE" => {
            let body = r#"{"error":"RecordInvalid","description":"Record validation errors","details":{
                "email":[{"description":"Email: a@b is already being used by another user","error":"DuplicateValue"}]}}"#;
            let told = "zendesk refused a duplicate: HTTP 422, Email: a@b is already being used by another user; \
                        use another value, or change the record that has it";
            let case = Case {
                metadata: &["http_status", "zendesk_error"],
                details: &["BadRequest"],
                ..zendesk(Code::AlreadyExists, told)
            };
            (read(&json("422 Unprocessable Entity"), body).await, case)
        }
        "NOT_FOUND" => {
            let told =
                "zendesk holds no users/7: HTTP 404, Not found; check what was asked for; it may have been deleted";
            let case = Case {
                metadata: &["http_status", "zendesk_error"],
                details: &["ResourceInfo"],
                ..zendesk(Code::NotFound, told)
            };
            let body = r#"{"error":"RecordNotFound","description":"Not found"}"#;
            (read(&json("404 Not Found"), body).await, case)
        }
        "CONFLICT" => {
            let told =
                "zendesk saw a concurrent change: HTTP 409, collision; read the record again, and repeat the call";
            (read(&format!("409 Conflict\r\n{TEXT}"), "collision").await, zendesk(Code::Aborted, told))
        }
        "PERMISSION_DENIED" => {
            let told = "zendesk does not permit this: HTTP 403, no access; use a Zendesk credential whose role and scopes allow this";
            (read(&format!("403 Forbidden\r\n{TEXT}"), "no access").await, zendesk(Code::PermissionDenied, told))
        }
        "CREDENTIAL_REFUSED" => {
            let told = "zendesk did not accept the credential: HTTP 401, who?; an operator must renew the gateway's credential";
            (read(&format!("401 Unauthorized\r\n{TEXT}"), "who?").await, zendesk(Code::Internal, told))
        }
        "RATE_LIMITED" => {
            let head = format!("429 Too Many Requests\r\n{TEXT}\r\nretry-after: 93");
            let status = read(&head, "slow down").await;
            let case = zendesk(Code::ResourceExhausted, "slow down; try again in 93 s");
            (status, Case { metadata: &["http_status", "limit"], details: &["RetryInfo"], ..case })
        }
        "JOB_LIMIT" => {
            let body = r#"{"error":"TooManyJobs","description":"Too many jobs"}"#;
            let told = "zendesk's limit of bulk jobs is reached: HTTP 429, Too many jobs; try again in 10 s";
            let case = zendesk(Code::ResourceExhausted, told);
            let metadata = &["http_status", "limit", "zendesk_error"];
            (read(&json("429 Too Many Requests"), body).await, Case { metadata, details: &["RetryInfo"], ..case })
        }
        "UPSTREAM_ERROR" => {
            let told = "zendesk failed: HTTP 500, oops; try again; if it stays, ask Zendesk about its request id";
            (read(&format!("500 Internal Server Error\r\n{TEXT}"), "oops").await, zendesk(Code::Internal, told))
        }
        "UPSTREAM_UNAVAILABLE" => {
            let told = format!("zendesk is unavailable: HTTP 503, maintenance; {LATER}");
            (read(&format!("503 Service Unavailable\r\n{TEXT}"), "maintenance").await, zendesk(Code::Unavailable, told))
        }
        "UPSTREAM_TIMEOUT" => {
            let told = format!("zendesk's own gateway timed out: HTTP 504, late; {LATER}");
            (read(&format!("504 Gateway Timeout\r\n{TEXT}"), "late").await, zendesk(Code::DeadlineExceeded, told))
        }
        "UPSTREAM_MALFORMED" => {
            let told = "zendesk answered something that is not the documented JSON: HTTP 200, GET /users/{id}: it cannot be \
                        read from user.name on; try again; if it stays, tell the operators the x-request-id";
            (read(&json("200 OK"), r#"{"user":{"id":7,"name":"Jo"#).await, zendesk(Code::Internal, told))
        }
        "BODY_TOO_LARGE" => {
            config.upstream.max_body_bytes = 100;
            let body = format!(r#"{{"user":{{"id":7,"name":"{}"}}}}"#, "x".repeat(100));
            let told = "zendesk's answer exceeds 100 bytes, the most that upstream.max_body_bytes allows; ask for less at a time";
            (asked(config, &json("200 OK"), &body).await, own(Code::Internal, told))
        }
        "OUTCOME_UNKNOWN" => {
            let t = TestGateway::start().await;
            t.sandbox.fault(post("/groups"), Respond::with(503));
            let group = Some(GroupInput { name: Some("G".to_owned()), ..Default::default() });
            let status = t.groups().create_group(CreateGroupRequest { group }).await.expect_err("503");
            let told = "the outcome of this write is unknown: zendesk is unavailable: HTTP 503; \
                        look whether it was done before you repeat it";
            let case = zendesk(Code::Unavailable, told);
            (status, Case { metadata: &["http_status", "request_id"], ..case })
        }
        "DEADLINE_EXCEEDED" => {
            config.server.unary_deadline = Duration::from_millis(300);
            let t = TestGateway::configured(account(), config).await;
            t.sandbox.fault(Matcher::default(), Delay::by(Duration::from_mins(10)).forever());
            let status =
                t.users().get_user(GetUserRequest { id: 7, ..Default::default() }).await.expect_err("too late");
            (
                status,
                own(
                    Code::DeadlineExceeded,
                    "the deadline passed while zendesk may have had the request; allow it more time",
                ),
            )
        }
        "BREAKER_OPEN" => {
            config.upstream.breaker.consecutive_failures = 1;
            config.upstream.breaker.first_open = Duration::from_secs(20);
            let t = TestGateway::configured(account(), config).await;
            t.sandbox.fault(get("/users/{id}"), Respond::with(503).forever());
            t.users().get_user(GetUserRequest { id: 7, ..Default::default() }).await.expect_err("503");
            let status = t.users().get_user(GetUserRequest { id: 8, ..Default::default() }).await.expect_err("open");
            // A circuit is open for a time of its own, near the one that is set.
            let wait = status.get_error_details().retry_info().and_then(|info| info.retry_delay).unwrap_or_default();
            let told =
                format!("the circuit breaker for user_reads is open; try again in {} s", wait.as_secs_f64().ceil());
            let case = own(Code::Unavailable, told);
            (status, Case { details: &["RetryInfo"], ..case })
        }
        "OVERLOADED" => {
            config.server.max_calls = 1;
            (beside_another(config).await, own(Code::Unavailable, "try again in a moment"))
        }
        "CURSOR_EXPIRED" => {
            let page = r#"{"users":[{"id":7}],"meta":{"has_more":true,"after_cursor":"abc"}}"#;
            let refusal = r#"{"errors":[{"code":"InvalidPaginationParameter","title":"page[after] is not valid"}]}"#;
            let upstream = Scripted::by(move |request| {
                let is_next = request.contains("page%5Bafter%5D");
                let (status, body) = if is_next { ("400 Bad Request", refusal) } else { ("200 OK", page) };
                answer(&format!("{status}\r\n{JSON}"), body.as_bytes())
            })
            .await;
            let (mut users, _running) = client(&upstream).await;
            let first = users.list_users(ListUsersRequest::default()).await.expect("a page").into_inner();
            let next = ListUsersRequest { page_token: first.next_page_token, ..Default::default() };
            let told = "zendesk no longer accepts this page token; begin the list anew, without a page token";
            let case = zendesk(Code::FailedPrecondition, told);
            let metadata = &["http_status", "zendesk_error"];
            (users.list_users(next).await.expect_err("expired"), Case { metadata, ..case })
        }
        "PAGINATION_LOOP" => {
            let page = r#"{"users":[{"id":7}],"meta":{"has_more":true,"after_cursor":"abc"}}"#;
            let upstream = Scripted::start(&json("200 OK"), page).await;
            let (mut users, _running) = client(&upstream).await;
            let first = users.list_users(ListUsersRequest::default()).await.expect("a page").into_inner();
            let next = ListUsersRequest { page_token: first.next_page_token, ..Default::default() };
            let status = users.list_users(next).await.expect_err("the same cursor");
            let told = "zendesk's pagination of GET /users does not end: a page claims more and does not say where; \
                        try again; if it stays, tell the operators the x-request-id";
            (status, own(Code::Internal, told))
        }
        "PAGINATION_DEPTH" => {
            let body = r#"{"error":"invalid","description":"Requested response size was greater than Search Response Limits"}"#;
            let told = "zendesk serves only the first 10,000 rows of this list; narrow the query";
            let case = Case { metadata: &["http_status", "zendesk_error"], ..zendesk(Code::OutOfRange, told) };
            (read(&json("422 Unprocessable Entity"), body).await, case)
        }
        "UNIMPLEMENTED" => {
            let path = "/zendesk.gateway.v1.UserService/NoSuch";
            let case = own(Code::Unimplemented, "; call a method of this version as its proto file says");
            (raw(config, path, Some(&framed(0, b""))).await, case)
        }
        "CALLER_UNAUTHENTICATED" => {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("keys");
            std::fs::write(&file, crate::support::key_file(&[("billing", "right")])).expect("written");
            config.identity.methods = vec![Method::ApiKey];
            config.identity.api_keys.file = Some(file);
            let t = TestGateway::configured(account(), config).await;
            let status = t.users().get_user(GetUserRequest { id: 7, ..Default::default() }).await.expect_err("nobody");
            (status, own(Code::Unauthenticated, "send a certificate, token or key that the operators have given you"))
        }
        "CALLER_FORBIDDEN" => {
            config.authorization.destructive = false;
            let t = TestGateway::configured(account(), config).await;
            let status = t.users().delete_user(DeleteUserRequest { id: 7 }).await.expect_err("forbidden");
            (status, own(Code::PermissionDenied, "; ask the operators to allow it"))
        }
        "CACHE_MISS" => {
            let t = TestGateway::start().await;
            let only = with(GetUserRequest { id: 7, ..Default::default() }, &[("cache-control", "only-if-cached")]);
            let status = t.users().get_user(only).await.expect_err("nothing is cached");
            (status, own(Code::Unavailable, "nothing fresh enough is cached; call without only-if-cached"))
        }
        "SHUTTING_DOWN" => {
            let mut t = TestGateway::start().await;
            let ids = vec![t.sandbox.store().job_ids()[0].clone()];
            t.sandbox.fault(
                get("/job_statuses/show_many"),
                Respond::with(200)
                    .json(serde_json::json!({
                        "job_statuses": [{"id": ids[0], "status": "queued"}]
                    }))
                    .forever(),
            );
            let mut jobs = JobServiceClient::new(t.channel.clone());
            let mut watch = jobs.watch_jobs(WatchJobsRequest { ids }).await.expect("a watch").into_inner();
            watch.message().await.expect("no error").expect("the first look");
            t.shut_down();
            let status = loop {
                match watch.message().await {
                    Ok(message) => assert!(message.is_some(), "it is told"),
                    Err(status) => break status,
                }
            };
            (status, own(Code::Unavailable, "the gateway is shutting down; call again: another replica answers"))
        }
        "INTERNAL" => {
            let seam = Seam::new(&settings(), |_| async { Err(zendesk_gateway::error::Error::AttemptTimeout) });
            let bare = zendesk_gateway::rpc::Rpc::new(seam.gateway(), basic("a:b"));
            let call = tonic::Request::new(GetUserRequest { id: 7, ..Default::default() });
            let outcome = bare.get_user(call).await;
            let status = outcome.err().expect("the server knows nothing of the call");
            (status, own(Code::Internal, "; tell the operators the x-request-id"))
        }
        "IDENTITY_UNAVAILABLE" => {
            let key = Key::ec("one");
            let endpoint = Endpoint::start(jwks(&[&key])).await;
            endpoint.status.store(503, std::sync::atomic::Ordering::SeqCst);
            config.identity.methods = vec![Method::Jwt];
            config.identity.jwt.issuer = Some(ISSUER.to_owned());
            config.identity.jwt.audience = Some(AUDIENCE.to_owned());
            config.identity.jwt.jwks_url = Some(endpoint.url.clone());
            let t = TestGateway::configured(account(), config).await;
            let token = format!("Bearer {}", key.sign(&claims("a")));
            let call = with(GetUserRequest { id: 7, ..Default::default() }, &[("authorization", &*token)]);
            let told = "tokens cannot be verified yet: the issuer's keys have not been read; try again in a moment";
            (t.users().get_user(call).await.expect_err("no keys"), own(Code::Unavailable, told))
        }
        "CREDENTIAL_MISSING" => {
            let upstream = Scripted::start(&json("200 OK"), "{}").await;
            let passed = zendesk_gateway::config::Credential::PassThrough;
            let source = Source::start(&passed, &plain(&upstream.url), &zendesk_gateway::watch::Watcher::default())
                .await
                .expect("complete");
            let (_, channel, _running, _) = serve(&upstream.url, source, config).await;
            let status = UserServiceClient::new(channel)
                .get_user(GetUserRequest { id: 7, ..Default::default() })
                .await
                .expect_err("none");
            let told =
                "the metadata x-zendesk-authorization is missing: calls are made with each caller's own credential";
            (status, own(Code::Unauthenticated, told))
        }
        "ACCOUNT_NOT_FOUND" => {
            let told = "zendesk has no account, or not this API, at the configured address: HTTP 404, No help desk; \
                        an operator must check the account's address";
            (read(&format!("404 Not Found\r\n{TEXT}"), "No help desk").await, zendesk(Code::Internal, told))
        }
        "UPSTREAM_REFUSED" => {
            let told = "zendesk refused to carry out the request: HTTP 418, short and stout; nothing was carried out; \
                        ask an operator what refuses it";
            (read(&format!("418 Teapot\r\n{TEXT}"), "short and stout").await, zendesk(Code::FailedPrecondition, told))
        }
        "CALLER_LIMIT" => {
            config.callers.max_calls = 1;
            let case = own(Code::ResourceExhausted, "the caller has too many calls at a time; try again in 1 s");
            (beside_another(config).await, Case { details: &["RetryInfo"], ..case })
        }
        "REQUEST_TOO_LARGE" => {
            config.server.max_request_bytes = 100;
            let message = framed(0, &GetUserRequest { id: 7, ..Default::default() }.encode_to_vec().repeat(100));
            let case = own(Code::ResourceExhausted, "at most 100 are allowed; cut it into several");
            (raw(config, GET_USER, Some(&message)).await, case)
        }
        "MALFORMED_REQUEST" => {
            let case = own(Code::Internal, "; send what a gRPC library makes of the proto files");
            (raw(config, GET_USER, Some(&framed(0, b"\x08"))).await, case)
        }
        "REQUEST_INCOMPLETE" => {
            config.server.message_timeout = Duration::from_millis(50);
            let told = "the request message did not come in time; send the whole message at once";
            (raw(config, GET_USER, None).await, own(Code::DeadlineExceeded, told))
        }
        "REPLY_TOO_LARGE" => {
            config.server.max_response_bytes = 1000;
            let t = TestGateway::configured(account(), config).await;
            let status = t.users().list_users(ListUsersRequest::default()).await.expect_err("too large");
            (
                status,
                own(
                    Code::OutOfRange,
                    " bytes or more, and 1000 are allowed; ask for less at a time, such as fewer ids",
                ),
            )
        }
        _ => panic!("no test makes {reason} happen"),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn every_reason_happens_and_says_what_to_do() {
    let pool = DescriptorPool::decode(zendesk_gateway::proto::DESCRIPTORS).expect("the contract's descriptors");
    let reasons = pool.get_enum_by_name("zendesk.gateway.v1.ErrorReason").expect("it is there");
    for reason in reasons.values() {
        let reason = reason.name().trim_start_matches("ERROR_REASON_").to_owned();
        // Never those of a status.
        if ["UNSPECIFIED", "JOB_FAILED"].contains(&reason.as_str()) {
            continue;
        }
        let (status, case) = Box::pin(make(&reason)).await;
        let shown = format!("{reason}: {status:?}");
        let details = status.get_error_details();
        let info = details.error_info().unwrap_or_else(|| panic!("{shown}"));
        assert_eq!(
            (status.code(), info.reason.as_str(), info.domain.as_str()),
            (case.code, reason.as_str(), case.domain),
            "{shown}"
        );
        assert!(status.message().ends_with(&case.message), "{shown}");
        assert!(!status.message().contains('\n') && status.message().len() <= 512, "{shown}");
        let mut metadata: Vec<&str> = info.metadata.keys().map(String::as_str).collect();
        metadata.sort_unstable();
        assert_eq!(metadata, case.metadata, "{shown}");
        let there = [
            ("BadRequest", details.bad_request().is_some()),
            ("RetryInfo", details.retry_info().is_some()),
            ("ResourceInfo", details.resource_info().is_some()),
        ];
        let there: Vec<&str> = there.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
        assert_eq!(there, case.details, "{shown}");
        for private in
            ["Error", "::", "Option", "serde", "tonic", "prost", "hyper", "lane", "seat", "flight", "None", "Some("]
        {
            let told = status.message().to_owned();
            assert!(
                !told
                    .split(|char: char| !char.is_alphanumeric() && char != ':' && char != '(')
                    .any(|word| word == private),
                "{shown}"
            );
        }
    }
}

#[tokio::test]
async fn a_job_that_fails_is_told_of_each_input() {
    let t = TestGateway::start().await;
    let job = |status: &str| serde_json::json!({"id": "V3-1", "total": 1, "status": status, "results": null});
    t.sandbox
        .fault(post("/users/create_many"), Respond::with(200).json(serde_json::json!({"job_status": job("queued")})));
    let seen = serde_json::json!({"job_statuses": [job("failed")]});
    t.sandbox.fault(get("/job_statuses/show_many"), Respond::with(200).json(seen).forever());
    let users = vec![UserInput { name: Some("A".to_owned()), ..Default::default() }];
    let reply = t
        .users()
        .bulk_create_users(BulkCreateUsersRequest { users, wait: true, ..Default::default() })
        .await
        .expect("a job")
        .into_inner();
    assert_eq!(reply.outcomes[0].error.as_deref(), Some("JOB_FAILED"), "{reply:?}");
}
