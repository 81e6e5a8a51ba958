//! Whose record a read is answered with, when callers of one batch leave.

use super::{Duration, Reply, Request, Stage, last_id, sleep, user, whole};
use zendesk_gateway::proto::GetUserRequest;

/// Answers reads of users after half a second.
async fn slowly(request: Request) -> Reply {
    sleep(Duration::from_millis(500)).await;
    let Some(ids) = request.query.strip_prefix("ids=") else {
        return whole(format!(r#"{{"user":{}}}"#, user(last_id(&request.path))));
    };
    let rows: Vec<String> = ids.split(',').map(|id| user(id.parse().expect("an id"))).collect();
    whole(format!(r#"{{"users":[{}]}}"#, rows.join(",")))
}

fn within(id: i64, time: Duration) -> tonic::Request<GetUserRequest> {
    let mut request = tonic::Request::new(GetUserRequest { id, ..Default::default() });
    request.set_timeout(time);
    request
}

/// Reads a user while another read is under way and a third one, which came before it, has been given up.
async fn read_behind_one_who_left(t: &Stage, leaves: bool) -> (i64, i64) {
    let first = tokio::spawn({
        let mut users = t.users();
        async move { users.get_user(GetUserRequest { id: 1002, ..Default::default() }).await.map(drop) }
    });
    sleep(Duration::from_millis(100)).await;
    let given_up = tokio::spawn({
        let mut users = t.users();
        // With a deadline of its own, or dropped by its caller.
        let time = if leaves { Duration::from_secs(5) } else { Duration::from_millis(200) };
        async move { users.get_user(within(2, time)).await.map(drop) }
    });
    sleep(Duration::from_millis(50)).await;
    let mut users = t.users();
    let read = tokio::spawn(async move { users.get_user(within(3, Duration::from_secs(5))).await });
    if leaves {
        sleep(Duration::from_millis(100)).await;
        given_up.abort();
    }
    let read = read.await.expect("no panic").expect("there is such a user").into_inner().user.expect("set").id;
    first.await.expect("no panic").expect("there is such a user");
    let again = t.users().get_user(within(3, Duration::from_secs(5))).await.expect("there is such a user");
    (read, again.into_inner().user.expect("set").id)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_read_is_answered_with_its_own_user_when_the_one_before_it_in_the_batch_runs_out_of_time() {
    let t = Stage::set(slowly).await;
    assert_eq!(read_behind_one_who_left(&t, false).await, (3, 3), "user 3 was asked for, twice");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_read_is_answered_with_its_own_user_when_the_one_before_it_in_the_batch_is_cancelled() {
    let t = Stage::set(slowly).await;
    assert_eq!(read_behind_one_who_left(&t, true).await, (3, 3), "user 3 was asked for, twice");
}
