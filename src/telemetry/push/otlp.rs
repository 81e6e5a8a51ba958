//! Builds the OTLP exporters from the settings.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig,
};
use tonic::Request;
use tonic::metadata::{KeyAndValueRef, MetadataKey, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use url::Url;

use crate::config;
use crate::files;

/// Most bytes of a file that is read.
const MOST_BYTES: u64 = 4 << 20;

/// Makes exporters to one collector.
pub struct Collector<'a> {
    settings: &'a config::Otlp,
    endpoint: &'a Url,
    metadata: MetadataMap,
    tls: Option<ClientTlsConfig>,
}

impl<'a> Collector<'a> {
    /// Returns the collector that the settings name, if they name one. Reads the files, connects to nothing.
    pub fn of(settings: &'a config::Otlp) -> anyhow::Result<Option<Self>> {
        let Some(endpoint) = &settings.endpoint else { return Ok(None) };
        let metadata = settings.headers_file.as_deref().map(metadata).transpose()?.unwrap_or_default();
        let tls = match (&settings.ca_file, endpoint.scheme()) {
            (Some(path), "https") => {
                let pem = files::read(path, MOST_BYTES).context("telemetry.otlp.ca_file")?;
                Some(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
            }
            (None, "https") => Some(ClientTlsConfig::new().with_enabled_roots()),
            _ => None,
        };
        Ok(Some(Self { settings, endpoint, metadata, tls }))
    }

    /// Makes the exporter of spans.
    pub fn spans(&self) -> Result<SpanExporter, ExporterBuildError> {
        self.configured(SpanExporter::builder().with_tonic()).build()
    }

    /// Makes the exporter of metrics.
    pub fn metrics(&self) -> Result<MetricExporter, ExporterBuildError> {
        self.configured(MetricExporter::builder().with_tonic()).build()
    }

    /// Makes the exporter of log records.
    pub fn logs(&self) -> Result<LogExporter, ExporterBuildError> {
        self.configured(LogExporter::builder().with_tonic()).build()
    }

    fn configured<B: WithExportConfig + WithTonicConfig>(&self, builder: B) -> B {
        let endpoint = self.endpoint.as_str().trim_end_matches('/');
        let builder = builder.with_endpoint(endpoint).with_timeout(self.settings.timeout);
        let builder = builder.with_metadata(self.metadata.clone());
        let builder = match &self.settings.headers_file {
            Some(path) => builder.with_interceptor(again(path.clone())),
            None => builder,
        };
        match &self.tls {
            Some(tls) => builder.with_tls_config(tls.clone()),
            None => builder,
        }
    }
}

/// Puts what the file has now in place of what it had at the start; as long as it cannot be read, what it had then stays.
fn again(path: PathBuf) -> impl Interceptor + Clone {
    move |mut request: Request<()>| {
        for pair in metadata(&path).unwrap_or_default().iter() {
            if let KeyAndValueRef::Ascii(name, value) = pair {
                request.metadata_mut().insert(name.clone(), value.clone());
            }
        }
        Ok(request)
    }
}

/// Reads `name: value` lines.
fn metadata(path: &Path) -> anyhow::Result<MetadataMap> {
    const KEY: &str = "telemetry.otlp.headers_file";
    let text = String::from_utf8(files::read(path, MOST_BYTES).context(KEY)?)
        .ok()
        .context("is not UTF-8 text")
        .context(KEY)?;
    let mut map = MetadataMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        // The line itself stays out of the message: it may hold a token.
        let malformed = || format!("telemetry.otlp.headers_file: line {} is not `name: value`", number + 1);
        let (name, value) = line.split_once(':').with_context(malformed)?;
        let name = MetadataKey::from_bytes(name.trim().to_lowercase().as_bytes()).ok().with_context(malformed)?;
        let mut value = MetadataValue::try_from(value.trim()).ok().with_context(malformed)?;
        value.set_sensitive(true);
        map.insert(name, value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_push_has_what_the_file_has_then() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("headers");
        std::fs::write(&path, "authorization: Bearer one\n").expect("written");
        let mut push = again(path.clone());
        let mut sent = || {
            // What it had at the start.
            let mut request = Request::new(());
            request.metadata_mut().insert("authorization", MetadataValue::from_static("Bearer one"));
            let request = push.call(request).expect("passed on");
            let all: Vec<_> = request.metadata().get_all("authorization").iter().cloned().collect();
            assert_eq!(all.len(), 1);
            all[0].to_str().expect("ASCII").to_owned()
        };
        assert_eq!(sent(), "Bearer one");
        std::fs::write(&path, "authorization: Bearer two\n").expect("written");
        assert_eq!(sent(), "Bearer two");
        std::fs::write(&path, "half").expect("written");
        assert_eq!(sent(), "Bearer one", "what cannot be read is not sent");
    }
}
