//! Strangers behind a caller's own address, as behind a NAT, who come again as soon as they are closed: callers and probes from
//! there get in as well, and who is in stays in.

use std::sync::atomic::AtomicUsize;

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// For how long the strangers come.
const LASTING: Duration = Duration::from_secs(12);
/// First backoff of a gRPC client whose connection is closed, and how it grows.
const BACKOFF: Duration = Duration::from_secs(1);
const GROWTH: f64 = 1.6;

/// A stranger, who keeps its connection for as long as it may, and then comes again at once.
async fn come_again(address: String, speaks: bool, closed: Arc<AtomicUsize>, over: Arc<AtomicBool>) {
    while !over.load(Ordering::Relaxed) {
        let until_closed = async {
            let mut one = TcpStream::connect(&address).await?;
            if speaks {
                one.write_all(PREFACE).await?;
            }
            let mut bytes = [0; 64];
            while one.read(&mut bytes).await? > 0 {}
            std::io::Result::Ok(())
        };
        // None leaves by itself before it is over.
        tokio::time::timeout(LASTING, until_closed).await.ok();
        closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// A probe over a new connection, which tries again as gRPC clients do. Returns how long it took, and how many connections.
async fn check(address: String) -> (Duration, u32) {
    let (began, mut backoff, mut tries) = (Instant::now(), BACKOFF, 0);
    loop {
        tries += 1;
        let once = async {
            let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).expect("a URI");
            let mut health = HealthClient::new(endpoint.connect().await.ok()?);
            health.check(HealthCheckRequest::default()).await.ok()
        };
        if tokio::time::timeout(BACKOFF * 20, once).await.is_ok_and(|answer| answer.is_some()) {
            return (began.elapsed(), tries);
        }
        tokio::time::sleep(backoff.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
        backoff = backoff.mul_f64(GROWTH);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_from_the_address_of_strangers_who_come_again_at_once_gets_in_and_stays() {
    let strangers = scaled(2_000, 10_000);
    let room = scaled(512, 4_096).to_string();
    let settings = &[("TELEMETRY__LOG_FILTER", "warn"), ("SERVER__MAX_CONNECTIONS", room.as_str())];
    let gateway = if strict() { Binary::on_processor(0, settings).await } else { Binary::start(settings).await };
    let id = gateway.ids().await[0];
    // A known caller, who pauses between its calls.
    let (known, _connection) = Raw::connect(&gateway.address).await;
    let before = gateway.peak();
    let (over, closed) = (Arc::new(AtomicBool::new(false)), Arc::<AtomicUsize>::default());
    let (until, ends, address) = (Arc::clone(&over), Arc::clone(&closed), gateway.address.clone());
    let number = Arc::<AtomicUsize>::default();
    let attacking = tokio::task::spawn_blocking(move || {
        besiege(strangers, &address, move |address| {
            let speaks = number.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
            come_again(address, speaks, Arc::clone(&ends), Arc::clone(&until))
        })
    });
    let (mut probes, mut answers) = (JoinSet::new(), Vec::new());
    for number in 0..LASTING.as_millis() / 200 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        probes.spawn(check(gateway.address.clone()));
        if number % 15 == 0 {
            let request = GetUserRequest { id, ..Default::default() };
            answers.push(known.call(GET_USER, &[], &request).await.map(|answer| answer.code()));
        }
    }
    let ended = closed.load(Ordering::Relaxed);
    let outcomes = tokio::time::timeout(LONG, probes.join_all()).await;
    over.store(true, Ordering::Relaxed);
    let grown = gateway.peak().saturating_sub(before) >> 20;
    gateway.signal("TERM").await;
    let (status, log) = gateway.ended(LONG).await;
    attacking.await.expect("the strangers fail");
    let mut outcomes = outcomes.expect("all get in");
    outcomes.sort_unstable();
    let at_once = outcomes.iter().filter(|(_, tries)| *tries == 1).count();
    let (half, slowest) = (outcomes[outcomes.len() / 2].0, outcomes[outcomes.len() - 1]);
    println!(
        "{} probes among {strangers} strangers, who were closed {ended} times: {at_once} with their first connection, half \
         within {half:?}, all within {slowest:?}; memory + {grown} MiB",
        outcomes.len()
    );
    assert!(status.success(), "{status}: {log}");
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Code::Ok))), "its connection stays: {answers:?}");
    assert!(half < Duration::from_secs(2) && slowest.0 < Duration::from_secs(8), "{half:?}, {slowest:?}");
}
