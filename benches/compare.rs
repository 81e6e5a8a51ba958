//! The gateway beside the ceiling and its peers: `cargo bench --bench compare` measures, prints, and writes
//! `docs/benchmarks.md`; with `-- --quick` the loads are small and nothing is written. `-- rows`, `-- hop` and the like measure
//! one thing alone, and write nothing either.
//!
//! All run on loopback. The server under test has one core to itself; the load generator, the Zendesk stand-in and the
//! collector share another. Contenders take turns, so that what else the machine does falls on all of them, and what counts is
//! the median of several rounds. Time on a shared machine is noisy; processor time per call is much less so.

mod compare {
    pub mod bare;
    pub mod collector;
    pub mod hop;
    pub mod json;
    pub mod load;
    pub mod memory;
    pub mod peers;
    pub mod probe;
    pub mod process;
    pub mod report;
    pub mod roster;
    pub mod rows;
    pub mod scenes;
    pub mod series;
    pub mod stage;
    pub mod stand_in;
    pub mod uncached;
}

use std::process::{Command, Stdio};

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use compare::peers::{OTHER_CORE, Tools};
use compare::report::Report;
use compare::stage::{Size, Stage};
use compare::{bare, hop, memory, roster, rows, scenes, stand_in, uncached};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [role, flavour, port, what @ ..] = arguments.as_slice()
        && role == "bare"
    {
        return bare::serve(flavour, port.parse()?, what);
    }
    if let [role, port, users] = arguments.as_slice()
        && role == "unlimited"
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(stand_in::serve_unlimited(port.parse()?, users.parse()?));
    }
    if hop::serves(&arguments)? {
        return Ok(());
    }
    let size = if arguments.iter().any(|argument| argument == "--quick") { Size::Quick } else { Size::Full };
    ensure!(std::thread::available_parallelism()?.get() >= 2, "server and load need a core each");
    stay_off_the_servers_core()?;
    open_many_files()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let names: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with("--")).collect();
    runtime.block_on(compare(size, &names))
}

async fn compare(size: Size, names: &[&str]) -> anyhow::Result<()> {
    let stage = Stage::set(Tools::prepare()?, size).await?;
    let mut report = Report::new(stage.tools.versions()?, size);
    let wanted = |name| names.is_empty() || names.contains(&name);
    if wanted("json") {
        report.json(&scenes::json(&stage).await?);
    }
    if wanted("cached") {
        report.cached(&scenes::cached(&stage).await?);
    }
    if wanted("crowd") {
        report.crowd(&scenes::crowd(&stage).await?);
    }
    if wanted("batches") {
        report.batches(&scenes::batches(&stage).await?);
    }
    if wanted("one") {
        report.one_at_a_time(&uncached::one_at_a_time(&stage).await?);
    }
    if wanted("many") {
        report.many_at_a_time(&uncached::many_at_a_time(&stage).await?);
    }
    if wanted("pages") {
        report.pages(&uncached::pages(&stage).await?);
    }
    if wanted("rows") {
        report.rows(&rows::streams(&stage).await?);
    }
    if wanted("plans") {
        report.plans(&roster::plans(&stage).await?);
    }
    if wanted("hop") {
        report.hop(&hop::measure(size.rounds(), size.calls(20_000) as usize).await?);
    }
    if wanted("cores") {
        report.cores(&scenes::cores(&stage).await?);
    }
    if wanted("memory") {
        report.memory(&memory::memory(&stage).await?);
    }
    if !names.is_empty() {
        println!("{}", report.tables());
        return Ok(());
    }
    let page = report.page();
    println!("{page}");
    if matches!(size, Size::Full) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks.md");
        std::fs::write(path, page)?;
        println!("written to {path}");
    }
    Ok(())
}

/// Threads that are made from here on inherit the core.
fn stay_off_the_servers_core() -> anyhow::Result<()> {
    let process = std::process::id().to_string();
    let mut pin = Command::new("taskset");
    pin.args(["--pid", "--cpu-list", OTHER_CORE, &process]).stdout(Stdio::null());
    ensure!(pin.status()?.success(), "taskset failed");
    Ok(())
}

/// Servers and load generator inherit it: a scene has thousands of connections.
fn open_many_files() -> anyhow::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
