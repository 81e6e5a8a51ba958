//! `JobService`.

use tonic::{Request, async_trait};

use super::{Reply, Rpc, Streamed, close, streamed};
use crate::proto::job_service_server::JobService;
use crate::proto::{
    BatchGetJobsRequest, BatchGetJobsResponse, GetJobRequest, GetJobResponse, ListJobsRequest, ListJobsResponse,
    StreamJobsRequest, StreamJobsResponse, WatchJobsRequest, WatchJobsResponse,
};

#[async_trait]
impl JobService for Rpc {
    async fn get_job(&self, r: Request<GetJobRequest>) -> Reply<GetJobResponse> {
        self.read(r).await
    }
    async fn list_jobs(&self, r: Request<ListJobsRequest>) -> Reply<ListJobsResponse> {
        self.list(r).await
    }
    async fn stream_jobs(&self, r: Request<StreamJobsRequest>) -> Streamed<StreamJobsResponse> {
        self.stream(r)
    }
    async fn batch_get_jobs(&self, r: Request<BatchGetJobsRequest>) -> Reply<BatchGetJobsResponse> {
        let (context, message) = self.open(r)?;
        close(&context, self.gateway.batch_get_jobs(&context, message).await)
    }
    async fn watch_jobs(&self, r: Request<WatchJobsRequest>) -> Streamed<WatchJobsResponse> {
        let (context, message) = self.open(r)?;
        let deadline = context.deadline;
        Ok(streamed(self.gateway.watch_jobs(context, message)?, deadline))
    }
}
