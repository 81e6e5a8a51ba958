//! Per-key histories, with writes of which nobody knows the outcome, while replicas leave, are killed, stand still, and are cut off.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::Response;
use tonic::transport::Channel;
use zendesk_gateway::proto::group_service_client::GroupServiceClient;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{
    BatchGetUsersRequest, GetGroupRequest, GetUserRequest, GroupInput, ListGroupsRequest, ListUsersRequest,
    UpdateGroupRequest,
};
use zendesk_gateway::sandbox::{self, Latency};

use super::processes::Processes;
use super::register::{Call, contradiction};
use super::{UNPACED, named, say, sized, within};
use crate::support::account;

/// What is read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    User(i64),
    Group(i64),
}

/// What all callers share.
struct Seen {
    began: Instant,
    channels: Mutex<Vec<Channel>>,
    keys: Mutex<Vec<Key>>,
    calls: Mutex<HashMap<Key, Vec<Call>>>,
    values: AtomicU64,
    stale: AtomicUsize,
    unknown: AtomicUsize,
    under_way: AtomicUsize,
    end: AtomicBool,
}

/// The number in a name that a caller has written; 0 before the first one has.
fn value(name: Option<&str>) -> u64 {
    name.and_then(|name| name.strip_prefix("V ")?.parse().ok()).unwrap_or_default()
}

impl Seen {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).expect("not for that long") + 1
    }

    fn note(&self, key: Key, call: Call) {
        self.calls.lock().expect("no panic").entry(key).or_default().push(call);
    }

    /// Notes what a read has shown of some keys.
    fn shown<T>(&self, began: u64, answer: Response<T>, names: impl FnOnce(T) -> Vec<(Key, Option<String>)>) {
        let ended = self.now();
        if answer.metadata().get("x-cache").is_some_and(|how| how == "stale") {
            self.stale.fetch_add(1, Ordering::SeqCst);
            return;
        }
        let keys = self.keys.lock().expect("no panic").clone();
        for (key, name) in names(answer.into_inner()).into_iter().filter(|(key, _)| keys.contains(key)) {
            self.note(key, Call { value: value(name.as_deref()), is_write: false, began, ended });
        }
    }

    async fn write(&self, channel: Channel, key: Key) {
        let value = self.values.fetch_add(1, Ordering::SeqCst) + 1;
        let (name, began) = (format!("V {value}"), self.now());
        let outcome = match key {
            Key::User(id) => UserServiceClient::new(channel).update_user(within(15, named(id, &name))).await.map(drop),
            Key::Group(id) => {
                let group = GroupInput { name: Some(name), ..GroupInput::default() };
                let request = UpdateGroupRequest { id, group: Some(group), update_mask: None };
                GroupServiceClient::new(channel).update_group(within(15, request)).await.map(drop)
            }
        };
        self.unknown.fetch_add(usize::from(outcome.is_err()), Ordering::SeqCst);
        let ended = if outcome.is_ok() { self.now() } else { u64::MAX };
        self.note(key, Call { value, is_write: true, began, ended });
    }

    /// Reads a key in one of the ways there are. A read that fails says nothing.
    async fn read(&self, channel: Channel, key: Key, way: bool) {
        let began = self.now();
        match key {
            Key::User(id) => {
                let mut users = UserServiceClient::new(channel).max_decoding_message_size(64 << 20);
                match fastrand::u8(0..4) {
                    0 | 1 => {
                        let Ok(answer) = users.get_user(within(15, GetUserRequest { id, ..Default::default() })).await
                        else {
                            return;
                        };
                        self.shown(began, answer, |reply| vec![(key, reply.user.and_then(|user| user.name))]);
                    }
                    2 => {
                        let request = BatchGetUsersRequest { ids: vec![id, id + 1], ..Default::default() };
                        let Ok(answer) = users.batch_get_users(within(15, request)).await else { return };
                        let rows = |users: Vec<zendesk_gateway::proto::User>| {
                            users.into_iter().map(|user| (Key::User(user.id), user.name)).collect()
                        };
                        self.shown(began, answer, |reply| rows(reply.users));
                    }
                    _ => {
                        let request = ListUsersRequest { page_size: 100, ..Default::default() };
                        let Ok(answer) = users.list_users(within(15, request)).await else { return };
                        let rows = |users: Vec<zendesk_gateway::proto::User>| {
                            users.into_iter().map(|user| (Key::User(user.id), user.name)).collect()
                        };
                        self.shown(began, answer, |reply| rows(reply.users));
                    }
                }
            }
            Key::Group(id) => {
                let mut groups = GroupServiceClient::new(channel);
                if way {
                    let Ok(answer) = groups.get_group(within(15, GetGroupRequest { id, ..Default::default() })).await
                    else {
                        return;
                    };
                    self.shown(began, answer, |reply| vec![(key, reply.group.and_then(|group| group.name))]);
                } else {
                    let Ok(answer) = groups.list_groups(within(15, ListGroupsRequest::default())).await else { return };
                    let rows = |groups: Vec<zendesk_gateway::proto::Group>| {
                        groups.into_iter().map(|group| (Key::Group(group.id), group.name)).collect()
                    };
                    self.shown(began, answer, |reply| rows(reply.groups));
                }
            }
        }
    }

    /// Reads and writes until the end.
    async fn call(&self) {
        while !self.end.load(Ordering::SeqCst) {
            let pick = |channels: &Mutex<Vec<Channel>>| fastrand::choice(&*channels.lock().expect("no panic")).cloned();
            let (Some(channel), Some(key)) =
                (pick(&self.channels), fastrand::choice(self.keys.lock().expect("no panic").iter()).copied())
            else {
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            self.under_way.fetch_add(1, Ordering::SeqCst);
            if fastrand::u8(0..3) == 0 {
                self.write(channel, key).await;
            } else {
                self.read(channel, key, fastrand::bool()).await;
            }
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            sleep(Duration::from_millis(fastrand::u64(1..15))).await;
        }
    }

    /// Lets nobody call, and waits until nobody does.
    async fn pause(&self) {
        self.channels.lock().expect("no panic").clear();
        while self.under_way.load(Ordering::SeqCst) > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn balance(&self, fleet: &Processes) {
        *self.channels.lock().expect("no panic") = fleet.channels();
    }
}

/// What befalls the fleet.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The leader is told to end, and another pod comes.
    Term,
    /// The leader is killed, and its container starts again.
    Kill,
    /// The leader stands still for longer than it takes to replace it.
    Stop,
    /// All connections to the leader break.
    BreakOff,
    /// The API server is away.
    ApiAway,
    /// The Lease is deleted, and made again.
    NoLease,
    /// Followers act alone, and come back. What they have written alone is read by all.
    Alone,
}

async fn befall(fault: Fault, fleet: &mut Processes, seen: &Seen) {
    let place = fleet.leader();
    match fault {
        Fault::Term => {
            fleet.join().await.ready().await;
            let old = fleet.replicas.remove(place);
            old.binary.signal("TERM").await;
            seen.balance(fleet);
            old.binary.ended(Duration::from_mins(1)).await;
        }
        Fault::Kill => {
            let mut old = fleet.replicas.remove(place);
            old.binary.kill().await;
            seen.balance(fleet);
            let again = fleet.process(&old.name).await;
            again.ready().await;
            fleet.replicas.push(again);
        }
        Fault::Stop => {
            let leader = &fleet.replicas[place];
            leader.binary.signal("STOP").await;
            let other = &fleet.replicas[(place + 1) % fleet.replicas.len()];
            fleet.served_by_another(other, &leader.name).await;
            sleep(Duration::from_secs(2)).await;
            leader.binary.signal("CONT").await;
        }
        Fault::BreakOff => {
            for _ in 0..5 {
                fleet.replicas[place].road.break_off();
                sleep(Duration::from_millis(300)).await;
            }
        }
        Fault::ApiAway => {
            fleet.api.cut("*");
            sleep(Duration::from_secs(sized(3, 15))).await;
            fleet.api.heal();
        }
        Fault::NoLease => {
            fleet.api.delete();
            sleep(Duration::from_secs(sized(2, 8))).await;
            fleet.api.restore();
            // It has no holder until one has taken it.
            while fleet.api.term() == 0 {
                sleep(Duration::from_millis(50)).await;
            }
        }
        Fault::Alone => alone(fleet, place, seen).await,
    }
    seen.balance(fleet);
}

/// While replicas are cut off from each other nothing is promised between them. So one of them alone is called, and when it has come
/// back all must show what it has written.
async fn alone(fleet: &Processes, place: usize, seen: &Seen) {
    seen.pause().await;
    let (leader, other) = (&fleet.replicas[place], &fleet.replicas[(place + 1) % fleet.replicas.len()]);
    let keys = seen.keys.lock().expect("no panic").clone();
    leader.road.cut();
    let began = Instant::now();
    loop {
        seen.read(other.channel(), keys[0], true).await;
        if fleet.served_by_another(other, &leader.name).await == other.name {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(40), "it acts alone");
    }
    for key in &keys {
        seen.read(other.channel(), *key, true).await;
        seen.write(other.channel(), *key).await;
        seen.read(other.channel(), *key, true).await;
    }
    leader.road.heal();
    // The last write is answered once the leader knows of all.
    let until = Instant::now() + Duration::from_secs(30);
    while fleet.served_by_another(other, "").await != leader.name && Instant::now() < until {
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_of_each_record_can_have_happened_one_after_the_other() {
    let account =
        sandbox::Config { users: 60, groups: 6, latency: Latency::Fixed(Duration::from_millis(15)), ..account() };
    let more = [&UNPACED[..], &[("FLEET__ALONE_AFTER", "15s")]].concat();
    let mut fleet = Processes::start(account, 3, &more).await;
    let store = fleet.sandbox.store();
    let groups: Vec<i64> = store
        .memberships()
        .iter()
        .filter_map(|row| row["group_id"].as_i64())
        .take(40)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .take(3)
        .collect();
    let users = store.user_ids().into_iter().take(5).map(Key::User);
    let keys: Vec<Key> = users.chain(groups.into_iter().map(Key::Group)).collect();
    let seen = Arc::new(Seen {
        began: Instant::now(),
        channels: Mutex::new(fleet.channels()),
        keys: Mutex::new(keys),
        calls: Mutex::default(),
        values: AtomicU64::new(0),
        stale: AtomicUsize::new(0),
        unknown: AtomicUsize::new(0),
        under_way: AtomicUsize::new(0),
        end: AtomicBool::new(false),
    });
    let mut callers = JoinSet::new();
    for _ in 0..12 {
        let seen = Arc::clone(&seen);
        callers.spawn(async move { seen.call().await });
    }
    let all = [Fault::Term, Fault::Kill, Fault::Stop, Fault::BreakOff, Fault::ApiAway, Fault::NoLease, Fault::Alone];
    for round in 0..sized(1, 5) {
        for fault in sized(&all[..2], &all[..]) {
            sleep(Duration::from_secs(sized(1, 3))).await;
            befall(*fault, &mut fleet, &seen).await;
            if round == 0 || super::full() {
                println!("after {fault:?}: {:?}", seen.began.elapsed());
            }
        }
    }
    sleep(Duration::from_secs(1)).await;
    seen.end.store(true, Ordering::SeqCst);
    callers.join_all().await;
    let calls = seen.calls.lock().expect("no panic");
    let wrong: Vec<_> = calls.iter().filter_map(|(key, calls)| Some((*key, contradiction(calls)?))).collect();
    let (stale, unknown) = (seen.stale.load(Ordering::SeqCst), seen.unknown.load(Ordering::SeqCst));
    let number: usize = calls.values().map(Vec::len).sum();
    say(
        "histories as of a register",
        format_args!(
            "{} violations in {number} calls of {} records, {unknown} writes with an unknown outcome, {stale} marked stale",
            wrong.len(),
            calls.len()
        ),
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}
