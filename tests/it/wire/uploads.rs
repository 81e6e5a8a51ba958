//! Bodies that are longer than what the peer takes at a time.

use std::time::{Duration, Instant};

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
#[ignore = "slow"]
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
#[ignore = "slow"]
async fn others_do_not_wait_for_an_upload() {
    let account = edge(|wire| wire.round_trip = Duration::from_millis(300));
    let gateway = TestGateway::configured(account, uncached()).await;
    let deadline = Duration::from_secs(25);
    call(&gateway, What::Read, 0, deadline).await.expect("all is well");
    let id = gateway.sandbox.store().user_ids()[5];
    let (began, mut users) = (Instant::now(), gateway.users());
    // The peer gives room for a megabyte at a time, so this takes several round trips.
    let upload = async {
        users.upload_user_photo(within(photo(id, 1_900), deadline)).await.expect("it is taken");
        began.elapsed()
    };
    let other = async |what| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        call(&gateway, what, 1, deadline).await.expect("all is well");
        began.elapsed()
    };
    let (uploaded, read, write) = tokio::join!(upload, other(What::Read), other(What::Write));
    println!("beside an upload of {uploaded:?} a read took until {read:?} and a write until {write:?}");
    assert!(read.max(write) < uploaded, "an upload took {uploaded:?}, a read {read:?}, a write {write:?}");
    assert!(gateway.sandbox.connections().counts().accepted >= 2, "it has a connection of its own");
    gateway.stop().await;
}
