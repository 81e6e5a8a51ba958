//! Bodies that are longer than what the peer takes at a time.

use std::time::Duration;

use zendesk_gateway::proto::UploadUserPhotoRequest;

use super::{edge, uncached, within};
use crate::support::TestGateway;

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_goes_on_is_not_taken_for_one_that_is_stuck() {
    // A window is 64 KiB at first, so these take several round trips.
    let account = edge(|wire| wire.round_trip = Duration::from_millis(500));
    let gateway = TestGateway::configured(account, uncached()).await;
    let id = gateway.sandbox.store().user_ids()[5];
    for kilobytes in [400, 200] {
        let request = UploadUserPhotoRequest {
            id,
            content: [b"GIF89a", vec![7; kilobytes << 10].as_slice()].concat().into(),
            content_type: "image/gif".to_owned(),
            file_name: "me.gif".to_owned(),
        };
        let uploaded = gateway.users().upload_user_photo(within(request, Duration::from_secs(25))).await;
        uploaded.unwrap_or_else(|status| panic!("{kilobytes} KiB: {status}"));
    }
    gateway.stop().await;
}
