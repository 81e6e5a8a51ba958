//! Connections that are served by several threads.

use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::task::JoinSet;
use tonic::transport::Channel;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{GetUserRequest, ListUsersRequest, UpdateUserRequest, UserInput};
use zendesk_gateway::sandbox;

use crate::support::{TestGateway, account, settings};

const CONNECTIONS: usize = 6;

async fn on_three_threads(latency: sandbox::Latency) -> (TestGateway, Vec<UserServiceClient<Channel>>) {
    let mut config = settings();
    config.server.workers = NonZeroUsize::new(3);
    let t = TestGateway::configured(sandbox::Config { latency, ..account() }, config).await;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let channel = Channel::from_shared(format!("http://{}", t.address)).expect("a URI").connect().await;
        clients.push(UserServiceClient::new(channel.expect("the gateway accepts")));
    }
    (t, clients)
}

#[tokio::test]
#[ignore = "slow"]
async fn callers_on_different_threads_share_one_upstream_read_and_its_answer() {
    let (t, clients) = on_three_threads(sandbox::Latency::Fixed(Duration::from_millis(300))).await;
    let list = t.users().list_users(ListUsersRequest { page_size: 1, ..ListUsersRequest::default() }).await;
    let id = list.expect("a page").into_inner().users[0].id + 1; // nobody, so that the page did not bring it
    let before = t.sandbox.hits(&format!("/users/{id}"));
    let mut callers = JoinSet::new();
    for mut client in clients {
        callers.spawn(async move {
            client.get_user(GetUserRequest { id, ..Default::default() }).await.expect_err("nobody").code()
        });
    }
    assert_eq!(callers.join_all().await, [tonic::Code::NotFound; CONNECTIONS]);
    assert_eq!(t.sandbox.hits(&format!("/users/{id}")) - before, 1);
    t.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn what_is_written_on_one_thread_is_read_on_every_other() {
    let (t, mut clients) = on_three_threads(sandbox::Latency::None).await;
    let list = t.users().list_users(ListUsersRequest { page_size: 5, ..ListUsersRequest::default() }).await;
    let id = list.expect("a page").into_inner().users[4].id;
    for number in 0..CONNECTIONS {
        let name = format!("Name {number}");
        let user = Some(UserInput { name: Some(name.clone()), ..UserInput::default() });
        let update = UpdateUserRequest { id, user, ..UpdateUserRequest::default() };
        clients[number].update_user(update).await.expect("updated");
        for client in &mut clients {
            let user =
                client.get_user(GetUserRequest { id, ..Default::default() }).await.expect("answered").into_inner().user;
            assert_eq!(user.and_then(|user| user.name).as_ref(), Some(&name));
        }
    }
    drop(clients);
    t.stop().await;
}
