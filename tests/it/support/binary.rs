//! The real binary with its embedded stand-in, as an operator runs it.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::sandbox::Sandbox;

use super::raw::LONG;

/// A process; dropping it kills it.
pub struct Binary {
    child: Child,
    pub address: String,
    pub admin: String,
    /// What it says when it serves.
    pub greeting: Vec<String>,
    http: reqwest::Client,
    log: Arc<Mutex<String>>,
    reading: JoinHandle<()>,
    /// The files with its credential and with the certificate that it trusts.
    _files: Vec<tempfile::NamedTempFile>,
}

impl Binary {
    /// Starts it with settings, as their environment variables without the prefix.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        Self::launch(Command::new(env!("CARGO_BIN_EXE_zendesk-gateway")), settings).await
    }

    /// Starts it as `change` says: with further arguments, or with variables of the environment that are no settings.
    pub async fn changed(change: impl FnOnce(&mut Command), settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zendesk-gateway"));
        command.args(["serve", "--sandbox", "--users", "3000", "--listen", "127.0.0.1:0"]);
        change(&mut command);
        Self::spawn(command, settings, u64::MAX).await
    }

    /// Starts it before an upstream that is not the embedded stand-in, which its settings name.
    pub async fn before_another(settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zendesk-gateway"));
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        Self::spawn(command, settings, u64::MAX).await
    }

    /// The same with a file of settings, too.
    pub async fn configured(config: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zendesk-gateway"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(config);
        Self::spawn(command, settings, u64::MAX).await
    }

    /// Starts it with a file of settings, and reads at most so many bytes a second of what it logs.
    pub async fn read_slowly(pace: u64, config: &Path, settings: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("sh");
        let configured = "exec \"$0\" \"$@\" --config \"$FILE\"";
        shell.args(["-c", configured, env!("CARGO_BIN_EXE_zendesk-gateway")]).env("FILE", config);
        Self::run(shell, settings, pace).await
    }

    /// Starts it where nothing can be written to standard error any more.
    pub async fn whose_log_is_full(settings: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$0\" \"$@\" 2>/dev/full", env!("CARGO_BIN_EXE_zendesk-gateway")]);
        Self::launch(shell, settings).await
    }

    /// Starts it with so many file descriptors, and no more.
    pub async fn with_descriptors(number: u32, settings: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("sh");
        let limit = format!("ulimit -n {number} && exec \"$0\" \"$@\"");
        shell.args(["-c", &limit, env!("CARGO_BIN_EXE_zendesk-gateway")]);
        Self::launch(shell, settings).await
    }

    /// Starts it on one processor, which is also all that it sees.
    pub async fn on_processor(number: u32, settings: &[(&str, &str)]) -> Self {
        let mut bound = Command::new("taskset");
        bound.args(["-c", &number.to_string(), env!("CARGO_BIN_EXE_zendesk-gateway")]);
        Self::launch(bound, settings).await
    }

    /// Starts it before a stand-in that is there already.
    pub async fn before(sandbox: &Sandbox, settings: &[(&str, &str)]) -> Self {
        let known = &sandbox.config().credential;
        let files: Vec<_> =
            std::iter::once(known.api_token.as_str()).chain(sandbox.ca_pem()).map(super::file_of).collect();
        let paths: Vec<_> = files.iter().map(|file| file.path().to_string_lossy().into_owned()).collect();
        let url = sandbox.base_url().to_string();
        let mut upstream = vec![
            ("UPSTREAM__BASE_URL", url.as_str()),
            ("UPSTREAM__CREDENTIAL__KIND", "api_token"),
            ("UPSTREAM__CREDENTIAL__EMAIL", &known.email),
            ("UPSTREAM__CREDENTIAL__TOKEN_FILE", &paths[0]),
        ];
        upstream.extend(paths.get(1).map(|certificate| ("UPSTREAM__CA_FILE", certificate.as_str())));
        let mut command = Command::new(env!("CARGO_BIN_EXE_zendesk-gateway"));
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        let binary = Self::spawn(command, &[upstream.as_slice(), settings].concat(), u64::MAX).await;
        Self { _files: files, ..binary }
    }

    /// Kills it without warning, and waits until it is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it runs");
    }

    async fn launch(command: Command, settings: &[(&str, &str)]) -> Self {
        Self::run(command, settings, u64::MAX).await
    }

    async fn run(mut command: Command, settings: &[(&str, &str)], pace: u64) -> Self {
        command.args(["serve", "--sandbox", "--users", "3000", "--listen", "127.0.0.1:0"]);
        Self::spawn(command, settings, pace).await
    }

    async fn spawn(mut command: Command, settings: &[(&str, &str)], pace: u64) -> Self {
        let fixed = [("ADMIN__LISTEN", "127.0.0.1:0"), ("SANDBOX__RATE_LIMIT", "1000000")];
        for (key, value) in fixed.iter().chain(settings) {
            command.env(format!("ZENDESK_GATEWAY__{key}"), value);
        }
        command.envs(of_the_image());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let log = Arc::<Mutex<String>>::default();
        let reading = tokio::spawn(keep(child.stderr.take().expect("piped"), Arc::clone(&log), pace));
        let (mut address, mut admin) = (None, None);
        let mut greeting = Vec::new();
        let greets = tokio::time::timeout(LONG, async {
            while let Some(line) = lines.next_line().await.expect("text") {
                if let Some(rest) = line.strip_prefix("gRPC on ") {
                    address = rest.split(',').next().map(str::to_owned);
                }
                if let Some(rest) = line.strip_prefix("Status page: ") {
                    admin = rest.strip_suffix("/status").map(str::to_owned);
                    return;
                }
                greeting.push(line);
            }
        });
        greets.await.expect("it greets");
        let said = || panic!("it does not serve: {}", log.lock().expect("no panic inside"));
        let (address, admin) = (address.unwrap_or_else(said), admin.unwrap_or_else(said));
        Self { child, address, admin, greeting, http: reqwest::Client::new(), log, reading, _files: Vec::new() }
    }

    /// A client of its own connection.
    pub async fn users(&self) -> UserServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).expect("a URI");
        UserServiceClient::new(endpoint.connect().await.expect("it listens"))
    }

    /// The ids of some users.
    pub async fn ids(&self) -> Vec<i64> {
        let list = zendesk_gateway::proto::ListUsersRequest { page_size: 100, ..Default::default() };
        let page = self.users().await.list_users(list).await.expect("a page").into_inner();
        page.users.iter().map(|user| user.id).collect()
    }

    /// The most memory it has had so far, in bytes.
    pub fn peak(&self) -> u64 {
        let id = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Sends it a signal.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await.expect("kill exists");
        assert!(sent.success());
    }

    /// Whether it says that it is ready.
    pub async fn is_ready(&self) -> bool {
        let ready = self.http.get(format!("{}/readyz", self.admin)).send().await;
        ready.is_ok_and(|answer| answer.status() == 200)
    }

    /// Whether it says that calls should go elsewhere.
    pub async fn is_draining(&self) -> bool {
        let ready = self.http.get(format!("{}/readyz", self.admin)).send().await;
        ready.is_ok_and(|answer| answer.status() == 503)
    }

    /// Waits for its end, and returns its status and what it logged.
    pub async fn ended(mut self, within: Duration) -> (ExitStatus, String) {
        let status =
            tokio::time::timeout(within, self.child.wait()).await.expect("it ends in time").expect("its status");
        self.reading.await.expect("no panic");
        (status, self.log.lock().expect("no panic inside").clone())
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic inside").clone()
    }
}

/// The environment that the image gives a gateway.
fn of_the_image() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile");
    let text = std::fs::read_to_string(&path).expect("the Dockerfile");
    let set = text.lines().filter_map(|line| line.strip_prefix("ENV ")?.split_once('='));
    set.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Keeps what it reads, `pace` bytes a second at most.
async fn keep(mut from: impl AsyncRead + Unpin, log: Arc<Mutex<String>>, pace: u64) {
    let mut bytes = [0; 8192];
    let pause = Duration::from_micros(bytes.len() as u64 * 1_000_000 / pace);
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        log.lock().expect("no panic inside").push_str(&String::from_utf8_lossy(&bytes[..read]));
        if pause >= Duration::from_millis(1) {
            tokio::time::sleep(pause).await;
        }
    }
}
