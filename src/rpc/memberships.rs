//! `MembershipService`.

use tonic::{Request, async_trait};

use super::{Reply, Rpc, Streamed, close};
use crate::proto::membership_service_server::MembershipService;
use crate::proto::{
    BulkCreateMembershipsRequest, BulkCreateMembershipsResponse, BulkDeleteMembershipsRequest,
    BulkDeleteMembershipsResponse, CreateMembershipRequest, CreateMembershipResponse, DeleteMembershipRequest,
    DeleteMembershipResponse, GetMembershipRequest, GetMembershipResponse, ListAssignableMembershipsRequest,
    ListAssignableMembershipsResponse, ListMembershipsRequest, ListMembershipsResponse, SetDefaultMembershipRequest,
    SetDefaultMembershipResponse, SetUserGroupsRequest, SetUserGroupsResponse, StreamAssignableMembershipsRequest,
    StreamAssignableMembershipsResponse, StreamMembershipsRequest, StreamMembershipsResponse,
};

#[async_trait]
impl MembershipService for Rpc {
    async fn get_membership(&self, r: Request<GetMembershipRequest>) -> Reply<GetMembershipResponse> {
        self.read(r).await
    }
    async fn list_memberships(&self, r: Request<ListMembershipsRequest>) -> Reply<ListMembershipsResponse> {
        self.list(r).await
    }
    async fn stream_memberships(&self, r: Request<StreamMembershipsRequest>) -> Streamed<StreamMembershipsResponse> {
        self.stream(r)
    }
    async fn list_assignable_memberships(
        &self,
        r: Request<ListAssignableMembershipsRequest>,
    ) -> Reply<ListAssignableMembershipsResponse> {
        self.list(r).await
    }
    async fn stream_assignable_memberships(
        &self,
        r: Request<StreamAssignableMembershipsRequest>,
    ) -> Streamed<StreamAssignableMembershipsResponse> {
        self.stream(r)
    }
    async fn create_membership(&self, r: Request<CreateMembershipRequest>) -> Reply<CreateMembershipResponse> {
        self.write(r).await
    }
    async fn set_default_membership(
        &self,
        r: Request<SetDefaultMembershipRequest>,
    ) -> Reply<SetDefaultMembershipResponse> {
        let (context, message) = self.open(r)?;
        close(&context, self.gateway.set_default_membership(&context, &message).await)
    }
    async fn delete_membership(&self, r: Request<DeleteMembershipRequest>) -> Reply<DeleteMembershipResponse> {
        self.write(r).await
    }
    async fn bulk_create_memberships(
        &self,
        r: Request<BulkCreateMembershipsRequest>,
    ) -> Reply<BulkCreateMembershipsResponse> {
        self.bulk(r).await
    }
    async fn bulk_delete_memberships(
        &self,
        r: Request<BulkDeleteMembershipsRequest>,
    ) -> Reply<BulkDeleteMembershipsResponse> {
        self.bulk(r).await
    }
    async fn set_user_groups(&self, r: Request<SetUserGroupsRequest>) -> Reply<SetUserGroupsResponse> {
        let (context, message) = self.open(r)?;
        close(&context, self.gateway.set_user_groups(&context, message).await)
    }
}
