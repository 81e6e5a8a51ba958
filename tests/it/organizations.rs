//! Organizations against the stand-in: what is read, how few requests that takes, and what a write to a user voids.

use serde_json::{Value, json};
use tonic::Code;

use crate::support::{Dynamic, TestGateway, refused};

async fn ask(client: &Dynamic, rpc: &str, request: Value) -> Value {
    let mut replies = client.call(rpc, &request.to_string()).await.unwrap_or_else(|status| panic!("{rpc}: {status:?}"));
    replies.remove(0)
}

fn ids(reply: &Value) -> Vec<i64> {
    let rows = reply["organizations"].as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| row["id"].as_i64().expect("an id")).collect()
}

#[tokio::test]
async fn organizations_are_shown_listed_streamed_found_and_counted() {
    let t = TestGateway::start().await;
    let (client, store) = (Dynamic::new(t.channel.clone()), t.sandbox.store());
    let held = store.organization_ids();
    let all = ask(&client, "ListOrganizations", json!({"sort": "-name"})).await;
    assert_eq!(all["organizations"].as_array().map(Vec::len), Some(held.len()));
    let parts = client.call("StreamOrganizations", r#"{"page_size": 3}"#).await.expect("a stream");
    assert_eq!(parts.iter().flat_map(ids).collect::<Vec<_>>(), held);
    assert_eq!(ask(&client, "CountOrganizations", json!({})).await["count"]["value"], held.len());

    let one = store.organization(held[0]).expect("it is there");
    t.sandbox.reset_stats();
    let shown = ask(&client, "GetOrganization", json!({"id": held[0]})).await["organization"].clone();
    assert_eq!(t.sandbox.total_hits(), 0, "the list has left it in the cache");
    for field in ["id", "url", "name", "shared_tickets", "shared_comments", "created_at", "updated_at"] {
        assert_eq!(shown[field], one[field], "{field}");
    }
    let with_external_id =
        held.iter().filter_map(|id| store.organization(*id)).find(|one| one["external_id"].is_string());
    let known = with_external_id.expect("some have one");
    let (id, name) = (known["id"].clone(), known["name"].as_str().expect("a name"));
    for filter in [
        json!({"name": name.to_uppercase()}),
        json!({"external_id": known["external_id"].as_str().expect("text").to_uppercase()}),
    ] {
        let found = ask(&client, "SearchOrganizations", json!({"filter": filter})).await;
        assert_eq!((json!(ids(&found)), &found["total_count"]), (json!([id]), &json!(1)), "{filter}");
    }
    let found = ask(&client, "SearchOrganizations", json!({"filter": {"name": &name[..5]}})).await;
    assert_eq!(ids(&found), [] as [i64; 0], "the whole name is compared");
    let found = ask(&client, "AutocompleteOrganizations", json!({"name": "ORG", "page_size": 2})).await;
    assert_eq!((ids(&found).len(), &found["total_count"]), (2, &json!(held.len())));
    let related = ask(&client, "GetOrganizationRelated", json!({"id": held[0]})).await;
    let users = ask(&client, "CountUsers", json!({"filter": {"organization_id": held[0]}})).await;
    assert_eq!(related["organization_related"]["users_count"], users["count"]["value"]);
    let seen = refused(client.call("GetOrganization", r#"{"id": 7}"#).await);
    assert_eq!((seen.code, seen.reason.as_str()), (Code::NotFound, "NOT_FOUND"));
}

#[tokio::test]
async fn many_organizations_come_in_the_order_asked_and_those_without_a_record_are_named() {
    let t = TestGateway::start().await;
    let (client, store) = (Dynamic::new(t.channel.clone()), t.sandbox.store());
    let held = store.organization_ids();
    let asked = [held[2], 42, held[0], held[2]];
    let many = ask(&client, "BatchGetOrganizations", json!({"ids": asked})).await;
    assert_eq!((ids(&many), &many["missing_ids"]), (vec![held[2], held[0]], &json!([42])));
    let hits = t.sandbox.total_hits();
    ask(&client, "GetOrganization", json!({"id": held[2]})).await;
    ask(&client, "BatchGetOrganizations", json!({"ids": [held[0], held[2]]})).await;
    assert_eq!(t.sandbox.total_hits(), hits, "each is cached as a read of its own");

    let rows = held.iter().filter_map(|id| store.organization(*id)).filter(|one| one["external_id"].is_string());
    let external_ids: Vec<String> =
        rows.map(|one| one["external_id"].as_str().expect("text").to_uppercase()).take(2).collect();
    let many =
        ask(&client, "BatchGetOrganizations", json!({"external_ids": [external_ids[1], "no", external_ids[0]]})).await;
    let told = many["organizations"].as_array().expect("rows");
    let told: Vec<String> = told.iter().map(|row| row["external_id"].as_str().expect("text").to_uppercase()).collect();
    assert_eq!(
        (told, &many["missing_external_ids"]),
        (vec![external_ids[1].clone(), external_ids[0].clone()], &json!(["no"]))
    );
}

#[tokio::test]
async fn reads_of_single_organizations_at_one_time_share_requests() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let held = t.sandbox.store().organization_ids();
    let reads = held.iter().map(|id| ask(&client, "GetOrganization", json!({"id": id})));
    let names = futures_util::future::join_all(reads).await;
    assert!(names.iter().all(|reply| reply["organization"]["name"].is_string()), "{names:?}");
    assert!(t.sandbox.total_hits() <= 3, "{} requests for {} organizations", t.sandbox.total_hits(), held.len());
}

#[tokio::test]
async fn a_users_organizations_follow_what_is_written_to_the_user() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let held = t.sandbox.store().organization_ids();
    let user = json!({"user": {"name": "A", "email": "a@x.example", "organization_id": held[0]}});
    let id = ask(&client, "CreateUser", user).await["user"]["id"].clone();
    let of_user = json!({"filter": {"user_id": id}});
    assert_eq!(ids(&ask(&client, "ListOrganizations", of_user.clone()).await), [held[0]]);
    assert_eq!(ask(&client, "CountOrganizations", of_user.clone()).await["count"]["value"], 1);
    ask(&client, "UpdateUser", json!({"id": id, "user": {"organization_id": held[1]}})).await;
    assert_eq!(ids(&ask(&client, "ListOrganizations", of_user).await), [held[1]]);
}

#[tokio::test]
async fn an_organization_is_written_and_what_was_kept_of_it_and_of_its_users_is_void() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let new = json!({"organization": {"name": "Acme", "external_id": "A1", "domain_names": ["acme.example"]}});
    let made = ask(&client, "CreateOrganization", new).await["organization"].clone();
    let id = made["id"].clone();
    let shown = async || ask(&client, "GetOrganization", json!({"id": id})).await["organization"].clone();
    let found = async || ids(&ask(&client, "SearchOrganizations", json!({"filter": {"name": "Acme"}})).await);
    let hits = t.sandbox.total_hits();
    assert_eq!((shown().await, t.sandbox.total_hits() - hits), (made, 0), "the answer is kept");
    assert_eq!(found().await, [id.as_i64().expect("an id")]);

    let change = json!({"id": id, "organization": {"notes": "n", "organization_fields": {"plan": "gold", "seats": 7}},
        "update_mask": "notes,domainNames,organizationFields.plan,organizationFields.gone"});
    ask(&client, "UpdateOrganization", change).await;
    let sent = t.sandbox.requests().into_iter().rfind(|sent| sent.method == "PUT").expect("it was sent");
    let body: Value = serde_json::from_slice(&sent.body).expect("JSON");
    let wanted = json!({"notes": "n", "domain_names": [], "organization_fields": {"plan": "gold", "gone": null}});
    assert_eq!(body["organization"], wanted);
    let now = shown().await;
    assert_eq!((&now["notes"], &now["domain_names"]), (&json!("n"), &json!(null)));

    let upsert = async |organization: Value| {
        ask(&client, "CreateOrUpdateOrganization", json!({"organization": organization})).await["disposition"].clone()
    };
    assert_eq!(upsert(json!({"external_id": "a1", "name": "Acme 2"})).await, "DISPOSITION_UPDATED");
    assert_eq!(upsert(json!({"external_id": "b1", "name": "Other"})).await, "DISPOSITION_CREATED");
    assert_eq!((shown().await["name"].clone(), found().await.len()), (json!("Acme 2"), 0));
    let taken = json!({"id": id, "organization": {"name": "OTHER"}}).to_string();
    let seen = refused(client.call("UpdateOrganization", &taken).await);
    assert_eq!((seen.code, seen.reason.as_str()), (Code::AlreadyExists, "DUPLICATE_VALUE"));

    let user = json!({"user": {"name": "A", "email": "a@x.example", "organization_id": id}});
    let user = ask(&client, "CreateUser", user).await["user"]["id"].clone();
    ask(&client, "DeleteOrganization", json!({"id": id})).await;
    assert_eq!(ask(&client, "GetUser", json!({"id": user})).await["user"]["organization_id"], json!(null));
    let seen = refused(client.call("GetOrganization", &json!({"id": id}).to_string()).await);
    assert_eq!(seen.reason, "NOT_FOUND");
}

#[tokio::test]
async fn an_organization_that_a_user_names_is_found_at_once() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let found = async || ids(&ask(&client, "SearchOrganizations", json!({"filter": {"name": "New & Co"}})).await);
    assert_eq!(found().await.len(), 0);
    ask(&client, "CreateUser", json!({"user": {"name": "A", "organization": {"name": "New & Co"}}})).await;
    assert_eq!(found().await.len(), 1);
}

#[tokio::test]
async fn tags_of_an_organization_are_added_set_and_removed() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let id = t.sandbox.store().organization_ids()[0];
    let with = |tags: Value| json!({"organization_id": id, "tags": tags});
    let shown = async || ask(&client, "GetOrganization", json!({"id": id})).await["organization"]["tags"].clone();
    shown().await;
    let set = ask(&client, "SetOrganizationTags", with(json!(["a", "VIP"]))).await;
    assert_eq!(set, json!({"tag_list": {"tags": ["a", "vip"]}, "changed": ["VIP"]}));
    assert_eq!(shown().await, json!(["a", "vip"]), "what was kept is void");
    let added = ask(&client, "AddOrganizationTags", with(json!(["b"]))).await;
    assert_eq!(added["tag_list"]["tags"], json!(["a", "b", "vip"]));
    let removed = ask(&client, "RemoveOrganizationTags", with(json!(["vip", "unknown"]))).await;
    assert_eq!(removed, json!({"tag_list": {"tags": ["a", "b"]}}));
    assert_eq!(
        ask(&client, "ListOrganizationTags", json!({"organization_id": id})).await["tag_list"]["tags"],
        json!(["a", "b"])
    );
}

fn results(reply: &Value) -> Vec<String> {
    let outcomes = reply["outcomes"].as_array().expect("outcomes").iter();
    outcomes.map(|outcome| outcome["result"].as_str().expect("a word").replace("BULK_RESULT_", "")).collect()
}

#[tokio::test]
#[ignore = "slow"]
async fn many_organizations_are_written_with_an_outcome_for_each_and_what_was_kept_is_void() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let held = t.sandbox.store().organization_ids();
    let taken = t.sandbox.store().organization(held[0]).expect("it is there")["name"].clone();
    let shown = async |id: &Value| ask(&client, "GetOrganization", json!({"id": id})).await["organization"].clone();
    let many =
        |count: usize| (0..count).map(|at| json!({"name": format!("New {at}"), "external_id": format!("n{at}")}));

    // More than one job takes; one of each has a name that is taken.
    let mut inputs: Vec<Value> = many(148).collect();
    inputs.insert(20, json!({"name": taken}));
    inputs.insert(120, json!({"name": taken, "notes": "n"}));
    inputs[120] = json!({"name": "Other", "group_id": 7});
    let reply = ask(&client, "BulkCreateOrganizations", json!({"organizations": inputs, "wait": true})).await;
    let failed: Vec<usize> = (0..150).filter(|at| results(&reply)[*at] == "FAILED").collect();
    assert_eq!((failed, results(&reply)[0].as_str()), (vec![20, 120], "CREATED"));
    let outcomes = reply["outcomes"].as_array().expect("outcomes");
    for at in [0, 19, 21, 149] {
        assert_eq!(shown(&outcomes[at]["id"]).await["name"], inputs[at]["name"], "{at}");
    }
    let (one, other) = (outcomes[0]["id"].clone(), outcomes[1]["id"].clone());

    let same = json!({"external_ids": ["n0", "gone", "N1"], "organization": {"notes": "same"}, "wait": true});
    let reply = ask(&client, "BulkUpdateOrganizations", same).await;
    assert_eq!(results(&reply), ["UPDATED", "FAILED", "UPDATED"], "{reply}");
    assert_eq!((&shown(&one).await["notes"], &shown(&other).await["notes"]), (&json!("same"), &json!("same")));
    let own = json!([{"id": one, "organization": {"name": "Renamed"}}, {"id": 7, "organization": {"notes": "n"}},
        {"id": other, "organization": {"details": "d"}, "update_mask": "details,notes"}]);
    let reply = ask(&client, "BulkUpdateOrganizations", json!({"organizations": own, "wait": true})).await;
    assert_eq!(results(&reply), ["UPDATED", "FAILED", "UPDATED"], "{reply}");
    let other_now = shown(&other).await;
    assert_eq!(shown(&one).await["name"], "Renamed");
    assert_eq!((&other_now["details"], &other_now["notes"]), (&json!("d"), &json!(null)), "the mask clears");

    let user = json!({"user": {"name": "A", "email": "a@x.example", "organization_id": one}});
    let user = ask(&client, "CreateUser", user).await["user"]["id"].clone();
    let of_user = async || {
        let organization = ask(&client, "GetUser", json!({"id": user})).await["user"]["organization_id"].clone();
        let memberships = ask(&client, "ListOrganizationMemberships", json!({"filter": {"user_id": user}})).await;
        (organization, memberships["organization_memberships"].as_array().map_or(0, Vec::len))
    };
    assert_eq!(of_user().await, (one.clone(), 1));
    let reply = ask(&client, "BulkDeleteOrganizations", json!({"ids": [one, 7, other], "wait": true})).await;
    assert_eq!(results(&reply), ["DELETED", "FAILED", "DELETED"], "{reply}");
    assert_eq!(of_user().await, (json!(null), 0), "the user is told without it");
    let gone = refused(client.call("GetOrganization", &json!({"id": one}).to_string()).await);
    assert_eq!(gone.reason, "NOT_FOUND");
    let left = ask(&client, "CountOrganizations", json!({})).await["count"]["value"].as_i64();
    assert_eq!(left, i64::try_from(held.len() + 148 - 2).ok());
}

#[tokio::test]
async fn many_organizations_are_written_as_a_stream() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let count =
        async || ask(&client, "CountOrganizations", json!({})).await["count"]["value"].as_i64().expect("a count");
    let told = async |rpc: &str, request: Value| {
        let events = client.call(rpc, &request.to_string()).await.expect("a stream");
        json!(events).to_string()
    };
    let before = count().await;
    let inputs: Vec<Value> =
        (0..120).map(|at| json!({"name": format!("New {at}"), "external_id": format!("n{at}")})).collect();
    let created = told("StreamBulkCreateOrganizations", json!({"organizations": inputs})).await;
    assert_eq!((created.matches("BULK_RESULT_CREATED").count(), count().await), (120, before + 120));
    let change = json!({"external_ids": ["n1", "gone"], "organization": {"notes": "n"}});
    let updated = told("StreamBulkUpdateOrganizations", change).await;
    assert!(updated.contains("BULK_RESULT_UPDATED") && updated.contains("BULK_RESULT_FAILED"), "{updated}");
    let deleted = told("StreamBulkDeleteOrganizations", json!({"external_ids": ["n1", "n2"]})).await;
    assert_eq!((deleted.matches("BULK_RESULT_DELETED").count(), count().await), (2, before + 118), "{deleted}");
}
