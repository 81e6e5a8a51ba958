//! One gateway of the lab, with its callers.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use zendesk_gateway::proto::group_service_client::GroupServiceClient;
use zendesk_gateway::proto::membership_filter::Scope;
use zendesk_gateway::proto::membership_service_client::MembershipServiceClient;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{GetUserRequest, ListGroupsRequest, ListMembershipsRequest, MembershipFilter};
use zendesk_gateway::sandbox::Sandbox;

use super::series::{self, Scraped};
use super::situations::Expected;
use crate::support::binary::Binary;

/// Changes something, once.
pub type Change = Box<dyn FnOnce(&Sandbox) + Send + Sync>;

pub struct Subject {
    pub expected: Expected,
    pub gateway: Binary,
    pub sandbox: Sandbox,
    pub fails: Option<Change>,
    pub mends: Option<Change>,
    /// Connections that stay open.
    pub kept: Vec<Channel>,
    pub _folder: TempDir,
    pub _callers: JoinSet<()>,
}

impl Subject {
    pub fn fail(&mut self) {
        if let Some(fails) = self.fails.take() {
            fails(&self.sandbox);
        }
    }

    pub fn mend(&mut self) {
        if let Some(mends) = self.mends.take() {
            mends(&self.sandbox);
        }
    }

    async fn admin(&self, path: &str) -> String {
        let asked = reqwest::Client::new().get(format!("{}{path}", self.gateway.admin)).header("accept", "text/html");
        asked.send().await.expect("the admin port answers").text().await.expect("text")
    }

    pub async fn scrape(&self) -> std::collections::BTreeMap<String, f64> {
        series::values(&self.metrics().await, self.expected.name)
    }

    pub async fn metrics(&self) -> String {
        self.admin("/metrics").await
    }

    pub async fn status(&self) -> Value {
        serde_json::from_str(&self.admin("/status?format=json").await).expect("JSON")
    }

    pub async fn page(&self) -> String {
        self.admin("/status").await
    }
}

/// How a gateway's callers call.
#[derive(Clone)]
pub struct Callers {
    users: Arc<Vec<i64>>,
    habits: Arc<Mutex<Habits>>,
}

struct Habits {
    /// What they prove themselves with.
    token: Option<AsciiMetadataValue>,
    /// Whether each call is of something new.
    nothing_twice: bool,
    /// How long they wait between two calls.
    pause: Duration,
    /// How long they wait for an answer.
    deadline: Duration,
}

/// How long callers wait between two calls while nothing drives them.
const PAUSE: Duration = Duration::from_millis(200);

/// How long they wait for an answer then.
const DEADLINE: Duration = Duration::from_secs(5);

static FRESH: AtomicUsize = AtomicUsize::new(100);

impl Callers {
    pub fn of(users: Vec<i64>) -> Self {
        let habits = Habits { token: None, nothing_twice: false, pause: PAUSE, deadline: DEADLINE };
        Self { users: Arc::new(users), habits: Arc::new(Mutex::new(habits)) }
    }

    fn habits(&self) -> MutexGuard<'_, Habits> {
        self.habits.lock().expect("no panic inside")
    }

    pub fn prove_themselves(&self, token: AsciiMetadataValue) {
        self.habits().token = Some(token);
    }

    pub fn ask_for_new(&self, pause: Duration) {
        let mut habits = self.habits();
        (habits.nothing_twice, habits.pause) = (true, pause);
    }

    pub fn ask_as_before(&self) {
        let mut habits = self.habits();
        (habits.nothing_twice, habits.pause, habits.deadline) = (false, PAUSE, DEADLINE);
    }

    pub fn wait_for(&self, deadline: Duration) {
        self.habits().deadline = deadline;
    }

    /// Calls until the end: some users again and again, groups, and now and then something that is in no cache.
    pub fn start(self, channel: Channel) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut calls = JoinSet::new();
            for number in 0_usize.. {
                let pause = self.habits().pause;
                tokio::time::sleep(pause).await;
                calls.spawn(self.call(number, channel.clone()));
                while calls.try_join_next().is_some() {}
            }
        });
        tasks
    }

    fn request<M>(&self, message: M) -> tonic::Request<M> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.habits().deadline);
        if let Some(token) = &self.habits().token {
            request.metadata_mut().insert("authorization", token.clone());
        }
        request
    }

    fn call(&self, number: usize, channel: Channel) -> impl Future<Output = ()> + Send + use<> {
        let fresh = FRESH.fetch_add(1, Ordering::Relaxed) % self.users.len();
        let new = self.habits().nothing_twice;
        let id = if new || number % 4 == 1 { self.users[fresh] } else { self.users[number % 3] };
        let (user, groups) =
            (self.request(GetUserRequest { id, ..Default::default() }), self.request(ListGroupsRequest::default()));
        let mut of_user = self.request(ListMembershipsRequest {
            filter: Some(MembershipFilter { scope: Some(Scope::UserId(self.users[fresh])) }),
            ..Default::default()
        });
        let mut all = self.request(ListMembershipsRequest::default());
        for request in [&mut of_user, &mut all] {
            request.metadata_mut().insert("cache-control", AsciiMetadataValue::from_static("no-cache"));
        }
        // What becomes of a call is what the metrics tell.
        async move {
            match number % 8 {
                7 => drop(MembershipServiceClient::new(channel).list_memberships(of_user).await),
                5 if !new => drop(MembershipServiceClient::new(channel).list_memberships(all).await),
                3 if !new => drop(GroupServiceClient::new(channel).list_groups(groups).await),
                _ => drop(UserServiceClient::new(channel).get_user(user).await),
            }
        }
    }
}

/// What was seen of a gateway.
pub struct Watched {
    pub expected: Expected,
    scraped: Scraped,
    /// How soon the finding came first of all, and how soon after the mend it was seen for the last time.
    found: Option<Duration>,
    last_seen: Option<Duration>,
    /// The first findings of the time in which it failed.
    firsts: BTreeSet<String>,
    /// The findings while all was well.
    before: BTreeSet<String>,
}

impl Watched {
    pub fn new(expected: Expected) -> Self {
        let (found, last_seen) = (None, None);
        Self {
            expected,
            scraped: Scraped::default(),
            found,
            last_seen,
            firsts: BTreeSet::new(),
            before: BTreeSet::new(),
        }
    }

    pub fn add(
        &mut self,
        time: usize,
        since: Duration,
        values: std::collections::BTreeMap<String, f64>,
        status: &Value,
    ) {
        self.scraped[time].push(values);
        let kinds = status["findings"].as_array().expect("findings").iter();
        let kinds: Vec<&str> = kinds.map(|finding| finding["kind"].as_str().expect("a kind")).collect();
        let is_there = kinds.iter().any(|kind| self.expected.findings.contains(kind));
        match time {
            0 => self.before.extend(kinds.iter().map(|kind| (*kind).to_owned())),
            1 => {
                self.firsts.extend(kinds.first().map(|kind| (*kind).to_owned()));
                if kinds.first().is_some_and(|kind| self.expected.findings.contains(kind)) && self.found.is_none() {
                    self.found = Some(since);
                }
            }
            _ if is_there => self.last_seen = Some(since),
            _ => {}
        }
    }

    pub fn complaints(&self, found_within: Duration, gone_within: Duration) -> Vec<String> {
        let Expected { name, findings, .. } = &self.expected;
        let mut wrong = Vec::new();
        if !self.before.is_empty() {
            wrong.push(format!("{name}: found before anything failed: {:?}", self.before));
        }
        if findings.is_empty() && !self.firsts.is_empty() {
            wrong.push(format!("{name}: nothing failed, and found is {:?}", self.firsts));
        }
        if !findings.is_empty() && self.found.is_none_or(|found| found > found_within) {
            wrong.push(format!("{name}: {findings:?} came first after {:?}; first were {:?}", self.found, self.firsts));
        }
        if self.last_seen.is_some_and(|last| last > gone_within) {
            wrong.push(format!("{name}: {findings:?} was there {:?} after the mend", self.last_seen));
        }
        wrong
    }

    pub fn series(&self, names: &BTreeSet<String>) -> Vec<Value> {
        series::series(&self.scraped, names)
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Expected { name, alert, .. } = &self.expected;
        let alert = alert.unwrap_or("none");
        write!(
            f,
            "{name}: alert {alert}, first findings {:?} after {:?}, last {:?} after the mend",
            self.firsts, self.found, self.last_seen
        )
    }
}
