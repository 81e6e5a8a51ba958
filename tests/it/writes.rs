//! Single writes: what is sent, what comes back, and what a lost answer means.

use std::time::Duration;

use prost_types::FieldMask;
use serde_json::{Value, json};
use tonic::Code;
use zendesk_gateway::config::Config;
use zendesk_gateway::proto::{
    CreateGroupRequest, CreateMembershipRequest, CreateOrUpdateUserRequest, CreateUserRequest, DeleteGroupRequest,
    DeleteMembershipRequest, DeleteUserRequest, Disposition, GetDeletedUserRequest, GetGroupRequest, GetUserRequest,
    GroupInput, GroupMembershipInput, LogoutUsersRequest, MergeUserRequest, PermanentlyDeleteUserRequest,
    RequestUserCreateRequest, SetDefaultMembershipRequest, UpdateGroupRequest, UpdateUserRequest,
    UploadUserPhotoRequest, UserInput, UserRole,
};
use zendesk_gateway::sandbox::faults::{Eof, Hang, Respond, any, post, put};

use crate::support::{Dynamic, Scripted, TestGateway, account, basic, refused, serve, settings, until};

fn named(name: &str) -> UserInput {
    UserInput { name: Some(name.to_owned()), ..Default::default() }
}

/// The body of the last request with this verb.
fn sent(t: &TestGateway, verb: &str) -> Value {
    let requests = t.sandbox.requests();
    let last = requests.iter().rev().find(|request| request.method == verb).expect("one was sent");
    serde_json::from_slice(&last.body).expect("JSON")
}

#[tokio::test]
#[ignore = "slow"]
async fn a_created_user_is_what_was_asked_and_reads_cost_nothing_after() {
    let t = TestGateway::start().await;
    let input = UserInput {
        email: Some("new@acme.example".to_owned()),
        role: Some(UserRole::EndUser.into()),
        tags: vec!["a".to_owned(), "b".to_owned()],
        skip_verify_email: Some(true),
        ..named("Nia New")
    };
    let created = t
        .users()
        .create_user(CreateUserRequest { user: Some(input), ..Default::default() })
        .await
        .expect("created")
        .into_inner();
    let user = created.user.expect("set");
    let body = json!({"user": {"name": "Nia New", "email": "new@acme.example", "role": "end-user", "tags": ["a", "b"],
                               "skip_verify_email": true}});
    assert_eq!(sent(&t, "POST"), body);
    assert_eq!((user.name.as_deref(), user.tags.len()), (Some("Nia New"), 2));
    let before = t.sandbox.total_hits();
    let read = t.users().get_user(GetUserRequest { id: user.id, ..Default::default() }).await.expect("it");
    assert_eq!(read.metadata().get("x-cache").expect("said"), "hit");
    assert_eq!(read.into_inner().user.expect("set"), user);
    assert_eq!(t.sandbox.total_hits(), before, "the answer of the write is the answer of the read");
}

#[tokio::test]
#[ignore = "slow"]
async fn an_upsert_says_whether_it_created_or_updated() {
    let t = TestGateway::start().await;
    let mut input = UserInput { external_id: Some("Ext-1".to_owned()), ..named("Una Upsert") };
    let call = async |input: &UserInput| {
        let request = CreateOrUpdateUserRequest { user: Some(input.clone()), update_mask: None, ..Default::default() };
        t.users().create_or_update_user(request).await.expect("done").into_inner()
    };
    let first = call(&input).await;
    assert_eq!(first.disposition(), Disposition::Created);
    input.external_id = Some("EXT-1".to_owned());
    input.notes = Some("again".to_owned());
    let second = call(&input).await;
    assert_eq!(second.disposition(), Disposition::Updated);
    let (first, second) = (first.user.expect("set"), second.user.expect("set"));
    assert_eq!((second.id, second.external_id.as_deref()), (first.id, Some("EXT-1")), "a match rewrites the case");
}

#[tokio::test]
#[ignore = "slow"]
async fn a_repeated_upsert_does_not_claim_to_know_which_it_was() {
    let t = TestGateway::start().await;
    t.sandbox.fault(post("/users/create_or_update"), Respond::with(503).after_applying());
    let input = UserInput { email: Some("lost@acme.example".to_owned()), ..named("Lou Lost") };
    let request = CreateOrUpdateUserRequest { user: Some(input), update_mask: None, ..Default::default() };
    let reply = t.users().create_or_update_user(request).await.expect("done").into_inner();
    assert_eq!(reply.disposition(), Disposition::Unspecified);
    assert_eq!(t.sandbox.hits("/users/create_or_update"), 2);
}

#[tokio::test]
#[ignore = "slow"]
async fn an_update_sends_its_mask_and_nothing_else() {
    let t = TestGateway::start().await;
    let id = t.sandbox.store().user_ids()[20];
    let input = UserInput { notes: Some("kept out".to_owned()), alias: Some("Ali".to_owned()), ..Default::default() };
    let paths = ["alias", "details", "tags", "user_fields.plan"].map(str::to_owned).to_vec();
    let request =
        UpdateUserRequest { id, user: Some(input), update_mask: Some(FieldMask { paths }), ..Default::default() };
    let updated = t.users().update_user(request).await.expect("updated").into_inner().user.expect("set");
    let body = json!({"user": {"alias": "Ali", "details": null, "tags": [], "user_fields": {"plan": null}}});
    assert_eq!(sent(&t, "PUT"), body);
    assert_eq!(updated.alias.as_deref(), Some("Ali"));
    let read = t
        .users()
        .get_user(GetUserRequest { id, ..Default::default() })
        .await
        .expect("it")
        .into_inner()
        .user
        .expect("set");
    assert_eq!(read, updated, "a read after the write sees the write");
}

#[tokio::test]
#[ignore = "slow"]
async fn reads_after_a_write_never_see_what_was_before() {
    let t = TestGateway::start().await;
    let id = t.sandbox.store().user_ids()[20];
    for round in 0..20 {
        t.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect("it");
        let alias = format!("alias {round}");
        let user = Some(UserInput { alias: Some(alias.clone()), ..Default::default() });
        t.users()
            .update_user(UpdateUserRequest { id, user, update_mask: None, ..Default::default() })
            .await
            .expect("updated");
        let read = t
            .users()
            .get_user(GetUserRequest { id, ..Default::default() })
            .await
            .expect("it")
            .into_inner()
            .user
            .expect("set");
        assert_eq!(read.alias, Some(alias));
        let page = t.users().list_users(zendesk_gateway::proto::ListUsersRequest::default()).await.expect("a page");
        let row = page.into_inner().users.into_iter().find(|user| user.id == id).expect("in the list");
        assert_eq!(row.alias, read.alias, "lists follow, too");
    }
}

#[tokio::test]
async fn an_attribute_that_zendesk_ignores_is_told_to_the_caller() {
    let t = TestGateway::start().await;
    let id = t.sandbox.store().user_ids()[20];
    let user = Some(UserInput { restricted_agent: Some(true), notes: Some("n".to_owned()), ..Default::default() });
    let warn = "{:allowed_parameters=>{}, :unpermitted_keys=>[\"user.restricted_agent\"], :invalid_values=>[]}";
    let body = json!({"user": {"id": id, "name": "x"}});
    t.sandbox.fault(put(&format!("/users/{id}")), Respond::with(200).json(body).header("x-zendesk-api-warn", warn));
    let reply = t
        .users()
        .update_user(UpdateUserRequest { id, user, update_mask: None, ..Default::default() })
        .await
        .expect("updated");
    assert_eq!(reply.metadata().get("x-zendesk-api-warn").expect("passed on"), warn);
}

#[tokio::test]
#[ignore = "slow"]
async fn a_photo_is_sent_as_a_form_and_checked_first() {
    let t = TestGateway::start().await;
    let id = t.sandbox.store().user_ids()[20];
    let png = b"\x89PNG\r\n\x1a\n and the rest of a picture".to_vec();
    let photo = |content: &[u8], kind: &str, name: &str| UploadUserPhotoRequest {
        id,
        content: content.to_vec().into(),
        content_type: kind.to_owned(),
        file_name: name.to_owned(),
    };
    let user = t.users().upload_user_photo(photo(&png, "image/png", "me.png")).await.expect("set").into_inner().user;
    let stored = user.expect("set").photo.expect("a photo");
    assert_eq!((stored.file_name.as_deref(), stored.content_type.as_deref()), (Some("me.png"), Some("image/png")));
    assert_eq!(stored.size, i64::try_from(png.len()).ok());
    for kind in ["image/PNG", "Image/Png"] {
        t.users().upload_user_photo(photo(&png, kind, "me.png")).await.expect("media types have no case");
    }
    let sent = t.sandbox.total_hits();
    for (request, field) in [
        (photo(&png, "image/svg+xml", "a.svg"), "content_type"),
        (photo(b"GIF89a", "image/png", "a.png"), "content"),
        (photo(b"", "image/png", "a.png"), "content"),
        (photo(&png, "image/png", "../a.png"), "file_name"),
        (photo(&png, "image/png", ""), "file_name"),
        (photo(&png, "image/png", "a\r\nb.png"), "file_name"),
    ] {
        let refused = refused(t.users().upload_user_photo(request).await);
        assert_eq!((refused.code, refused.fields.as_slice()), (Code::InvalidArgument, &[field.to_owned()][..]));
    }
    assert_eq!(t.sandbox.total_hits(), sent);
}

#[tokio::test]
#[ignore = "slow"]
async fn merge_delete_and_permanent_deletion_do_what_they_say() {
    let t = TestGateway::start().await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let input = UserInput { email: Some(format!("m{n}@acme.example")), ..named("M") };
        let reply = t
            .users()
            .create_user(CreateUserRequest { user: Some(input), ..Default::default() })
            .await
            .expect("created")
            .into_inner();
        ids.push(reply.user.expect("set").id);
    }
    let merged = t.users().merge_user(MergeUserRequest { id: ids[0], target_id: ids[1] }).await.expect("merged");
    assert_eq!(merged.into_inner().user.expect("set").id, ids[1], "who stays is returned");
    let deleted = t.users().delete_user(DeleteUserRequest { id: ids[2] }).await.expect("deleted").into_inner().user;
    let deleted = deleted.expect("set");
    assert_eq!((deleted.active, deleted.email), (Some(false), None));
    let shown = t.users().get_deleted_user(GetDeletedUserRequest { id: ids[2] }).await.expect("it").into_inner();
    assert_eq!(shown.deleted_user.expect("set").id, ids[2]);
    t.users().permanently_delete_user(PermanentlyDeleteUserRequest { id: ids[2] }).await.expect("gone for good");
    let again = t.users().permanently_delete_user(PermanentlyDeleteUserRequest { id: ids[2] }).await;
    assert_eq!(refused(again).code, Code::AlreadyExists, "Zendesk words a repetition as a duplicate");
}

#[tokio::test]
#[ignore = "slow"]
async fn logout_and_seat_requests_are_passed_on() {
    let t = TestGateway::start().await;
    let ids: Vec<i64> = t.sandbox.store().user_ids().into_iter().take(230).collect();
    t.users().logout_users(LogoutUsersRequest { ids }).await.expect("accepted");
    assert_eq!(t.sandbox.hits("/users/logout_many"), 3, "100 at a time");
    let user = Some(UserInput { email: Some("seat@acme.example".to_owned()), ..named("Sia Seat") });
    t.users().request_user_create(RequestUserCreateRequest { user }).await.expect("mailed");
    assert_eq!(t.sandbox.hits("/users/request_create"), 1);
}

#[tokio::test]
#[ignore = "slow"]
async fn groups_and_memberships_are_written_by_both_paths() {
    let t = TestGateway::start().await;
    let input = GroupInput { name: Some("Night shift".to_owned()), ..Default::default() };
    let group = t.groups().create_group(CreateGroupRequest { group: Some(input) }).await.expect("created").into_inner();
    let group = group.group.expect("set");
    let update = GroupInput { description: Some("from dusk".to_owned()), ..Default::default() };
    let request = UpdateGroupRequest { id: group.id, group: Some(update), update_mask: None };
    let updated = t.groups().update_group(request).await.expect("updated").into_inner().group.expect("set");
    assert_eq!((updated.name, updated.description.as_deref()), (group.name, Some("from dusk")));

    let held = t.held_memberships();
    let (one, two) = (held[0].user_id, held.iter().find(|row| row.user_id != held[0].user_id).expect("two").user_id);
    let membership = |user_id| Some(GroupMembershipInput { user_id, group_id: group.id, default: None });
    let plain = CreateMembershipRequest { group_membership: membership(one), under_user: false };
    let plain = t.memberships().create_membership(plain).await.expect("created").into_inner().group_membership;
    let under = CreateMembershipRequest { group_membership: membership(two), under_user: true };
    let under = t.memberships().create_membership(under).await.expect("created").into_inner().group_membership;
    assert_eq!(sent(&t, "POST"), json!({"group_membership": {"group_id": group.id}}), "the path names the user");
    let (plain, under) = (plain.expect("set"), under.expect("set"));
    assert_eq!((plain.user_id, under.user_id), (Some(one), Some(two)));

    let request = SetDefaultMembershipRequest { id: plain.id, user_id: one };
    let all = t.memberships().set_default_membership(request).await.expect("done").into_inner().group_memberships;
    assert!(all.iter().all(|row| row.user_id == Some(one) && row.default == Some(row.id == plain.id)), "{all:?}");
    let user = t
        .users()
        .get_user(GetUserRequest { id: one, ..Default::default() })
        .await
        .expect("it")
        .into_inner()
        .user
        .expect("set");
    assert_eq!(user.default_group_id, Some(group.id));

    t.memberships()
        .delete_membership(DeleteMembershipRequest { id: under.id, user_id: Some(two) })
        .await
        .expect("gone");
    t.memberships().delete_membership(DeleteMembershipRequest { id: plain.id, user_id: None }).await.expect("gone");
    assert!(t.held_memberships().iter().all(|row| row.group_id != group.id));
    t.groups().delete_group(DeleteGroupRequest { id: group.id }).await.expect("gone");
    let shown = t
        .groups()
        .get_group(GetGroupRequest { id: group.id, ..Default::default() })
        .await
        .expect("still shown")
        .into_inner();
    assert_eq!(shown.group.expect("set").deleted, Some(true));
}

#[tokio::test]
#[ignore = "slow"]
async fn a_duplicate_is_already_exists_with_the_field() {
    let t = TestGateway::start().await;
    let request = || CreateUserRequest {
        user: Some(UserInput { email: Some("Twice@acme.example".to_owned()), ..named("T") }),
        ..Default::default()
    };
    t.users().create_user(request()).await.expect("the first");
    let refused = refused(t.users().create_user(request()).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::AlreadyExists, "DUPLICATE_VALUE"));
    assert_eq!(refused.fields, ["email"]);
}

#[tokio::test]
#[ignore = "slow"]
async fn a_write_whose_answer_is_lost_says_so_and_is_repeated_only_if_declared_idempotent() {
    let t = TestGateway::start().await;
    for (fault, path) in [("eof", "/users"), ("503", "/groups"), ("500", "/group_memberships")] {
        match fault {
            "eof" => t.sandbox.fault(post(path), Eof::before_headers().after_applying()),
            "503" => t.sandbox.fault(post(path), Respond::with(503).after_applying()),
            _ => t.sandbox.fault(post(path), Respond::with(500).after_applying()),
        };
    }
    let held = &t.held_memberships()[0];
    let lost = [
        refused(t.users().create_user(CreateUserRequest { user: Some(named("L")), ..Default::default() }).await),
        refused(
            t.groups()
                .create_group(CreateGroupRequest {
                    group: Some(GroupInput { name: Some("L".into()), ..Default::default() }),
                })
                .await,
        ),
        refused(
            t.memberships()
                .create_membership(CreateMembershipRequest {
                    group_membership: Some(GroupMembershipInput {
                        user_id: held.user_id,
                        group_id: held.group_id,
                        default: None,
                    }),
                    under_user: false,
                })
                .await,
        ),
    ];
    for refused in lost {
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::Unavailable, "OUTCOME_UNKNOWN"),
            "{}",
            refused.message
        );
    }
    for path in ["/users", "/groups", "/group_memberships"] {
        let posts = t
            .sandbox
            .requests()
            .iter()
            .filter(|request| request.method == "POST" && request.path == format!("/api/v2{path}"))
            .count();
        assert_eq!(posts, 1, "an unsafe write is never repeated: {path}");
    }

    let id = t.sandbox.store().user_ids()[20];
    t.sandbox.fault(put(&format!("/users/{id}")), Respond::with(503).after_applying());
    let user = Some(UserInput { alias: Some("twice".to_owned()), ..Default::default() });
    t.users()
        .update_user(UpdateUserRequest { id, user, update_mask: None, ..Default::default() })
        .await
        .expect("an idempotent write is repeated");
    let user = Some(UserInput { email: Some("second@acme.example".to_owned()), ..Default::default() });
    t.sandbox.fault(put(&format!("/users/{id}")), Respond::with(503));
    let refused =
        refused(t.users().update_user(UpdateUserRequest { id, user, update_mask: None, ..Default::default() }).await);
    assert_eq!(refused.reason, "OUTCOME_UNKNOWN", "an address is added, so it is not added twice");
}

#[tokio::test]
#[ignore = "slow"]
async fn a_write_that_outlives_its_caller_runs_to_its_end() {
    // The deadline is the server's cap: a tonic client's own timer would answer before the gateway.
    let mut config = settings();
    config.server.unary_deadline = Duration::from_secs(2);
    let t = TestGateway::configured(account(), config).await;
    t.sandbox.fault(any("/users"), Hang::before_headers().after_applying());
    let request = CreateUserRequest { user: Some(named("Orla Orphan")), ..Default::default() };
    let refused = refused(t.users().create_user(request).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::DeadlineExceeded, "OUTCOME_UNKNOWN"));
    assert_eq!(t.sandbox.stats().cancelled, 0, "the request is not cut off");
    let done = || {
        let last = t.sandbox.store().user_ids().into_iter().rev().take(3);
        last.filter_map(|id| t.sandbox.store().user(id)).any(|user| user["name"] == "Orla Orphan")
    };
    until(done).await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_photo_is_removed_and_what_was_kept_of_the_user_is_void() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let id = t.sandbox.store().user_ids()[1];
    let of = json!({"id": id}).to_string();
    let has_photo = async || client.call("GetUser", &of).await.expect("a user")[0]["user"].get("photo").is_some();
    let photo = json!({"id": id, "content": "R0lGODlh", "content_type": "image/gif", "file_name": "a.gif"});
    client.call("UploadUserPhoto", &photo.to_string()).await.expect("set");
    assert!(has_photo().await);
    client.call("RemoveUserPhoto", &of).await.expect("removed");
    assert!(!has_photo().await);
    let sent = t.sandbox.requests().into_iter().rfind(|sent| sent.method == "PUT").expect("it was sent");
    let body: Value = serde_json::from_slice(&sent.body).expect("JSON");
    assert_eq!(body, json!({"user": {"photo": null}}));
    // One that is still there was not removed.
    let user = json!({"user": {"id": 7, "photo": {"id": 5, "content_url": "https://a.example/me.png"}}}).to_string();
    let upstream = Scripted::in_turn(&[&user]).await;
    let (_, channel, _running, _) = serve(&upstream.url, basic("a@b.example/token:t"), Config::default()).await;
    let seen = refused(Dynamic::new(channel).call("RemoveUserPhoto", r#"{"id": 7}"#).await);
    assert_eq!(seen.reason, "OUTCOME_UNKNOWN");
}
