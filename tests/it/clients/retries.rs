//! Clients that repeat by themselves, with the documented service config: while Zendesk fails, a call costs it no more requests than
//! the gateway's own attempts.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use prost::Message as _;
use tonic_types::StatusExt as _;
use zendesk_gateway::contract::{Idempotency, RPCS};
use zendesk_gateway::proto::{CreateGroupRequest, GetUserRequest, GroupInput};
use zendesk_gateway::sandbox::faults::{Respond, any};

use crate::contract::{Known, requests_of};
use crate::support::tools::{is_installed, python};
use crate::support::{Dynamic, TestGateway, account, settings};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
const SERVICE_CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/service-config.json");

/// A gateway whose every request to Zendesk fails, and that repeats all that it may: its own budget and circuits do not stop it.
async fn failing() -> TestGateway {
    let mut config = settings();
    config.upstream.retry.budget_per_second = 1000;
    config.upstream.retry.first_backoff = Duration::from_millis(1);
    config.upstream.breaker.consecutive_failures = u32::MAX;
    config.upstream.breaker.success_percent = 0;
    let t = TestGateway::configured(account(), config).await;
    t.sandbox.fault(any("*"), Respond::with(503).forever());
    t
}

/// A client in another language that runs; see `tests/clients/retries.py`.
struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Client {
    fn start(mut command: Command, address: &str) -> Self {
        command.args([address, SERVICE_CONFIG]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Self { child, input, output: BufReader::new(output) }
    }

    /// Makes a call, and returns the name of its code.
    fn call(&mut self, path: &str, request: &[u8]) -> String {
        let hex: Vec<String> = request.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(self.input, "{path} {}", hex.concat()).expect("it reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        line.trim().to_owned()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Makes every unary call of the contract, and counts at the stand-in.
async fn repeats_nothing_that_the_gateway_has_repeated(command: Command) {
    let t = failing().await;
    let (dynamic, known) = (Dynamic::new(t.channel.clone()), Known::of(&t));
    let mut client = Client::start(command, &t.address);
    let mut repeated = 0;
    for rpc in RPCS.iter().filter(|rpc| !rpc.streaming) {
        let request = dynamic.message(rpc.method, &known.fill(requests_of(rpc.method)[0])).encode_to_vec();
        t.sandbox.reset_stats();
        let code = tokio::task::block_in_place(|| client.call(rpc.path, &request));
        assert!(code.eq_ignore_ascii_case("UNAVAILABLE"), "{}: {code}", rpc.method);
        let requests = t.sandbox.requests();
        let shown = || format!("{}: {:?}", rpc.method, requests);
        assert!((1..=3).contains(&requests.len()), "{}", shown());
        if rpc.idempotency == Idempotency::Unsafe {
            assert!(requests.iter().filter(|request| request.method != "GET").count() <= 1, "{}", shown());
        }
        repeated += usize::from(requests.len() == 3);
    }
    assert!(repeated > 20, "the gateway itself repeats reads: {repeated}");
}

/// Every call that only reads, streams and reads of hundreds of users, too, of however many requests it is made.
#[tokio::test]
#[ignore = "slow"]
async fn a_read_is_three_requests_at_most_while_zendesk_fails() {
    let t = failing().await;
    let (dynamic, known) = (Dynamic::new(t.channel.clone()), Known::of(&t));
    let numbers = |most: u32| (1..=most).map(|number| number.to_string()).collect::<Vec<_>>();
    let mut calls = Vec::new();
    for rpc in RPCS.iter().filter(|rpc| rpc.idempotency == Idempotency::NoSideEffects) {
        calls.extend(requests_of(rpc.method).into_iter().map(|request| (rpc.method, known.fill(request))));
    }
    for most in [150, 300, 5_000] {
        calls.push(("BatchGetUsers", format!(r#"{{"ids": [{}]}}"#, numbers(most).join(","))));
    }
    calls.push(("BatchGetUsers", format!(r#"{{"external_ids": {:?}}}"#, numbers(3_000))));
    let mut repeated = 0;
    for (rpc, request) in calls {
        t.sandbox.reset_stats();
        let status = dynamic.call(rpc, &request).await.expect_err("Zendesk fails");
        let requests = t.sandbox.requests();
        let shown = || format!("{rpc} {request:.60}: {status:?} after {requests:?}");
        assert_eq!(status.code(), tonic::Code::Unavailable, "{}", shown());
        assert!((1..=3).contains(&requests.len()), "{}", shown());
        repeated += usize::from(requests.len() == 3);
    }
    assert!(repeated > 40, "most are repeated twice: {repeated}");
}

/// What fails once is repeated all the same, also in a call of several requests.
#[tokio::test]
async fn one_failure_does_not_fail_a_call_of_several_requests() {
    let t = failing().await;
    let (dynamic, known) = (Dynamic::new(t.channel.clone()), Known::of(&t));
    let ids = (1..=1_000).map(|number: u32| number.to_string()).collect::<Vec<_>>().join(",");
    let calls =
        [("GetGroupWithAgents", known.fill(r#"{"id": GROUP}"#)), ("BatchGetUsers", format!(r#"{{"ids": [{ids}]}}"#))];
    for (rpc, request) in calls {
        for failing in 0..3 {
            t.sandbox.faults().clear();
            t.sandbox.fault(any("*"), Respond::with(503).after(failing).once());
            dynamic.call(rpc, &request).await.unwrap_or_else(|status| panic!("{rpc}, {failing}: {status:?}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn python_does_not_multiply_the_attempts() {
    let mut probe = python();
    probe.args(["-c", "import grpc"]);
    if is_installed("Python with grpcio", probe) {
        let mut command = python();
        command.arg(format!("{FOLDER}/retries.py"));
        repeats_nothing_that_the_gateway_has_repeated(command).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn go_does_not_multiply_the_attempts() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("retries");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg("./retries").current_dir(format!("{FOLDER}/go-grpc"));
    if is_installed("Go with google.golang.org/grpc", build) {
        repeats_nothing_that_the_gateway_has_repeated(Command::new(&program)).await;
    }
}

/// `CLASSPATH` says where the packages are.
#[tokio::test(flavor = "multi_thread")]
async fn java_does_not_multiply_the_attempts() {
    let mut probe = Command::new("javap");
    probe.args(["io.grpc.stub.ClientCalls", "com.google.gson.Gson"]);
    if is_installed("Java with grpc-java", probe) {
        let mut command = Command::new("java");
        command.arg(format!("{FOLDER}/java/Retries.java"));
        repeats_nothing_that_the_gateway_has_repeated(command).await;
    }
}

/// The trailer and the wait that `RetryInfo` asks for, in milliseconds, of a call with this timeout.
fn told(status: &tonic::Status) -> (Option<i64>, Option<Duration>) {
    let pushback = status.metadata().get("grpc-retry-pushback-ms").map(|value| value.to_str().expect("ASCII"));
    let wait = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
    (pushback.map(|value| value.parse().expect("a number")), wait)
}

#[tokio::test]
async fn an_open_circuit_says_when_to_come_back_if_the_caller_can_wait_that_long() {
    let mut config = settings();
    config.upstream.breaker.consecutive_failures = 1;
    config.upstream.breaker.first_open = Duration::from_secs(20);
    let t = TestGateway::configured(account(), config).await;
    t.sandbox.fault(any("*"), Respond::with(503).forever());
    let asked = async |timeout: u64| {
        let mut request = tonic::Request::new(GetUserRequest { id: 7, ..Default::default() });
        request.set_timeout(Duration::from_secs(timeout));
        t.users().get_user(request).await.expect_err("Zendesk fails")
    };
    assert_eq!(told(&asked(25).await).0, Some(-1), "it was sent");
    let (pushback, wait) = told(&asked(25).await);
    let (pushback, wait) = (pushback.expect("a wait"), wait.expect("the same"));
    assert!(
        (1..=20_000).contains(&pushback) && wait.as_millis().abs_diff(pushback.unsigned_abs().into()) <= 1,
        "{wait:?}"
    );
    assert_eq!(told(&asked(5).await).0, Some(-1), "the caller would wait in vain");
    let wrong = t.users().get_user(GetUserRequest { id: 0, ..Default::default() }).await.expect_err("no id");
    assert_eq!(told(&wrong), (None, None), "no policy repeats what is wrong");
    let group = Some(GroupInput { name: Some("G".to_owned()), ..GroupInput::default() });
    let write = t.groups().create_group(CreateGroupRequest { group }).await.expect_err("Zendesk fails");
    assert_eq!((told(&write).0, write.code()), (Some(-1), tonic::Code::Unavailable), "it may have been done");
}
