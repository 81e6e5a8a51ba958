//! The gateway and the stand-in, each in a process of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use url::Url;

use crate::process::{Process, free_port};

const BINARY: &str = env!("CARGO_BIN_EXE_zendesk-gateway");
const ANY_CORE: &str = "0-1";

/// The gateway, with its own telemetry and no limits that a measurement would meet by accident.
pub struct Gateway {
    pub process: Process,
    /// Where it serves gRPC.
    pub address: String,
    admin: String,
}

impl Gateway {
    /// Starts the binary before `upstream`, with further settings.
    pub fn start(upstream: &Url, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let (port, admin) = (free_port()?, free_port()?);
        let token = folder().join("token");
        std::fs::write(&token, "sandbox-api-token")?;
        let (address, admin) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{admin}"));
        let mut command = Command::new(BINARY);
        let own = [
            ("SERVER__LISTEN", address.as_str()),
            ("ADMIN__LISTEN", admin.as_str()),
            ("UPSTREAM__BASE_URL", upstream.as_str()),
            ("UPSTREAM__CREDENTIAL__KIND", "api_token"),
            ("UPSTREAM__CREDENTIAL__EMAIL", "owner@sandbox.example"),
            ("UPSTREAM__CREDENTIAL__TOKEN_FILE", token.to_str().context("the path is text")?),
        ];
        for (key, value) in own.iter().chain(settings) {
            command.env(format!("ZENDESK_GATEWAY__{key}"), value);
        }
        let process =
            Process::start(ANY_CORE, command.arg("serve"), port, &folder().join(format!("gateway-{port}.log")))?;
        Ok(Self { process, address, admin: format!("http://{admin}/metrics") })
    }

    /// Returns how many streams are open, as the gateway itself counts them.
    pub async fn active_streams(&self) -> anyhow::Result<f64> {
        let metrics = reqwest::get(&self.admin).await?.text().await?;
        let of_streams = |line: &&str| line.starts_with("zendesk_gateway_streams_active");
        let line = metrics.lines().find(of_streams).context("the gateway counts its streams")?;
        Ok(line.rsplit(' ').next().context("a sample has a value")?.parse()?)
    }
}

/// The stand-in alone.
pub struct Account {
    _process: Process,
    /// Where it listens.
    pub url: Url,
}

impl Account {
    /// Starts one with so many users.
    pub fn start(users: u32) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(BINARY);
        command.args(["sandbox", "--listen", &format!("127.0.0.1:{port}"), "--users", &users.to_string()]);
        command.env("ZENDESK_GATEWAY__SANDBOX__RATE_LIMIT", "1000000");
        let process = Process::start(ANY_CORE, &command, port, &folder().join("account.log"))?;
        Ok(Self { _process: process, url: format!("http://127.0.0.1:{port}").parse()? })
    }
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    folder.to_owned()
}
