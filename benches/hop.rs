//! What the way over a follower costs, by itself and in more rounds than the comparison takes: `cargo bench --bench hop`; with
//! `-- --quick` the loads are small.

#[expect(dead_code, reason = "the comparison measures more")]
mod compare {
    pub mod hop;
    pub mod process;
    pub mod series;
}

use std::process::Command;

use anyhow::ensure;

use compare::hop;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if hop::serves(&arguments)? {
        return Ok(());
    }
    let (rounds, calls) = if arguments.iter().any(|argument| argument == "--quick") { (2, 2_000) } else { (9, 20_000) };
    let mut pin = Command::new("taskset");
    let pinned = pin.args(["-pc", "1", &std::process::id().to_string()]).output()?.status.success();
    ensure!(pinned, "taskset failed");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let hop = runtime.block_on(hop::measure(rounds, calls))?;
    let ([follower, proxy], ratio) = (hop.added(), hop.ratio());
    for (place, what, unit) in [(0, "processor time", "µs per call"), (1, "median latency", "µs")] {
        let (leader, follower, proxy) = (&hop.leader[place], &follower[place], &proxy[place]);
        println!("{what}: leader {leader} {unit}; a follower adds {follower}, the proxy {proxy}");
        println!("{what}: a follower adds {} times what the proxy adds", ratio[place]);
    }
    Ok(())
}
