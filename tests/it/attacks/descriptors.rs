//! File descriptors: crowds of connections to either port at `ulimit -n 1024`.

use tokio::process::Command;

use super::probes::probe;
use super::*;

/// Opens connections of which a half says nothing, and the other `opening`.
async fn crowd(address: &str, number: usize, opening: &[u8]) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    for number in 0..number {
        let mut one = TcpStream::connect(address).await.expect("the system accepts it");
        if number % 2 == 0 {
            one.write_all(opening).await.ok();
        }
        crowd.push(one);
    }
    crowd
}

/// Probes and calls, over the connection that is there and over new ones, each within a second.
async fn all_is_well(gateway: &Binary, users: &mut UserServiceClient<Channel>, id: i64) {
    for _ in 0..5 {
        let times = call(users, id, |made| made >= 5).await;
        assert!(times.iter().all(|time| *time < Duration::from_secs(1)), "{times:?}");
        probe(&gateway.address, &gateway.admin).await;
        let began = Instant::now();
        // Not from the cache, so it needs a descriptor for Zendesk.
        let mut fresh = gateway.users().await;
        let uncached =
            crate::support::with(GetUserRequest { id, ..Default::default() }, &[("cache-control", "no-cache")]);
        fresh.get_user(uncached).await.expect("others are answered");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}

async fn ends_well(gateway: Binary) {
    gateway.signal("TERM").await;
    let (status, log) = gateway.ended(LONG).await;
    assert!(status.success(), "{status}: {log}");
    assert!(log.contains("server.max_connections is lowered"), "it says what it may not have: {log}");
    assert!(!log.contains("cannot accept connections"), "descriptors did not end: {log}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn crowds_at_the_admin_port() {
    let gateway = Binary::with_descriptors(1024, &[]).await;
    let (id, mut users) = (gateway.ids().await[0], gateway.users().await);
    let admin = gateway.admin.trim_start_matches("http://").to_owned();
    let silent = crowd(&admin, 1_200, b"").await;
    all_is_well(&gateway, &mut users, id).await;
    let begun = crowd(&admin, 1_200, b"GET /livez HTTP/1.1\r\nhost: x\r\n").await;
    all_is_well(&gateway, &mut users, id).await;
    let answered = crowd(&admin, 1_200, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    all_is_well(&gateway, &mut users, id).await;
    drop((users, silent, begun, answered));
    ends_well(gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn crowds_at_the_grpc_port() {
    let gateway = Binary::with_descriptors(1024, &[("SERVER__PREFACE_TIMEOUT", "1m")]).await;
    let (id, mut users) = (gateway.ids().await[0], gateway.users().await);
    let idle = crowd(&gateway.address, 1_100, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    // After half a second whoever has had no call makes room for newcomers.
    tokio::time::sleep(Duration::from_millis(600)).await;
    all_is_well(&gateway, &mut users, id).await;
    let spoken = crowd(&gateway.address, 2_200, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    all_is_well(&gateway, &mut users, id).await;
    drop((users, idle, spoken));
    ends_well(gateway).await;
}

#[tokio::test]
async fn too_few_descriptors_for_any_use_are_refused_at_the_start() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 64 && exec \"$0\" serve --sandbox --listen 127.0.0.1:0"]);
    let refused = shell.arg(env!("CARGO_BIN_EXE_zendesk-gateway")).output().await.expect("it starts");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("only 64 file descriptors (ulimit -n)"), "{said}");
}
