//! One run: phases of calls, each through a gateway of its own, all against one upstream.

use std::path::PathBuf;
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
use super::http::{Server, Wire};
use super::mix::{Choice, Sort};
use super::state::Truth;
use super::upstream;
use super::weather::Weather;
use crate::support::raw::Raw;
use crate::support::{basic, serve, settings};

/// Calls of one round through all phases.
const ROUND: i64 = 400_000;

/// A part of a run.
struct Phase {
    name: &'static str,
    /// Of a hundred calls of a round, how many are in this phase, and how long it may take at most.
    share: i64,
    longest: Duration,
    /// How many call at a time, and how long each rests at most before the next call.
    callers: usize,
    rest: Duration,
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
    /// Connections are closed and new ones hang in their handshake for a second.
    Handshakes,
}

const PATIENT: Patience = Patience { tiny: 2, short: 5, middling: 50, leaves: 2 };
const HURRIED: Patience = Patience { tiny: 30, short: 200, middling: 300, leaves: 80 };

/// Limits that rough weather meets within a short run.
fn short_limits(config: &mut Config) {
    config.upstream.attempt.read_timeout = Duration::from_millis(800);
    config.upstream.attempt.write_timeout = Duration::from_millis(1_500);
    config.upstream.queue.permits = 200;
    config.upstream.retry.first_backoff = Duration::from_millis(10);
    // Only the outage is to open circuits.
    config.upstream.breaker.consecutive_failures = 40;
    config.upstream.breaker.longest_open = Duration::from_secs(1);
}

const PHASES: &[Phase] = &[
    Phase {
        name: "fair weather, cached",
        share: 75,
        longest: Duration::from_mins(10),
        callers: 120,
        rest: Duration::ZERO,
        weather: Weather::FAIR,
        patience: PATIENT,
        mix: &[(Sort::Read, 940), (Sort::List, 40), (Sort::Write, 18), (Sort::Roster, 2)],
        configure: |_| (),
        events: Events::None,
    },
    Phase {
        name: "jobs and whole lists, little room at Zendesk",
        share: 3,
        longest: Duration::from_secs(6),
        callers: 60,
        rest: Duration::ZERO,
        weather: Weather { slow: 100, ..Weather::FAIR },
        patience: PATIENT,
        mix: &[(Sort::Read, 600), (Sort::List, 100), (Sort::Write, 50), (Sort::Job, 20), (Sort::Roster, 100)],
        configure: |config| config.upstream.queue.permits = 24,
        events: Events::None,
    },
    Phase {
        name: "rough weather, hurried callers",
        share: 15,
        longest: Duration::from_mins(10),
        callers: 240,
        rest: Duration::ZERO,
        weather: Weather::ROUGH,
        patience: HURRIED,
        mix: &[(Sort::Read, 800), (Sort::List, 100), (Sort::Write, 80), (Sort::Roster, 20)],
        configure: short_limits,
        events: Events::Outage,
    },
    Phase {
        name: "rough weather, nothing kept",
        share: 5,
        longest: Duration::from_secs(10),
        callers: 240,
        rest: Duration::ZERO,
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
    // So few that a batch holds two or three, of whom some leave before it does.
    Phase {
        name: "slow Zendesk, few callers who leave, nothing kept",
        share: 1,
        longest: Duration::from_secs(5),
        callers: 10,
        rest: Duration::from_millis(100),
        weather: Weather { slow: 300, slowest: 500, ..Weather::FAIR },
        patience: Patience { tiny: 50, short: 350, middling: 200, leaves: 200 },
        mix: &[(Sort::Read, 1000)],
        configure: |config| config.cache.max_bytes = 0,
        events: Events::None,
    },
    Phase {
        name: "handshakes that hang",
        share: 1,
        longest: Duration::from_secs(3),
        callers: 120,
        rest: Duration::ZERO,
        weather: Weather::FAIR,
        patience: HURRIED,
        mix: &[(Sort::Read, 300), (Sort::Write, 600), (Sort::Roster, 20)],
        configure: |_| (),
        events: Events::Handshakes,
    },
];

/// Makes so many calls and judges them. Prints what was called and what was wrong; returns all that is known.
pub async fn run(seed: u64, calls: i64, wire: Wire) -> Truth {
    let truth = Truth::new(seed);
    let server = upstream::start(&truth, wire);
    let directory = tempfile::tempdir().expect("a directory");
    let ca_file = server.certificate().map(|certificate| {
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, certificate).expect("it is written");
        file
    });
    let lag = tokio::spawn(watch_lag());
    let began = Instant::now();
    let mut left = calls;
    while left > 0 {
        let round = left.min(ROUND);
        left -= round;
        for phase in PHASES {
            let (before, at) = (truth.lock().tally.calls(), Instant::now());
            let calls = (round * phase.share / 100).max(1);
            Box::pin(play(&truth, &server, ca_file.clone(), phase, seed ^ left.cast_unsigned(), calls)).await;
            let made = truth.lock().tally.calls() - before;
            let rate = rate(made, at.elapsed());
            println!("{}: {made} calls in {:?}, {rate}/s", phase.name, at.elapsed());
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
        "{made} calls in {took:?}, {}/s; {judged} answers and {rows} records judged; {} violations over {wire:?}; TRUTH_SEED={seed} \
         TRUTH_CALLS={calls}",
        rate(made, took),
        state.tally.violations()
    );
    drop(state);
    truth
}

/// Calls per second.
fn rate(calls: u64, took: Duration) -> u128 {
    u128::from(calls) * 1_000_000 / took.as_micros().max(1)
}

async fn play(truth: &Truth, server: &Server, ca_file: Option<PathBuf>, phase: &'static Phase, seed: u64, calls: i64) {
    let mut config = settings();
    config.upstream.ca_file = ca_file;
    config.server.drain.timeout = Duration::from_secs(10);
    (phase.configure)(&mut config);
    let (address, _, shutdown, served) = Box::pin(serve(&server.url(), basic("a:b"), config)).await;
    let mut lines = Vec::new();
    for _ in 0..6 {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URI");
        lines.push(Line::Tonic(endpoint.connect().await.expect("it listens")));
    }
    for _ in 0..3 {
        lines.push(Line::Raw(Raw::connect(&address).await.0));
    }
    truth.lock().weather = phase.weather;
    let until = Instant::now() + phase.longest;
    let (left, choice) = (Arc::new(AtomicI64::new(calls)), Arc::new(Choice::of(phase.mix)));
    let mut callers = JoinSet::new();
    for number in 0..phase.callers {
        let random = fastrand::Rng::with_seed(seed.wrapping_mul(1_000).wrapping_add(number as u64));
        let mut caller = Caller { truth: truth.clone(), random, lines: lines.clone(), patience: phase.patience };
        let (left, choice) = (Arc::clone(&left), Arc::clone(&choice));
        callers.spawn(async move {
            while left.fetch_sub(1, Ordering::Relaxed) > 0 && Instant::now() < until {
                let call = choice.any(&mut caller.random);
                call(&mut caller).await;
                if !phase.rest.is_zero() {
                    sleep(phase.rest.mul_f32(caller.random.f32())).await;
                }
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
            for _ in 0..20 {
                server.hang_up();
                sleep(Duration::from_millis(50)).await;
            }
            drop(shut);
            // The first packet comes for the third time now.
            sleep(Duration::from_millis(2_500)).await;
        }
    }
}
