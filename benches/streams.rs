//! Streams beside a client that asks Zendesk itself: `cargo bench --bench streams`; with `-- --full` for a million users and
//! a thousand callers who have stopped reading. `-- stalled` and the like measure one thing alone.
//!
//! The gateway is built as it is shipped, with everything on, in a process of its own. Pages are what the stand-in serves,
//! compressed as it compresses them, but replayed by threads that sleep: tokio's timer goes by whole milliseconds and would
//! hide what asking early gains. Contenders take turns, and the median of the rounds counts.

#[path = "compare/process.rs"]
#[allow(dead_code, reason = "shared with the comparison, which asks for more")]
mod process;
mod streams {
    pub mod callers;
    pub mod gateway;
    pub mod upstream;
}

use std::time::{Duration, Instant};

use streams::callers::{self, Stalled};
use streams::gateway::{Account, Gateway};
use streams::upstream::Upstream;

const LATENCY: Duration = Duration::from_millis(20);
const ROWS: u32 = 5_000;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let (modes, names): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|argument| argument.starts_with("--"));
    let full = modes.contains(&"--full");
    let wanted = |name| names.is_empty() || names.contains(&name);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        if wanted("walks") {
            walks(if full { 21 } else { 7 }).await?;
        }
        if wanted("numbers") {
            numbers(if full { 5 } else { 3 }).await?;
        }
        if wanted("processor") {
            processor(if full { 100 } else { 20 }).await?;
        }
        if wanted("memory") {
            memory(if full { 1_000_000 } else { 50_000 }).await?;
        }
        if wanted("stalled") {
            stalled(if full { 1_000 } else { 200 }).await?;
        }
        Ok(())
    })
}

/// 50 pages of 100 users at 20 ms.
async fn walks(rounds: usize) -> anyhow::Result<()> {
    let upstream = Upstream::start(ROWS, LATENCY).await?;
    let plain = Gateway::start(&upstream.url, &[("UPSTREAM__STREAM__PREFETCH", "false")])?;
    let ahead = Gateway::start(&upstream.url, &[])?;
    let mut times: [Vec<f64>; 3] = Default::default();
    // The first round opens connections, and does not count.
    for round in 0..=rounds {
        let taken = [
            timed(callers::direct(&upstream.url, ROWS)).await?,
            timed(callers::users(&plain, ROWS)).await?,
            timed(callers::users(&ahead, ROWS)).await?,
        ];
        if round > 0 {
            times.iter_mut().zip(taken).for_each(|(times, time)| times.push(time));
        }
    }
    let pages = f64::from(ROWS / 100) * LATENCY.as_secs_f64();
    let medians = times.map(median);
    println!("50 pages of 100 users at 20 ms, median of {rounds}");
    println!("{:<36} {:>9} {:>17} {:>10}", "", "seconds", "pages × latency", "direct");
    for (name, median) in ["direct, page after page", "gateway without prefetch", "gateway"].into_iter().zip(medians) {
        println!("{name:<36} {median:>9.3} {:>17.3} {:>10.3}", median / pages, median / medians[0]);
    }
    Ok(())
}

/// A search of 100 pages, some at a time and one after another.
async fn numbers(rounds: usize) -> anyhow::Result<()> {
    const ROWS: u32 = 10_000;
    let upstream = Upstream::start(ROWS, LATENCY).await?;
    let one = Gateway::start(&upstream.url, &[("UPSTREAM__STREAM__PARALLEL_PAGES", "1")])?;
    let many = Gateway::start(&upstream.url, &[])?;
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.push(timed(callers::search(&one, ROWS)).await?);
        together.push(timed(callers::search(&many, ROWS)).await?);
    }
    let (alone, together) = (median(alone), median(together));
    println!(
        "\na search of 100 pages at 20 ms: {alone:.3} s one after another, {together:.3} s six at a time: {:.1} ×",
        alone / together
    );
    Ok(())
}

/// Processor time of the gateway per row, without latency.
async fn processor(rounds: u32) -> anyhow::Result<()> {
    let upstream = Upstream::start(ROWS, Duration::ZERO).await?;
    let gateway = Gateway::start(&upstream.url, &[])?;
    callers::users(&gateway, ROWS).await?;
    let before = gateway.process.cpu_seconds();
    for _ in 0..rounds {
        callers::users(&gateway, ROWS).await?;
    }
    let spent = gateway.process.cpu_seconds() - before;
    println!("\nprocessor time of the gateway: {:.2} µs per row", spent * 1e6 / f64::from(ROWS * rounds));
    Ok(())
}

/// Memory of the gateway while it streams a whole account.
async fn memory(users: u32) -> anyhow::Result<()> {
    let account = Account::start(users)?;
    let gateway = Gateway::start(&account.url, &[])?;
    callers::some(&gateway, 1_000).await?;
    let before = gateway.process.resident_megabytes();
    let mut most = before;
    let begun = Instant::now();
    let walk = callers::users(&gateway, users);
    let mut walk = std::pin::pin!(walk);
    loop {
        tokio::select! {
            outcome = &mut walk => break outcome?,
            () = tokio::time::sleep(Duration::from_millis(100)) => most = most.max(gateway.process.resident_megabytes()),
        }
    }
    most = most.max(gateway.process.resident_megabytes());
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "\n{users} users in {seconds:.1} s: {before:.1} MB before, {most:.1} MB at most: + {:.1} MB",
        most - before
    );
    Ok(())
}

/// Memory of the gateway for callers who have stopped reading.
async fn stalled(callers: u32) -> anyhow::Result<()> {
    let upstream = Upstream::start(ROWS, Duration::ZERO).await?;
    let gateway = Gateway::start(&upstream.url, &[("SERVER__MAX_CALLS", "4096")])?;
    // Once round, so that what any walk needs is there.
    callers::users(&gateway, ROWS).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("\n{callers} callers who stopped reading, twice");
    for _ in 0..2 {
        let before = gateway.process.resident_megabytes();
        let stalled = Stalled::begin(&gateway, callers).await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let held = gateway.process.resident_megabytes();
        drop(stalled);
        let left = Instant::now();
        while left.elapsed() < Duration::from_secs(5) && gateway.active_streams().await? > 0.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (streams, ended) = (gateway.active_streams().await?, left.elapsed().as_secs_f64());
        tokio::time::sleep(Duration::from_secs(5).saturating_sub(left.elapsed())).await;
        let after = gateway.process.resident_megabytes();
        let each = (held - before) * 1e3 / f64::from(callers);
        println!(
            "{before:.1} MB before, {held:.1} MB with them: {each:.0} kB each; \
             {streams} streams open {ended:.2} s after they left, {after:.1} MB after 5 s"
        );
    }
    Ok(())
}

async fn timed(walk: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<f64> {
    let begun = Instant::now();
    walk.await?;
    Ok(begun.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
