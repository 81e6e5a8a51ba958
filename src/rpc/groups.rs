//! `GroupService`.

use tonic::{Request, async_trait};

use super::{Reply, Rpc, Streamed, close};
use crate::proto::group_service_server::GroupService;
use crate::proto::{
    CountGroupsRequest, CountGroupsResponse, CreateGroupRequest, CreateGroupResponse, CreateGroupWithAgentsRequest,
    CreateGroupWithAgentsResponse, DeleteGroupRequest, DeleteGroupResponse, GetGroupRequest, GetGroupResponse,
    GetGroupWithAgentsRequest, GetGroupWithAgentsResponse, ListAssignableGroupsRequest, ListAssignableGroupsResponse,
    ListGroupsRequest, ListGroupsResponse, StreamAssignableGroupsRequest, StreamAssignableGroupsResponse,
    StreamGroupsRequest, StreamGroupsResponse, UpdateGroupRequest, UpdateGroupResponse, UpdateGroupWithAgentsRequest,
    UpdateGroupWithAgentsResponse,
};

#[async_trait]
impl GroupService for Rpc {
    async fn get_group(&self, r: Request<GetGroupRequest>) -> Reply<GetGroupResponse> {
        self.read(r).await
    }
    async fn list_groups(&self, r: Request<ListGroupsRequest>) -> Reply<ListGroupsResponse> {
        self.list(r).await
    }
    async fn stream_groups(&self, r: Request<StreamGroupsRequest>) -> Streamed<StreamGroupsResponse> {
        self.stream(r)
    }
    async fn list_assignable_groups(
        &self,
        r: Request<ListAssignableGroupsRequest>,
    ) -> Reply<ListAssignableGroupsResponse> {
        self.list(r).await
    }
    async fn stream_assignable_groups(
        &self,
        r: Request<StreamAssignableGroupsRequest>,
    ) -> Streamed<StreamAssignableGroupsResponse> {
        self.stream(r)
    }
    async fn count_groups(&self, r: Request<CountGroupsRequest>) -> Reply<CountGroupsResponse> {
        self.read(r).await
    }
    async fn create_group(&self, r: Request<CreateGroupRequest>) -> Reply<CreateGroupResponse> {
        self.write(r).await
    }
    async fn update_group(&self, r: Request<UpdateGroupRequest>) -> Reply<UpdateGroupResponse> {
        self.write(r).await
    }
    async fn delete_group(&self, r: Request<DeleteGroupRequest>) -> Reply<DeleteGroupResponse> {
        self.write(r).await
    }
    async fn get_group_with_agents(&self, r: Request<GetGroupWithAgentsRequest>) -> Reply<GetGroupWithAgentsResponse> {
        let (context, message) = self.open(r)?;
        close(&context, self.gateway.group_with_agents(&context, &message).await)
    }
    async fn create_group_with_agents(
        &self,
        r: Request<CreateGroupWithAgentsRequest>,
    ) -> Reply<CreateGroupWithAgentsResponse> {
        let (context, message) = self.open(r)?;
        close(&context, self.gateway.create_group_with_agents(&context, message).await)
    }
    async fn update_group_with_agents(
        &self,
        r: Request<UpdateGroupWithAgentsRequest>,
    ) -> Reply<UpdateGroupWithAgentsResponse> {
        let (context, message) = self.open(r)?;
        close(&context, self.gateway.update_group_with_agents(&context, message).await)
    }
}
