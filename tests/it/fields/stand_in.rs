//! What the stand-in writes of each record, against what the gateway hands on. It has its fields from the vendor's reference and
//! knows nothing of the contract, so a field that is named otherwise in one of the two stands out.

use serde_json::Value;
use zendesk_gateway::contract::{RPCS, Rpc};

use super::assert_survived;
use crate::support::{Dynamic, TestGateway};

#[tokio::test]
#[ignore = "slow"]
async fn every_field_that_the_stand_in_writes_survives() {
    let t = TestGateway::start().await;
    let (client, known) = (Dynamic::new(t.channel.clone()), t.sandbox.config().credential.clone());
    let mut compared = Vec::new();
    // What is one object among the results of a job is a list of one in the reply.
    let is_alike = |rpc: &&Rpc| rpc.method.starts_with("List") && rpc.method != "ListJobs";
    for rpc in RPCS.iter().filter(is_alike).filter(|rpc| !rpc.endpoints[0].path.contains('{')) {
        let url = t.sandbox.base_url().join(rpc.endpoints[0].path).expect("a URL");
        let request =
            reqwest::Client::new().get(url).basic_auth(format!("{}/token", known.email), Some(&known.api_token));
        let source = request.send().await.expect("an answer").text().await.expect("a body");
        let source: Value = serde_json::from_str(&source).expect("JSON");
        let rows = client.method(rpc.method).output().get_field(1).expect("rows").name().to_owned();
        let reply = client.call(rpc.method, "{}").await.expect("answered").remove(0);
        for (at, row) in source[&rows].as_array().expect("rows").iter().enumerate().take(10) {
            assert_survived(row, &reply[&rows][at], &format!("{}: {rows}[{at}]", rpc.method));
            compared.push(rpc.method);
        }
    }
    compared.dedup();
    assert!(compared.contains(&"ListUserFields") && compared.len() > 6, "{compared:?}");
}
