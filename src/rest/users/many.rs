//! Requests for many users at once.

use crate::error::{Checks, Result};
use crate::path;
use crate::proto::{BatchGetUsersRequest, LogoutUsersRequest};
use crate::rest::brand;
use crate::rest::bulk::Chunk;
use crate::rest::many::{self, Named, joined};
use crate::upstream::rest::Rest;

/// Show Many Users, by id. <https://developer.zendesk.com/api-reference/ticketing/users/users/#show-many-users>
pub fn show_many(ids: &[i64], include_deleted: bool) -> Rest {
    let rest = Rest::get(path!["users", "show_many"]).query("ids", joined(ids));
    rest.query_if("include_deleted", include_deleted.then_some("true"))
}

/// Show Many Users, by external id: `ids` is the part of the request's list that this one asks for.
pub fn show_many_by_external_id(request: &BatchGetUsersRequest, ids: &[&str]) -> Result<Rest> {
    let rest = Rest::get(path!["users", "show_many"]).query("external_ids", ids.join(","));
    let rest = rest.query_if("include_deleted", request.include_deleted.then_some("true"));
    let mut checks = Checks::default();
    let brand = checks.take(brand("brand_id", request.brand_id.as_deref())).flatten();
    let rest = rest.text(&mut checks, "brand_id", "brand_id", brand);
    checks.end(Some(rest))
}

/// Logout many users, 100 at a time.
/// <https://developer.zendesk.com/api-reference/ticketing/users/users/#logout-many-users>
pub fn logout_many(request: &LogoutUsersRequest) -> Result<Vec<Chunk>> {
    many::ids("ids", &request.ids)?;
    Ok(Named::Ids(&request.ids).chunks(|| Rest::post(path!["users", "logout_many"])))
}
