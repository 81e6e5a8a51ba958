//! Pages and streams against what the stand-in holds.

use std::collections::HashSet;

use zendesk_gateway::cache::tag;
use zendesk_gateway::proto::{
    AutocompleteUsersRequest, ListAssignableGroupsRequest, ListAssignableMembershipsRequest, ListGroupsRequest,
    ListMembershipsRequest, ListUsersRequest, MembershipFilter, SearchUsersRequest, StreamGroupsRequest,
    StreamJobsRequest, StreamMembershipsRequest, StreamSearchUsersRequest, StreamUserFieldOptionsRequest,
    StreamUsersRequest, StreamUsersResponse, UserFilter, UserRole, UserSearchFilter, membership_filter::Scope,
};
use zendesk_gateway::rest::{List, Style};
use zendesk_gateway::sandbox;

use crate::support::{Dynamic, TestGateway, account};

#[tokio::test]
async fn pages_follow_each_other_until_the_list_ends() {
    let t = TestGateway::start().await;
    let (mut seen, mut page_token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let request = ListUsersRequest { page_size: 70, page_token, ..Default::default() };
        let page = t.users().list_users(request).await.expect("a page").into_inner();
        seen.extend(page.users.iter().map(|user| user.id));
        pages += 1;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, t.sandbox.store().user_ids());
    assert_eq!((pages, t.sandbox.hits("/users")), (4, 4), "250 users are four pages of 70, and no empty fifth");
}

#[tokio::test]
#[ignore = "slow"]
async fn a_stream_gives_every_user_once_and_in_order() {
    let t = TestGateway::with(sandbox::Config { users: 25_000, ..account() }).await;
    let mut stream = t.users().stream_users(StreamUsersRequest::default()).await.expect("a stream").into_inner();
    let (mut seen, mut tokens) = (Vec::new(), 0);
    while let Some(message) = stream.message().await.expect("a message") {
        assert!(prost::Message::encoded_len(&message) < 24 << 10, "a message is about 16 KiB");
        assert!(!message.users.is_empty());
        seen.extend(message.users.iter().map(|user| user.id));
        tokens += usize::from(!message.next_page_token.is_empty());
    }
    assert_eq!(seen.len(), 25_000);
    assert_eq!(seen, t.sandbox.store().user_ids());
    assert_eq!(tokens, 249, "each page but the last ends with the token of the next");
}

#[tokio::test]
async fn a_broken_stream_resumes_at_its_last_token() {
    let t = TestGateway::start().await;
    let mut seen = Vec::new();
    let mut first = t.users().stream_users(StreamUsersRequest { page_size: 30, ..Default::default() }).await;
    let first = first.as_mut().expect("a stream").get_mut();
    let mut at_token: Vec<i64> = Vec::new();
    let token = loop {
        let message: StreamUsersResponse = first.message().await.expect("a message").expect("more of them");
        at_token.extend(message.users.iter().map(|user| user.id));
        if !message.next_page_token.is_empty() {
            seen.append(&mut at_token);
            if seen.len() >= 90 {
                break message.next_page_token;
            }
        }
    };
    let request = StreamUsersRequest { page_token: token, ..Default::default() };
    let mut rest = t.users().stream_users(request).await.expect("a stream").into_inner();
    while let Some(message) = rest.message().await.expect("a message") {
        seen.extend(message.users.iter().map(|user| user.id));
    }
    assert_eq!(seen, t.sandbox.store().user_ids());
}

#[tokio::test]
async fn a_stream_asks_for_no_page_before_the_one_before_was_taken() {
    let t = TestGateway::start().await;
    let request = StreamUsersRequest { page_size: 1, ..Default::default() };
    let mut stream = t.users().stream_users(request).await.expect("a stream").into_inner();
    stream.message().await.expect("a message").expect("one user");
    drop(stream);
    assert!(t.sandbox.hits("/users") < 100, "a caller who leaves ends the walk");
}

#[tokio::test]
async fn lists_can_be_filtered_by_role_group_and_organization() {
    let t = TestGateway::start().await;
    let roles = vec![UserRole::Agent.into(), UserRole::Admin.into()];
    let filter = Some(UserFilter { roles: roles.clone(), ..Default::default() });
    let page = t.users().list_users(ListUsersRequest { filter, ..Default::default() }).await.expect("a page");
    let agents = page.into_inner().users;
    assert!(!agents.is_empty() && agents.iter().all(|user| user.role.is_some_and(|role| roles.contains(&role))));

    let group = t.held_memberships()[0].group_id;
    let scope = Some(zendesk_gateway::proto::user_filter::Scope::GroupId(group));
    let filter = Some(UserFilter { scope, ..Default::default() });
    let mut stream = t.users().stream_users(StreamUsersRequest { filter, ..Default::default() }).await;
    let stream = stream.as_mut().expect("a stream").get_mut();
    let mut members = HashSet::new();
    while let Some(message) = stream.message().await.expect("a message") {
        members.extend(message.users.iter().map(|user| user.id));
    }
    let held = t.held_memberships();
    let held: HashSet<i64> = held.iter().filter(|row| row.group_id == group).map(|row| row.user_id).collect();
    assert_eq!(members, held);
}

#[tokio::test]
async fn a_search_goes_page_by_page_and_says_how_many_there_are() {
    let t = TestGateway::start().await;
    let filter = Some(UserSearchFilter { query: Some("role:end-user".to_owned()), ..Default::default() });
    let request = SearchUsersRequest { filter: filter.clone(), page_size: 100, ..Default::default() };
    let first = t.users().search_users(request).await.expect("a page").into_inner();
    let total = first.total_count.expect("offset lists count");
    assert!(total > 200, "most users are end users");
    let second = SearchUsersRequest {
        page_token: first.next_page_token,
        filter: filter.clone(),
        page_size: 100,
        ..Default::default()
    };
    let second = t.users().search_users(second).await.expect("a page").into_inner();
    let first_ids: HashSet<i64> = first.users.iter().map(|user| user.id).collect();
    assert!(second.users.iter().all(|user| !first_ids.contains(&user.id)));

    let mut stream = t.users().stream_search_users(StreamSearchUsersRequest { filter, ..Default::default() }).await;
    let stream = stream.as_mut().expect("a stream").get_mut();
    let mut seen = HashSet::new();
    while let Some(message) = stream.message().await.expect("a message") {
        seen.extend(message.users.iter().map(|user| user.id));
    }
    assert_eq!(i64::try_from(seen.len()).ok(), Some(total));
}

#[tokio::test]
async fn a_page_token_of_a_search_is_bound_to_its_page_size() {
    let t = TestGateway::start().await;
    let filter = Some(UserSearchFilter { query: Some("role:end-user".to_owned()), ..Default::default() });
    let request = SearchUsersRequest { filter: filter.clone(), page_size: 50, ..Default::default() };
    let page_token = t.users().search_users(request).await.expect("a page").into_inner().next_page_token;
    let request = SearchUsersRequest { filter, page_size: 20, page_token, ..Default::default() };
    let refused = crate::support::refused(t.users().search_users(request).await);
    assert_eq!(refused.fields, ["page_token"], "page 2 of 50 is not page 2 of 20");
}

#[tokio::test]
async fn autocomplete_finds_names_by_their_beginning() {
    let t = TestGateway::start().await;
    let page = t.users().list_users(ListUsersRequest { page_size: 5, ..Default::default() }).await.expect("a page");
    let name = page.into_inner().users[3].name.clone().expect("a name");
    let beginning: String = name.chars().take(4).collect();
    let request = AutocompleteUsersRequest { name: beginning.clone(), ..Default::default() };
    let found = t.users().autocomplete_users(request).await.expect("matches").into_inner().users;
    assert!(found.iter().any(|user| user.name.as_ref() == Some(&name)));
}

#[tokio::test]
async fn groups_come_by_name_and_all_of_them() {
    let t = TestGateway::start().await;
    let mut stream = t.groups().stream_groups(StreamGroupsRequest { page_size: 5, ..Default::default() }).await;
    let stream = stream.as_mut().expect("a stream").get_mut();
    let mut streamed = Vec::new();
    while let Some(message) = stream.message().await.expect("a message") {
        streamed.extend(message.groups);
    }
    let listed = t.groups().list_groups(ListGroupsRequest::default()).await.expect("a page").into_inner().groups;
    assert_eq!(streamed, listed);
    assert_eq!(listed.len(), 12);
    let assignable = t.groups().list_assignable_groups(ListAssignableGroupsRequest::default()).await;
    let assignable = assignable.expect("a page").into_inner();
    assert_eq!((assignable.groups.len(), assignable.total_count), (12, None), "a list by cursor is not counted");
}

#[tokio::test]
async fn memberships_bring_their_users_and_groups_in_every_message() {
    let t = TestGateway::start().await;
    let request = StreamMembershipsRequest { include_users: true, include_groups: true, ..Default::default() };
    let mut stream = t.memberships().stream_memberships(request).await.expect("a stream").into_inner();
    let mut seen = Vec::new();
    while let Some(message) = stream.message().await.expect("a message") {
        let users: HashSet<i64> = message.users.iter().map(|user| user.id).collect();
        let groups: HashSet<i64> = message.groups.iter().map(|group| group.id).collect();
        for row in &message.group_memberships {
            assert!(users.contains(&row.user_id.expect("set")), "the user of membership {} came with it", row.id);
            assert!(groups.contains(&row.group_id.expect("set")), "the group of membership {} came with it", row.id);
            seen.push(row.id);
        }
    }
    let held: Vec<i64> = t.held_memberships().iter().map(|row| row.id).collect();
    assert_eq!(seen, held);
}

#[tokio::test]
async fn memberships_can_be_listed_by_user_and_by_group() {
    let t = TestGateway::start().await;
    let held = t.held_memberships();
    for (scope, wanted) in [
        (Scope::UserId(held[0].user_id), held.iter().filter(|row| row.user_id == held[0].user_id).collect::<Vec<_>>()),
        (Scope::GroupId(held[0].group_id), held.iter().filter(|row| row.group_id == held[0].group_id).collect()),
    ] {
        let filter = Some(MembershipFilter { scope: Some(scope) });
        let request = ListMembershipsRequest { filter, ..Default::default() };
        let page = t.memberships().list_memberships(request).await.expect("a page").into_inner();
        let wanted: Vec<i64> = wanted.iter().map(|row| row.id).collect();
        assert_eq!(page.group_memberships.iter().map(|row| row.id).collect::<Vec<_>>(), wanted);
    }
    let assignable = ListAssignableMembershipsRequest::default();
    let assignable = t.memberships().list_assignable_memberships(assignable).await.expect("a page").into_inner();
    assert!(!assignable.group_memberships.is_empty());
}

#[tokio::test]
async fn jobs_of_every_state_and_result_shape_are_streamed() {
    let t = TestGateway::start().await;
    let mut stream = t.jobs().stream_jobs(StreamJobsRequest::default()).await.expect("a stream").into_inner();
    let mut jobs = Vec::new();
    while let Some(message) = stream.message().await.expect("a message") {
        jobs.extend(message.job_statuses);
    }
    let states: HashSet<_> = jobs.iter().filter_map(|job| job.status).collect();
    assert!(states.len() >= 4, "queued, working, completed, failed: {states:?}");
    assert!(jobs.iter().any(|job| job.results.len() > 1));
    assert!(jobs.iter().any(|job| job.total.is_none() && job.results.len() == 1), "an object instead of a list");
    assert!(!states.contains(&0), "every state is known");
}

#[tokio::test]
async fn each_include_brings_what_it_names_on_pages_and_in_streams() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let mut count = 0;
    for rpc in zendesk_gateway::contract::RPCS {
        let input = client.method(rpc.method).input();
        let fields: Vec<String> = input.fields().map(|field| field.name().to_owned()).collect();
        let wanted: Vec<&str> = fields.iter().filter_map(|field| field.strip_prefix("include_")).collect();
        // A search needs a query: see `sideloads`.
        let lists =
            ["List", "Stream"].iter().any(|start| rpc.method.starts_with(start)) && !rpc.method.contains("Search");
        if wanted.is_empty() || !lists {
            continue;
        }
        let includes: Vec<String> = wanted.iter().map(|name| format!(r#""include_{name}":true"#)).collect();
        let parts = client.call(rpc.method, &format!("{{{}}}", includes.join(","))).await.expect(rpc.method);
        for name in wanted {
            let field = if name == "open_ticket_count" { "open_ticket_counts" } else { name };
            let brings = |part: &serde_json::Value| part[field].as_array().is_some_and(|rows| !rows.is_empty());
            // What comes beside users and groups comes once for each page of a stream.
            let comes = if rpc.streaming { parts.iter().any(brings) } else { parts.iter().all(brings) };
            assert!(comes, "{}: {name} in {} messages", rpc.method, parts.len());
        }
        count += 1;
    }
    assert!(count >= 8, "users, groups, and memberships of groups and of organizations: {count}");
}

#[test]
fn a_list_is_paged_as_its_options_state_and_cached_as_what_it_is_about() {
    let groups = ListAssignableGroupsRequest::default();
    let groups = (groups.paging().style, groups.cache().tags.to_vec());
    assert_eq!(groups, (Style::CursorOrOffset, vec![tag::groups()]));
    let options = StreamUserFieldOptionsRequest { user_field_id: 7, ..Default::default() };
    let options = (options.paging().style, options.cache().tags.to_vec());
    assert_eq!(options, (Style::Cursor, vec![tag::user_field(7)]));
}
