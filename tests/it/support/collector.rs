//! An OpenTelemetry collector: takes all three signals over gRPC and keeps them.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, async_trait};

#[derive(Clone, Default)]
pub struct Collector {
    traces: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    metrics: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    logs: Arc<Mutex<Vec<ExportLogsServiceRequest>>>,
}

impl Collector {
    /// Starts it; returns its URL, too.
    pub async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(collector.clone()))
            .add_service(MetricsServiceServer::new(collector.clone()))
            .add_service(LogsServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, url)
    }

    pub fn spans(&self) -> Vec<Span> {
        let requests = self.traces.lock().expect("no test panics inside");
        let scopes = requests.iter().flat_map(|it| &it.resource_spans).flat_map(|it| &it.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    pub fn metrics(&self) -> Vec<Metric> {
        let requests = self.metrics.lock().expect("no test panics inside");
        let scopes = requests.iter().flat_map(|it| &it.resource_metrics).flat_map(|it| &it.scope_metrics);
        scopes.flat_map(|scope| scope.metrics.clone()).collect()
    }

    /// The largest value that a counter without attributes has had.
    pub fn counter(&self, name: &str) -> Option<i64> {
        let values = self.metrics().into_iter().filter(|metric| metric.name == name).flat_map(|metric| {
            let Some(Data::Sum(sum)) = metric.data else { panic!("{name} is no counter") };
            sum.data_points.into_iter().map(|point| match point.value {
                Some(Number::AsInt(value)) => value,
                other => panic!("{name}: {other:?}"),
            })
        });
        values.max()
    }

    pub fn logs(&self) -> Vec<LogRecord> {
        let requests = self.logs.lock().expect("no test panics inside");
        let scopes = requests.iter().flat_map(|it| &it.resource_logs).flat_map(|it| &it.scope_logs);
        scopes.flat_map(|scope| scope.log_records.clone()).collect()
    }

    /// The attributes of the resource that sent spans.
    pub fn resource(&self) -> Vec<KeyValue> {
        let requests = self.traces.lock().expect("no test panics inside");
        requests[0].resource_spans[0].resource.clone().expect("a resource").attributes
    }

    /// Everything, as text.
    pub fn dump(&self) -> String {
        format!("{:?}{:?}{:?}", self.spans(), self.metrics(), self.logs())
    }
}

/// The text or number of an attribute.
pub fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value?;
    Some(match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::BoolValue(bool) => bool.to_string(),
        other => format!("{other:?}"),
    })
}

#[async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.traces.lock().expect("no test panics inside").push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.metrics.lock().expect("no test panics inside").push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.logs.lock().expect("no test panics inside").push(request.into_inner());
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}
