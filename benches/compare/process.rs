//! A server in a process of its own, on cores of its own.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// The kernel counts processor time in these.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running server; dropping it ends it.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `command` on `cores`, as `taskset` names them, and waits until `port` takes connections. What it prints goes to
    /// `log`.
    pub fn start(cores: &str, command: &Command, port: u16, log: &Path) -> anyhow::Result<Self> {
        let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let environment = command.get_envs().filter_map(|(key, value)| Some((key, value?)));
        let child = Command::new("taskset")
            .args(["--cpu-list", cores])
            .arg(command.get_program())
            .args(command.get_args())
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("taskset (Debian util-linux) cannot be run")?;
        let mut process = Self { child };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let patience = Instant::now() + Duration::from_mins(1);
        while TcpStream::connect(address).is_err() {
            let ended = process.child.try_wait()?;
            if ended.is_some() || Instant::now() > patience {
                bail!("{} did not start; see {}", command.get_program().display(), log.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    /// Returns the processor time that all its threads have used, in seconds, to a hundredth.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("the process is running");
        // The name in parentheses may hold spaces; utime and stime are the 14th and 15th field of the line.
        let (_, fields) = stat.rsplit_once(')').expect("the kernel writes the name in parentheses");
        let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        ticks / TICKS_PER_SECOND
    }

    /// Returns the resident memory in MB.
    pub fn resident_megabytes(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process is running");
        let kibibytes =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
        kibibytes.map_or(f64::NAN, |kibibytes: f64| kibibytes * 1024.0 / 1e6)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a port that nobody listens on.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
