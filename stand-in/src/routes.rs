//! Every endpoint the sandbox knows.

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{delete, get, post, put};

use super::World;
use super::call::Call;
use super::errors;
use super::reply::Answer;
use super::{
    auth, groups, jobs, memberships, organization_memberships, organizations, roles, tags, user_fields, users,
};

/// The table of routes; paths come here without `.json`.
#[rustfmt::skip]
pub fn table() -> Router<Arc<World>> {
    let api = Router::new()
        .route("/users", get(to(users::list::all)).post(to(users::write::create)))
        .route("/users/count", get(to(users::list::count)))
        .route("/users/me", get(to(users::show::me)))
        .route("/users/show_many", get(to(users::show::many)))
        .route("/users/search", get(to(users::search::search)))
        .route("/users/autocomplete", get(to(users::search::autocomplete)).post(to(users::search::autocomplete)))
        .route("/users/create_or_update", post(to(users::write::create_or_update)))
        .route("/users/request_create", post(to(users::write::request_create)))
        .route("/users/logout_many", post(to(users::write::logout_many)))
        .route("/users/create_many", post(to(users::many::create)))
        .route("/users/create_or_update_many", post(to(users::many::create_or_update)))
        .route("/users/update_many", put(to(users::many::update)))
        .route("/users/destroy_many", delete(to(users::many::destroy)))
        .route("/users/{user_id}", get(to(users::show::one)).put(to(users::write::update)).delete(to(users::write::delete)))
        .route("/users/{user_id}/merge", put(to(users::write::merge)))
        .route("/users/{user_id}/entitlements/full", get(to(users::show::entitlements)))
        .route("/users/{user_id}/related", get(to(users::show::related)))
        .route("/users/{user_id}/compliance_deletion_statuses", get(to(users::deleted::compliance)))
        .route("/users/{user_id}/identities", get(to(users::identities::list)).post(to(users::identities::write::create)))
        .route("/users/{user_id}/identities/{user_identity_id}", get(to(users::identities::show)).put(to(users::identities::write::update)).delete(to(users::identities::write::delete)))
        .route("/users/{user_id}/identities/{user_identity_id}/make_primary", put(to(users::identities::write::make_primary)))
        .route("/users/{user_id}/identities/{user_identity_id}/verify", put(to(users::identities::write::verify)))
        .route("/users/{user_id}/identities/{user_identity_id}/request_verification", put(to(users::identities::write::request_verification)))
        .route("/users/{user_id}/tags", get(to(tags::of_user)).put(to(tags::add)).post(to(tags::set)).delete(to(tags::remove)))
        .route("/users/{user_id}/organizations", get(to(organizations::of_user)))
        .route("/users/{user_id}/organizations/count", get(to(organizations::count_of_user)))
        .route("/users/{user_id}/organizations/{organization_id}", delete(to(organization_memberships::write::unassign)))
        .route("/users/{user_id}/organizations/{organization_id}/make_default", put(to(organization_memberships::write::make_organization_default)))
        .route("/users/{user_id}/organization_memberships", get(to(organization_memberships::of_user)).post(to(organization_memberships::write::create_of_user)))
        .route("/users/{user_id}/organization_memberships/{organization_membership_id}", get(to(organization_memberships::show_of_user)).delete(to(organization_memberships::write::delete_of_user)))
        .route("/users/{user_id}/organization_memberships/{organization_membership_id}/make_default", put(to(organization_memberships::write::make_default)))
        .route("/users/{user_id}/groups", get(to(groups::of_user)))
        .route("/users/{user_id}/groups/count", get(to(groups::count_of_user)))
        .route("/users/{user_id}/group_memberships", get(to(memberships::of_user)).post(to(memberships::write::create_of_user)))
        .route("/users/{user_id}/group_memberships/{group_membership_id}", get(to(memberships::show_of_user)).delete(to(memberships::write::delete_of_user)))
        .route("/users/{user_id}/group_memberships/{group_membership_id}/make_default", put(to(memberships::write::make_default)))
        .route("/deleted_users", get(to(users::deleted::list)))
        .route("/deleted_users/count", get(to(users::deleted::count)))
        .route("/deleted_users/{deleted_user_id}", get(to(users::deleted::show)).delete(to(users::write::erase)))
        .route("/organizations", get(to(organizations::list)).post(to(organizations::write::create)))
        .route("/organizations/count", get(to(organizations::count)))
        .route("/organizations/show_many", get(to(organizations::many)))
        .route("/organizations/search", get(to(organizations::search)))
        .route("/organizations/autocomplete", get(to(organizations::autocomplete)))
        .route("/organizations/create_many", post(to(organizations::many::create)))
        .route("/organizations/update_many", put(to(organizations::many::update)))
        .route("/organizations/destroy_many", delete(to(organizations::many::destroy)))
        .route("/organizations/create_or_update", post(to(organizations::write::create_or_update)))
        .route("/organizations/{organization_id}", get(to(organizations::show)).put(to(organizations::write::update)).delete(to(organizations::write::delete)))
        .route("/organizations/{organization_id}/tags", get(to(tags::of_organization)).put(to(tags::add)).post(to(tags::set)).delete(to(tags::remove)))
        .route("/organizations/{organization_id}/related", get(to(organizations::related)))
        .route("/organizations/{organization_id}/users", get(to(users::list::in_organization)))
        .route("/organizations/{organization_id}/users/count", get(to(users::list::count_in_organization)))
        .route("/organizations/{organization_id}/organization_memberships", get(to(organization_memberships::of_organization)))
        .route("/organization_memberships", get(to(organization_memberships::list)).post(to(organization_memberships::write::create)))
        .route("/organization_memberships/create_many", post(to(organization_memberships::write::create_many)))
        .route("/organization_memberships/destroy_many", delete(to(organization_memberships::write::destroy_many)))
        .route("/organization_memberships/{organization_membership_id}", get(to(organization_memberships::show)).delete(to(organization_memberships::write::delete)))
        .route("/groups", get(to(groups::list)).post(to(groups::write::create)))
        .route("/groups/count", get(to(groups::count)))
        .route("/groups/assignable", get(to(groups::assignable)))
        .route("/groups/{group_id}", get(to(groups::show)).put(to(groups::write::update)).delete(to(groups::write::delete)))
        .route("/groups/{group_id}/users", get(to(users::list::in_group)))
        .route("/groups/{group_id}/users/count", get(to(users::list::count_in_group)))
        .route("/groups/{group_id}/memberships", get(to(memberships::of_group)))
        .route("/groups/{group_id}/memberships/assignable", get(to(memberships::assignable_of_group)))
        .route("/group_memberships", get(to(memberships::list)).post(to(memberships::write::create)))
        .route("/group_memberships/assignable", get(to(memberships::assignable)))
        .route("/group_memberships/create_many", post(to(memberships::write::create_many)))
        .route("/group_memberships/destroy_many", delete(to(memberships::write::destroy_many)))
        .route("/group_memberships/{group_membership_id}", get(to(memberships::show)).delete(to(memberships::write::delete)))
        .route("/custom_roles", get(to(roles::list)))
        .route("/custom_roles/{custom_role_id}", get(to(roles::show)))
        .route("/user_fields", get(to(user_fields::list)).post(to(user_fields::write::create)))
        .route("/user_fields/show_many", get(to(user_fields::many)))
        .route("/user_fields/reorder", put(to(user_fields::write::reorder)))
        .route("/user_fields/{user_field_id}", get(to(user_fields::show)).put(to(user_fields::write::update)).delete(to(user_fields::write::delete)))
        .route("/user_fields/{user_field_id}/options", get(to(user_fields::options)).post(to(user_fields::write::put_option)))
        .route("/user_fields/{user_field_id}/options/{user_field_option_id}", get(to(user_fields::show_option)).delete(to(user_fields::write::delete_option)))
        .route("/search/export", get(to(users::search::export)))
        .route("/incremental/users/cursor", get(to(users::changes::page)))
        .route("/job_statuses", get(to(jobs::list)))
        .route("/job_statuses/show_many", get(to(jobs::many)))
        .route("/job_statuses/{job_status_id}", get(to(jobs::show)));
    Router::new()
        .nest("/api/v2", api)
        .route("/oauth/tokens", post(to(auth::issue_token)))
        .fallback(to(|_| errors::invalid_endpoint()))
        .method_not_allowed_fallback(to(|_| errors::invalid_endpoint()))
}

/// Makes a handler of a function that answers a call.
fn to<A: Answer + 'static>(
    answer: fn(&Call) -> A,
) -> impl Fn(Call) -> std::future::Ready<Response> + Clone + Send + Sync + 'static {
    move |call| std::future::ready(call.send(answer(&call).reply()))
}
