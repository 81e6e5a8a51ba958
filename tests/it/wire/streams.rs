//! Lists as streams over the wire as it is.

use std::time::{Duration, Instant};

use zendesk_gateway::proto::StreamUsersRequest;

use super::{What, call, edge, uncached};
use crate::support::TestGateway;

/// Reads all users as a stream; returns how long it took and how many there were.
async fn streamed(gateway: &TestGateway) -> (Duration, usize) {
    let began = Instant::now();
    let request = StreamUsersRequest { page_size: 100, ..Default::default() };
    let mut stream = gateway.users().stream_users(request).await.expect("a stream").into_inner();
    let mut ids = std::collections::BTreeSet::new();
    while let Some(message) = stream.message().await.expect("it goes on") {
        for user in message.users {
            assert!(ids.insert(user.id), "{} came twice", user.id);
        }
    }
    (began.elapsed(), ids.len())
}

/// The longest that pages may take, in optimised builds; the time that the stand-in takes for a page comes on top of the
/// round trip.
const fn most(optimised: f64) -> f64 {
    if cfg!(debug_assertions) { 1.5 } else { optimised }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_stream_takes_as_long_as_its_pages() {
    const PAGES: u32 = 50;
    let mut account = edge(|wire| wire.round_trip = Duration::from_millis(150));
    account.users = 100 * PAGES;
    let gateway = TestGateway::configured(account, uncached()).await;
    call(&gateway, What::Read, 0, Duration::from_secs(10)).await.expect("all is well");
    let (took, rows) = streamed(&gateway).await;
    assert_eq!(rows, 100 * PAGES as usize);
    let ratio = took.as_secs_f64() / (0.150 * f64::from(PAGES));
    println!("{PAGES} pages at a round trip of 150 ms took {took:?}: {ratio:.3} of pages × round trip");
    assert!(ratio <= most(1.05), "{ratio:.3}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_stream_of_large_pages_takes_as_long_as_its_pages() {
    large_pages(12, 150, |_| "n".repeat(8_300)).await;
}

/// As packed, too, such a page has most of its bytes, so each further round trip would show that a window is too small.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_stream_of_large_pages_that_hardly_pack_takes_as_long_as_its_pages() {
    // To make and to read one takes long in builds that are not optimised.
    let (pages, round_trip) = if cfg!(debug_assertions) { (4, 800) } else { (12, 150) };
    large_pages(pages, round_trip, |id| {
        let mut random = fastrand::Rng::with_seed(id);
        std::iter::repeat_with(|| random.alphanumeric()).take(8_300).collect()
    })
    .await;
}

/// Streams so many pages of 850 kB, so many milliseconds away.
async fn large_pages(pages: u32, round_trip: u64, notes: impl Fn(u64) -> String) {
    let round_trip = Duration::from_millis(round_trip);
    let mut account = edge(|wire| wire.round_trip = round_trip);
    account.users = 10;
    let gateway = TestGateway::configured(account, uncached()).await;
    let store = gateway.sandbox.store();
    let before = store.user_ids().len();
    for id in 1..=100 * u64::from(pages) {
        let (number, notes) = (1_000_000 + id, notes(id));
        let user = serde_json::json!({ "id": number, "name": "Long", "role": "end-user", "notes": notes });
        store.insert_raw_user(&user.to_string());
    }
    // The first stream finds out that they are large.
    streamed(&gateway).await;
    let (took, rows) = streamed(&gateway).await;
    assert_eq!(rows, before + 100 * pages as usize);
    let pages = u32::try_from(rows.div_ceil(100)).expect("some dozens");
    let ratio = took.as_secs_f64() / (round_trip * pages).as_secs_f64();
    println!(
        "{pages} pages of 850 kB at a round trip of {round_trip:?} took {took:?}: {ratio:.3} of pages × round trip"
    );
    assert!(ratio <= most(1.04), "{ratio:.3}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_stream_has_every_row_once_although_connections_end_under_it() {
    let mut account = edge(|wire| wire.goaway_every = Some(7));
    account.users = 3_000;
    let gateway = TestGateway::configured(account, uncached()).await;
    let breaks = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            gateway.sandbox.reset_connections();
        }
    };
    let ((_, rows), ()) = tokio::join!(streamed(&gateway), breaks);
    assert_eq!(rows, 3_000);
    assert!(gateway.sandbox.connections().counts().goaways >= 1);
    gateway.stop().await;
}
