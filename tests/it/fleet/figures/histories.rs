//! Per-key histories, with writes of which nobody knows the outcome, while replicas leave, are killed, stand still, and are cut off.
#![expect(clippy::unnecessary_wraps, reason = "a way to read or write may not be there for a record")]

mod families;
mod of_fields;
mod of_groups;
mod of_organizations;
mod of_users;
mod outcome;
mod requests;
mod seen;
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::transport::Endpoint;
use zendesk_gateway::sandbox::{self, Latency};

use super::processes::Processes;
use super::register::contradiction;
use super::{UNPACED, say, sized};
use crate::support::binary::Binary;
use crate::support::{Dynamic, account};
use families::Family;
use seen::Seen;
use world::World;

/// All of them. Searches are none: they lag behind.
fn families() -> Vec<&'static Family> {
    [of_users::FAMILIES, of_groups::FAMILIES, of_organizations::FAMILIES, of_fields::FAMILIES]
        .into_iter()
        .flatten()
        .collect()
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
            seen.balance(fleet.channels());
            old.binary.ended(Duration::from_mins(1)).await;
        }
        Fault::Kill => {
            let mut old = fleet.replicas.remove(place);
            old.binary.kill().await;
            seen.balance(fleet.channels());
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
    seen.balance(fleet.channels());
}

/// While replicas are cut off from each other nothing is promised between them. So one of them alone is called, and when it has come
/// back all must show what it has written.
async fn alone(fleet: &Processes, place: usize, seen: &Seen) {
    seen.pause().await;
    let (leader, other) = (&fleet.replicas[place], &fleet.replicas[(place + 1) % fleet.replicas.len()]);
    leader.road.cut();
    let began = Instant::now();
    while fleet.served_by_another(other, &leader.name).await != other.name {
        assert!(began.elapsed() < Duration::from_secs(40), "it acts alone");
    }
    for (family, keys) in &seen.keys {
        // Two of each are enough: others wait.
        for key in keys.iter().take(2) {
            seen.read(other.channel(), family, *key).await;
            seen.write(other.channel(), family, *key).await;
            seen.read(other.channel(), family, *key).await;
        }
    }
    leader.road.heal();
    // The last write is answered once the leader knows of all.
    let until = Instant::now() + Duration::from_secs(30);
    while fleet.served_by_another(other, "").await != leader.name && Instant::now() < until {
        sleep(Duration::from_millis(50)).await;
    }
}

/// An account whose lists have one page.
fn small() -> sandbox::Config {
    let latency = Latency::Fixed(Duration::from_millis(15));
    let jobs = sandbox::Jobs { per_item: Duration::from_millis(5), ..sandbox::Jobs::default() };
    sandbox::Config { users: 30, groups: 6, latency, jobs, ..account() }
}

fn settings() -> Vec<(&'static str, &'static str)> {
    [&UNPACED[..], &[("FLEET__ALONE_AFTER", "15s"), ("AUTHORIZATION__DESTRUCTIVE", "true")]].concat()
}

/// What is written past the fleet, by a gateway that nobody tells of it, is found in the history of each family.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn what_no_replica_knows_of_is_found_in_the_history_of_each_family() {
    let fleet = Processes::start(small(), 2, &settings()).await;
    let alone = Binary::before(&fleet.sandbox, &settings()).await;
    let alone = Endpoint::from_shared(format!("http://{}", alone.address)).expect("a URI").connect_lazy();
    let client = Dynamic::new(fleet.replicas[0].channel());
    let world = World::make(&client).await;
    let seen = Seen::new(client, world, &families());
    let replicas = fleet.channels();
    for (family, keys) in &seen.keys {
        for read in family.reads {
            seen.read_by(read, replicas[0].clone(), family, keys[0]).await;
        }
        seen.write_by(&family.writes[0], alone.clone(), family, keys[0]).await;
        for read in family.reads {
            seen.read_by(read, replicas[1].clone(), family, keys[0]).await;
        }
        let calls = seen.calls.lock().expect("no panic");
        assert!(contradiction(&calls[&keys[0]]).is_some(), "{}: {:#?}", family.of, calls[&keys[0]]);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn what_was_seen_of_each_record_can_have_happened_one_after_the_other() {
    let mut fleet = Processes::start(small(), 3, &settings()).await;
    let client = Dynamic::new(fleet.replicas[0].channel());
    let world = World::make(&client).await;
    let seen = Arc::new(Seen::new(client, world, &families()));
    seen.balance(fleet.channels());
    let mut callers = JoinSet::new();
    for _ in 0..sized(12, 16) {
        let seen = Arc::clone(&seen);
        callers.spawn(async move { seen.call().await });
    }
    let all = [Fault::Term, Fault::Kill, Fault::Stop, Fault::BreakOff, Fault::ApiAway, Fault::NoLease, Fault::Alone];
    for round in 0..sized(1, 5) {
        for fault in sized(&all[..2], &all[..]) {
            sleep(Duration::from_secs(sized(5, 3))).await;
            befall(*fault, &mut fleet, &seen).await;
            if round == 0 || super::full() {
                println!("after {fault:?}: {:?}", seen.began.elapsed());
            }
        }
    }
    sleep(Duration::from_secs(sized(5, 1))).await;
    seen.end.store(true, Ordering::SeqCst);
    callers.join_all().await;
    let calls = seen.calls.lock().expect("no panic");
    let wrong: Vec<_> = calls.iter().filter_map(|(key, calls)| Some((*key, contradiction(calls)?))).collect();
    let number: usize = calls.values().map(Vec::len).sum();
    say(
        "histories as of a register",
        format_args!(
            "{} violations in {number} calls of {} records of {} families, {}",
            wrong.len(),
            calls.len(),
            seen.keys.len(),
            seen.told()
        ),
    );
    assert!(
        wrong.is_empty(),
        "{} records: {}",
        wrong.len(),
        wrong.iter().fold(String::new(), |text, (key, why)| format!("{text}\n{key:?}: {why}"))
    );
    seen.check_that_all_was_called();
}
