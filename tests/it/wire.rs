//! TLS and HTTP/2, with all that they add to what can go wrong between the gateway and Zendesk.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_types::StatusExt as _;
use zendesk_gateway::config::Config;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{CreateUserRequest, GetUserRelatedRequest, UserInput};
use zendesk_gateway::sandbox::{self, Sandbox, Wire};

use crate::support::{TestGateway, account, settings};

mod causes;
mod edge;
mod ends;
mod greedy;
mod opening;
mod outages;
mod pages;
mod room;
mod rotations;
mod silences;
mod streams;
mod uploads;

/// Where Zendesk is: this far away.
const ROUND_TRIP: Duration = Duration::from_millis(40);

/// A stand-in like Zendesk's edge.
fn edge(wire: impl FnOnce(&mut Wire)) -> sandbox::Config {
    let mut account = account();
    account.wire.tls = true;
    account.wire.round_trip = ROUND_TRIP;
    wire(&mut account.wire);
    account
}

/// Every read goes to Zendesk by itself.
fn uncached() -> Config {
    let mut config = settings();
    config.cache.max_bytes = 0;
    config.cache.batch_wait = Duration::ZERO;
    config
}

async fn gateway(wire: impl FnOnce(&mut Wire)) -> TestGateway {
    TestGateway::configured(edge(wire), uncached()).await
}

fn within<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Read,
    Write,
}

/// Makes one call. Writes bear their number in the name.
async fn call(gateway: &TestGateway, what: What, number: usize, deadline: Duration) -> Result<(), Status> {
    make(gateway.users(), &gateway.sandbox.store().user_ids(), what, number, deadline).await
}

/// The same for a client of its own.
async fn make(
    mut users: UserServiceClient<Channel>,
    ids: &[i64],
    what: What,
    number: usize,
    deadline: Duration,
) -> Result<(), Status> {
    match what {
        What::Read => {
            let id = ids[number % ids.len()];
            // Reads of users by their id would be put together.
            users.get_user_related(within(GetUserRelatedRequest { id }, deadline)).await?;
        }
        What::Write => {
            let user = UserInput { name: Some(name(number)), ..Default::default() };
            users.create_user(within(CreateUserRequest { user: Some(user), ..Default::default() }, deadline)).await?;
        }
    }
    Ok(())
}

fn name(number: usize) -> String {
    format!("Number {number}")
}

/// How often each user was created who bears a number.
fn created(gateway: &TestGateway) -> BTreeMap<usize, usize> {
    numbered(&gateway.sandbox)
}

fn numbered(sandbox: &Sandbox) -> BTreeMap<usize, usize> {
    let mut created = BTreeMap::new();
    let store = sandbox.store();
    for user in store.user_ids().into_iter().filter_map(|id| store.user(id)) {
        let number = user["name"].as_str().and_then(|name| name.strip_prefix("Number "));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            *created.entry(number).or_default() += 1;
        }
    }
    created
}

/// Makes calls, so many at a time; returns those that failed.
async fn flood(gateway: &TestGateway, what: What, calls: usize, at_a_time: usize) -> Vec<(usize, Status)> {
    flood_within(gateway, what, calls, at_a_time, Duration::from_secs(30)).await
}

async fn flood_within(
    gateway: &TestGateway,
    what: What,
    calls: usize,
    at_a_time: usize,
    deadline: Duration,
) -> Vec<(usize, Status)> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let caller = async || {
        let mut failed = Vec::new();
        loop {
            let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if number >= calls {
                return failed;
            }
            if let Err(status) = call(gateway, what, number, deadline).await {
                failed.push((number, status));
            }
        }
    };
    join_all((0..at_a_time).map(|_| caller())).await.concat()
}
