//! One run: phases of calls, each through a gateway of its own, all against one upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::transport::Endpoint;
use zendesk_gateway::config::Config;

use super::book::GRACE;
use super::caller::{Caller, Line, Patience};
use super::clock::{nanos, now, watch_lag};
use super::http::Server;
use super::mix::{Choice, Sort};
use super::state::Truth;
use super::upstream;
use super::weather::Weather;
use crate::support::raw::Raw;
use crate::support::{basic, serve, settings};

/// Callers at a time.
const CALLERS: usize = 120;
/// Calls of one round through all phases.
const ROUND: i64 = 200_000;

/// A part of a run.
struct Phase {
    name: &'static str,
    /// Of a hundred calls of a round, how many are in this phase, and how long it may take at most.
    share: i64,
    longest: Duration,
    weather: Weather,
    patience: Patience,
    mix: &'static [(Sort, u32)],
    configure: fn(&mut Config),
    /// What happens in the meantime.
    events: Events,
}

#[derive(Clone, Copy)]
enum Events {
    None,
    /// Nothing works for a second.
    Outage,
    /// Connections are closed and new ones hang in their handshake for two and a half seconds.
    Handshakes,
}

const PATIENT: Patience = Patience { tiny: 2, short: 5, middling: 50, leaves: 2 };
const HURRIED: Patience = Patience { tiny: 30, short: 200, middling: 300, leaves: 80 };

/// Limits that rough weather meets within a short run.
fn short_limits(config: &mut Config) {
    config.upstream.attempt.read_timeout = Duration::from_millis(800);
    config.upstream.attempt.write_timeout = Duration::from_millis(1_500);
    config.upstream.retry.first_backoff = Duration::from_millis(10);
    // Only the outage is to open circuits.
    config.upstream.breaker.consecutive_failures = 40;
    config.upstream.breaker.longest_open = Duration::from_secs(1);
}

const PHASES: &[Phase] = &[
    Phase {
        name: "fair weather, cached",
        share: 60,
        longest: Duration::from_mins(10),
        weather: Weather::FAIR,
        patience: PATIENT,
        mix: &[(Sort::Read, 900), (Sort::List, 60), (Sort::Write, 30), (Sort::Roster, 5)],
        configure: |_| (),
        events: Events::None,
    },
    Phase {
        name: "jobs and whole lists, little room at Zendesk",
        share: 5,
        longest: Duration::from_mins(10),
        weather: Weather { slow: 100, ..Weather::FAIR },
        patience: PATIENT,
        mix: &[(Sort::Read, 500), (Sort::List, 100), (Sort::Write, 50), (Sort::Job, 30), (Sort::Roster, 100)],
        configure: |config| config.upstream.queue.permits = 24,
        events: Events::None,
    },
    Phase {
        name: "rough weather, hurried callers",
        share: 25,
        longest: Duration::from_mins(10),
        weather: Weather::ROUGH,
        patience: HURRIED,
        mix: &[(Sort::Read, 800), (Sort::List, 100), (Sort::Write, 80), (Sort::Roster, 20)],
        configure: short_limits,
        events: Events::Outage,
    },
    Phase {
        name: "rough weather, nothing kept",
        share: 5,
        longest: Duration::from_mins(10),
        weather: Weather::ROUGH,
        patience: HURRIED,
        mix: &[(Sort::Read, 800), (Sort::List, 50), (Sort::Write, 80), (Sort::Job, 5), (Sort::Roster, 20)],
        configure: |config| {
            short_limits(config);
            config.cache.max_bytes = 0;
            config.cache.batch_wait = Duration::from_millis(100);
        },
        events: Events::None,
    },
    Phase {
        name: "handshakes that hang",
        share: 5,
        longest: Duration::from_secs(8),
        weather: Weather::FAIR,
        patience: HURRIED,
        mix: &[(Sort::Read, 300), (Sort::Write, 600), (Sort::Roster, 20)],
        configure: |_| (),
        events: Events::Handshakes,
    },
];

/// Makes so many calls and judges them. Prints what was called and what was wrong; returns how much was.
pub async fn run(seed: u64, calls: i64) -> Truth {
    let truth = Truth::new(seed);
    let server = upstream::start(&truth);
    let lag = tokio::spawn(watch_lag());
    let began = Instant::now();
    let mut left = calls;
    while left > 0 {
        let round = left.min(ROUND);
        left -= round;
        for phase in PHASES {
            let (before, at) = (truth.lock().tally.calls(), Instant::now());
            Box::pin(play(&truth, &server, phase, seed ^ left.cast_unsigned(), (round * phase.share / 100).max(1)))
                .await;
            let made = truth.lock().tally.calls() - before;
            let rate = made as f64 / at.elapsed().as_secs_f64();
            println!("{}: {made} calls in {:?}, {rate:.0}/s", phase.name, at.elapsed());
        }
    }
    let took = began.elapsed();
    sleep(Duration::from_nanos(GRACE)).await;
    truth.lock().clean(GRACE);
    lag.abort();
    let state = truth.lock();
    let (made, judged, rows) = (state.tally.calls(), state.tally.judged, state.tally.rows);
    println!("{}", state.tally.told());
    println!(
        "{made} calls in {took:?}, {:.0}/s; {judged} answers and {rows} records judged; {} violations; TRUTH_SEED={seed} \
         TRUTH_CALLS={calls}",
        made as f64 / took.as_secs_f64(),
        state.tally.violations()
    );
    drop(state);
    truth
}

async fn play(truth: &Truth, server: &Server, phase: &'static Phase, seed: u64, calls: i64) {
    let mut config = settings();
    config.server.drain.timeout = Duration::from_secs(10);
    (phase.configure)(&mut config);
    let (address, _, shutdown, served) = Box::pin(serve(&server.url(), basic("a:b"), config)).await;
    let mut lines = Vec::new();
    for _ in 0..4 {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URI");
        lines.push(Line::Tonic(endpoint.connect().await.expect("it listens")));
    }
    for _ in 0..2 {
        lines.push(Line::Raw(Raw::connect(&address).await.0));
    }
    truth.lock().weather = phase.weather;
    let until = Instant::now() + phase.longest;
    let (left, choice) = (Arc::new(AtomicI64::new(calls)), Arc::new(Choice::of(phase.mix)));
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let random = fastrand::Rng::with_seed(seed.wrapping_mul(1_000).wrapping_add(number as u64));
        let mut caller = Caller { truth: truth.clone(), random, lines: lines.clone(), patience: phase.patience };
        let (left, choice) = (Arc::clone(&left), Arc::clone(&choice));
        callers.spawn(async move {
            while left.fetch_sub(1, Ordering::Relaxed) > 0 && Instant::now() < until {
                let call = choice.any(&mut caller.random);
                call(&mut caller).await;
            }
        });
    }
    let events = tokio::spawn(events(truth.clone(), server.clone(), phase.events));
    let cleaning = tokio::spawn({
        let truth = truth.clone();
        async move {
            loop {
                sleep(Duration::from_millis(500)).await;
                truth.lock().clean(GRACE);
            }
        }
    });
    callers.join_all().await;
    events.await.expect("no panic");
    cleaning.abort();
    // What callers who left had sent is done by now.
    sleep(Duration::from_secs(1)).await;
    {
        let state = &mut *truth.lock();
        let world = &state.world;
        for wrong in state.rosters.quiet(|(side, id)| world.roster(side, id)) {
            state.tally.wrong("a roster is no caller's list", || format!("after \"{}\": {wrong}", phase.name));
        }
    }
    drop(lines);
    shutdown.send(()).expect("the gateway listens for its shutdown");
    served.await.expect("it does not panic").expect("it ends well");
}

async fn events(truth: Truth, server: Server, events: Events) {
    match events {
        Events::None => {}
        Events::Outage => {
            sleep(Duration::from_millis(300)).await;
            truth.lock().weather.outage_until = now() + nanos(Duration::from_secs(1));
        }
        Events::Handshakes => {
            sleep(Duration::from_millis(50)).await;
            let shut = server.shut().await;
            for _ in 0..50 {
                server.hang_up();
                sleep(Duration::from_millis(50)).await;
            }
            drop(shut);
            sleep(Duration::from_millis(1_500)).await;
        }
    }
}
