//! Which settings name files that hold secrets.

use std::path::Path;

use super::Config;

impl Config {
    /// Returns the files that hold secrets, each with the full key of the setting that names it. Hashes of API keys count:
    /// nobody but the gateway needs them.
    pub fn secret_files(&self) -> Vec<(&'static str, &Path)> {
        let credential = &self.upstream.credential;
        let files = [
            ("upstream.credential.token_file", &credential.token_file),
            ("upstream.credential.password_file", &credential.password_file),
            ("upstream.credential.client_secret_file", &credential.client_secret_file),
            ("server.tls.key_file", &self.server.tls.key_file),
            ("fleet.tls.key_file", &self.fleet.tls.key_file),
            ("identity.api_keys.file", &self.identity.api_keys.file),
            ("telemetry.otlp.headers_file", &self.telemetry.otlp.headers_file),
        ];
        files.into_iter().filter_map(|(key, path)| Some((key, path.as_deref()?))).collect()
    }
}
