//! A user's primary address, said as a whole: which steps are taken, what is told of those that fail, and who may come in between.

use serde_json::{Value, json};
use tonic::Code;
use zendesk_gateway::sandbox::faults::{Hang, Reset, Respond, any, get, post};

use crate::support::{Dynamic, TestGateway, refused, until};

struct Change {
    t: TestGateway,
    client: Dynamic,
    user: i64,
    /// The address that the user has at first.
    old: String,
}

impl Change {
    async fn start() -> Self {
        let t = TestGateway::start().await;
        let store = t.sandbox.store();
        let is_end_user = |id: &i64| {
            let user = store.user(*id).expect("it is there");
            user["role"] == "end-user" && user["email"].is_string() && user["shared"] == false
        };
        let user = store.user_ids().into_iter().find(is_end_user).expect("there are end users");
        let old = store.user(user).expect("it is there")["email"].as_str().expect("an address").to_owned();
        let client = Dynamic::new(t.channel.clone());
        Self { t, client, user, old }
    }

    async fn to(&self, email: &str, more: Value) -> Result<Value, tonic::Status> {
        let mut request = json!({"user_id": self.user, "email": email});
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        Ok(self.client.call("ChangeUserEmail", &request.to_string()).await?.remove(0))
    }

    /// The writes since the last look, by verb and the end of the path.
    fn writes(&self) -> Vec<String> {
        let requests = self.t.sandbox.requests();
        self.t.sandbox.reset_stats();
        let writes = requests.iter().filter(|sent| sent.method != "GET");
        writes.map(|sent| format!("{} {}", sent.method, sent.path.rsplit('/').next().unwrap_or_default())).collect()
    }

    fn primary(&self) -> Value {
        self.t.sandbox.store().user(self.user).expect("it is there")["email"].clone()
    }

    async fn addresses(&self) -> Vec<String> {
        let request = json!({"user_id": self.user, "filter": {"types": ["IDENTITY_TYPE_EMAIL"]}}).to_string();
        let reply = self.client.call_with("ListUserIdentities", &request, &[("cache-control", "no-cache")]).await;
        let rows = reply.expect("a list")[0]["identities"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| row["value"].as_str().expect("an address").to_owned()).collect()
    }
}

fn steps(reply: &Value) -> Value {
    reply["plan"]["steps"].clone()
}

fn failures(reply: &Value) -> Vec<String> {
    let rows = reply["failures"].as_array().cloned().unwrap_or_default();
    let word = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    rows.iter().map(|row| format!("{} {}", word(row, "step"), word(row, "result"))).collect()
}

const REMOVE: &str = "OLD_EMAIL_REMOVE";

#[tokio::test]
async fn an_address_takes_the_place_of_the_old_one_and_the_same_call_again_writes_nothing() {
    let change = Change::start().await;
    let wanted = json!({"verified": true, "old": REMOVE, "old_email": change.old});
    let mut dry = wanted.clone();
    dry["validate_only"] = json!(true);
    let plan = change.to("new@x.example", dry).await.expect("a plan");
    let all = json!(["EMAIL_STEP_ADD", "EMAIL_STEP_VERIFY", "EMAIL_STEP_MAKE_PRIMARY", "EMAIL_STEP_REMOVE_OLD"]);
    assert_eq!((steps(&plan), change.writes()), (all.clone(), vec![]));
    assert!(plan["plan"]["old_identity_id"].is_i64() && plan["plan"]["identity_id"].is_null(), "{plan}");

    let reply = change.to("new@x.example", wanted.clone()).await.expect("changed");
    assert_eq!((steps(&reply), failures(&reply)), (all, vec![]));
    let writes = change.writes();
    assert_eq!(writes.len(), 3, "{writes:?}");
    assert_eq!((writes[0].as_str(), writes[1].as_str()), ("POST identities", "PUT make_primary"));
    assert!(writes[2].starts_with("DELETE"), "{writes:?}");
    assert_eq!(
        (change.primary(), change.addresses().await),
        (json!("new@x.example"), vec!["new@x.example".to_owned()])
    );
    let rows = reply["identities"].as_array().expect("addresses");
    assert_eq!(rows.len(), 1, "{reply}");
    assert_eq!(
        (&rows[0]["value"], &rows[0]["primary"], &rows[0]["verified"]),
        (&json!("new@x.example"), &json!(true), &json!(true))
    );

    change.writes();
    for address in ["new@x.example", " NEW@x.Example "] {
        let again = change.to(address, wanted.clone()).await.expect("nothing to do");
        assert_eq!((steps(&again), change.writes()), (Value::Null, vec![]), "{address}");
    }
}

#[tokio::test]
async fn only_the_missing_steps_are_taken_and_the_old_address_stays_unless_it_is_to_go() {
    let change = Change::start().await;
    change.to("new@x.example", json!({})).await.expect("changed");
    assert_eq!(change.writes(), ["POST identities", "PUT make_primary"]);
    assert_eq!(change.addresses().await.len(), 2, "the old one is kept");
    change.to("New@X.example", json!({"verified": true})).await.expect("verified");
    assert_eq!(change.writes(), ["PUT verify"]);
    let back = change.to(&change.old, json!({"old": REMOVE})).await.expect("changed back");
    assert_eq!(steps(&back), json!(["EMAIL_STEP_MAKE_PRIMARY", "EMAIL_STEP_REMOVE_OLD"]));
    assert_eq!((change.primary(), change.addresses().await), (json!(change.old), vec![change.old.clone()]));
}

#[tokio::test]
async fn the_address_of_another_user_is_refused_and_nothing_has_changed() {
    let change = Change::start().await;
    let store = change.t.sandbox.store();
    let other = store
        .user_ids()
        .into_iter()
        .filter(|id| *id != change.user)
        .find_map(|id| store.user(id)?["email"].as_str().map(str::to_owned));
    let other = other.expect("others have addresses").to_uppercase();
    let refused = refused(change.to(&other, json!({"old": REMOVE})).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::AlreadyExists, "DUPLICATE_VALUE"));
    assert_eq!(refused.fields.len(), 1, "{:?}", refused.fields);
    assert_eq!((change.primary(), change.writes()), (json!(change.old), vec!["POST identities".to_owned()]));
}

#[tokio::test]
async fn an_address_that_another_client_has_just_given_this_user_is_no_failure() {
    let change = Change::start().await;
    // The address is there when Zendesk refuses to add it.
    let taken = json!({"error": "RecordInvalid", "description": "Record validation errors",
        "details": {"value": [{"description": "Email: is taken", "error": "DuplicateValue"}]}});
    change.t.sandbox.fault(post("/users/{id}/identities"), Respond::with(422).json(taken).once().after_applying());
    let reply = change.to("new@x.example", json!({"verified": true, "old": REMOVE})).await.expect("changed");
    assert_eq!((failures(&reply), change.primary()), (vec![], json!("new@x.example")));
    assert_eq!(change.addresses().await, ["new@x.example"]);
}

#[tokio::test]
async fn a_step_that_is_refused_ends_the_change_and_is_told() {
    let change = Change::start().await;
    change.t.sandbox.fault(any("/users/{id}/identities/{id}/make_primary"), Respond::with(422).forever());
    let reply = change.to("new@x.example", json!({"old": REMOVE})).await.expect("something was written");
    assert_eq!(
        failures(&reply),
        ["EMAIL_STEP_MAKE_PRIMARY BULK_RESULT_FAILED", "EMAIL_STEP_REMOVE_OLD BULK_RESULT_NOT_SENT"]
    );
    assert_eq!(reply["identities"].as_array().map(Vec::len), Some(2), "{reply}");
    assert_eq!(change.primary(), json!(change.old));
    // Before anything is written, the call itself fails.
    let refused = refused(change.to("new@x.example", json!({})).await);
    assert_eq!(refused.reason, "RECORD_INVALID");
}

#[tokio::test]
#[ignore = "slow"]
async fn what_is_known_after_a_lost_answer_is_told() {
    let lost = || Reset::before_headers().forever().after_applying();
    let wanted = json!({"old": REMOVE});

    let change = Change::start().await;
    change.t.sandbox.fault(post("/users/{id}/identities"), lost());
    let seen = refused(change.to("new@x.example", wanted.clone()).await);
    assert_eq!(seen.reason, "OUTCOME_UNKNOWN", "nothing is known to be written");
    // It was written: the next call goes on from there.
    let dry = json!({"old": REMOVE, "validate_only": true});
    let plan = change.to("new@x.example", dry.clone()).await.expect("a plan");
    assert_eq!(steps(&plan), json!(["EMAIL_STEP_MAKE_PRIMARY", "EMAIL_STEP_REMOVE_OLD"]));

    let change = Change::start().await;
    change.t.sandbox.fault(any("/users/{id}/identities/{id}/make_primary"), lost());
    let reply = change.to("new@x.example", wanted.clone()).await.expect("something was written");
    assert_eq!(
        failures(&reply),
        ["EMAIL_STEP_REMOVE_OLD BULK_RESULT_NOT_SENT"],
        "the look after it has found it primary"
    );
    assert_eq!(change.primary(), json!("new@x.example"));

    let change = Change::start().await;
    change.t.sandbox.fault(any("/users/{id}/identities/{id}/verify"), lost());
    change.to("new@x.example", json!({})).await.expect("changed");
    let seen = refused(change.to("new@x.example", json!({"verified": true})).await);
    assert_eq!(seen.reason, "OUTCOME_UNKNOWN");
    let mut dry = dry;
    dry["verified"] = json!(true);
    let plan = change.to("new@x.example", dry).await.expect("a plan");
    assert_eq!(steps(&plan), Value::Null, "it was verified, and the old address is no longer the primary one");

    let change = Change::start().await;
    change.t.sandbox.fault(zendesk_gateway::sandbox::faults::delete("/users/{id}/identities/{id}"), lost());
    let reply = change.to("new@x.example", wanted).await.expect("something was written");
    assert_eq!((failures(&reply), change.addresses().await), (vec![], vec!["new@x.example".to_owned()]));
}

#[tokio::test]
#[ignore = "slow"]
async fn addresses_that_cannot_be_read_are_not_acted_on() {
    let row = |odd: Value| {
        let mut row =
            json!({"id": 7, "user_id": 1, "type": "email", "value": "a@x.example", "primary": true, "verified": true});
        row.as_object_mut().expect("a row").extend(odd.as_object().expect("an object").clone());
        row
    };
    for odd in [
        json!({"primary": "perhaps"}),
        json!({"primary": null}),
        json!({"value": null}),
        json!({"value": {}}),
        json!({"verified": []}),
        json!({"type": "carrier_pigeon"}),
        json!({"id": null}),
    ] {
        let change = Change::start().await;
        let mut row = row(odd.clone());
        row["user_id"] = json!(change.user);
        let page = json!({"identities": [row], "meta": {"has_more": false}});
        change.t.sandbox.fault(get("/users/{id}/identities"), Respond::with(200).json(page).forever());
        let seen = refused(change.to("new@x.example", json!({"old": REMOVE})).await);
        assert_eq!((seen.reason.as_str(), change.writes()), ("UPSTREAM_MALFORMED", vec![]), "{odd}");
        change.t.stop().await;
    }
}

/// The answer to Make Identity Primary, where another client has changed the address with this index meanwhile.
async fn changed_meanwhile(change: &Change, email: &str, changed: usize) -> Value {
    change.to(email, json!({})).await.expect("added");
    let back = change.to(&change.old, json!({})).await.expect("changed back");
    let mut rows = back["identities"].as_array().expect("addresses").clone();
    for (index, row) in rows.iter_mut().enumerate() {
        row["type"] = json!("email");
        row["primary"] = json!(index == 1);
        if index == changed {
            row["value"] = json!("other@x.example");
        }
    }
    change.writes();
    json!({"identities": rows, "meta": {"has_more": false}})
}

#[tokio::test]
async fn an_identity_that_another_client_changes_in_between_is_left_alone() {
    let primary = || any("/users/{id}/identities/{id}/make_primary");
    // The old one is another one now: it has gone from the user, and what is there in its place stays.
    let change = Change::start().await;
    let answer = changed_meanwhile(&change, "new@x.example", 0).await;
    change.t.sandbox.fault(primary(), Respond::with(200).json(answer).once());
    let reply = change.to("new@x.example", json!({"old": REMOVE})).await.expect("changed");
    assert_eq!(steps(&reply), json!(["EMAIL_STEP_MAKE_PRIMARY", "EMAIL_STEP_REMOVE_OLD"]));
    assert_eq!((failures(&reply), change.writes()), (vec![], vec!["PUT make_primary".to_owned()]));
    // An answer that leaves the old one out does not say that it is gone.
    let change = Change::start().await;
    let mut answer = changed_meanwhile(&change, "new@x.example", 2).await;
    answer["identities"].as_array_mut().expect("rows").remove(0);
    change.t.sandbox.fault(primary(), Respond::with(200).json(answer).once().after_applying());
    change.to("new@x.example", json!({"old": REMOVE})).await.expect("changed");
    assert_eq!(change.addresses().await, ["new@x.example"]);
    // What was to be the primary one is another one now, and the old one stays.
    let change = Change::start().await;
    let answer = changed_meanwhile(&change, "new@x.example", 1).await;
    change.t.sandbox.fault(primary(), Respond::with(200).json(answer).once());
    let reply = change.to("new@x.example", json!({"old": REMOVE})).await.expect("something was written");
    assert_eq!(
        failures(&reply),
        ["EMAIL_STEP_MAKE_PRIMARY BULK_RESULT_UNKNOWN", "EMAIL_STEP_REMOVE_OLD BULK_RESULT_NOT_SENT"]
    );
    assert_eq!(change.writes(), ["PUT make_primary"]);
}

#[tokio::test]
async fn calls_that_choose_the_primary_identity_of_one_user_take_turns() {
    let change = Change::start().await;
    let with = |address: &str, primary: bool| {
        let identity = json!({"type": "IDENTITY_TYPE_EMAIL", "value": address, "primary": primary});
        json!({"user_id": change.user, "identity": identity})
    };
    let ask = async |rpc, request: &Value| {
        let reply = change.client.call_with(rpc, &request.to_string(), &[("grpc-timeout", "500m")]).await;
        reply.map(|mut reply| reply.remove(0))
    };
    let added = ask("CreateUserIdentity", &with("two@x.example", false)).await.expect("added");
    let it = json!({"user_id": change.user, "id": added["identity"]["id"]});
    change.writes();
    change.t.sandbox.fault(get("/users/{id}/identities"), Hang::before_headers().forever());
    let others = async {
        until(|| change.t.sandbox.total_hits() > 0).await;
        for (rpc, request) in [("CreateUserIdentity", &with("three@x.example", true)), ("MakeUserIdentityPrimary", &it)]
        {
            let seen = refused(ask(rpc, request).await);
            assert_eq!((seen.code, seen.reason.as_str()), (Code::Aborted, "CONFLICT"), "{rpc}");
        }
        ask("VerifyUserIdentity", &it).await.expect("it chooses nothing");
    };
    tokio::select! {
        _ = change.to("new@x.example", json!({})) => panic!("it hangs"),
        () = others => {}
    }
    assert_eq!(change.writes(), ["PUT verify"], "and those that missed their turn have sent nothing");
}

#[tokio::test]
async fn two_changes_at_once_leave_the_address_of_one_of_them() {
    let change = Change::start().await;
    let wanted = json!({"verified": true, "old": REMOVE});
    let (one, two) = tokio::join!(change.to("one@x.example", wanted.clone()), change.to("two@x.example", wanted));
    assert!(failures(&one.expect("changed")).is_empty() && failures(&two.expect("changed")).is_empty());
    let left = change.addresses().await;
    assert!(left == ["one@x.example"] || left == ["two@x.example"], "{left:?}");
    assert_eq!(change.primary(), json!(left[0]));
}
