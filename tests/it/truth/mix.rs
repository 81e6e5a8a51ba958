//! Every RPC of the contract, and how often it is called.

use futures_util::future::BoxFuture;

use super::caller::Caller;
use super::{of_groups, of_users, to_groups, to_streams, to_users};

/// What a phase has more or less of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Read,
    List,
    Write,
    /// Jobs, which keep the cache from storing anything about users while they run.
    Job,
    /// Whole lists.
    Roster,
}

type Entry = for<'a> fn(&'a mut Caller) -> BoxFuture<'a, ()>;

/// An RPC, what sort it is, how often it is called among its sort, and one call of it.
pub struct Row {
    pub rpc: &'static str,
    pub sort: Sort,
    pub weight: u32,
    pub call: Entry,
}

macro_rules! mix {
    ($($rpc:literal, $sort:ident, $weight:literal, $call:path;)+) => {
        &[$(Row { rpc: $rpc, sort: Sort::$sort, weight: $weight, call: |caller| Box::pin($call(caller)) }),+]
    };
}

#[rustfmt::skip]
pub const MIX: &[Row] = mix![
    "GetUser", Read, 500, of_users::get_user;
    "GetUser", Read, 10, of_users::get_passing_user;
    "BatchGetUsers", Read, 60, of_users::batch_get_users;
    "GetCurrentUser", Read, 5, of_users::get_current_user;
    "GetUserRelated", Read, 40, of_users::get_user_related;
    "GetGroup", Read, 100, of_groups::get_group;
    "GetMembership", Read, 40, of_groups::get_membership;
    "GetDeletedUser", Read, 10, of_users::get_deleted_user;
    "GetJob", Read, 5, of_groups::get_job;
    "CountUsers", Read, 40, of_users::count_users;
    "CountGroups", Read, 20, of_groups::count_groups;
    "CountDeletedUsers", Read, 10, of_users::count_deleted_users;
    "GetGroupWithAgents", List, 10, of_groups::get_group_with_agents;
    "ListUsers", List, 40, of_users::list_users;
    "StreamUsers", List, 5, of_users::stream_users;
    "SearchUsers", List, 10, of_users::search_users;
    "StreamSearchUsers", List, 2, of_users::stream_search_users;
    "ExportUsers", List, 5, of_users::export_users;
    "StreamExportUsers", List, 2, of_users::stream_export_users;
    "AutocompleteUsers", List, 10, of_users::autocomplete_users;
    "ListDeletedUsers", List, 5, of_users::list_deleted_users;
    "StreamDeletedUsers", List, 2, of_users::stream_deleted_users;
    "ListComplianceDeletionStatuses", List, 5, of_users::list_compliance_deletion_statuses;
    "StreamComplianceDeletionStatuses", List, 2, of_users::stream_compliance_deletion_statuses;
    "ListGroups", List, 30, of_groups::list_groups;
    "StreamGroups", List, 5, of_groups::stream_groups;
    "ListAssignableGroups", List, 20, of_groups::list_assignable_groups;
    "StreamAssignableGroups", List, 2, of_groups::stream_assignable_groups;
    "ListMemberships", List, 40, of_groups::list_memberships;
    "StreamMemberships", List, 5, of_groups::stream_memberships;
    "ListAssignableMemberships", List, 20, of_groups::list_assignable_memberships;
    "StreamAssignableMemberships", List, 2, of_groups::stream_assignable_memberships;
    "ListJobs", List, 5, of_groups::list_jobs;
    "StreamJobs", List, 2, of_groups::stream_jobs;
    "BatchGetJobs", List, 5, of_groups::batch_get_jobs;
    "CreateUser", Write, 30, to_users::create_user;
    "CreateOrUpdateUser", Write, 20, to_users::create_or_update_user;
    "RequestUserCreate", Write, 5, to_users::request_user_create;
    "UpdateUser", Write, 40, to_users::update_user;
    "UploadUserPhoto", Write, 5, to_users::upload_user_photo;
    "MergeUser", Write, 5, to_users::merge_user;
    "DeleteUser", Write, 40, to_users::delete_user;
    "PermanentlyDeleteUser", Write, 10, to_users::permanently_delete_user;
    "LogoutUsers", Write, 5, to_users::logout_users;
    "CreateGroup", Write, 5, to_groups::create_group;
    "UpdateGroup", Write, 10, to_groups::update_group;
    "DeleteGroup", Write, 6, to_groups::delete_group;
    "CreateMembership", Write, 10, to_groups::create_membership;
    "SetDefaultMembership", Write, 5, to_groups::set_default_membership;
    "DeleteMembership", Write, 10, to_groups::delete_membership;
    "BulkCreateUsers", Job, 10, to_users::bulk_create_users;
    "BulkCreateOrUpdateUsers", Job, 10, to_users::bulk_create_or_update_users;
    "BulkUpdateUsers", Job, 10, to_users::bulk_update_users;
    "BulkDeleteUsers", Job, 10, to_users::bulk_delete_users;
    "BulkCreateMemberships", Job, 10, to_groups::bulk_create_memberships;
    "BulkDeleteMemberships", Job, 10, to_groups::bulk_delete_memberships;
    "StreamBulkCreateUsers", Job, 5, to_streams::create_users;
    "StreamBulkCreateOrUpdateUsers", Job, 5, to_streams::create_or_update_users;
    "StreamBulkUpdateUsers", Job, 5, to_streams::update_users;
    "StreamBulkDeleteUsers", Job, 5, to_streams::delete_users;
    "StreamBulkCreateMemberships", Job, 5, to_streams::create_memberships;
    "StreamBulkDeleteMemberships", Job, 5, to_streams::delete_memberships;
    "WatchJobs", Job, 5, of_groups::watch_jobs;
    "UpdateGroupWithAgents", Roster, 30, to_groups::update_group_with_agents;
    "SetUserGroups", Roster, 30, to_groups::set_user_groups;
    "CreateGroupWithAgents", Roster, 3, to_groups::create_group_with_agents;
];

/// A choice of rows in which each sort has its share, in thousandths.
pub struct Choice(Vec<(u32, Entry)>);

impl Choice {
    pub fn of(shares: &[(Sort, u32)]) -> Self {
        let mut sum = 0;
        let mut rows = Vec::new();
        for (sort, share) in shares {
            let of_sort = || MIX.iter().filter(|row| row.sort == *sort);
            let weights: u32 = of_sort().map(|row| row.weight).sum();
            for row in of_sort() {
                // Rounded up, so that nothing is left out.
                sum += (1_000 * share * row.weight).div_ceil(weights);
                rows.push((sum, row.call));
            }
        }
        Self(rows)
    }

    pub fn any(&self, random: &mut fastrand::Rng) -> Entry {
        let sum = self.0.last().expect("rows").0;
        let draw = random.u32(..sum);
        self.0[self.0.partition_point(|(upto, _)| *upto <= draw)].1
    }
}
