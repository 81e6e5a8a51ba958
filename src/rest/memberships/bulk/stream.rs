//! The streams of the bulk writes of memberships.

use super::names_of;
use crate::proto::{
    BulkCreateMembershipsRequest, BulkDeleteMembershipsRequest, BulkStart, GroupMembershipInput,
    StreamBulkCreateMembershipsRequest, StreamBulkDeleteMembershipsRequest,
};
use crate::rest::bulk::BulkStream;
use crate::rest::many::{Name, Names};

impl BulkStream for StreamBulkCreateMembershipsRequest {
    type Call = BulkCreateMembershipsRequest;
    type Row = GroupMembershipInput;
    const LISTS: &'static [&'static str] = &["group_memberships"];

    fn take_start(&mut self) -> Option<BulkStart> {
        self.start.take()
    }

    fn take_rows(&mut self) -> Vec<GroupMembershipInput> {
        std::mem::take(&mut self.group_memberships)
    }

    fn call(&self, group_memberships: Vec<GroupMembershipInput>) -> BulkCreateMembershipsRequest {
        BulkCreateMembershipsRequest { group_memberships, wait: true }
    }

    fn names(row: &GroupMembershipInput) -> Names {
        names_of(row)
    }

    fn bytes(row: &GroupMembershipInput) -> usize {
        size_of_val(row)
    }
}

impl BulkStream for StreamBulkDeleteMembershipsRequest {
    type Call = BulkDeleteMembershipsRequest;
    type Row = i64;
    const LISTS: &'static [&'static str] = &["ids"];

    fn take_start(&mut self) -> Option<BulkStart> {
        self.start.take()
    }

    fn take_rows(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.ids)
    }

    fn call(&self, ids: Vec<i64>) -> BulkDeleteMembershipsRequest {
        BulkDeleteMembershipsRequest { ids, wait: true }
    }

    fn names(row: &i64) -> Names {
        vec![("", Name::Id(*row))]
    }

    fn bytes(row: &i64) -> usize {
        size_of_val(row)
    }
}
