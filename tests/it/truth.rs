//! The truth test: is every answer true?
//!
//! All other tests ask the gateway before a stand-in that was written by the same hands, and compare answers with what these
//! hands expect. This one has an upstream of its own make, with no code of the gateway or of the stand-in, which knows what each
//! record is at each moment and stamps it on each answer. Callers in a hurry ask for the same few records all at once, and a judge
//! compares each answer with what was true between its question and its arrival.
//!
//! # The parts
//!
//! - [`world`]: the records. Each change makes a new version; the numbers of versions grow over all records, so that they order all
//!   changes. A record shows its id, its version and the call that wrote it in its `url`, which the contract passes through.
//! - [`upstream`], over [`http`] or [`http2`], [`reads`], [`changes`], [`jobs`]: does what it is asked and says so, except when the [`weather`] has it
//!   be slow, refuse, break off, or do what it was asked and not say so. What it says it did, it did.
//! - [`caller`]: one of up to 240 at a time, over six tonic channels and three bare HTTP/2 connections which enforce no deadline
//!   by themselves. Deadlines are 2 ms to 3 s, and some calls are dropped. [`mix`] holds every RPC about
//!   these records, or the test fails.
//! - [`book`], [`floors`], [`rosters`]: what callers have been told so far. [`judge`] compares, [`tally`] counts.
//! - [`run`]: phases of calls, each through a gateway of its own with other settings, in other weather.
//!
//! All of it is in one process, has one clock, and is behind one lock. So "before" is never a matter of opinion: what is compared is
//! the time at which a request was read, a change made, a question asked, an answer received.
//!
//! # What is checked, and why that is right
//!
//! 1. **An answer is the record that was asked for**, whole: its id, its stamp and the value that the stamp's call wrote belong
//!    together. Rows belong to their list. A create is answered with what this very call created.
//! 2. **An answer is not older than what was known.** Once any caller has been told that a write is done, a question that is asked
//!    later gets no version before that write's: the first promise of `docs/cache.md`, for hits, coalesced reads and stale answers
//!    alike. A write that was carried out twice counts from the first time, and one whose answer was lost does not count, because
//!    nobody was told. Searches are judged by identity only: Zendesk's own index lags behind.
//! 3. **A refused write was not made.** Each write bears a number, or acts on a record that no other call acts on, so each request
//!    at the upstream is some call's. If the caller was told that nothing was sent, nothing may ever arrive. If it was told that
//!    Zendesk refused, nothing was done. Whatever it was told, nothing of it arrives once its call has ended, for its caller acts on
//!    the answer. What had left before may be read a moment after: 100 ms (two seconds in the run beside all other tests), and three
//!    times what this machine is late at the time, which is measured all the while. A request on a connection that had to wait to be accepted is not held against anybody.
//! 4. **A write that was answered OK was done**; exactly once, unless the contract calls it idempotent. One that is not is never done
//!    twice, however it ended.
//! 5. **What is there is found.** `NOT_FOUND` is wrong for a record that was there and known, or had been there for longer than "no
//!    such record" may be kept. Records that nothing deletes are in every list that could hold them.
//! 6. **Whole lists.** Several callers set the agents of one group at once, and the groups of one agent, to lists that have nothing in
//!    common. A call that was alone and was answered OK without failures finds its list there. When all is quiet, the list is that of
//!    a call which may have been the last. Calls that ended half-way may leave a mixture, but as additions come first it holds
//!    some caller's whole list. For this the upstream changes memberships as soon as it is asked.
//! 7. **Counts** are the number of records at some moment after the last change that was known.
//! 8. **No other refusal**: a code that neither the weather nor the caller's haste explains.
//!
//! A record is not judged by what the upstream itself cleans up, which is old records that no caller asks for any more, and by
//! versions that are forgotten. Both can only let a wrong answer pass, never accuse a right one. Not checked here is a connection on
//! which answers have lost their place, because of most lists nobody could tell: see [`scenarios`], which also holds the histories
//! that this test was made for, one by one.
//!
//! # Running it
//!
//! ```console
//! $ cargo test --test it truth:: -- --include-ignored                                                       # 10,000 calls
//! $ TRUTH_CALLS=200000 cargo test --release --test long truth::every_answer -- --include-ignored --test-threads 1     # as CI does
//! $ TRUTH_CALLS=10000000 TRUTH_SEED=7 cargo test --release --test long truth::every_answer -- --include-ignored --nocapture --test-threads 1
//! ```
//!
//! It is made twice: over HTTP/1.1, and over TLS and HTTP/2.
//!
//! The seed chooses the calls, the deadlines and the weather. How threads and packets meet is new in every run, so a violation that does
//! not come again with its seed comes again with many calls. Each is told with the call, its times, what it said, and the
//! record's history.

mod book;
mod caller;
mod changes;
mod clock;
mod floors;
mod http;
pub mod http2;
mod jobs;
mod judge;
mod mix;
mod of_groups;
mod of_users;
mod pools;
mod reads;
mod rosters;
mod run;
mod scenarios;
mod state;
mod tally;
mod to_groups;
mod to_streams;
mod to_users;
mod upstream;
mod views;
mod weather;
mod world;

use std::collections::BTreeSet;

use http::Wire;
use prost_reflect::{DescriptorPool, FieldDescriptor, MethodDescriptor};

fn set(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn every_answer_was_true_between_its_question_and_its_arrival() {
    Box::pin(every_answer_is_true(Wire::Http1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn every_answer_was_true_over_tls_and_http2() {
    Box::pin(every_answer_is_true(Wire::Http2)).await;
}

async fn every_answer_is_true(wire: Wire) {
    let seed = set("TRUTH_SEED", 1);
    let calls = set("TRUTH_CALLS", 10_000).cast_signed();
    let truth = Box::pin(run::run(seed, calls, wire)).await;
    let state = truth.lock();
    assert_eq!(state.tally.violations(), 0, "see above; TRUTH_SEED={seed} TRUTH_CALLS={calls}");
}

/// The records that the [`world`] has, and what it derives of them. Of the rows of other lists nothing could be judged.
const RECORDS: [&str; 6] = ["User", "DeletedUser", "ComplianceDeletionStatus", "Group", "GroupMembership", "Job"];

#[test]
fn every_rpc_about_the_worlds_records_is_called() {
    let pool = DescriptorPool::decode(zendesk_gateway::proto::DESCRIPTORS).expect("the contract's descriptors");
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let lists_others = |method: &MethodDescriptor| {
        let first = method.output().get_field(1);
        let row = first.filter(FieldDescriptor::is_list).and_then(|field| field.kind().as_message().cloned());
        method.input().get_field_by_name("page_size").is_some() && row.is_some_and(|row| !RECORDS.contains(&row.name()))
    };
    // The world has no identities, custom roles, user fields and organizations, and its users no tags, no time of change and no
    // entitlements. The removal of a picture bears no number by which it could be told from another one.
    let is_of_others = |method: &MethodDescriptor| {
        let service = method.parent_service().name().to_owned();
        let others = ["UserIdentityService", "CustomRoleService", "UserFieldService"];
        others.contains(&service.as_str())
            || ["OrganizationService", "OrganizationMembershipService"].contains(&service.as_str())
            || method.name().ends_with("UserTags")
            || ["StreamChangedUsers", "GetUserEntitlements", "RemoveUserPhoto"].contains(&method.name())
    };
    let rpcs: BTreeSet<String> = methods
        .filter(|method| !lists_others(method) && !is_of_others(method))
        .map(|method| method.name().to_owned())
        .collect();
    let called: BTreeSet<String> = mix::MIX.iter().map(|row| row.rpc.to_owned()).collect();
    let missing: Vec<_> = rpcs.symmetric_difference(&called).collect();
    assert!(missing.is_empty(), "tests/it/truth/mix.rs has no row for {missing:?}, or one too many");
}
