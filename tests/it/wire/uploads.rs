//! Bodies that are longer than what the peer takes at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use zendesk_gateway::proto::UploadUserPhotoRequest;

use super::{What, call, edge, uncached, within};
use crate::support::TestGateway;

fn photo(id: i64, kilobytes: usize) -> UploadUserPhotoRequest {
    UploadUserPhotoRequest {
        id,
        content: [b"GIF89a", vec![7; kilobytes << 10].as_slice()].concat().into(),
        content_type: "image/gif".to_owned(),
        file_name: "me.gif".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_goes_on_is_not_taken_for_one_that_is_stuck() {
    // A window is 64 KiB at first, so these take several round trips.
    let account = edge(|wire| wire.round_trip = Duration::from_millis(500));
    let gateway = TestGateway::configured(account, uncached()).await;
    let id = gateway.sandbox.store().user_ids()[5];
    for kilobytes in [400, 200] {
        let request = photo(id, kilobytes);
        let uploaded = gateway.users().upload_user_photo(within(request, Duration::from_secs(25))).await;
        uploaded.unwrap_or_else(|status| panic!("{kilobytes} KiB: {status}"));
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn others_do_not_wait_for_an_upload() {
    let account = edge(|wire| wire.round_trip = Duration::from_millis(200));
    let gateway = TestGateway::configured(account, uncached()).await;
    let (what, deadline) = ([What::Read, What::Write], Duration::from_secs(10));
    call(&gateway, What::Read, 0, deadline).await.expect("all is well");
    let id = gateway.sandbox.store().user_ids()[5];
    // The peer gives room for a megabyte at a time, so this takes three round trips.
    let mut users = gateway.users();
    let upload = users.upload_user_photo(within(photo(id, 3_000), Duration::from_secs(25)));
    let done = AtomicUsize::new(0);
    let others = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        for number in 0.. {
            call(&gateway, what[number % 2], number, deadline).await.expect("all is well");
            done.fetch_add(1, Ordering::SeqCst);
        }
    };
    tokio::select! {
        uploaded = upload => drop(uploaded.expect("it is taken")),
        () = others => {}
    }
    let done = done.into_inner();
    assert!(done >= 2, "{done} calls were answered, each a round trip, beside three of them");
    gateway.stop().await;
}
