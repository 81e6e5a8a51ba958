//! Single histories that ended badly once, each with its own few lines of upstream: nothing is left to chance here.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;
use tonic::transport::Channel;
use zendesk_gateway::config::Config;
use zendesk_gateway::proto::group_service_client::GroupServiceClient;
use zendesk_gateway::proto::membership_service_client::MembershipServiceClient;
use zendesk_gateway::proto::user_service_client::UserServiceClient;

use super::http::{Reply, Request, Response, Server, Wire};
use crate::support::{basic, serve, settings};

mod desynchronised;
mod foreign;
mod late;
mod rosters;

/// A gateway before a server of a test's own.
struct Stage {
    server: Server,
    address: String,
    channel: Channel,
    _running: oneshot::Sender<()>,
}

impl Stage {
    async fn set<F, A>(answer: F) -> Self
    where
        F: Fn(Request) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Reply> + Send + 'static,
    {
        Self::configured(settings(), answer).await
    }

    async fn configured<F, A>(config: Config, answer: F) -> Self
    where
        F: Fn(Request) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Reply> + Send + 'static,
    {
        let server = Server::start(Wire::Http1, answer);
        let (address, channel, running, _) = Box::pin(serve(&server.url(), basic("a:b"), config)).await;
        Self { server, address, channel, _running: running }
    }

    fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.channel.clone())
    }

    fn groups(&self) -> GroupServiceClient<Channel> {
        GroupServiceClient::new(self.channel.clone())
    }

    fn memberships(&self) -> MembershipServiceClient<Channel> {
        MembershipServiceClient::new(self.channel.clone())
    }
}

/// The requests that arrived, as `GET /users/7`.
#[derive(Clone, Default)]
struct Arrived(Arc<Mutex<Vec<String>>>);

impl Arrived {
    fn note(&self, request: &Request) {
        self.0.lock().expect("no panic").push(request.line());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }
}

/// A user as JSON.
fn user(id: i64) -> String {
    format!(r#"{{"id":{id},"name":"N{id}"}}"#)
}

fn whole(body: impl Into<String>) -> Reply {
    Reply::Whole(Response::new(200, body))
}

/// The number at the end of a path.
fn last_id(path: &str) -> i64 {
    path.rsplit('/').find_map(|segment| segment.parse().ok()).unwrap_or_default()
}

/// Time enough for everything that may still come.
async fn grace() {
    sleep(Duration::from_secs(4)).await;
}
