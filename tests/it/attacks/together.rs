//! Attacks of all kinds at once: whoever comes over a new connection is still answered.

use tokio::sync::Notify;
use zendesk_gateway::proto::BatchGetUsersRequest;

use super::probes::probe_within;
use super::*;

/// Attacks again and again, whatever becomes of a single attack: among so many, some are turned away.
fn again_and_again<A: Future<Output = ()> + Send + 'static>(
    attacking: &mut JoinSet<()>,
    address: &str,
    attack: impl Fn(String) -> A + Clone + Send + 'static,
) {
    for _ in 0..2 {
        let (attack, address) = (attack.clone(), address.to_owned());
        attacking.spawn(async move {
            loop {
                tokio::spawn(attack(address.clone())).await.ok();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
}

/// Asks for much at once, and reads none of it.
async fn ask_for_much(address: String) {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    let (client, _) = Raw::with(&address, builder).await;
    let mut calls = Vec::new();
    for first in 0..20 {
        let ids = (first * 3_000 + 1..first * 3_000 + 3_001).collect();
        let request = BatchGetUsersRequest { ids, ..BatchGetUsersRequest::default() };
        let path = "/zendesk.gateway.v1.UserService/BatchGetUsers";
        calls.push(client.start(path, &[("cache-control", "no-cache")], &request).await.expect("sent"));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn probes_over_new_connections_are_answered_while_all_kinds_of_attack_go_on() {
    let gateway = Binary::start(&[("TELEMETRY__LOG_FILTER", "warn"), ("SERVER__MAX_CONNECTIONS", "256")]).await;
    let (address, admin) = (gateway.address.clone(), gateway.admin.clone());
    let (over, ended) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (stop, has_ended, target, bomb) = (Arc::clone(&over), Arc::clone(&ended), address.clone(), bomb(64));
    let attacks = std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().expect("threads");
        runtime.block_on(async {
            let mut attacking = JoinSet::new();
            again_and_again(&mut attacking, &target, reset_rapidly);
            again_and_again(&mut attacking, &target, hold);
            again_and_again(&mut attacking, &target, continue_without_end);
            again_and_again(&mut attacking, &target, send_empty_data);
            again_and_again(&mut attacking, &target, send_tiny_data);
            again_and_again(&mut attacking, &target, ping);
            again_and_again(&mut attacking, &target, change_settings);
            again_and_again(&mut attacking, &target, send_large_headers);
            again_and_again(&mut attacking, &target, promise_a_gigabyte);
            again_and_again(&mut attacking, &target, ask_for_much);
            again_and_again(&mut attacking, &target, move |address| send_bomb(address, bomb.clone()));
            again_and_again(&mut attacking, &target, |address| async move { drop(crowd_in(&address).await) });
            stop.notified().await;
            has_ended.store(true, Ordering::Relaxed);
        });
        runtime.shutdown_background();
    });
    let (mut times, limit) = (Vec::new(), Duration::from_secs(scaled(60, 1) as u64));
    // Until all of them are under way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let since = Instant::now();
    while times.len() < 5 || since.elapsed() < lasting() * 4 {
        let began = Instant::now();
        probe_within(limit, &address, &admin).await;
        times.push(began.elapsed());
    }
    over.notify_one();
    attacks.join().expect("no panic");
    println!("four probes at a time: p99 {:?}, {} rounds", p99(&mut times), times.len());
    assert!(ended.load(Ordering::Relaxed) && !gateway.log().contains("panicked"), "{}", gateway.log());
}
