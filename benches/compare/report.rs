//! The page that says what was measured.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use super::scenes::{Memory, Scene, Size, name};
use super::series::Series;

/// Gathers results.
pub struct Report {
    versions: String,
    size: Size,
    targets: Vec<Target>,
    /// Rows that say how far the libraries alone are from the promises.
    floors: String,
    tables: String,
}

/// A promise, and what became of it.
struct Target {
    what: String,
    promised: &'static str,
    measured: String,
    met: bool,
}

impl Report {
    /// Begins a page. `versions` are those of what the gateway is compared with.
    pub fn new(versions: String, size: Size) -> Self {
        Self { versions, size, targets: Vec::new(), floors: String::new(), tables: String::new() }
    }

    /// JSON to messages.
    pub fn json(&mut self, (ours, usual): &(Series, Series)) {
        let ratio = ours.over(usual);
        self.target(
            "page of 100 users, JSON → messages: speed ÷ serde_json through structs",
            "≥ 1.4",
            &ratio,
            |it| it >= 1.4,
        );
        self.section("A page of 100 users, from JSON to messages");
        self.row(&["way", "MB/s"]);
        self.row(&["---", "---:"]);
        self.row(&["as the gateway does it", &ours.to_string()]);
        self.row(&["serde_json into structs, then into messages", &usual.to_string()]);
    }

    /// Reads that the cache answers.
    pub fn cached(&mut self, scene: &Scene) {
        let of = |name| &scene.of(name).cpu;
        let ratio = of(name::GATEWAY).over(of(name::BARE));
        self.target("cached unary read: CPU per call ÷ bare tonic on one thread", "≤ 0.80", &ratio, |it| it <= 0.8);
        self.section("Cached reads");
        self.text(
            "`GetUser`, 8 connections with 8 calls at a time each. The bare services answer the same message, and do nothing \
             else: one clones a struct and encodes the clone, one encodes the struct where it is, one sends stored bytes, as \
             the gateway does.",
        );
        self.scene(scene, name::BARE);
    }

    /// Reads that go upstream, one after another.
    pub fn uncached(&mut self, scene: &Scene) {
        self.peers(scene, "uncached unary read, one at a time");
        let added = |name| scene.of(name).latency.minus(&scene.of(name::DIRECT).latency);
        let (ours, envoys) = (added(name::GATEWAY), added(name::ENVOY));
        let ratio = ours.over(&envoys);
        self.target("uncached unary read: added p50 latency ÷ Envoy's", "≤ 0.5", &ratio, |it| it <= 0.5);
        self.section("Uncached reads, one after another");
        self.text(
            "`GetUser`, one call at a time; the gateway is told `cache-control: no-cache`. Each call makes one upstream request. \
             The last row asks the stand-in itself, and is its processor time, not a translator's. *Bare tonic and reqwest* is what the two libraries cost for the same translation with no \
             cache, no deadline, no retry, no breaker, no governor, no telemetry and nobody's identity.",
        );
        self.scene(scene, name::ENVOY);
        let _ = writeln!(self.tables, "\nAdded p50: zendesk-gateway {ours} µs, Envoy {envoys} µs.");
    }

    /// Reads that go upstream, many at a time.
    pub fn concurrent(&mut self, scene: &Scene) {
        self.peers(scene, "uncached unary read, 64 at a time");
        self.section("Uncached reads, many at a time");
        self.text("`GetGroup`, 8 connections with 8 calls at a time each, otherwise the same. More than 64 the gateway does not send at a time.");
        self.scene(scene, name::ENVOY);
    }

    /// Whole pages.
    pub fn pages(&mut self, scene: &Scene) {
        self.peers(scene, "uncached page of 100 users");
        self.section("Uncached pages");
        self.text(
            "`ListUsers`, 100 users a page, 2 connections with one call at a time each. The gateway also keeps each row as \
             the answer to its own `GetUser`, and gives a token for the next page; the others do not.",
        );
        self.scene(scene, name::ENVOY);
    }

    /// One core against two.
    pub fn cores(&mut self, (users, batches): &(Scene, Scene)) {
        let ratio = |scene: &Scene| scene.of(name::TWO_CORES).rate.over(&scene.of(name::ONE_CORE).rate);
        let what = "cached reads of 100 users, two connections: calls per second on two cores ÷ on one";
        self.target(what, "> 1", &ratio(batches), |it| it > 1.0);
        self.section("One core and two");
        self.text(
            "From the cache, over 2 connections with 16 calls at a time each: `GetUser`, then `BatchGetUsers` of 100. There are \
             only two cores here, so the load generator shares the second one with the gateway. For a `GetUser` it needs about \
             as much processor time as the gateway, so that two cores cannot answer much more than one.",
        );
        self.scene(users, name::ONE_CORE);
        self.tables.push('\n');
        self.scene(batches, name::ONE_CORE);
    }

    /// Memory.
    pub fn memory(&mut self, memory: &Memory) {
        let users = if matches!(self.size, Size::Full) { "100,000" } else { "10,000" };
        let text = |megabytes: f64| format!("{megabytes:.1} MB");
        self.targets.push(Target {
            what: "resident memory, idle".to_owned(),
            promised: "≤ 20 MB",
            measured: text(memory.idle),
            met: memory.idle <= 20.0,
        });
        self.targets.push(Target {
            what: "resident memory with 100,000 users cached".to_owned(),
            promised: "≤ 150 MB",
            measured: format!("{} with {users}", text(memory.full)),
            met: memory.full <= 150.0,
        });
        self.section("Memory");
        self.text("Resident memory of the binary that is shipped, with its sandbox compiled in but not running.");
        self.row(&["state", "MB", "answers in the cache"]);
        self.row(&["---", "---:", "---:"]);
        self.row(&["idle", &format!("{:.1}", memory.idle), "0"]);
        self.row(&["after reading all users", &format!("{:.1}", memory.full), &memory.entries.to_string()]);
    }

    /// Returns the page.
    pub fn page(&self) -> String {
        let rounds = self.size.rounds();
        let mut page = format!(
            "<!-- Written by `cargo bench --bench compare`; changes belong into benches/. -->\n# Benchmarks\n\n\
             `cargo bench --bench compare` measures all of this again and writes this page. It needs two cores, Python 3 and \
             `h2load` (Debian's `nghttp2-client`), and installs the peers into `target/`.\n\n\
             Every figure is the median of {rounds} rounds, with the least and the most in parentheses. Ratios are taken round by \
             round. CPU is the user and system time of the server's process from `/proc`, per call. Everything runs on \
             loopback; the server under test has one core, and load generator, Zendesk stand-in and collector share another. \
             The contenders take turns. A real client looks at status and content before and after each table; during the \
             load, the number of successful calls and of bytes, and the number of upstream requests are checked.\n\n\
             The gateway runs with everything switched on: callers identified by API key, deadlines, metrics, 5 % of the calls \
             traced, both pushed to a collector, cache with its default policy. One row has the access log on top.\n\n\
             Machine: {}. Peers: {}.\n\n## Promises\n\n",
            machine(),
            self.versions
        );
        page.push_str("| what | promised | measured | |\n|---|---|---|---|\n");
        for Target { what, promised, measured, met } in &self.targets {
            let _ =
                writeln!(page, "| {what} | {promised} | {measured} | {} |", if *met { "kept" } else { "**missed**" });
        }
        page.push_str(
            "\nWhat the two libraries alone cost, tonic and reqwest with nothing around them, bounds what can be promised beside \
             Envoy. The last column is the price of everything that the gateway does beyond translating.\n\n\
             | CPU per call | bare tonic and reqwest ÷ Envoy | gateway ÷ bare tonic and reqwest |\n|---|---|---|\n",
        );
        page.push_str(&self.floors);
        page.push_str(&self.tables);
        page.push_str("\n## Streams, telemetry, instructions\n\n");
        page.push_str(include_str!("../other.md"));
        page.push_str("\n## What was tried and did not help\n\n");
        page.push_str(include_str!("../tried.md"));
        page
    }

    /// Holds processor time against the peers'.
    fn peers(&mut self, scene: &Scene, what: &str) {
        let of = |name| &scene.of(name).cpu;
        let over_envoy = of(name::GATEWAY).over(of(name::ENVOY));
        self.target(&format!("{what}: CPU per call ÷ Envoy"), "≤ 0.33", &over_envoy, |it| it <= 0.33);
        let (floor, over_floor) = (of(name::BY_HAND).over(of(name::ENVOY)), of(name::GATEWAY).over(of(name::BY_HAND)));
        let _ = writeln!(self.floors, "| {what} | {floor} | {over_floor} |");
        let over_python = of(name::GATEWAY).over(of(name::PYTHON));
        self.target(&format!("{what}: CPU per call ÷ Python"), "≤ 0.05", &over_python, |it| it <= 0.05);
    }

    fn target(&mut self, what: &str, promised: &'static str, measured: &Series, keeps: fn(f64) -> bool) {
        let met = keeps(measured.median());
        self.targets.push(Target { what: what.to_owned(), promised, measured: measured.to_string(), met });
    }

    fn section(&mut self, title: &str) {
        let _ = writeln!(self.tables, "\n## {title}\n");
    }

    fn text(&mut self, text: &str) {
        let _ = writeln!(self.tables, "{text}\n");
    }

    fn row(&mut self, cells: &[&str]) {
        let _ = writeln!(self.tables, "| {} |", cells.join(" | "));
    }

    fn scene(&mut self, scene: &Scene, base: &str) {
        self.row(&["contender", "CPU µs per call", &format!("÷ {base}"), "calls/s", "p50 µs"]);
        self.row(&["---", "---:", "---:", "---:", "---:"]);
        for measured in scene.all() {
            let ratio = measured.cpu.over(&scene.of(base).cpu);
            let figures = [&measured.cpu, &ratio, &measured.rate, &measured.latency].map(Series::to_string);
            let cells: Vec<&str> = std::iter::once(measured.name).chain(figures.iter().map(String::as_str)).collect();
            self.row(&cells);
        }
    }
}

/// Returns the processor, the cores, the kernel and the compiler.
fn machine() -> String {
    let said = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok();
        output.map_or_else(String::new, |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("unknown", |it| it.1);
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    format!("{model}, {cores} cores, Linux {}, {}", said("uname", "-r"), said("rustc", "--version"))
}
