//! Floods of refused calls: what they write, and what they must not displace.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use zendesk_gateway::proto::{CreateUserRequest, UpdateUserRequest, UserInput};

use crate::support::binary::Binary;
use crate::support::observed::scrape;
use crate::support::raw::{LONG, Wire, frame};
use crate::support::{key_file, with};

const UPDATE_USER: &str = "/zendesk.gateway.v1.UserService/UpdateUser";
/// What the reader of standard error takes in a second, in bytes.
const PACE: u64 = 1_000_000;
const CHANGES: usize = 100;
const CALLS_AT_ONCE: u32 = 90;

const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A call's headers with this key, each field spelled out; without a message.
fn headers(key: Option<&str>) -> Vec<u8> {
    let mut block = vec![0x83, 0x86]; // POST, http
    let mut literal = |name: &[u8], value: &str| {
        block.extend(name);
        block.push(u8::try_from(value.len()).expect("short"));
        block.extend(value.as_bytes());
    };
    literal(&[0x04], UPDATE_USER);
    literal(&[0x01], "gateway");
    literal(&[0x0f, 0x10], "application/grpc"); // content-type
    literal(&[0x00, 0x02, b't', b'e'], "trailers");
    if let Some(key) = key {
        literal(b"\x00\x09x-api-key", key);
    }
    block
}

/// Calls in bunches over one connection until it is enough, and counts the answers.
async fn flood(address: String, key: Option<&'static str>, over: Arc<AtomicBool>, answered: Arc<AtomicU64>) {
    let Wire { mut socket } = Wire::begin(&address).await;
    let (block, mut stream) = (headers(key), 1);
    while !over.load(Ordering::Relaxed) {
        let mut bunch = Vec::new();
        for _ in 0..CALLS_AT_ONCE {
            bunch.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &block));
            stream += 2;
        }
        socket.write_all(&bunch).await.expect("taken");
        let mut open = CALLS_AT_ONCE;
        while open > 0 {
            let mut head = [0; 9];
            socket.read_exact(&mut head).await.expect("the connection stays");
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            socket.read_exact(&mut payload).await.expect("the connection stays");
            if head[3] == HEADERS && head[4] & END_STREAM != 0 {
                open -= 1;
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
        // Others need the processor, too.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A gateway whose callers have keys: `crm` may change users, `shop` may not.
async fn gateway(folder: &TempDir) -> Binary {
    let (keys, config) = (folder.path().join("keys"), folder.path().join("gateway.toml"));
    std::fs::write(&keys, key_file(&[("crm", "right"), ("shop", "other")])).expect("written");
    let keys = keys.display();
    let settings = format!(
        "[identity]\nmethods = [\"api_key\"]\n[identity.api_keys]\nfile = \"{keys}\"\n\
         [[authorization.rules]]\ncallers = [\"*\"]\nrisks = [\"read\"]\n\
         [[authorization.rules]]\ncallers = [\"api_key:crm\"]\nrisks = [\"write\"]\n"
    );
    std::fs::write(&config, settings).expect("written");
    Binary::read_slowly(PACE, &config, &[("TELEMETRY__LOG_FORMAT", "json")]).await
}

/// What became of a flood.
struct Flooded {
    /// Calls that were refused.
    refused: u64,
    lines: Vec<Value>,
    scrape: String,
    findings: Value,
}

impl Flooded {
    /// The lines of a target.
    fn of(&self, target: &str) -> impl Iterator<Item = &Value> {
        self.lines.iter().filter(move |line| line["target"] == target)
    }

    fn counted(&self, name: &str) -> u64 {
        scrape::read(&self.scrape)[name].samples.iter().map(|(_, _, value)| scrape::whole(*value)).sum()
    }
}

/// Makes [`CHANGES`] changes during a flood of calls with this key.
async fn changes_within_a_flood(key: Option<&'static str>) -> Flooded {
    let folder = TempDir::new().expect("a folder");
    let gateway = gateway(&folder).await;
    let right = [("x-api-key", "right")];
    let (over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let floods =
        (0..2).map(|_| tokio::spawn(flood(gateway.address.clone(), key, Arc::clone(&over), Arc::clone(&answered))));
    let floods: Vec<_> = floods.collect();
    // So many that, were there two lines for each, the reader would be far behind.
    crate::support::until(|| answered.load(Ordering::Relaxed) > 15_000).await;
    let users = gateway.users().await;
    let changes = futures_util::stream::iter(0..CHANGES).map(|number| {
        let mut users = users.clone();
        let user = UserInput { name: Some(format!("N{number}")), ..UserInput::default() };
        let request = with(CreateUserRequest { user: Some(user), ..Default::default() }, &right);
        async move { users.create_user(request).await }
    });
    let changes: Vec<_> = changes.buffer_unordered(10).collect().await;
    assert!(changes.iter().all(Result::is_ok), "{changes:?}");
    over.store(true, Ordering::Relaxed);
    for flood in floods {
        flood.await.expect("each call is answered");
    }
    let get = async |path: &str| {
        let answer = reqwest::get(format!("{}{path}", gateway.admin)).await.expect("it answers");
        answer.text().await.expect("text")
    };
    let (scrape, status) = (get("/metrics").await, get("/status?format=json").await);
    let status: Value = serde_json::from_str(&status).expect("JSON");
    drop(users);
    gateway.signal("TERM").await;
    let (ended, log) = gateway.ended(LONG).await;
    assert!(ended.success(), "{ended}");
    let lines = log.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let findings = status["findings"].clone();
    Flooded { refused: answered.load(Ordering::Relaxed), lines, scrape, findings }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_flood_of_strangers_displaces_no_change_from_the_record() {
    let flooded = changes_within_a_flood(None).await;
    let done = flooded.of("audit").filter(|line| line["outcome"] == "done").count();
    println!("{} refusals, {} lines, {done} of {CHANGES} changes on record", flooded.refused, flooded.lines.len());
    assert_eq!(done, CHANGES);
    assert_eq!(flooded.counted("zendesk_gateway_audit_lost_total"), 0);
    let kinds: Vec<_> = flooded.findings.as_array().expect("a list").iter().map(|one| one["kind"].clone()).collect();
    assert_eq!(kinds, ["callers_unknown"], "that is all");

    // Their own lines are few, and what has no line is counted.
    let sampled = |target: &'static str, field: &'static str, wanted: &'static str| {
        let lines: Vec<&Value> = flooded.of(target).filter(|line| line[field] == wanted).collect();
        let told: u64 = lines.iter().filter_map(|line| line["left_out"].as_u64()).sum();
        assert!((10..2_000).contains(&lines.len()) && told > 5_000, "{target}: {} lines, {told}", lines.len());
        lines.len() as u64
    };
    let access = sampled("access", "rpc.status_code", "UNAUTHENTICATED");
    let audit = sampled("audit", "caller", "unknown");
    let refused = flooded.refused;
    assert_eq!(flooded.counted("zendesk_gateway_identity_refused_total"), refused);
    assert_eq!(flooded.counted("zendesk_gateway_log_left_out_total"), 2 * refused - (access + audit));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_known_caller_who_is_refused_again_and_again_displaces_no_change_from_the_record() {
    let flooded = changes_within_a_flood(Some("other")).await;
    let of = |caller: &'static str| flooded.of("audit").filter(move |line| line["caller"] == caller);
    assert_eq!(of("api_key:crm").filter(|line| line["outcome"] == "done").count(), CHANGES);
    let told: u64 = of("api_key:shop").filter_map(|line| line["left_out"].as_u64()).sum();
    let lines = of("api_key:shop").count();
    println!("{} refusals, {lines} lines about them", flooded.refused);
    assert!((100..20_000).contains(&lines) && told > 1_000, "{lines} lines, {told}");
    // So do their access lines, and each change has its own.
    let access = |code: &'static str| flooded.of("access").filter(move |line| line["rpc.status_code"] == code);
    let lines = access("PERMISSION_DENIED").count() as u64;
    let told: u64 = access("PERMISSION_DENIED").filter_map(|line| line["left_out"].as_u64()).sum();
    println!("{lines} access lines, {told} left out");
    assert!((100..flooded.refused / 2).contains(&lines), "{lines} of {}", flooded.refused);
    assert!((flooded.refused / 2..=flooded.refused - lines).contains(&told), "{told} of {}", flooded.refused);
    assert_eq!(access("OK").count(), CHANGES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_put_on_record_is_made_and_its_loss_is_told() {
    let gateway = Binary::whose_log_is_full(&[]).await;
    let ids = gateway.ids().await;
    let input = UserInput { notes: Some("n".to_owned()), ..UserInput::default() };
    let request = UpdateUserRequest { id: ids[0], user: Some(input), update_mask: None, ..Default::default() };
    gateway.users().await.update_user(request).await.expect("a change");
    let get = async |path: &str| {
        let answer = reqwest::get(format!("{}{path}", gateway.admin)).await.expect("it answers");
        answer.text().await.expect("text")
    };
    let told = async {
        while !get("/metrics").await.contains("zendesk_gateway_audit_lost_total 1\n") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, told).await.expect("its loss is counted");
    let status: Value = serde_json::from_str(&get("/status?format=json").await).expect("JSON");
    let finding = &status["findings"][0];
    assert_eq!(finding["level"], "problem", "{status}");
    assert!(finding["text"].as_str().is_some_and(|text| text.starts_with("1 change is not on record")), "{finding}");
}
