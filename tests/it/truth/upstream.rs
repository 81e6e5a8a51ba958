//! The upstream: it carries out what it says it does, and is as slow and as broken as the weather.

use std::time::Duration;

use tokio::time::sleep;

use super::changes::{nonce_of, write};
use super::http::{Reply, Request, Response, Server, Wire};
use super::judge::slack;
use super::reads::read;
use super::state::Truth;
use super::weather::{Fate, refusal};

/// How long an answer takes that nobody is to wait for.
const FOREVER: Duration = Duration::from_secs(6);

/// Starts it.
pub fn start(truth: &Truth, wire: Wire) -> Server {
    let truth = truth.clone();
    Server::start(wire, move |request| answer(truth.clone(), request))
}

async fn answer(truth: Truth, request: Request) -> Reply {
    let target = request.path.clone();
    let path: Vec<&str> = target.trim_start_matches("/api/v2/").split('/').collect();
    let (fate, mut before, mut after) = {
        let state = &mut *truth.lock();
        let fate = state.weather.fate(&mut state.random);
        let latency = state.weather.latency(&mut state.random);
        let before = latency.mul_f32(state.random.f32());
        (fate, before, latency.saturating_sub(before))
    };
    let is_read = request.method == "GET";
    // A late change of a roster would look like another caller's; all others may be carried out late.
    if !is_read && target.contains("memberships") {
        (before, after) = (Duration::ZERO, before + after);
    }
    let nonce = if is_read { 0 } else { arrive(&truth, &request, &path, fate == Fate::Refused(429)) };
    if !before.is_zero() {
        sleep(before).await;
    }
    let response = match fate {
        Fate::Refused(status) => refusal(status),
        Fate::Closed => return Reply::Closed,
        _ if is_read => read(&truth.lock(), &path, &request.query),
        _ => act(&truth, &request, &path, nonce),
    };
    if !after.is_zero() {
        sleep(after).await;
    }
    match fate {
        Fate::Answered | Fate::Refused(_) | Fate::Closed => Reply::Whole(response),
        Fate::DoneBut(status) => Reply::Whole(refusal(status)),
        Fate::DoneAndCut => Reply::Cut(response),
        Fate::DoneAndClosed => Reply::Closed,
        Fate::DoneAndHung => {
            sleep(FOREVER).await;
            Reply::Closed
        }
    }
}

/// Notes a write in the book; returns whose it is.
fn arrive(truth: &Truth, request: &Request, path: &[&str], throttled: bool) -> u64 {
    let state = &mut *truth.lock();
    let nonce = nonce_of(state, request, path);
    state.book.arrived(nonce, request, throttled, slack());
    nonce
}

/// Carries out a write, and lets what it began in the background go on there.
fn act(truth: &Truth, request: &Request, path: &[&str], nonce: u64) -> Response {
    let state = &mut *truth.lock();
    let response = write(state, request, path, nonce);
    for number in std::mem::take(&mut state.due) {
        let (truth, time) = (truth.clone(), Duration::from_millis(state.random.u64(1..300)));
        tokio::spawn(async move {
            sleep(time).await;
            truth.lock().carry_out(number);
        });
    }
    response
}
