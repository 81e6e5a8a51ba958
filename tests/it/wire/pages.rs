//! Long answers on a slow line, and short ones beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{GetUserRelatedRequest, ListUsersRequest};

use super::{uncached, within};
use crate::support::{basic, serve};
use crate::truth::http2::acceptor;

/// Bytes of a page, and pages that are asked for at a time.
const PAGE: usize = 200 << 10;
const PAGES: usize = 12;
/// Bytes that the line takes in each of these times, for the pages together: 2 MB/s.
const PART: usize = 8 << 10;
const TIME: Duration = Duration::from_millis(4);

/// An edge that sends pages over a slow line, and short answers beside them at once. Returns its address and certificate, and counts
/// its connections.
async fn slow_edge(connections: &Arc<AtomicUsize>) -> (url::Url, String) {
    let (acceptor, certificate) = acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("it is bound")).parse().expect("a URL");
    let (connections, line) = (Arc::clone(connections), Arc::<Mutex<()>>::default());
    let user = format!(r#"{{"id":7,"name":"N","details":"{}"}}"#, "d".repeat(PAGE / 80));
    let page = Bytes::from(format!(r#"{{"users":[{}],"meta":{{"has_more":false}}}}"#, vec![user; 80].join(",")));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            let (acceptor, line, page) = (acceptor.clone(), Arc::clone(&line), page.clone());
            tokio::spawn(async move {
                let socket = acceptor.accept(socket).await.expect("the gateway trusts it");
                let handshake = h2::server::Builder::new().max_concurrent_streams(100).handshake(socket);
                let mut connection = handshake.await.expect("HTTP/2");
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let (line, page) = (Arc::clone(&line), page.clone());
                    tokio::spawn(async move {
                        let head = http::Response::builder().header("content-type", "application/json");
                        let Ok(mut stream) = respond.send_response(head.body(()).expect("a head"), false) else {
                            return;
                        };
                        if request.uri().path().ends_with("/related") {
                            let related = Bytes::from_static(br#"{"user_related":{"assigned_tickets":0}}"#);
                            return drop(stream.send_data(related, true));
                        }
                        let mut left = page;
                        while !left.is_empty() {
                            let turn = line.lock().await;
                            tokio::time::sleep(TIME).await;
                            drop(turn);
                            let part = left.split_to(PART.min(left.len()));
                            if stream.send_data(part, left.is_empty()).is_err() {
                                return;
                            }
                        }
                    });
                }
            });
        }
    });
    (url, certificate)
}

/// The client holds back what a connection has no room for, and whatever its thread has no time for.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_connection_on_which_long_answers_are_under_way_is_not_taken_for_a_full_one() {
    let connections = Arc::<AtomicUsize>::default();
    let (url, certificate) = slow_edge(&connections).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, certificate).expect("it is written");
    let mut config = uncached();
    config.upstream.ca_file = Some(ca_file);
    config.server.workers = std::num::NonZero::new(2);
    let (address, channel, shutdown, served) = Box::pin(serve(&url, basic("a:b"), config)).await;
    let users = UserServiceClient::new(channel);
    users.clone().get_user_related(GetUserRelatedRequest { id: 1 }).await.expect("the first is answered");
    let pages = (100 - PAGES..100).map(|size| {
        let request = ListUsersRequest { page_size: i32::try_from(size).expect("small"), ..Default::default() };
        let mut users = users.clone();
        async move { users.list_users(within(request, Duration::from_secs(20))).await }
    });
    // On a connection, and mostly a thread, of their own.
    let other = tonic::transport::Channel::from_shared(format!("http://{address}")).expect("a URI").connect_lazy();
    let shorts = (2..42).map(|id| {
        let mut users = UserServiceClient::new(other.clone());
        async move {
            tokio::time::sleep(Duration::from_millis(25) * u32::try_from(id).expect("few")).await;
            users.get_user_related(within(GetUserRelatedRequest { id }, Duration::from_secs(5))).await
        }
    });
    let (pages, shorts) = join(join_all(pages), join_all(shorts)).await;
    assert!(pages.iter().all(Result::is_ok), "{pages:?}");
    assert!(shorts.iter().all(Result::is_ok), "{shorts:?}");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    drop((users, other));
    shutdown.send(()).expect("it listens");
    served.await.expect("no panic").expect("it ends well");
}
