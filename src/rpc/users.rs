//! `UserService`.

use tonic::{Request, async_trait};

use super::{Reply, Rpc, Streamed, close};
use crate::proto::user_service_server::UserService;
use crate::proto::{
    AutocompleteUsersRequest, AutocompleteUsersResponse, BatchGetUsersRequest, BatchGetUsersResponse,
    BulkCreateOrUpdateUsersRequest, BulkCreateOrUpdateUsersResponse, BulkCreateUsersRequest, BulkCreateUsersResponse,
    BulkDeleteUsersRequest, BulkDeleteUsersResponse, BulkUpdateUsersRequest, BulkUpdateUsersResponse,
    CountDeletedUsersRequest, CountDeletedUsersResponse, CountUsersRequest, CountUsersResponse,
    CreateOrUpdateUserRequest, CreateOrUpdateUserResponse, CreateUserRequest, CreateUserResponse, DeleteUserRequest,
    DeleteUserResponse, GetCurrentUserRequest, GetCurrentUserResponse, GetDeletedUserRequest, GetDeletedUserResponse,
    GetUserRelatedRequest, GetUserRelatedResponse, GetUserRequest, GetUserResponse,
    ListComplianceDeletionStatusesRequest, ListComplianceDeletionStatusesResponse, ListDeletedUsersRequest,
    ListDeletedUsersResponse, ListUsersRequest, ListUsersResponse, LogoutUsersRequest, LogoutUsersResponse,
    MergeUserRequest, MergeUserResponse, PermanentlyDeleteUserRequest, PermanentlyDeleteUserResponse,
    RequestUserCreateRequest, RequestUserCreateResponse, SearchUsersRequest, SearchUsersResponse,
    StreamComplianceDeletionStatusesRequest, StreamComplianceDeletionStatusesResponse, StreamDeletedUsersRequest,
    StreamDeletedUsersResponse, StreamSearchUsersRequest, StreamSearchUsersResponse, StreamUsersRequest,
    StreamUsersResponse, UpdateUserRequest, UpdateUserResponse, UploadUserPhotoRequest, UploadUserPhotoResponse,
};

#[async_trait]
impl UserService for Rpc {
    async fn get_user(&self, r: Request<GetUserRequest>) -> Reply<GetUserResponse> {
        let (context, message) = self.open(r)?;
        close(&context, self.gateway.get_user(&context, &message).await)
    }
    async fn batch_get_users(&self, r: Request<BatchGetUsersRequest>) -> Reply<BatchGetUsersResponse> {
        let (context, message) = self.open(r)?;
        close(&context, self.gateway.batch_get_users(&context, message).await)
    }
    async fn get_current_user(&self, r: Request<GetCurrentUserRequest>) -> Reply<GetCurrentUserResponse> {
        let (context, message) = self.open(r)?;
        close(&context, self.gateway.current_user(&context, &message).await)
    }
    async fn get_user_related(&self, r: Request<GetUserRelatedRequest>) -> Reply<GetUserRelatedResponse> {
        self.read(r).await
    }
    async fn list_users(&self, r: Request<ListUsersRequest>) -> Reply<ListUsersResponse> {
        self.list(r).await
    }
    async fn stream_users(&self, r: Request<StreamUsersRequest>) -> Streamed<StreamUsersResponse> {
        self.stream(r)
    }
    async fn search_users(&self, r: Request<SearchUsersRequest>) -> Reply<SearchUsersResponse> {
        self.list(r).await
    }
    async fn stream_search_users(&self, r: Request<StreamSearchUsersRequest>) -> Streamed<StreamSearchUsersResponse> {
        self.stream(r)
    }
    async fn autocomplete_users(&self, r: Request<AutocompleteUsersRequest>) -> Reply<AutocompleteUsersResponse> {
        self.list(r).await
    }
    async fn count_users(&self, r: Request<CountUsersRequest>) -> Reply<CountUsersResponse> {
        self.read(r).await
    }
    async fn get_deleted_user(&self, r: Request<GetDeletedUserRequest>) -> Reply<GetDeletedUserResponse> {
        self.read(r).await
    }
    async fn list_deleted_users(&self, r: Request<ListDeletedUsersRequest>) -> Reply<ListDeletedUsersResponse> {
        self.list(r).await
    }
    async fn stream_deleted_users(
        &self,
        r: Request<StreamDeletedUsersRequest>,
    ) -> Streamed<StreamDeletedUsersResponse> {
        self.stream(r)
    }
    async fn count_deleted_users(&self, r: Request<CountDeletedUsersRequest>) -> Reply<CountDeletedUsersResponse> {
        self.read(r).await
    }
    async fn list_compliance_deletion_statuses(
        &self,
        r: Request<ListComplianceDeletionStatusesRequest>,
    ) -> Reply<ListComplianceDeletionStatusesResponse> {
        self.list(r).await
    }
    async fn stream_compliance_deletion_statuses(
        &self,
        r: Request<StreamComplianceDeletionStatusesRequest>,
    ) -> Streamed<StreamComplianceDeletionStatusesResponse> {
        self.stream(r)
    }
    async fn create_user(&self, r: Request<CreateUserRequest>) -> Reply<CreateUserResponse> {
        self.write(r).await
    }
    async fn create_or_update_user(&self, r: Request<CreateOrUpdateUserRequest>) -> Reply<CreateOrUpdateUserResponse> {
        self.write(r).await
    }
    async fn request_user_create(&self, r: Request<RequestUserCreateRequest>) -> Reply<RequestUserCreateResponse> {
        self.write(r).await
    }
    async fn update_user(&self, r: Request<UpdateUserRequest>) -> Reply<UpdateUserResponse> {
        self.write(r).await
    }
    async fn upload_user_photo(&self, r: Request<UploadUserPhotoRequest>) -> Reply<UploadUserPhotoResponse> {
        self.write(r).await
    }
    async fn merge_user(&self, r: Request<MergeUserRequest>) -> Reply<MergeUserResponse> {
        self.write(r).await
    }
    async fn delete_user(&self, r: Request<DeleteUserRequest>) -> Reply<DeleteUserResponse> {
        self.write(r).await
    }
    async fn permanently_delete_user(
        &self,
        r: Request<PermanentlyDeleteUserRequest>,
    ) -> Reply<PermanentlyDeleteUserResponse> {
        self.write(r).await
    }
    async fn bulk_create_users(&self, r: Request<BulkCreateUsersRequest>) -> Reply<BulkCreateUsersResponse> {
        self.bulk(r).await
    }
    async fn bulk_create_or_update_users(
        &self,
        r: Request<BulkCreateOrUpdateUsersRequest>,
    ) -> Reply<BulkCreateOrUpdateUsersResponse> {
        self.bulk(r).await
    }
    async fn bulk_update_users(&self, r: Request<BulkUpdateUsersRequest>) -> Reply<BulkUpdateUsersResponse> {
        self.bulk(r).await
    }
    async fn bulk_delete_users(&self, r: Request<BulkDeleteUsersRequest>) -> Reply<BulkDeleteUsersResponse> {
        self.bulk(r).await
    }
    async fn logout_users(&self, r: Request<LogoutUsersRequest>) -> Reply<LogoutUsersResponse> {
        let (context, message) = self.open(r)?;
        close(&context, self.gateway.logout_users(&context, &message).await)
    }
}
