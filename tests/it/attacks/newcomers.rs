//! Strangers who open connections as fast as they can, with new ones of others among them.

use std::collections::VecDeque;

use tokio::net::TcpSocket;

use super::*;

/// Connections of one stranger that are open at a time; more than all that may be.
const HELD: usize = 300;

/// Opens connections from another address than anybody else has, of which every second one speaks.
async fn open_many(address: String) {
    let mut held = VecDeque::new();
    for number in 0..scaled(1_000, 10_000) {
        let socket = TcpSocket::new_v4().expect("a socket");
        // Ports can run out where thousands are opened each second.
        if socket.bind("127.0.0.2:0".parse().expect("an address")).is_err() {
            continue;
        }
        let Ok(mut one) = socket.connect(address.parse().expect("an address")).await else { continue };
        if number % 2 == 0 {
            one.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.ok();
        }
        held.push_back(one);
        if held.len() > HELD {
            held.pop_front();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn newcomers_from_elsewhere_get_in_while_strangers_open_connections_as_fast_as_they_can() {
    let settings = &[("TELEMETRY__LOG_FILTER", "warn"), ("SERVER__MAX_CONNECTIONS", "256")];
    let gateway = if strict() { Binary::on_processor(0, settings).await } else { Binary::start(settings).await };
    let id = gateway.ids().await[0];
    let over = Arc::new(AtomicBool::new(false));
    let (seen, address) = (Arc::clone(&over), gateway.address.clone());
    let calling = tokio::spawn(async move {
        let mut times = Vec::new();
        while !seen.load(Ordering::Relaxed) || times.len() < 5 {
            let began = Instant::now();
            let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).expect("a URI");
            let mut users = UserServiceClient::new(endpoint.connect().await.expect("it is let in"));
            users.get_user(GetUserRequest { id, ..Default::default() }).await.expect("it is answered");
            times.push(began.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        times
    });
    let address = gateway.address.clone();
    let attacking = tokio::task::spawn_blocking(move || besiege(4, &address, open_many));
    let rounds = attacking.await.expect("the attackers fail");
    over.store(true, Ordering::Relaxed);
    let mut times = calling.await.expect("all newcomers are let in");
    times.sort_unstable();
    let (number, middle, slowest) = (times.len(), times[times.len() / 2], times[times.len() - 1]);
    let strangers = rounds * scaled(1_000, 10_000);
    println!("{number} newcomers among {strangers} strangers: half within {middle:?}, all within {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    gateway.signal("TERM").await;
    let (status, log) = gateway.ended(LONG).await;
    assert!(status.success(), "{status}: {log}");
}
