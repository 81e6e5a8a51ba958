//! The page that says what was measured.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use super::hop::Hop;
use super::memory::Memory;
use super::roster::Plans;
use super::rows::Streams;
use super::scenes::Crowd;
use super::series::Series;
use super::stage::{Scene, Size, name};
use super::uncached::Wires;

/// Gathers results.
pub struct Report {
    versions: String,
    size: Size,
    promises: Vec<Promise>,
    /// Medians of what the libraries alone take of Envoy's processor time, of Python's, and of Envoy's added latency.
    floors: [Vec<f64>; 3],
    tables: String,
}

/// A promise, and what became of it.
struct Promise {
    what: String,
    promised: String,
    measured: String,
    kept: bool,
}

impl Report {
    /// Begins a page. `versions` are those of what the gateway is compared with.
    pub fn new(versions: String, size: Size) -> Self {
        Self { versions, size, promises: Vec::new(), floors: <[_; 3]>::default(), tables: String::new() }
    }

    /// JSON to messages.
    pub fn json(&mut self, (ours, usual): &(Series, Series)) {
        let ratio = ours.over(usual);
        let kept = ratio.median() >= 1.4;
        self.promise("page of 100 users, JSON → messages: speed ÷ serde_json through structs", "≥ 1.4", &ratio, kept);
        self.section("A page of 100 users, from JSON to messages");
        self.row(&["way", "MB/s"]);
        self.row(&["---", "---:"]);
        self.row(&["as the gateway does it", &ours.to_string()]);
        self.row(&["serde_json into structs, then into messages", &usual.to_string()]);
    }

    /// Reads that the cache answers.
    pub fn cached(&mut self, scene: &Scene) {
        self.at_most(
            "cached unary read: CPU per call ÷ bare tonic on one thread",
            0.60,
            scene,
            name::GATEWAY,
            name::BARE,
        );
        let what = "cached unary read: CPU per call with the access log ÷ without";
        self.at_most(what, 1.10, scene, name::LOGGING, name::GATEWAY);
        self.section("Cached reads");
        self.text(
            "`GetUser`, 8 connections with 8 calls at a time each. The bare services answer the same message, and do nothing \
             else: one clones a struct and encodes the clone, one encodes the struct where it is, one sends stored bytes, as \
             the gateway does.",
        );
        self.scene(scene, name::BARE);
    }

    /// The same over many connections.
    pub fn crowd(&mut self, Crowd { connections, scene }: &Crowd) {
        self.section("Cached reads over many connections");
        let text = format!(
            "`GetUser`, 8 connections with 8 calls at a time each, beside {connections} connections with one call at a time \
             each, which the load generator opens first; the figures include that."
        );
        self.text(&text);
        self.scene(scene, name::BARE);
    }

    /// Many users from the cache.
    pub fn batches(&mut self, scene: &Scene) {
        self.section("A hundred users from the cache");
        self.text(
            "2 connections with 16 calls at a time each. The bare service sends the stored bytes of the whole answer, which the \
             gateway puts together from those of each user. A hundred `GetUser` count as one call here, but for their latency.",
        );
        self.scene(scene, name::BARE_BYTES);
    }

    /// Reads that go upstream, one after another.
    pub fn one_at_a_time(&mut self, wires: &Wires) {
        self.uncached(wires, "uncached unary read, one at a time", 1.10);
        self.section("Uncached reads, one after another");
        self.text(
            "`GetUser`, one call at a time; the gateway is told `cache-control: no-cache`. Each call makes one upstream request. \
             *Bare tonic and reqwest* is what the two libraries cost for the same translation with no cache, no deadline, no \
             retry, no breaker, no governor, no telemetry and nobody's identity. The last row asks the stand-in itself, and is \
             its processor time, not a translator's.",
        );
        self.text(
            "Like Zendesk, the stand-in packs its answers with gzip for those who ask for that, over both wires. Python and the \
             bare libraries ask. The gateway asks for a single record as it is, since it is small and unpacking takes longer than \
             reading it. Envoy never asks: its reverse transcoder does not end an answer that its decompressor has unpacked. \
             Python speaks HTTP/1.1 over TLS 1.3, too: aiohttp knows no HTTP/2, and httpx, which does, takes longer.",
        );
        self.wires(wires);
        for (scene, over) in [(&wires.plain, "plain HTTP/1.1"), (&wires.edge, "TLS and HTTP/2")] {
            let added = |name| scene.of(name).latency.minus(&scene.of(name::DIRECT).latency);
            let (ours, envoys) = (added(name::GATEWAY), added(name::ENVOY));
            self.floors[2].push(added(name::BY_HAND).over(&envoys).median());
            let _ = writeln!(self.tables, "\nAdded p50 over {over}: zendesk-gateway {ours} µs, Envoy {envoys} µs.");
        }
    }

    /// Reads that go upstream, many at a time.
    pub fn many_at_a_time(&mut self, wires: &Wires) {
        self.uncached(wires, "uncached unary read, 64 at a time", 1.08);
        self.section("Uncached reads, many at a time");
        self.text(
            "`GetGroup`, 8 connections with 8 calls at a time each, otherwise the same. More than 64 the gateway does not send at \
             a time.",
        );
        self.wires(wires);
    }

    /// Whole pages.
    pub fn pages(&mut self, wires: &Wires) {
        self.uncached(wires, "uncached page of 100 users", 1.00);
        self.section("Uncached pages");
        self.text(
            "`ListUsers`, 100 users a page, 2 connections with one call at a time each. All but Envoy ask for gzip. The gateway \
             also keeps each row as the answer to its own `GetUser`, and gives a token for the next page; the others do not.",
        );
        self.wires(wires);
    }

    /// Rows of streams.
    pub fn rows(&mut self, Streams { users, list, changes, shared }: &Streams) {
        let kept = list.cpu.median() <= 5.0;
        self.promise("row of a streamed list: CPU in µs", "≤ 5.0", &list.cpu, kept);
        self.section("Rows of streams");
        let text = format!(
            "Streams of {users} users, or nearly as many, one after another, over HTTP/1.1 without TLS. A list comes by pages of \
             100, and changes by pages of 1,000; each page is made and packed by the stand-in and read by a client in Rust, so \
             that the rate says more of these than of the gateway. Callers who come to a place within 20 s get the page that \
             another was given. In an experiment, making the encoded messages of JSON and nothing else took 4.2 µs per \
             row.",
        );
        self.text(&text);
        self.row(&["stream", "CPU µs per row", "rows/s"]);
        self.row(&["---", "---:", "---:"]);
        for (name, rows) in [
            ("`StreamUsers`", list),
            ("`StreamChangedUsers`", changes),
            ("`StreamChangedUsers`, pages that others were given", shared),
        ] {
            self.row(&[name, &rows.cpu.to_string(), &rows.rate.to_string()]);
        }
    }

    /// Plans of declarative writes.
    pub fn plans(&mut self, Plans { members, replaced, scene }: &Plans) {
        self.section("Plans");
        let text = format!(
            "`UpdateGroupWithAgents` with `validate_only`, which replaces {replaced} of a group's {members} agents, and \
             `ListMemberships` of that group, which is told `cache-control: no-cache`; over 2 connections with 4 calls at a time \
             each, and HTTP/1.1 without TLS. The list makes one upstream request, and the plan two, one after the other: it \
             answers the group, too."
        );
        self.text(&text);
        self.scene(scene, name::MEMBERS);
    }

    /// The way over a follower.
    pub fn hop(&mut self, hop: &Hop) {
        self.section("The way over a follower");
        self.text(
            "A cached `GetUser` at the leader of a [fleet](fleet.md), over a follower, and over a bare tonic proxy that forwards \
             the same bytes over the same TLS. CPU is that of both processes, with 16 calls at a time; latency is that of one \
             call at a time. These gateways push no telemetry, and identify nobody. `cargo bench --bench hop` measures this alone.",
        );
        self.row(&["way", "CPU µs per call", "added", "p50 µs", "added"]);
        self.row(&["---", "---:", "---:", "---:", "---:"]);
        let row = |name: &str, took: &[Series; 2], added: &[String; 2]| {
            [name.to_owned(), took[0].to_string(), added[0].clone(), took[1].to_string(), added[1].clone()]
        };
        let [follower, proxy] = hop.added().map(|added| added.map(|series| series.to_string()));
        for cells in [
            row("at the leader", &hop.leader, &<[String; 2]>::default()),
            row("over a follower", &hop.follower, &follower),
            row("over the proxy", &hop.proxy, &proxy),
        ] {
            self.row(&cells.each_ref().map(String::as_str));
        }
        let [cpu, latency] = hop.ratio();
        let _ = writeln!(
            self.tables,
            "\nA follower adds {cpu} times the CPU that the proxy adds, and {latency} times the latency."
        );
    }

    /// One core against two.
    pub fn cores(&mut self, (users, batches): &(Scene, Scene)) {
        let rate = |name| &batches.of(name).rate;
        let ratio = rate(name::TWO_CORES).over(rate(name::ONE_CORE));
        let what = "cached reads of 100 users, two connections: calls per second on two cores ÷ on one";
        self.promise(what, "> 1", &ratio, ratio.median() > 1.0);
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
        let Memory { idle, full, entries, connections, connection, streams, stream } = memory;
        self.promises.push(Promise {
            what: "resident memory, idle".to_owned(),
            promised: "≤ 20 MB".to_owned(),
            measured: format!("{idle:.1} MB"),
            kept: *idle <= 20.0,
        });
        self.promises.push(Promise {
            what: "resident memory with 100,000 users cached".to_owned(),
            promised: "≤ 150 MB".to_owned(),
            measured: format!("{full:.1} MB with {users}"),
            kept: *full <= 150.0,
        });
        self.section("Memory");
        self.text("Resident memory of the binary that is shipped, with its sandbox compiled in but not running.");
        self.row(&["state", "memory"]);
        self.row(&["---", "---:"]);
        self.row(&["idle", &format!("{idle:.1} MB")]);
        self.row(&[&format!("after reading all users, {entries} answers in the cache"), &format!("{full:.1} MB")]);
        let each = |kilobytes: f64| format!("{kilobytes:.1} kB each");
        self.row(&[&format!("{connections} idle connections, after a call on each"), &each(*connection)]);
        let what =
            format!("{streams} open streams of users, fifty on a connection, not read on after the first message");
        self.row(&[&what, &each(*stream)]);
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
        self.say_promises(&mut page);
        let [envoy, python, latency] = self.floors.each_ref().map(|medians| range(medians));
        let _ = writeln!(
            page,
            "\nEarlier versions promised at most 0.33 of Envoy's processor time, 0.05 of Python's and half of Envoy's added p50 \
             latency, which were wishes: tonic and reqwest with nothing around them take {envoy}, {python} and {latency}, and \
             nothing that is built on them takes less."
        );
        page.push_str(&self.tables);
        page.push_str("\n## Streams, telemetry, instructions\n\n");
        page.push_str(include_str!("../other.md"));
        page.push_str("\n## What was tried and did not help\n\n");
        page.push_str(include_str!("../tried.md"));
        page
    }

    /// Returns the promises and tables of what was measured, which is not all.
    pub fn tables(&self) -> String {
        let mut part = String::new();
        if !self.promises.is_empty() {
            self.say_promises(&mut part);
        }
        part + &self.tables
    }

    fn say_promises(&self, to: &mut String) {
        to.push_str("| what | promised | measured | |\n|---|---|---|---|\n");
        for Promise { what, promised, measured, kept } in &self.promises {
            let kept = if *kept { "kept" } else { "**missed**" };
            let _ = writeln!(to, "| {what} | {promised} | {measured} | {kept} |");
        }
    }

    /// Holds processor time against that of the libraries alone, and against that of the peers.
    fn uncached(&mut self, wires: &Wires, what: &str, most: f64) {
        for (scene, over) in [(&wires.plain, "plain HTTP/1.1"), (&wires.edge, "TLS and HTTP/2")] {
            let what = format!("{what}, {over}: CPU per call");
            self.at_most(&format!("{what} ÷ bare tonic and reqwest"), most, scene, name::GATEWAY, name::BY_HAND);
            let of = |name| &scene.of(name).cpu;
            let [envoy, python] = [name::ENVOY, name::PYTHON].map(|peer| of(name::GATEWAY).over(of(peer)));
            let kept = envoy.median() < 1.0 && python.median() < 1.0;
            let measured = format!("{envoy}, {python}");
            let what = format!("{what} ÷ Envoy, ÷ Python");
            self.promises.push(Promise { what, promised: "< 1".to_owned(), measured, kept });
            for (medians, peer) in self.floors.iter_mut().zip([name::ENVOY, name::PYTHON]) {
                medians.push(of(name::BY_HAND).over(of(peer)).median());
            }
        }
    }

    /// Promises that one contender takes at most so much of another's processor time.
    fn at_most(&mut self, what: &str, most: f64, scene: &Scene, ours: &str, other: &str) {
        let ratio = scene.of(ours).cpu.over(&scene.of(other).cpu);
        self.promise(what, &format!("≤ {most:.2}"), &ratio, ratio.median() <= most);
    }

    fn promise(&mut self, what: &str, promised: &str, measured: &Series, kept: bool) {
        let (what, promised, measured) = (what.to_owned(), promised.to_owned(), measured.to_string());
        self.promises.push(Promise { what, promised, measured, kept });
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

    fn wires(&mut self, wires: &Wires) {
        self.text("Over HTTP/1.1 without TLS:");
        self.scene(&wires.plain, name::BY_HAND);
        self.text("\nOver TLS 1.3 and HTTP/2:");
        self.scene(&wires.edge, name::BY_HAND);
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

/// Returns the least and the most of these.
fn range(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{least:.2}–{most:.2}")
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
