//! Single records, their keys and their absence.

use super::*;

#[tokio::test]
async fn a_user_has_the_recorded_keys_in_the_recorded_order() {
    let t = probe(Config::default()).await;
    let id = t.sandbox.store().user_ids()[0];
    let text = t.get_of("/users/{}", id).await.text;
    let mut from = 0;
    for key in "id,url,name,email,created_at,updated_at,time_zone,iana_time_zone,phone,\
        shared_phone_number,photo,locale_id,locale,organization_id,role,verified,external_id,tags,\
        alias,active,shared,shared_agent,last_login_at,two_factor_auth_enabled,signature,details,\
        notes,role_type,custom_role_id,moderator,ticket_restriction,only_private_comments,\
        restricted_agent,suspended,default_group_id,report_csv,user_fields"
        .split(',')
    {
        let at = text[from..].find(&format!("\"{key}\":"));
        from += at.unwrap_or_else(|| panic!("{key} is missing or out of order in {text}"));
    }
    let url = format!("\"url\":\"{}/api/v2/users/{id}.json\"", t.origin());
    assert!(text.contains(&url), "{text}");
}

#[tokio::test]
async fn groups_and_memberships_have_the_recorded_keys() {
    let t = probe(Config::default()).await;
    let group = t.sandbox.store().default_group_id();
    let text = t.get_of("/groups/{}", group).await.text;
    let start = format!(
        "{{\"group\":{{\"url\":\"{}/api/v2/groups/{group}.json\",\
         \"id\":{group},\"is_public\":true,\"name\":\"Support\",\"description\":\"\",\
         \"default\":true,\"deleted\":false,\"created_at\":\"",
        t.origin()
    );
    assert!(text.starts_with(&start), "{text}");
    let place = t.sandbox.store().memberships()[0].clone();
    let shown = t.get_of("/group_memberships/{}", &place["id"]).await.json();
    assert_eq!(shown["group_membership"], place);
    let nested = format!("/users/{}/group_memberships/{}", place["user_id"], place["id"]);
    assert_eq!(t.get(&nested).await.json()["group_membership"], place);
    let stranger = t.sandbox.store().user_ids()[20];
    let wrong = format!("/users/{stranger}/group_memberships/{}", place["id"]);
    assert_eq!(t.get(&wrong).await.status, 404);
}

#[tokio::test]
async fn paths_work_with_and_without_suffix_and_count_as_one() {
    let t = probe(Config::default()).await;
    let id = t.sandbox.store().user_ids()[0];
    let plain = t.get_of("/users/{}", id).await.text;
    assert_eq!(plain, t.get_of("/users/{}.json", id).await.text);
    assert_eq!(t.sandbox.hits(&format!("/users/{id}")), 2);
    let sent: Vec<String> = t.sandbox.requests().into_iter().map(|r| r.path).collect();
    assert_eq!(sent, [format!("/api/v2/users/{id}"), format!("/api/v2/users/{id}.json")]);
}

#[tokio::test]
async fn absent_records_and_endpoints_are_told_apart() {
    let t = probe(Config::default()).await;
    let missing = r#"{"error":"RecordNotFound","description":"Not found"}"#;
    for path in [
        "/users/9223372036854775807",
        "/users/99999999999999999999",
        "/groups/1",
        "/group_memberships/1",
        "/deleted_users/1",
        "/job_statuses/V3-none",
    ] {
        let answer = t.get(path).await;
        assert_eq!((answer.status, answer.text.as_str()), (404, missing), "{path}");
    }
    let answer = t.get("/unicorns").await;
    let text = r#"{"error":"InvalidEndpoint","description":"Not found"}"#;
    assert_eq!((answer.status, answer.text.as_str()), (404, text));
}

#[tokio::test]
async fn an_id_that_is_no_integer_is_refused_in_pretty_print() {
    let t = probe(Config::default()).await;
    let answer = t.get("/users/seven").await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.text,
        "{\n  \"error\": {\n    \"title\": \"Invalid attribute\",\n    \"message\": \
         \"You passed an invalid value for the id attribute. must be an integer\"\n  }\n}\n"
    );
}

#[tokio::test]
async fn show_many_answers_by_id_and_leaves_strangers_out() {
    let t = probe(Config::default()).await;
    let ids = t.sandbox.store().user_ids();
    let path = format!("/users/show_many?ids={},1,{},{}", ids[9], ids[4], ids[9]);
    let page = t.get(&path).await;
    assert_eq!(page.ids("users"), [ids[4], ids[9]]);
    let json = page.json();
    assert_eq!(json["count"], 2);
    assert_eq!((&json["next_page"], &json["previous_page"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn show_many_knows_external_ids_and_deleted_users_on_request() {
    let t = probe(Config::default()).await;
    let store = t.sandbox.store();
    let id = store.insert_raw_user(r#"{"id":70,"name":"A","external_id":"Crm 1"}"#);
    let page = t.get("/users/show_many?external_ids=crm%201,nobody").await;
    assert_eq!(page.ids("users"), [id]);
    let gone = store.insert_raw_user(r#"{"id":71,"name":"B","active":false}"#);
    let path = format!("/users/show_many?ids={gone}");
    assert_eq!(t.get(&path).await.ids("users"), Vec::<i64>::new());
    assert_eq!(t.get(&format!("{path}&include_deleted=true")).await.ids("users"), [gone]);
}

#[tokio::test]
async fn show_many_takes_100_ids_and_no_more() {
    let t = probe(Config::default()).await;
    let ids = |count: usize| vec!["1"; count].join(",");
    assert_eq!(t.get_of("/users/show_many?ids={}", ids(100)).await.status, 200);
    let refused = t.get_of("/users/show_many?ids={}", ids(101)).await;
    assert_eq!((refused.status, &refused.json()["error"]), (400, &"TooManyValues".into()));
}

#[tokio::test]
async fn deleted_users_are_listed_with_nulls_once_erased() {
    let t = probe(Config::default()).await;
    let page = t.get("/deleted_users?page[size]=100").await;
    assert_eq!(page.ids("deleted_users"), t.sandbox.store().deleted_user_ids());
    let json = page.json();
    let rows = json["deleted_users"].as_array().expect("rows");
    let erased: Vec<&Value> = rows.iter().filter(|user| user["name"] == "Permanently Deleted User").collect();
    assert!(!erased.is_empty() && erased.len() < rows.len());
    assert!(erased.iter().all(|user| user["email"].is_null() && user["phone"].is_null()));
    let shown = t.get_of("/deleted_users/{}", &erased[0]["id"]).await;
    assert_eq!(shown.status, 404, "erased users are listed, not shown");
    let soft = rows.iter().find(|user| user["name"] != "Permanently Deleted User");
    let soft = soft.expect("a user that is not erased");
    let shown = t.get_of("/deleted_users/{}", &soft["id"]).await;
    assert_eq!(shown.json()["deleted_user"], *soft);
    let user = t.get_of("/users/{}", &soft["id"]).await.json();
    assert_eq!(user["user"]["active"], false);
    let steps = t.get_of("/users/{}/compliance_deletion_statuses", &erased[0]["id"]).await;
    assert_eq!(steps.json()["compliance_deletion_statuses"].as_array().map(Vec::len), Some(4));
    let path = "/users/{}/compliance_deletion_statuses?application=chat";
    let chat = t.get_of(path, &erased[0]["id"]).await.json();
    assert_eq!(chat["compliance_deletion_statuses"][0]["action"], "started");
}

#[tokio::test]
async fn job_statuses_show_every_state_and_shape() {
    let t = probe(Config::default()).await;
    let jobs = t.get("/job_statuses").await.json();
    let jobs = jobs["job_statuses"].as_array().expect("jobs").clone();
    for state in ["queued", "working", "completed", "failed", "killed"] {
        assert!(jobs.iter().any(|job| job["status"] == state), "{state}");
    }
    assert!(jobs.iter().any(|job| job["results"].is_array()));
    assert!(jobs.iter().any(|job| job["results"]["success"] == true && job["total"].is_null()));
    let id = jobs[0]["id"].as_str().expect("an id");
    assert!(id.starts_with("V3-") && id.len() == 35, "{id}");
    let shown = t.get_of("/job_statuses/{}", id).await.json();
    assert_eq!(shown["job_status"], jobs[0]);
    let many = t.get(&format!("/job_statuses/show_many?ids={id},V3-none")).await.json();
    assert_eq!(many["job_statuses"], serde_json::json!([jobs[0]]));
}

#[tokio::test]
async fn an_odd_record_is_served_as_it_was_given() {
    let t = probe(Config::default()).await;
    let odd = r#"{"id":42,"name":null, "tags":"x","future":{"a":[1.50]},"created_at":7}"#;
    let id = t.sandbox.store().insert_raw_user(odd);
    assert_eq!(t.get_of("/users/{}", id).await.text, format!("{{\"user\":{odd}}}"));
    assert_eq!(t.get("/users?page[size]=1").await.ids("users"), [42]);
}

#[tokio::test]
async fn related_numbers_are_there_for_living_users_only() {
    let t = probe(Config::default()).await;
    let related = t.get_of("/users/{}/related", t.sandbox.store().user_ids()[0]).await.json();
    assert!(related["user_related"]["assigned_tickets"].is_i64());
    let gone = t.sandbox.store().deleted_user_ids()[0];
    assert_eq!(t.get_of("/users/{}/related", gone).await.status, 404);
}
