//! One circuit: its state, and when it changes.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::window::Window;
use crate::config;
use crate::error::Verdict;
use crate::upstream::jitter::Jitter;

/// How long others wait for the outcome of one caller's probe.
const PATIENCE: Duration = Duration::from_secs(1);

/// Failures of a caller from which on an open circuit refuses it, too: more than one request with its repetitions makes.
const SUSPECT: u32 = 4;

/// Most callers whose failures are remembered, where more failures than this open a circuit.
const MOST_FAILED: u32 = 32;

/// Stands for the failures of a caller who has opened the circuit: others probe before it.
const CULPRIT: u32 = u32::MAX;

/// The state of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Calls go through.
    Closed,
    /// Calls are refused.
    Open,
    /// One call finds out whether the others may go through again.
    HalfOpen,
}

/// One endpoint class.
#[derive(Debug)]
pub struct Circuit {
    phase: Phase,
    /// Counts the changes of state. Calls let through in an earlier generation decide nothing any more.
    generation: u64,
    since: Instant,
    window: Window,
    /// Failures since the last success, but for those that are only their caller's.
    consecutive: u32,
    /// Failed probes since the circuit was last closed, which double the time it stays open.
    reopened: u32,
    /// Who was last answered, and the last one before who is another caller. As many failures as open a circuit take a caller out.
    answered: [Option<Answered>; 2],
    /// Who has failed since the last success, and how often: as many callers as there is place for fail because Zendesk does.
    failed: Vec<(u64, u32)>,
    /// Failures in a row that open it: of calls, or of callers.
    most: u32,
    /// Whether it has refused anybody who has not opened it, since it did: then others probe first.
    refused_others: bool,
}

#[derive(Debug, Clone, Copy)]
struct Answered {
    caller: u64,
    at: Instant,
    /// Its failures since.
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Closed,
    Open(Pause),
    /// With whose probe is under way, and since when.
    HalfOpen {
        pause: Pause,
        probing: Option<(u64, Instant)>,
    },
}

/// How long the endpoints are left alone.
#[derive(Debug, Clone, Copy)]
struct Pause {
    /// When a safe call may probe.
    safe: Instant,
    /// When any call may, for lack of a safe one.
    any: Instant,
    /// When a call may of a caller who has opened the circuit, if others wait, too.
    culprit: Instant,
}

/// Identifies a call that was let through.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    generation: u64,
    /// Whose call it is, and when it was let through.
    caller: u64,
    begun: Instant,
    /// Whether the circuit waits for how this call ends.
    pub probe: bool,
}

/// How a circuit's state changed.
pub type Change = Option<State>;

impl Circuit {
    /// Returns a closed circuit.
    pub fn new(settings: &config::Breaker) -> Self {
        Self {
            phase: Phase::Closed,
            generation: 0,
            since: Instant::now(),
            window: Window::new(settings.window),
            consecutive: 0,
            reopened: 0,
            answered: [None; 2],
            failed: Vec::new(),
            most: settings.consecutive_failures,
            refused_others: false,
        }
    }

    /// Lets a call of this caller through, or says when to come back. `safe` calls change nothing at Zendesk.
    pub fn admit(&mut self, caller: u64, safe: bool) -> (Result<Pass, Duration>, Change) {
        let now = Instant::now();
        let pass = |generation, probe| Ok(Pass { generation, caller, begun: now, probe });
        let failures = self.failures(caller);
        let (pause, probing) = match self.phase {
            Phase::Closed => return (pass(self.generation, false), None),
            // Where few callers fail, who does not, or seldom, may find that it is the others' requests that do.
            _ if failures < SUSPECT && self.has_place() => {
                return (pass(self.generation, false), None);
            }
            Phase::Open(pause) => (pause, None),
            Phase::HalfOpen { pause, probing } => (pause, probing),
        };
        let mut from = if safe { pause.safe } else { pause.any };
        // A probe that takes long may hang for its caller alone.
        let is_probed = probing.is_some_and(|(prober, since)| prober == caller || now < since + PATIENCE);
        if failures != CULPRIT {
            self.refused_others |= is_probed || now < from;
        } else if self.refused_others {
            from = from.max(pause.culprit);
        }
        if is_probed || now < from {
            // A probe under way will end soon, so one second is enough.
            let wait = from.saturating_duration_since(now);
            return (Err(if wait.is_zero() { Duration::from_secs(1) } else { wait }), None);
        }
        let change = matches!(self.phase, Phase::Open(_)).then(|| self.enter(State::HalfOpen));
        self.phase = Phase::HalfOpen { pause, probing: Some((caller, now)) };
        (pass(self.generation, true), change)
    }

    /// Learns how a call ended.
    pub fn settle(&mut self, pass: Pass, verdict: Verdict, rules: &Rules) -> Change {
        if pass.generation != self.generation {
            return None;
        }
        match (verdict, pass.probe) {
            (Verdict::Ignore, true) => {
                if let Phase::HalfOpen { probing, .. } = &mut self.phase {
                    probing.take_if(|(prober, _)| *prober == pass.caller);
                }
                None
            }
            (Verdict::Ignore, false) => None,
            (Verdict::Success, _) => {
                if self.answered[0].is_some_and(|last| last.caller != pass.caller) {
                    self.answered[1] = self.answered[0];
                }
                self.answered[0] = Some(Answered { caller: pass.caller, at: Instant::now(), failures: 0 });
                self.consecutive = 0;
                self.failed.clear();
                if matches!(self.phase, Phase::Closed) {
                    self.window.count(true);
                    return None;
                }
                self.phase = Phase::Closed;
                self.reopened = 0;
                self.window = Window::new(rules.settings.window);
                Some(self.enter(State::Closed))
            }
            (Verdict::Failure | Verdict::Timeout, true) => {
                self.reopened += 1;
                self.consecutive += 1;
                self.fail(pass.caller);
                Some(self.open(pass, rules))
            }
            (Verdict::Timeout, false) if self.has_answered_others(pass, pass.begun) => None,
            (Verdict::Failure | Verdict::Timeout, false) => {
                self.fail(pass.caller);
                let is_its_own = Instant::now()
                    .checked_sub(rules.settings.window)
                    .is_some_and(|since| self.has_answered_others(pass, since));
                if is_its_own {
                    return None;
                }
                self.window.count(false);
                self.consecutive += 1;
                (matches!(self.phase, Phase::Closed) && self.is_broken(rules)).then(|| self.open(pass, rules))
            }
        }
    }

    /// Notes a failure of this caller.
    fn fail(&mut self, caller: u64) {
        let most = self.most;
        for answered in &mut self.answered {
            answered.take_if(|answered| {
                answered.failures += u32::from(answered.caller == caller);
                answered.failures >= most
            });
        }
        if let Some((_, failures)) = self.failed.iter_mut().find(|(failed, _)| *failed == caller) {
            *failures = failures.saturating_add(1);
        } else {
            if !self.has_place() {
                self.failed.remove(0);
            }
            self.failed.push((caller, 1));
        }
    }

    fn has_place(&self) -> bool {
        self.failed.len() < self.most.min(MOST_FAILED) as usize
    }

    /// Returns how often this caller has failed since the last success.
    fn failures(&self, caller: u64) -> u32 {
        self.failed.iter().find(|(failed, _)| *failed == caller).map_or(0, |(_, failures)| *failures)
    }

    /// Returns the state and since when it holds.
    pub fn state(&self) -> (State, Instant) {
        let state = match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open(_) => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        };
        (state, self.since)
    }

    /// Returns the failures since the last success.
    pub fn consecutive(&self) -> u32 {
        self.consecutive
    }

    /// Returns the successes and failures in the window.
    pub fn totals(&self) -> (u32, u32) {
        self.window.totals()
    }

    /// Returns how long until a safe call may probe.
    pub fn probes_in(&self) -> Duration {
        match self.phase {
            Phase::Closed => Duration::ZERO,
            Phase::Open(pause) | Phase::HalfOpen { pause, .. } => pause.safe.saturating_duration_since(Instant::now()),
        }
    }

    /// True if another caller was answered since then, and has failed seldom since: then it is this caller's requests that hang, or
    /// fail.
    fn has_answered_others(&self, pass: Pass, since: Instant) -> bool {
        self.answered.iter().flatten().any(|last| last.caller != pass.caller && last.at > since)
    }

    fn is_broken(&self, rules: &Rules) -> bool {
        let settings = &rules.settings;
        let (successes, failures) = self.window.totals();
        let samples = successes + failures;
        self.consecutive >= settings.consecutive_failures
            || samples >= settings.samples
                && u64::from(successes) * 100 < u64::from(samples) * u64::from(settings.success_percent)
    }

    fn open(&mut self, pass: Pass, rules: &Rules) -> State {
        let config::Breaker { first_open, longest_open, .. } = rules.settings;
        let doubled = first_open.saturating_mul(2_u32.saturating_pow(self.reopened));
        let length = rules.jitter.slight(doubled.min(longest_open));
        let safe = Instant::now() + length;
        let any = if rules.has_reads { safe + length } else { safe };
        self.phase = Phase::Open(Pause { safe, any, culprit: safe + length });
        self.refused_others = false;
        if let Some((_, failures)) = self.failed.iter_mut().find(|(failed, _)| *failed == pass.caller) {
            *failures = CULPRIT;
        }
        self.enter(State::Open)
    }

    fn enter(&mut self, state: State) -> State {
        self.generation += 1;
        self.since = Instant::now();
        state
    }
}

/// The rules of a circuit.
#[derive(Debug)]
pub struct Rules {
    /// The thresholds.
    pub settings: config::Breaker,
    /// Spreads the time circuits stay open.
    pub jitter: Jitter,
    /// True if the class has reads. Only a read is a safe probe. A class with reads waits for one, as long again as the circuit
    /// was open, before a write may probe; in a class without reads any call may.
    pub has_reads: bool,
}
