//! The binary: `serve`, `sandbox`, `check`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

#[cfg(feature = "sandbox")]
use anyhow::ensure;
use clap::{Args, Parser, Subcommand};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::info;
use url::Url;
use zendesk_gateway::assembly::{Around, Assembly, assemble};
use zendesk_gateway::config::{self, Config, Overrides};
use zendesk_gateway::fleet::elected::Trial;
#[cfg(feature = "sandbox")]
use zendesk_gateway::sandbox::Sandbox;
use zendesk_gateway::server;
use zendesk_gateway::server::admin::Readiness;
use zendesk_gateway::server::descriptors::Descriptors;
use zendesk_gateway::server::flood::workers::Workers;
use zendesk_gateway::server::signals::Signals;
use zendesk_gateway::telemetry::Telemetry;
use zendesk_gateway::upstream::client::Origin;
#[cfg(feature = "sandbox")]
use zendesk_gateway::upstream::credential::Credential;
use zendesk_gateway::upstream::credential::Source;
use zendesk_gateway::watch::Watcher;

#[path = "main/complaint.rs"]
mod complaint;
#[path = "main/flags.rs"]
mod flags;
#[path = "main/online.rs"]
mod online;
#[path = "main/readable.rs"]
mod readable;

#[cfg(feature = "sandbox")]
use flags::Account;
use flags::address;

/// Every call makes dozens of small allocations, at which this allocator is faster than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A gRPC gateway for Zendesk users, groups and group memberships.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves gRPC and translates every call to Zendesk.
    Serve {
        #[command(flatten)]
        source: SettingsSource,
        /// Address of the gRPC port; overrides `server.listen`.
        #[arg(long, value_name = "ADDRESS", value_parser = address)]
        listen: Option<SocketAddr>,
        /// Uses an embedded Zendesk stand-in instead of Zendesk.
        #[cfg(feature = "sandbox")]
        #[arg(long)]
        sandbox: bool,
        #[cfg(feature = "sandbox")]
        #[command(flatten)]
        account: Account,
    },
    /// Runs the Zendesk stand-in alone.
    #[cfg(feature = "sandbox")]
    Sandbox {
        #[command(flatten)]
        source: SettingsSource,
        /// Address of the stand-in; overrides `sandbox.listen`. Without either it is 127.0.0.1:8080.
        #[arg(long, value_name = "ADDRESS", value_parser = address)]
        listen: Option<SocketAddr>,
        #[command(flatten)]
        account: Account,
    },
    /// Reports every mistake in the configuration and exits.
    Check {
        #[command(flatten)]
        source: SettingsSource,
        /// Checks for a start with `serve --sandbox`, which needs no upstream.
        #[cfg(feature = "sandbox")]
        #[arg(long)]
        sandbox: bool,
        /// Also asks Zendesk, the issuer of tokens and the collector, as far as the settings name them.
        #[arg(long)]
        online: bool,
    },
}

#[derive(Args)]
struct SettingsSource {
    /// TOML file with settings.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    let outcome =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Into::into).and_then(|runtime| {
            let outcome = runtime.block_on(async {
                // Before anything else: until then a SIGHUP that comes early would end the process.
                let signals = Signals::listen()?;
                Box::pin(run(Cli::parse().command, &signals)).await
            });
            // Does not wait for what still runs: a DNS lookup must not hold up the end.
            runtime.shutdown_background();
            outcome
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Without a backtrace: what ends here is a mistake in the settings, or of the machine.
        Err(error) => {
            complaint::write(&zendesk_gateway::tls::in_words(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, signals: &Signals) -> anyhow::Result<()> {
    match command {
        #[cfg(feature = "sandbox")]
        Command::Serve { source, listen, sandbox, account } => {
            let is_for_sandbox = account.flags().next().is_some();
            ensure!(sandbox || !is_for_sandbox, "--users and --seed are about the embedded stand-in: add --sandbox");
            let flags = listen.map(|listen| ("server.listen", listen.to_string())).into_iter().chain(account.flags());
            Box::pin(serve(load(source, flags.collect(), sandbox, true), sandbox, signals)).await
        }
        #[cfg(not(feature = "sandbox"))]
        Command::Serve { source, listen } => {
            let flags = listen.map(|listen| ("server.listen", listen.to_string()));
            Box::pin(serve(load(source, flags.into_iter().collect(), false, true), false, signals)).await
        }
        #[cfg(feature = "sandbox")]
        Command::Sandbox { source, listen, account } => {
            let flags = listen.map(|listen| ("sandbox.listen", listen.to_string())).into_iter().chain(account.flags());
            let loaded = signals.unless_ended(load(source, flags.collect(), true, false)).await?;
            let Some(mut config) = loaded else { return Ok(()) };
            if listen.is_none() && config.sandbox.listen == zendesk_gateway::sandbox::Config::default().listen {
                config.sandbox.listen = SANDBOX;
            }
            let telemetry = telemetry(&config)?;
            let sandbox = Sandbox::start(config.sandbox).await?;
            println!("Zendesk stand-in on {}", sandbox.base_url());
            let trust = ca_option(&sandbox);
            println!(
                "  curl{trust} -u {}/token:{} {}api/v2/users/me",
                email(&sandbox),
                token(&sandbox),
                sandbox.base_url()
            );
            signals.first().await;
            telemetry.shutdown().await;
            Ok(())
        }
        #[cfg(feature = "sandbox")]
        Command::Check { source, sandbox, online } => {
            check(load(source, Vec::new(), sandbox, false), sandbox, online, signals).await
        }
        #[cfg(not(feature = "sandbox"))]
        Command::Check { source, online } => {
            check(load(source, Vec::new(), false, false), false, online, signals).await
        }
    }
}

/// Reads the settings, on a thread of its own: the file may be a pipe that nobody writes into. If the gateway `serves` with them,
/// it complains of them in the form that they give the log.
async fn load(
    source: SettingsSource,
    flags: Vec<(&'static str, String)>,
    sandboxed: bool,
    serves: bool,
) -> anyhow::Result<Config> {
    let load = move || {
        let text = config::read(source.config.as_deref())?;
        let (environment, unread) = config::environment(std::env::vars_os());
        if serves {
            complaint::in_form(config::log_format(text.as_deref(), &environment));
        }
        let merge = || config::merge(text.as_deref(), Overrides { environment, flags: &flags, sandboxed });
        if unread.is_empty() { merge() } else { Err(config::Mistakes(unread)) }
    };
    Ok(spawn_blocking(load).await??)
}

async fn check(
    config: impl Future<Output = anyhow::Result<Config>>,
    sandboxed: bool,
    online: bool,
    signals: &Signals,
) -> anyhow::Result<()> {
    let checked = async {
        let config = config.await?;
        readable::all(&config, sandboxed).await?;
        config.remarks().iter().for_each(|remark| eprintln!("warning: {remark}"));
        println!("the configuration is valid; gRPC would listen on {}", config.server.listen);
        if online { online::check(&config, sandboxed).await } else { Ok(()) }
    };
    signals.unless_ended(checked).await.map(drop)
}

async fn serve(
    config: impl Future<Output = anyhow::Result<Config>>,
    sandboxed: bool,
    signals: &Signals,
) -> anyhow::Result<()> {
    let started = async { start(config.await?, sandboxed, signals.hangups()).await };
    let Some(started) = signals.unless_ended(started).await? else { return Ok(()) };
    let Started { gateway, socket, readiness, threads, telemetry, admin, .. } = started;
    let workers = Workers::start(threads)?;
    let outcome = tokio::select! {
        outcome = gateway.run(socket, &readiness, &workers, signals.first()) => outcome,
        () = signals.second() => Err(anyhow::anyhow!("ended at once by a second signal")),
    };
    admin.abort();
    telemetry.shutdown().await; // after the last request, whatever the outcome
    outcome
}

/// A gateway that listens, and what is there for it.
struct Started {
    gateway: Assembly,
    socket: TcpListener,
    readiness: Readiness,
    threads: usize,
    telemetry: Telemetry,
    /// The admin port, which is served already.
    admin: JoinHandle<()>,
    #[cfg(feature = "sandbox")]
    _sandbox: Option<Sandbox>,
}

/// Starts everything up to the first connection that is accepted.
async fn start(mut config: Config, sandboxed: bool, hangups: watch::Receiver<u32>) -> anyhow::Result<Started> {
    let telemetry = telemetry(&config)?;
    let threads = config.server.workers.map_or_else(std::thread::available_parallelism, Ok)?.get();
    Descriptors::raise().share_out(&mut config, threads, sandboxed)?;
    let watcher = Watcher::default();
    tokio::spawn(look_again(hangups, watcher.clone()));
    let socket = bind("server.listen", config.server.listen)?;
    let address = socket.local_addr()?;
    let admin_listener = bind("admin.listen", config.admin.listen)?;
    let admin_address = admin_listener.local_addr()?;

    #[cfg(feature = "sandbox")]
    let sandbox = if sandboxed { Some(Sandbox::start(config.sandbox.clone()).await?) } else { None };
    #[cfg(feature = "sandbox")]
    let embedded = match &sandbox {
        Some(sandbox) => Some((sandbox.base_url(), sandbox_credential(sandbox)?)),
        None => None,
    };
    #[cfg(not(feature = "sandbox"))]
    let embedded = None;
    let ca_file = config.upstream.ca_file.as_deref();
    let (origin, credentials) = if let Some((url, credentials)) = embedded {
        (Origin::new(&url, ca_file)?, credentials)
    } else {
        let origin = Origin::new(&config.upstream.url().map_err(anyhow::Error::msg)?, ca_file)?;
        let settings = config.upstream.credential.complete().map_err(config::Mistakes)?;
        let credentials = Source::start(&settings, &origin, &watcher).await?;
        (origin, credentials)
    };
    let url = origin.url().clone();
    server::sources::credentials(&telemetry, &credentials, &watcher);

    let trial = Trial::default();
    let around = Around { origin, credentials, telemetry: telemetry.clone(), watcher, trial };
    let gateway = assemble(config, around).await?.once_accepted();
    gateway.introduce();
    let readiness = Readiness::default();
    let admin = tokio::spawn(gateway.admin(&readiness).serve(admin_listener));
    info!(server.address = %address, upstream.url = %url, "serving");
    let greeting = greeting(address, &url, sandboxed, admin_address);
    greet(greeting)?;
    Ok(Started {
        gateway,
        socket,
        readiness,
        threads,
        telemetry,
        admin,
        #[cfg(feature = "sandbox")]
        _sandbox: sandbox,
    })
}

/// Prints the greeting from a thread of its own: a reader who has seen enough, or never reads, must not keep the port from
/// serving.
fn greet(greeting: String) -> std::io::Result<()> {
    let print = move || drop(std::io::stdout().write_all(greeting.as_bytes()));
    std::thread::Builder::new().name("greeting".to_owned()).spawn(print).map(drop)
}

/// Starts telemetry, and makes it the process's logger.
fn telemetry(config: &Config) -> anyhow::Result<Telemetry> {
    let telemetry = Telemetry::start(&config.telemetry, std::io::stderr())?;
    tracing::dispatcher::set_global_default(telemetry.dispatch().clone())?;
    std::panic::set_hook(Box::new(server::panics::log));
    Ok(telemetry)
}

/// Returns the text that says where everything is.
fn greeting(address: SocketAddr, url: &Url, sandboxed: bool, admin_address: SocketAddr) -> String {
    let stand_in = if sandboxed { " (the embedded stand-in)" } else { "" };
    format!(
        "gRPC on {address}, upstream {url}{stand_in}\n\
         Three calls to try:\n  \
         grpcurl -plaintext {address} list\n  \
         grpcurl -plaintext -d '{{\"page_size\": 2}}' {address} zendesk.gateway.v1.UserService/ListUsers\n  \
         grpcurl -plaintext {address} zendesk.gateway.v1.GroupService/StreamGroups\n\
         Status page: http://{admin_address}/status\n"
    )
}

/// Most connections that may wait to be accepted, if the system allows as many. A connection beyond it would be retried after
/// a second. Many come at once when another replica ends and all its callers connect here.
const BACKLOG: u32 = 4096;

/// Where the stand-in listens alone, if nobody says anything else.
#[cfg(feature = "sandbox")]
const SANDBOX: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

fn bind(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    let explained = |error: std::io::Error| {
        // The port may be the near end of some program's outgoing connection, which no list of listeners shows.
        let hint = if error.kind() == std::io::ErrorKind::AddrInUse {
            ": another program has the port; choose another"
        } else {
            ""
        };
        anyhow::Error::new(error).context(format!("{key}: cannot listen on {address}{hint}"))
    };
    listen().map_err(explained)
}

#[cfg(feature = "sandbox")]
fn sandbox_credential(sandbox: &Sandbox) -> anyhow::Result<Source> {
    use base64::Engine as _;
    let pair = format!("{}/token:{}", email(sandbox), token(sandbox));
    let credential = Credential::new(&format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair)), true)?;
    Ok(Source::fixed("api_token (stand-in)", credential))
}

/// Returns what curl needs to trust the stand-in.
#[cfg(feature = "sandbox")]
fn ca_option(sandbox: &Sandbox) -> String {
    match (sandbox.ca_pem(), &sandbox.config().wire.ca_file) {
        (None, _) => String::new(),
        (Some(_), Some(file)) => format!(" --cacert {}", file.display()),
        (Some(_), None) => " --insecure".to_owned(),
    }
}

#[cfg(feature = "sandbox")]
fn email(sandbox: &Sandbox) -> &str {
    &sandbox.config().credential.email
}

#[cfg(feature = "sandbox")]
fn token(sandbox: &Sandbox) -> &str {
    &sandbox.config().credential.api_token
}

/// Has the files read again at each SIGHUP. The settings stay as they are: they are read at start.
async fn look_again(mut hangups: watch::Receiver<u32>, watcher: Watcher) {
    while hangups.changed().await.is_ok() {
        info!("SIGHUP: reading certificates, keys and credentials again; settings are read at start only");
        watcher.look_now();
    }
}
