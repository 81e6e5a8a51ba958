//! The truth test.

mod book;
mod caller;
mod changes;
mod clock;
mod floors;
mod http;
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
mod to_users;
mod upstream;
mod views;
mod weather;
mod world;

use std::collections::BTreeSet;

use prost_reflect::DescriptorPool;

fn set(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_was_true_between_its_question_and_its_arrival() {
    let seed = set("TRUTH_SEED", 1);
    let calls = set("TRUTH_CALLS", 10_000).cast_signed();
    let truth = Box::pin(run::run(seed, calls)).await;
    let state = truth.lock();
    assert_eq!(state.tally.violations(), 0, "see above; TRUTH_SEED={seed} TRUTH_CALLS={calls}");
}

#[test]
fn every_rpc_of_the_contract_is_called() {
    let pool = DescriptorPool::decode(zendesk_gateway::proto::DESCRIPTORS).expect("the contract's descriptors");
    let rpcs: BTreeSet<String> = pool
        .services()
        .flat_map(|service| service.methods().map(|method| method.name().to_owned()).collect::<Vec<_>>())
        .collect();
    let called: BTreeSet<String> = mix::MIX.iter().map(|row| row.rpc.to_owned()).collect();
    assert_eq!(called, rpcs);
}
